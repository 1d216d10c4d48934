"""Refused peers: a peer can read why husk refuses it, and does not believe that husk accepts its data."""

import itertools
import select
import ssl
import time

import pytest

from support import raw

PROTOCOLS = pytest.mark.parametrize("protocol", ["tcp", "forward"])
REFUSED = pytest.mark.parametrize("shown, alert, reason", [
    ("foreign_client", "UNKNOWN_CA", "certificate_unknown_ca"),
    ("expired_client", "CERTIFICATE_EXPIRED", "certificate_expired"),
    ("unlisted_client", "ACCESS_DENIED", "not_allowed"),
    (None, "", "certificate_missing"),
])
EVENT = b"an event " * 100


@pytest.fixture
def refusing(husk, pki):
    """Makes a husk server and a function that connects a peer with the certificate `shown`."""
    def make(protocol, **options):
        server = husk.server(raw.Listener(), protocol=protocol, **options)

        def connect(shown, version):
            certificate = getattr(pki, shown) if shown else None
            return raw.TlsPeer(raw.connect(server.address), raw.tls_context(False, pki.ca.cert, certificate, version))
        return server, connect
    return make


def read_alert(peer):
    """The alert that husk has sent, by OpenSSL's name for it."""
    with pytest.raises(ssl.SSLError) as refusal:
        peer.handshake()
        peer.recv(1)
    return refusal.value.reason


def ends_in_order(sock):
    """husk ends its direction, and the connection is not reset."""
    return sock.recv(1) == b""


def wait_for_refusals(server, count, reason):
    def lines(_):
        return len(server.events(reason=reason, phase="handshake", level="warn")) == count
    server.wait_until(lines, f"{count} times {reason}")


PIECES = {
    "one segment": lambda flight: [flight],
    "records": raw.tls_records,
    "bytes": lambda flight: (flight[i:i + 1] for i in range(len(flight))),
}


@PROTOCOLS
@REFUSED
def test_a_refused_peer_reads_the_alert(refusing, protocol, shown, alert, reason):
    server, connect = refusing(protocol, linger_timeout="20s", log_burst=100)
    for version, pieces in itertools.product(("1.2", "1.3"), PIECES):
        peer = connect(shown, version)
        for piece in PIECES[pieces](peer.last_flight()):
            peer.sock.sendall(piece)
            if pieces == "records":
                select.select([peer.sock], [], [], 0.005)  # husk may refuse in between
        assert alert in read_alert(peer), (version, pieces)
        assert ends_in_order(peer.sock), (version, pieces)
    wait_for_refusals(server, 2 * len(PIECES), reason)


@PROTOCOLS
@REFUSED
def test_a_refused_agent_that_sends_data_is_reset_at_once(refusing, protocol, shown, alert, reason):
    """With TLS 1.3 the agent's own handshake succeeds, and the agent may send data before it reads the alert."""
    server, connect = refusing(protocol, linger_timeout="20s")
    one, two = connect(shown, "1.3"), connect(shown, "1.3")
    one.sock.sendall(one.last_flight() + one.seal(EVENT))
    assert raw.is_reset(one.sock)
    wait_for_refusals(server, 1, reason)
    two.sock.sendall(two.last_flight())
    wait_for_refusals(server, 2, reason)
    two.sock.sendall(two.seal(EVENT))
    assert raw.is_reset(two.sock)


@PROTOCOLS
@pytest.mark.parametrize("peer_does", ["is silent", "never reads"])
def test_a_refused_peer_gives_way_when_connections_are_full(refusing, protocol, peer_does):
    server, connect = refusing(protocol, linger_timeout="60s", max_connections=1)
    peer = connect("foreign_client", "1.2")
    peer.sock.sendall(peer.last_flight())
    server.wait_for_event(reason="certificate_unknown_ca")
    connect("client", "1.2").handshake()
    if peer_does == "is silent":
        assert "UNKNOWN_CA" in read_alert(peer)


@PROTOCOLS
def test_a_refused_peer_does_not_keep_husk_from_stopping(refusing, protocol):
    server, connect = refusing(protocol, linger_timeout="20s")
    peer = connect("foreign_client", "1.2")
    peer.sock.sendall(peer.last_flight())
    server.wait_for_event(reason="certificate_unknown_ca")
    server.stop()
    assert "UNKNOWN_CA" in read_alert(peer)


@PROTOCOLS
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("shown, alert", [
    ("foreign_server", "UNKNOWN_CA"), ("expired_server", "CERTIFICATE_EXPIRED"), ("misused_server", "CERTIFICATE")])
def test_a_refused_server_reads_the_alert(husk, pki, protocol, version, shown, alert):
    listener = raw.Listener()
    client = husk.client(f"localhost:{listener.address[1]}", protocol=protocol)
    agent = raw.connect(client.address)
    agent.sendall(b"\x93\xa3tag\x01\x80")
    peer = raw.TlsPeer(listener.accept(), raw.tls_context(True, pki.ca.cert, getattr(pki, shown), version),
                       server_side=True)
    assert alert in read_alert(peer)
    assert ends_in_order(peer.sock)


def test_many_refused_peers_do_not_keep_others_out(refusing):
    server, connect = refusing("tcp", max_connections=4, linger_timeout="60s", workers=1)
    refused = [connect("foreign_client", "1.2") for _ in range(8)]
    for peer in refused:
        assert "UNKNOWN_CA" in read_alert(peer)
    connect("client", "1.2").handshake()
