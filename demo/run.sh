#!/bin/sh
# Demonstration: three agents → husk client ═ mutual TLS ═ husk server → a receiver that prints and acknowledges events.
# usage: demo/run.sh HUSK [SECONDS]    ends after SECONDS; without SECONDS it ends on Ctrl-C
set -eu

husk=$1
seconds=${2:-}
events_each=4
events=12
dir=$(mktemp -d "${TMPDIR:-/tmp}/husk-demo.XXXXXX")
pids=

stop() {
    trap - EXIT INT TERM
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap stop EXIT
trap 'stop; exit 0' INT TERM

fail() {
    echo "demo: $1" >&2
    cat "$dir"/*.log >&2 2>/dev/null || true
    exit 1
}

# wait_for FILE PATTERN: waits until a line of FILE matches, at most 10 s; prints the group of the pattern.
wait_for() {
    tries=0
    until sed -n "s/$2/\\1/p" "$1" 2>/dev/null | grep -m1 .; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        sleep 0.05
    done
}

"$husk" pki init "$dir/pki" >/dev/null

: >"$dir/events"
"$husk" receive --listen 127.0.0.1:0 >"$dir/events" 2>"$dir/receive.log" &
pids="$pids $!"
receiver=$(wait_for "$dir/receive.log" '.*listening on \(127\.0\.0\.1:[0-9]*\).*') || fail "the receiver did not start"

"$husk" server --listen 127.0.0.1:0 --upstream "$receiver" --allow-cn client --admin off \
    --cert "$dir/pki/server.crt.pem" --key "$dir/pki/server.key.pem" --ca "$dir/pki/ca.crt.pem" 2>"$dir/server.log" &
pids="$pids $!"
server=$(wait_for "$dir/server.log" '.* listening .*address=\(127\.0\.0\.1:[0-9]*\).*') || fail "husk server did not start"

# Uses Forward's default port if it is free, otherwise any free port.
for port in 24224 0; do
    "$husk" client --listen "127.0.0.1:$port" --upstream "$server" --server-name localhost --admin 127.0.0.1:0 \
        --cert "$dir/pki/client.crt.pem" --key "$dir/pki/client.key.pem" --ca "$dir/pki/ca.crt.pem" 2>"$dir/client.log" &
    pid=$!
    if client=$(wait_for "$dir/client.log" '.* listening route=client address=\(127\.0\.0\.1:[0-9]*\).*\|.*\(cannot start\).*') &&
        [ -n "$client" ] && [ "$client" != "cannot start" ] && kill -0 "$pid" 2>/dev/null; then
        break
    fi
    wait "$pid" 2>/dev/null || true
    client=
done
[ -n "$client" ] || fail "husk client did not start"
pids="$pids $pid"
admin=$(wait_for "$dir/client.log" '.*admin listening .*address=\(127\.0\.0\.1:[0-9]*\).*') || fail "husk client has no admin endpoint"

echo "agents → husk client $client ═ mutual TLS ═ husk server $server → receiver $receiver"
echo
tail -n +1 -f "$dir/events" &
tail_pid=$!
pids="$pids $tail_pid"
agents=
for name in one two three; do
    "$husk" send --to "$client" --tag "demo.$name" --count "$events_each" --rate 10 --ack 2>>"$dir/send.log" &
    agents="$agents $!"
done
for agent in $agents; do wait "$agent" || fail "an agent could not send"; done
tries=0
until [ "$(wc -l <"$dir/events")" -ge "$events" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "only $(wc -l <"$dir/events") of $events events arrived"
    sleep 0.05
done
sleep 0.2 # so that tail prints the last line
echo
echo "Three agents sent $events events over mutual TLS. The receiver acknowledged all of them."
if command -v curl >/dev/null; then
    connections=$(curl -sS "http://$admin/metrics" |
        sed -n 's/^husk_connections_opened_total{.*side="upstream"} //p')
    echo "husk client used $connections connection(s) to husk server."
fi
echo "Your own agent can send to $client (Forward, plaintext). Metrics: http://$admin/metrics"
if [ -n "$seconds" ]; then
    sleep "$seconds"
else
    echo "Press Ctrl-C to end."
    while :; do sleep 3600; done
fi
