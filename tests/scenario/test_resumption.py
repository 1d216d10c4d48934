"""Later connections to the same upstream resume the TLS session of an earlier one."""

import socket
import struct

import pytest

from support import raw

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def exchange(agent, aggregator):
    raw.carry_both_ways(agent, aggregator)
    agent.close()
    assert aggregator.recv(1) == b""
    aggregator.close()


@BOTH
def test_second_connection_is_resumed(husk, version):
    tunnel = husk.tunnel(client={"tls_max": version, "workers": 1}, server={"workers": 2})
    for _ in range(4):
        exchange(*tunnel.open())
    for one, side in ((tunnel.client, "upstream"), (tunnel.server, "downstream")):
        assert one.metric("husk_handshakes_total", side=side, result="full") == 1
        assert one.metric("husk_handshakes_total", side=side, result="resumed") == 3


def shows_a_session(hello):
    """Whether a ClientHello asks for a resumption: pre_shared_key (1.3), or a filled session_ticket (1.2)."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at:at + 2], "big")  # ciphers
    at += 1 + hello[at] + 2  # compression, length of the extensions
    while at < len(hello):
        kind, length = struct.unpack_from(">HH", hello, at)
        if kind == 41 or kind == 35 and length:
            return True
        at += 4 + length
    return False


def accept_unless_resuming(listener, context):
    while True:
        sock = listener.accept()
        if not shows_a_session(sock.recv(65536, socket.MSG_PEEK)):
            return raw.TlsPeer(sock, context, server_side=True).handshake()
        sock.recv(65536)
        sock.sendall(b"\x15\x03\x03\x00\x02\x02\x50")  # fatal alert internal_error
        sock.close()


@BOTH
def test_upstream_that_fails_at_resumption_is_given_full_handshakes(husk, pki, version):
    """Fluentd hands out tickets, and with client_cert_auth breaks off every handshake that shows one."""
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp", tls_max=version, workers=1)
    context = raw.tls_context(True, pki.ca.cert, pki.server, version)
    for _ in range(3):
        agent = raw.connect(client.address)
        exchange(agent, accept_unless_resuming(listener, context))
    assert not client.complaints()


@BOTH
def test_sessions_do_not_outlive_the_server_that_gave_them(husk, pki, version):
    """A new server process, new ticket keys: a full handshake, and its policy is asked."""
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
