"""How a handshake ends: the log line and the metrics name the same reason, however the bytes are segmented."""

import collections
import contextlib
import fcntl
import socket
import struct
import termios

import pytest

from support import raw
from support.process import WAIT_SECONDS, eventually

CLOSE_NOTIFY, USER_CANCELED = b"\x01\x00", b"\x01\x5a"
HANDSHAKE_FAILURE = b"\x02\x28"


def record(kind, body):
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


def alert(code):
    return record(21, code)


GARBAGE = record(23, bytes(64))


def end(sock):
    sock.shutdown(socket.SHUT_WR)


def reset(sock):
    """Resets the connection once husk's kernel has all bytes: a reset takes back those that are unsent."""
    eventually(lambda: not struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0], "all bytes are sent")
    raw.reset(sock)


def stay(_):
    """The peer waits until husk has ended the connection."""


# What the peer sends instead of a handshake, or after its ClientHello: name, bytes, end, reason.
FIRST_FLIGHTS = [
    ("nothing", lambda hello: b"", end, "probe"),
    ("nothing, reset", lambda hello: b"", reset, "probe"),
    ("plaintext", lambda hello: b"GET / HTTP/1.1\r\n\r\n", stay, "not_tls"),
    ("a fatal alert alone", lambda hello: alert(HANDSHAKE_FAILURE), stay, "tls_rejected"),
    ("close_notify alone", lambda hello: alert(CLOSE_NOTIFY), stay, "handshake_left"),
    ("a long record", lambda hello: b"\x16\x03\x01\xff\xff" + bytes(64), stay, "tls_protocol"),
    ("half a hello", lambda hello: hello[:50], end, "handshake_left"),
    ("half a hello, reset", lambda hello: hello[:50], reset, "handshake_left"),
    ("hello", lambda hello: hello, end, "handshake_left"),
    ("hello, reset", lambda hello: hello, reset, "handshake_left"),
    ("hello, close_notify", lambda hello: hello + alert(CLOSE_NOTIFY), stay, "handshake_left"),
    ("hello, close_notify, end", lambda hello: hello + alert(CLOSE_NOTIFY), end, "handshake_left"),
    ("hello, user_canceled", lambda hello: hello + alert(USER_CANCELED) + alert(CLOSE_NOTIFY), stay, "handshake_left"),
    ("hello, fatal alert", lambda hello: hello + alert(HANDSHAKE_FAILURE), stay, "tls_rejected"),
    ("hello, fatal alert, end", lambda hello: hello + alert(HANDSHAKE_FAILURE), end, "tls_rejected"),
    ("hello, half an alert", lambda hello: hello + alert(HANDSHAKE_FAILURE)[:6], end, "handshake_left"),
    ("hello, warnings", lambda hello: hello + 9 * alert(USER_CANCELED), stay, "tls_protocol"),
    ("hello, data", lambda hello: hello + record(23, b"early"), stay, "tls_protocol"),
    ("hello, an unknown record", lambda hello: hello + record(99, b"?"), stay, "tls_protocol"),
]

# After a ClientHello of TLS 1.3 husk expects no alert in clear text, and BoringSSL cannot read one.
CLEAR_ALERTS = {"hello, close_notify", "hello, close_notify, end", "hello, user_canceled", "hello, fatal alert",
                "hello, fatal alert, end"}


def spoilt(flight):
    return flight[:-1] + bytes([flight[-1] ^ 1])


# What the peer sends instead of its last flight, or after it: name, certificate, bytes, end, reason.
LAST_FLIGHTS = [
    ("nothing more", "client", lambda flight: b"", end, "handshake_left"),
    ("no Finished", "client", lambda flight: b"".join([*raw.tls_records(flight)][:-1]), end, "handshake_left"),
    ("a wrong Finished", "client", spoilt, stay, "tls_protocol"),
    ("all", "client", lambda flight: flight, end, "probe"),
    ("all, reset", "client", lambda flight: flight, reset, "probe"),
    ("all, a bad record", "client", lambda flight: flight + GARBAGE, stay, "tls_protocol"),
    ("all, a bad record, end", "client", lambda flight: flight + GARBAGE, end, "tls_protocol"),
    ("all, an alert in clear text", "client", lambda flight: flight + alert(HANDSHAKE_FAILURE), stay, "tls_protocol"),
    ("all, plaintext", "client", lambda flight: flight + b"GET / HTTP/1.1\r\n\r\n", stay, "tls_protocol"),
    ("unknown CA", "foreign_client", lambda flight: flight, stay, "certificate_unknown_ca"),
    ("unknown CA, a record", "foreign_client", lambda flight: flight + GARBAGE, stay, "certificate_unknown_ca"),
    ("unknown CA, end", "foreign_client", lambda flight: flight, end, "certificate_unknown_ca"),
    ("expired", "expired_client", lambda flight: flight, stay, "certificate_expired"),
    ("no certificate", None, lambda flight: flight, stay, "certificate_missing"),
    ("not allowed", "unlisted_client", lambda flight: flight, stay, "not_allowed"),
]


class Peers:
    """The peers of one husk, and what husk's log says of the end of each."""

    def __init__(self, husk, pki):
        self._husk, self._pki = husk, pki
        self._expected, self._socks = {}, []

    def play(self, name, version, certificate, expected, send):
        shown = certificate and getattr(self._pki, certificate)
        for segments in ("one", "bytes"):
            own_address = (f"127.0.2.{len(self._expected) + 1}", 0)  # a port alone can come again
            sock = socket.create_connection(self._husk.address, WAIT_SECONDS, own_address)
            self._socks.append(sock)
            self._expected[raw.format_address(sock.getsockname())] = (name, version, segments, expected)
            peer = raw.TlsPeer(sock, raw.tls_context(False, self._pki.ca.cert, shown, version))
            send(peer, lambda data, sock=sock, whole=segments == "one": deliver(sock, data, whole))

    def endings(self):
        """Waits for all ends. Returns a list of (variant, log line)."""
        def ended():
            found = self._husk.events(message="connection ended")
            return len(found) >= len(self._expected) and found
        lines = eventually(ended, f"{len(self._expected)} ends in the log")
        for sock in self._socks:
            sock.close()
        assert len(lines) == len(self._expected)
        return [(self._expected[line["peer"]], line) for line in lines]


def deliver(sock, data, whole):
    with contextlib.suppress(ConnectionError):  # husk has refused the first bytes
        for piece in [data] if whole else [data[i:i + 1] for i in range(len(data))]:
            sock.sendall(piece)


def play_first(peers, version):
    for name, bytes_of, end_with, reason in FIRST_FLIGHTS:
        if version == "1.3" and name in CLEAR_ALERTS:
            reason = "tls_protocol"
        def send(peer, put, bytes_of=bytes_of, end_with=end_with):
            put(bytes_of(peer.first_flight()))
            finish(peer.sock, end_with)
        peers.play(name, version, "client", reason, send)


def play_last(peers, version):
    for name, certificate, bytes_of, end_with, reason in LAST_FLIGHTS:
        def send(peer, put, bytes_of=bytes_of, end_with=end_with):
            put(bytes_of(peer.last_flight()))
            finish(peer.sock, end_with)
        peers.play(name, version, certificate, reason, send)


def finish(sock, end_with):
    with contextlib.suppress(OSError):  # husk has reset the connection
        end_with(sock)


@pytest.mark.parametrize("protocol", ["tcp", "forward"])
def test_log_and_metrics_agree_on_every_end_of_a_handshake(husk, pki, protocol):
    server = husk.server(raw.Listener(), protocol=protocol, log_level="debug", log_burst=1000, dial_delay="20s")
    peers = Peers(server, pki)
    for version in ("1.2", "1.3"):
        play_first(peers, version)
        play_last(peers, version)
    endings = peers.endings()

    wrong = [(variant, line["reason"]) for variant, line in endings if line["reason"] != variant[3]]
    assert not wrong
    phases = collections.defaultdict(set)
    for (name, version, *_), line in endings:
        phases[name, version].add((line["phase"], line["level"]))
    assert not {variant: found for variant, found in phases.items() if len(found) > 1}

    ended = collections.Counter(line["reason"] for _, line in endings)
    failed = collections.Counter(
        line["reason"] for _, line in endings if line["phase"] == "handshake" and line["level"] == "warn")
    for reason in ended:
        assert server.metric("husk_connections_ended_total", side="downstream", reason=reason) == ended[reason], reason
        assert server.metric("husk_handshake_failures_total", side="downstream", reason=reason) == failed[reason], \
            reason
    assert server.metric("husk_handshake_failures_total") == failed.total()
