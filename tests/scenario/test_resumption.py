"""A connection resumes the TLS session of an earlier connection to the same upstream."""

import socket

import pytest

from support import client_hello, raw

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def exchange(agent, aggregator):
    raw.carry_both_ways(agent, aggregator)
    agent.close()
    assert aggregator.recv(1) == b""
    aggregator.close()


@BOTH
def test_the_second_connection_resumes_the_session(husk, version):
    tunnel = husk.tunnel(client={"tls_max": version, "workers": 1}, server={"workers": 2})
    for _ in range(4):
        exchange(*tunnel.open())
    for one, side in ((tunnel.client, "upstream"), (tunnel.server, "downstream")):
        assert one.metric("husk_handshakes_total", side=side, result="full") == 1
        assert one.metric("husk_handshakes_total", side=side, result="resumed") == 3


def shows_a_session(hello):
    """Whether a ClientHello asks for a resumption: pre_shared_key (1.3) or a session_ticket with content (1.2)."""
    return client_hello.PRE_SHARED_KEY in hello.extensions or hello.extensions.get(client_hello.SESSION_TICKET)


def accept_unless_resuming(listener, context):
    while True:
        sock = listener.accept()
        if not shows_a_session(client_hello.parse(sock.recv(65536, socket.MSG_PEEK))):
            return raw.TlsPeer(sock, context, server_side=True).handshake()
        sock.recv(65536)
        sock.sendall(b"\x15\x03\x03\x00\x02\x02\x50")  # fatal alert internal_error
        sock.close()


@BOTH
def test_husk_makes_full_handshakes_with_an_upstream_that_fails_at_resumption(husk, pki, version):
    """Fluentd sends session tickets, but with client_cert_auth it fails every handshake that offers one."""
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp", tls_max=version, workers=1)
    context = raw.tls_context(True, pki.ca.cert, pki.server, version)
    for _ in range(3):
        agent = raw.connect(client.address)
        exchange(agent, accept_unless_resuming(listener, context))
    assert not client.problems()


@BOTH
def test_a_session_does_not_outlive_the_server_that_issued_it(husk, pki, version):
    """A new server process has new ticket keys, so it does a full handshake and checks its policy."""
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp")
    address = raw.format_address(server.address)
    client = husk.client(server, protocol="tcp", tls_max=version, workers=1)
    agent = raw.connect(client.address)
    exchange(agent, upstream.accept())
    server.stop()
    husk.server(upstream, protocol="tcp", listen=address, allow_cn="somebody-else")
    raw.assert_reset(raw.connect(client.address))
    assert not upstream.was_dialled()
