"""husk send and husk receive: with each other, with recordings of real agents, and with unusual peers."""

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import fluent.event
import fluent.sender
import msgpack
import pytest

from support.husk import BINARY, ROOT
from support.process import WAIT_SECONDS
from support.raw import read_exactly, read_to_end, reset
from support.timing import undisturbed

CAPTURES = ROOT / "tests/support/captures"
RECORDINGS = sorted(path.stem for path in CAPTURES.glob("*.c2s")
                    if not re.search("sharedkey|rejected|tls", path.stem))
ENDED_EARLY = {"fluentd-keepalive-ack"}  # recorded without the ack of the last message


class Receive:
    """A running `husk receive`: its events on stdout and its lines on stderr."""

    def __init__(self, *options, listen="127.0.0.1:0"):
        self.process = subprocess.Popen([BINARY, "receive", "--listen", listen, *options], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.watchdog = threading.Timer(WAIT_SECONDS, self.process.kill)
        self.watchdog.start()
        self.address = re.fullmatch("husk receive: listening on (.*)\n", self.read_error_line()).group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.finish()

    def event(self):
        return json.loads(self.process.stdout.readline())

    def read_error_line(self):
        return self.process.stderr.readline().decode()

    def finish(self):
        """Waits for the end. Returns the remaining events, the remaining stderr and the exit status."""
        out, err = self.process.communicate(timeout=WAIT_SECONDS)
        self.watchdog.cancel()
        return [json.loads(line) for line in (out or b"").splitlines()], err.decode(), self.process.returncode

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        return self.finish()

    def dial(self):
        if self.address.startswith("unix:"):
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(self.address[len("unix:"):])
        else:
            host, port = self.address.rsplit(":", 1)
            peer = socket.create_connection((host.strip("[]"), int(port)), WAIT_SECONDS)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(WAIT_SECONDS)
        return peer


def send(to, *options, text=None):
    """Runs `husk send` until it ends. Returns exit status and stderr."""
    done = subprocess.run([BINARY, "send", "--to", to, "--tag", "test.tag", *options], capture_output=True,
                          timeout=WAIT_SECONDS, **({"stdin": subprocess.DEVNULL} if text is None else {"input": text}))
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def events_of(recorded):
    """The number of events in recorded messages, counted with another MessagePack library."""
    count = 0
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
    unpacker.feed(recorded)
    for message in unpacker:
        body = message[1]
        if isinstance(body, list):
            count += len(body)
        elif isinstance(body, bytes):
            if body[:2] == b"\x1f\x8b":
                body = gzip.decompress(body)
            entries = msgpack.Unpacker(raw=True, strict_map_key=False)
            entries.feed(body)
            count += sum(1 for _ in entries)
        else:
            count += 1
    return count


# ---- recordings of real agents ----

@pytest.mark.parametrize("piece", [1, 2, 7, 100, 1 << 20])
@pytest.mark.parametrize("recording", RECORDINGS)
def test_the_acks_of_a_recording_are_byte_exact(recording, piece):
    sent = (CAPTURES / f"{recording}.c2s").read_bytes()
    with Receive() as receive, receive.dial() as peer:
        for at in range(0, len(sent), piece):
            peer.sendall(sent[at:at + piece])
        peer.shutdown(socket.SHUT_WR)
        answer = read_to_end(peer)
        events, errors, status = receive.stop()
    recorded = (CAPTURES / f"{recording}.s2c").read_bytes()
    if recording in ENDED_EARLY:
        assert len(recorded) < len(answer) and answer.startswith(recorded)
    else:
        assert answer == recorded
    assert len(events) == events_of(sent)
    assert (errors, status) == ("", 0)


def test_recordings_exist():
    assert len(RECORDINGS) >= 15


def test_fluentbit_metadata_and_metrics_become_json():
    with Receive("--count", "1") as receive, receive.dial() as peer:
        peer.sendall((CAPTURES / "fluentbit-metrics.c2s").read_bytes())
        events, _, status = receive.finish()
    assert status == 0
    assert events[0]["tag"] == "app.metrics" and events[0]["signal"] == "metrics"
    assert events[0]["record"]["metrics"][0]["meta"]["opts"]["name"] == "uptime"


def test_events_of_pythons_fluent_logger_arrive():
    with Receive("--count", "2") as receive:
        host, port = receive.address.rsplit(":", 1)
        logger = fluent.sender.FluentSender("app", host=host, port=int(port), nanosecond_precision=True)
        assert logger.emit("first", {"text": "é", "list": [1, 2.5, None]})
        logger.emit_with_time("second", 1700000000, {"n": 2})  # False if the receiver has already ended
        logger.close()
        events, errors, status = receive.finish()
    assert events[0]["tag"] == "app.first"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", events[0]["time"])
    assert events[0]["record"] == {"text": "é", "list": [1, 2.5, None]}
    assert events[1] == {"tag": "app.second", "time": 1700000000, "record": {"n": 2}}
    assert (errors, status) == ("", 0)


# ---- send to receive ----

@pytest.mark.parametrize("ack", [False, True])
@pytest.mark.parametrize("mode,batch,messages", [("message", 1, 100), ("auto", 1, 100), ("auto", 30, 4),
                                                 ("forward", 1, 100), ("forward", 7, 15), ("packed", 100, 1)])
def test_samples_arrive_in_order(mode, batch, messages, ack):
    with Receive("--count", "100") as receive:
        status, output = send(receive.address, "--count", "100", "--mode", mode, "--batch", str(batch),
                            *(["--ack"] if ack else []))
        events, errors, receive_status = receive.finish()
    assert output == f"sent 100 events in {messages} messages" + (f", {messages} acked\n" if ack else "\n")
    assert [event["record"]["sequence"] for event in events] == list(range(100))
    assert {event["tag"] for event in events} == {"test.tag"}
    assert (status, receive_status, errors) == (0, 0, "")


def test_json_lines_arrive_unchanged():
    records = [
        {"max": 18446744073709551615, "min": -9223372036854775808, "float": 0.1, "one": 1.0, "large": 1e300},
        {"nested": {"list": [[], {}, [None, True, False, {"x": [1]}]]}, "": "empty key"},
        {"unicode": "é 😀 \u2028 \u0000 \" \\ / \b\f\n\r\t \x7f", "ключ": "значение"},
        {"many": list(range(3000)), "wide": {str(n): n for n in range(20)}},
    ]
    lines = "".join(json.dumps(record, ensure_ascii=index % 2 == 0) + "\n" for index, record in enumerate(records))
    with Receive("--count", str(len(records))) as receive:
        status, output = send(receive.address, "--ack", text=("\n" + lines + "  \n").encode())
        events, _, _ = receive.finish()
    assert (status, output) == (0, "sent 4 events in 4 messages, 4 acked\n")
    assert [event["record"] for event in events] == records
    assert isinstance(events[0]["record"]["one"], float)


@pytest.mark.parametrize("line,why", [(b'{"n":3', "premature EOF"), (b"[3]", "not an object"),
                                      (b'{"n":"\xff"}', "not UTF-8"), (b"nonsense", "invalid")])
def test_a_bad_json_line_is_named_and_the_lines_before_are_sent(line, why):
    with Receive("--count", "2") as receive:
        status, output = send(receive.address, "--batch", "10", text=b'{"n":1}\n\n{"n":2}\n' + line + b'\n{"n":4}\n')
        events, _, _ = receive.finish()
    assert status == 1
    assert output.startswith("husk send: stdin line 4: ") and why in output
    assert output.endswith("(sent 2 events in 1 messages)\n") and output.count("\n") == 1
    assert [event["record"] for event in events] == [{"n": 1}, {"n": 2}]


def test_send_and_receive_use_a_unix_socket(tmp_path):
    path = tmp_path / "forward.sock"
    with Receive("--count", "5", listen=f"unix:{path}") as receive:
        assert receive.address == f"unix:{path}"
        assert send(receive.address, "--count", "5", "--ack")[0] == 0
        events, _, status = receive.finish()
    assert len(events) == 5 and status == 0
    assert not path.exists()


def test_send_and_receive_use_ipv6():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with Receive("--count", "2", listen="[::1]:0") as receive:
        assert send(receive.address, "--count", "1", "--ack")[0] == 0
        assert send(receive.address, "--count", "1")[0] == 0
        assert receive.finish()[2] == 0


@undisturbed
def test_send_keeps_its_rate():
    with Receive("--count", "11") as receive:
        started = time.monotonic()
        assert send(receive.address, "--count", "11", "--rate", "50")[0] == 0
        assert time.monotonic() - started >= 0.2
        events, _, _ = receive.finish()
    first, last = (float(event["time"][-11:-1]) for event in (events[0], events[-1]))
    assert (last - first) % 60 >= 0.18  # ten pauses of 20 ms; the first event may be late


# ---- receive alone ----

def test_receive_serves_many_connections_at_once():
    with Receive("--count", "150") as receive:
        peers = [receive.dial() for _ in range(50)]
        halves = [msgpack.packb(["t", number, {}, {"chunk": str(number)}]) for number in range(50)]
        for peer, message in zip(peers, halves):
            peer.sendall(message[:3])
        for peer, message in zip(peers, halves):
            peer.sendall(message[3:] + message)
        for number, peer in enumerate(peers):
            ack = msgpack.packb({"ack": str(number)})
            assert read_exactly(peer, 2 * len(ack)) == 2 * ack
        for peer, message in zip(peers, halves):
            peer.sendall(message)
        events, errors, status = receive.finish()
        for peer in peers:
            read_to_end(peer)
            peer.close()
    assert sorted(event["time"] for event in events) == sorted(list(range(50)) * 3)
    assert (errors, status) == ("", 0)


@pytest.mark.parametrize("chunk", [b"\x00\xff\n", "id\n", "x" * 40, "y" * 300, b""])
def test_an_ack_has_the_type_and_bytes_of_the_chunk_id(chunk):
    with Receive() as receive, receive.dial() as peer:
        peer.sendall(msgpack.packb(["t", 1, {}, {"chunk": chunk}]))
        expected = msgpack.packb({"ack": chunk})
        assert peer.recv(65536) == expected  # in one recv


def test_receive_acks_nothing_when_stdout_is_closed():
    with Receive() as receive, receive.dial() as peer:
        receive.process.stdout.close()
        receive.process.stdout = None
        peer.sendall(msgpack.packb(["t", 1, {}, {"chunk": "id"}]))
        assert read_to_end(peer) == b""
        assert "cannot write to stdout" in receive.read_error_line()
        assert receive.process.wait(WAIT_SECONDS) == 1


REFUSED = {
    "tls": (b"\x16\x03\x01\x02\x00\x01", "looks like TLS"),
    "http": (b"GET / HTTP/1.1\r\n\r\n", "the first byte is 0x47"),
    "json": (b'["tag",1,{}]', "looks like JSON"),
    "never used": (b"\xc1", "not MessagePack"),
    "ping": (msgpack.packb(["PING", "", "", "", "", ""]), "shared-key handshake"),
    "zstd": (msgpack.packb(["t", b"\x28\xb5\x2f\xfd", {"compressed": "zstd"}]), "zstd: only gzip is supported"),
    "bad gzip": (msgpack.packb(["t", b"\x1f\x8b", {"compressed": "gzip"}]), "too early"),
    "bomb": (msgpack.packb(["t", gzip.compress(b"\x93" * 100000), {"compressed": "gzip"}]),
             "inflates to more than 4096"),
    "deep": (b"\x91" * 40 + b"\x01", "too deep"),
    "huge promise": (b"\xdd\xff\xff\xff\xff", "larger than the limit of 4096 bytes"),
    "huge promise inside": (b"\x92\xa1t\xdd\x7f\xff\xff\xff", "larger than the limit of 4096 bytes"),
    "large": (b"\x92\xa1t\xc6\x00\x00\x20\x00" + b"x" * 5000, "larger than the limit of 4096 bytes"),
    "large but whole": (msgpack.packb(["t", 1, {"k": "x" * 5000}]), "larger than the limit"),
    "second event broken": (msgpack.packb(["t", [[1, {}], [2]]]), "an entry is not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_peer_is_reset_and_others_are_not_disturbed(case):
    sent, why = REFUSED[case]
    with Receive("--max-message", "4096") as receive, receive.dial() as good, receive.dial() as bad:
        name = "%s:%d" % bad.getsockname()
        bad.sendall(msgpack.packb(["before", 1, {}, {"chunk": "kept"}]))
        assert read_exactly(bad, 10) == msgpack.packb({"ack": "kept"})
        bad.sendall(sent)
        output = receive.read_error_line()
        assert output.startswith(f"husk receive: {name}: ") and output.endswith("; connection reset\n")
        assert why in output
        with pytest.raises(ConnectionResetError):
            bad.recv(1)
        good.sendall(msgpack.packb(["after", 2, {}, {"chunk": "good"}]))
        assert read_exactly(good, 10) == msgpack.packb({"ack": "good"})
        events, errors, status = receive.stop()
    assert [event["tag"] for event in events] == ["before", "after"]
    assert (errors, status) == ("", 0)


def test_an_end_inside_a_message_is_reported():
    with Receive() as receive, receive.dial() as peer:
        peer.sendall(b"\x93\xa1t")
        peer.shutdown(socket.SHUT_WR)
        assert receive.read_error_line().endswith(": ended in the middle of a message\n")
        assert read_to_end(peer) == b""


def test_unusual_values_become_valid_json():
    record = {1: "int", None: "nil", b"\xff": b"\x00\xfe", "ext": msgpack.ExtType(5, b"\x01"), "nan": float("nan")}
    with Receive("--count", "1") as receive, receive.dial() as peer:
        peer.sendall(msgpack.packb([b"\xff", 1.5, record]))
        events, _, _ = receive.finish()
    assert events == [{"tag": "\\xff", "time": 1.5, "record": {
        "1": "int", "null": "nil", "\\xff": "\0\\xfe", "ext": {"ext": 5, "hex": "01"}, "nan": None}}]


def test_an_agent_that_reads_no_acks_is_not_read():
    """husk does not collect acks in memory: it stops reading the agent, which gets every ack when it reads again."""
    message = msgpack.packb(["t", 1, {}, {"chunk": "x" * 1000}])
    ack = msgpack.packb({"ack": "x" * 1000})
    with Receive() as receive, open(os.devnull, "wb") as nowhere:
        drain = threading.Thread(target=lambda: nowhere.writelines(receive.process.stdout), daemon=True)
        drain.start()
        with receive.dial() as peer:
            peer.setblocking(False)
            sent = 0
            stalled = False
            while not stalled:
                try:
                    sent += peer.send((message * 64)[sent % len(message):])
                except BlockingIOError:
                    peer.settimeout(0.5)
                    try:
                        sent += peer.send(message[sent % len(message):])
                        peer.setblocking(False)
                    except TimeoutError:
                        stalled = True
            whole = sent // len(message)
            peer.settimeout(WAIT_SECONDS)
            assert read_exactly(peer, len(ack) * whole) == ack * whole
        receive.process.kill()
        drain.join(WAIT_SECONDS)


def test_receive_ends_after_the_whole_message_that_reaches_count():
    with Receive("--count", "2") as receive, receive.dial() as peer:
        message = msgpack.packb(["t", [[1, {}], [2, {}], [3, {}]], {"chunk": "id"}])
        peer.sendall(message + message)
        assert read_to_end_or_reset(peer) == msgpack.packb({"ack": "id"})
        events, errors, status = receive.finish()
    assert [event["time"] for event in events] == [1, 2, 3]
    assert (errors, status) == ("", 0)


def read_to_end_or_reset(peer):
    data = b""
    try:
        while more := peer.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


def test_receive_ends_at_its_timeout():
    with Receive("--count", "2", "--timeout", "100ms") as receive:
        _, errors, status = receive.finish()
    assert (errors, status) == ("husk receive: timed out with 0 of 2 events\n", 1)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_receive_with_status_0(signal_number):
    with Receive() as receive, receive.dial() as peer:
        peer.sendall(msgpack.packb(["t", 1, {}]))
        assert receive.event()["tag"] == "t"
        assert receive.stop(signal_number) == ([], "", 0)
        assert read_to_end(peer) == b""


@pytest.mark.parametrize("options", [["--listen", "127.0.0.1"], ["--listen", "name:1"], [],
                                     ["--listen", "127.0.0.1:0", "--count", "0"], ["word"]])
def test_receive_refuses_bad_usage(options):
    done = subprocess.run([BINARY, "receive", *options], capture_output=True, timeout=WAIT_SECONDS)
    assert done.returncode == 2
    assert done.stderr.startswith(b"husk receive: ") and done.stderr.count(b"\n") == 1


def test_receive_names_an_address_in_use():
    with Receive() as receive:
        done = subprocess.run([BINARY, "receive", "--listen", receive.address],
                              capture_output=True, timeout=WAIT_SECONDS)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"husk receive: cannot listen on {receive.address}: ")


# ---- send alone ----

class Aggregator:
    """A listener with one connection. `serve(connection)` serves it in a thread."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.failure = None
        self.thread = threading.Thread(target=self._run, args=(serve,), daemon=True)
        self.thread.start()

    def _run(self, serve):
        try:
            self.listener.settimeout(WAIT_SECONDS)
            connection, _ = self.listener.accept()
            connection.settimeout(WAIT_SECONDS)
            with connection:
                serve(connection)
        except Exception as failure:  # the test's thread reports it
            self.failure = failure

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.thread.join(WAIT_SECONDS)
        self.listener.close()
        if kind is None:
            assert self.failure is None and not self.thread.is_alive()


def read_message(connection):
    unpacker = msgpack.Unpacker()
    while True:
        unpacker.feed(connection.recv(65536))
        for message in unpacker:
            return message


@pytest.mark.parametrize("ack", [False, True])
@pytest.mark.parametrize("mode", ["message", "forward", "packed"])
def test_send_writes_each_mode_of_message(mode, ack):
    messages = []

    def serve(connection):
        message = read_message(connection)
        messages.append(message)
        if ack:
            connection.sendall(msgpack.packb({"ack": message[-1]["chunk"]}))
        assert connection.recv(1) == b""

    with Aggregator(serve) as aggregator:
        assert send(aggregator.address, "--count", "1", "--mode", mode, *(["--ack"] if ack else []))[0] == 0
    message = messages[0]
    option = {} if mode == "message" else {"size": 1}
    if ack:
        option["chunk"] = message[-1]["chunk"]
        assert re.fullmatch("[A-Za-z0-9+/]{22}==", option["chunk"])
    if option:
        assert message.pop() == option
    tag, entry = message[0], message[1:]
    if mode == "forward":
        entry = message[1][0]
    elif mode == "packed":
        entry = msgpack.unpackb(message[1])
    assert tag == "test.tag"
    assert entry[0].code == 0 and len(entry[0].data) == 8
    assert entry[1]["sequence"] == 0


def refuse_id(connection):
    read_message(connection)
    connection.sendall(msgpack.packb({"ack": "another"}))
    connection.recv(1)


def close_after_message(connection):
    read_message(connection)


def reset_after_message(connection):
    read_message(connection)
    reset(connection)


def wait_after_message(connection):
    read_message(connection)
    connection.recv(1)


def send_helo(connection):
    connection.sendall(msgpack.packb(["HELO", {"nonce": b"", "auth": b"", "keepalive": True}]))
    read_to_end_or_reset(connection)


def send_no_forward(connection):
    connection.sendall(b"\xc1")
    read_to_end_or_reset(connection)


@pytest.mark.parametrize("serve,why", [
    (refuse_id, "not the ack of this message"), (close_after_message, "no ack: .* closed the connection"),
    (reset_after_message, "no ack: .* reset the connection"), (wait_after_message, "no ack: .* did not answer in time"),
    (send_helo, "shared-key handshake"), (send_no_forward, "not Forward")])
def test_send_fails_without_an_ack(serve, why):
    with Aggregator(serve) as aggregator:
        timeout = "300ms" if serve is wait_after_message else "60s"
        status, output = send(aggregator.address, "--count", "3", "--ack", "--timeout", timeout)
    assert status == 1
    assert output.startswith("husk send: ") and output.count("\n") == 1 and re.search(why, output)
    assert output.endswith(", 0 acked)\n")


def test_send_without_acks_fails_at_a_reset_at_the_end():
    def serve(connection):
        read_to_end(connection)
        reset(connection)

    with Aggregator(serve) as aggregator:
        status, output = send(aggregator.address, "--count", "3")
    assert status == 1
    assert re.match("husk send: the last events may be lost .*: .* reset the connection", output)


def test_send_with_all_acks_ignores_a_reset_at_the_end():
    """Fluentd resets every connection at its end."""
    def serve(connection):
        connection.sendall(msgpack.packb({"ack": read_message(connection)[-1]["chunk"]}))
        assert connection.recv(1) == b""
        reset(connection)

    with Aggregator(serve) as aggregator:
        assert send(aggregator.address, "--count", "1", "--ack") == (0, "sent 1 events in 1 messages, 1 acked\n")


def test_send_notices_a_peer_that_closes_during_a_pause():
    with Aggregator(close_after_message) as aggregator:
        status, output = send(aggregator.address, "--count", "2", "--rate", "1", "--timeout", "60s")
    assert status == 1 and re.search("closed the connection|reset the connection", output)
    assert "sent 1 events" in output


def test_send_fails_when_the_peer_does_not_read():
    done = threading.Event()
    with Aggregator(lambda connection: done.wait(WAIT_SECONDS)) as aggregator:
        status, output = send(aggregator.address, "--count", "1000000", "--batch", "10000", "--timeout", "300ms")
        done.set()
    assert status == 1 and "does not read" in output


def test_send_fails_without_a_listener():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = "127.0.0.1:%d" % closed.getsockname()[1]
    assert send(address, "--count", "1") == (
        1, f"husk send: {address}: connection refused (sent 0 events in 0 messages)\n")


@pytest.mark.parametrize("options", [["--batch", "2", "--mode", "message"], ["--count", "0"], ["--mode", "other"],
                                     ["--batch", "0"], ["--timeout", "5"], ["word"]])
def test_send_refuses_bad_usage(options):
    status, output = send("127.0.0.1:1", *options)
    assert status == 2
    assert output.startswith("husk send: ") and output.count("\n") == 1


def test_send_needs_an_address_and_a_tag():
    for options in (["--to", "127.0.0.1:1"], ["--tag", "t"], ["--to", "nonsense", "--tag", "t"]):
        assert subprocess.run([BINARY, "send", *options], capture_output=True, timeout=WAIT_SECONDS).returncode == 2
