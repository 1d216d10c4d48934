"""Start and end of the process, with --protocol tcp."""

import select
import signal

import pytest

from support import raw
from support.process import eventually

NOWHERE = f"{raw.HOST}:1"


# ---- end ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_husk_without_connections_ends_at_once_with_status_0(husk, number):
    client = husk.client(NOWHERE, protocol="tcp")
    client.signal(number)
    assert client.wait() == 0
    assert not client.problems()


@pytest.mark.parametrize("which", ["client", "server"])
def test_husk_serves_open_connections_during_the_drain_and_ends_with_status_0(husk, which):
    tunnel = husk.tunnel(**{which: {"drain_quiet": "2s", "drain_timeout": "20s"}})
    agent, aggregator = tunnel.open()
    draining = getattr(tunnel, which)
    draining.signal(signal.SIGTERM)
    eventually(lambda: draining.get("/ready")[0] == 503, "husk is not ready while it drains")
    raw.carry_both_ways(agent, aggregator)
    assert draining.get("/live")[0] == 200
    agent.close()
    aggregator.close()
    assert draining.wait() == 0


def test_the_drain_ends_quiet_connections_with_status_0(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "200ms"})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    tunnel.client.signal(signal.SIGTERM)
    assert tunnel.client.wait() == 0
    raw.assert_closed(agent)
    raw.assert_closed(aggregator)


def test_an_agent_that_connects_during_the_drain_is_served(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "2s", "drain_timeout": "20s"})
    start_draining(tunnel.client)
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    agent.close()
    aggregator.close()
    assert tunnel.client.wait() == 0


def start_draining(husk):
    husk.signal(signal.SIGTERM)
    eventually(lambda: husk.metric("husk_draining") == 1, "draining")


def test_a_second_sigterm_ends_the_drain_at_once(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "1h", "drain_timeout": "1h"})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    start_draining(tunnel.client)
    tunnel.client.signal(signal.SIGTERM)
    assert tunnel.client.wait() == 0
    raw.assert_closed(agent)


def test_undelivered_bytes_end_the_drain_with_status_1(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "1h", "drain_timeout": "200ms", "linger_timeout": "200ms"})
    agent, _unread = tunnel.open()
    agent.setblocking(False)
    while select.select([], [agent], [], 0.2)[1]:
        agent.send(bytes(1 << 20))
    tunnel.client.signal(signal.SIGTERM)
    assert tunnel.client.wait() == 1
    agent.settimeout(20)
    raw.assert_reset(agent)
    assert len(tunnel.client.problems()) == 1


def test_bytes_that_were_not_read_yet_count_as_undelivered(husk):
    silent = raw.Listener()  # accepts and never answers the handshake, so husk does not read the agent
    client = husk.client(silent, protocol="tcp", drain_quiet="1h", drain_timeout="1h", handshake_timeout="1m")
    agent = raw.connect(client.address)
    agent.sendall(b"unread")
    _held = silent.accept()
    start_draining(client)
    client.signal(signal.SIGTERM)
    assert client.wait() == 1
    raw.assert_reset(agent)


def test_sighup_during_a_drain_is_ignored(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "2s", "drain_timeout": "20s"})
    agent, aggregator = tunnel.open()
    start_draining(tunnel.client)
    tunnel.client.signal(signal.SIGHUP)
    raw.carry_both_ways(agent, aggregator)
    assert tunnel.client.metric("husk_draining") == 1
    agent.close()
    aggregator.close()
    assert tunnel.client.wait() == 0


def test_sigpipe_does_not_end_husk(husk):
    client = husk.client(NOWHERE, protocol="tcp")
    client.signal(signal.SIGPIPE)
    assert client.get("/live")[0] == 200


# ---- start ----

@pytest.mark.parametrize("mode", ["client", "server"])
def test_husk_starts_without_upstream(husk, mode):
    assert getattr(husk, mode)(NOWHERE, protocol="tcp").get("/live")[0] == 200


def test_husk_starts_without_dns_and_logs_it(husk):
    client = husk.client("aggregator.invalid:24224", protocol="tcp", dns_servers=f"{raw.HOST}:1",
                         connect_timeout="500ms")
    assert client.get("/live")[0] == 200
    raw.assert_resets(client.address)
    client.wait_for_event(reason="unresolved", side="upstream", level="warn")
    client.wait_until(lambda _: [e for e in client.problems() if e["message"].startswith("cannot resolve")],
                      "a line about the name")
    status, reasons = client.get("/ready")
    assert status == 503 and "aggregator.invalid" in reasons


def test_an_aggregator_that_comes_back_is_used_again(husk):
    upstream = raw.Listener()
    tunnel = husk.tunnel(upstream=upstream)
    raw.carry_both_ways(*tunnel.open())
    upstream.close()
    raw.assert_resets(tunnel.client.address)
    tunnel.upstream = raw.Listener(upstream.address)
    raw.carry_both_ways(*tunnel.open())
