"""Invalid bytes end their own connection, are counted, and disturb no other connection."""

import random

import pytest

from support import raw

GARBAGE = {
    "random bytes": random.Random(3).randbytes(4096),
    "zeros": bytes(4096),
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "plaintext Forward": b"\x93\xa3tag\x00\x81\xa1n\x01",
}
EACH_GARBAGE = pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)


def ends(husk, reason, side):
    return husk.wait_for_metric("husk_connections_ended_total", 1, reason=reason, side=side)


@EACH_GARBAGE
def test_garbage_at_the_servers_listener_is_counted_and_ends_only_its_connection(husk, garbage):
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    stranger = raw.connect(tunnel.server.address)
    stranger.sendall(garbage)
    raw.assert_closed(stranger)
    ends(tunnel.server, "not_tls", "downstream")
    tunnel.server.wait_for_event(reason="not_tls", side="downstream", level="warn")
    raw.carry(agent, aggregator)
    assert not tunnel.upstream.was_dialled()


@EACH_GARBAGE
def test_any_bytes_at_the_clients_listener_are_carried_as_they_are(husk, garbage):
    agent, aggregator = husk.tunnel().open()
    raw.carry(agent, aggregator, garbage)


@EACH_GARBAGE
def test_an_upstream_that_does_not_speak_tls_resets_the_agent(husk, garbage):
    upstream = raw.Listener()
    client = husk.client(upstream, protocol="tcp")
    agent = raw.connect(client.address)
    upstream.accept().sendall(garbage)
    raw.assert_reset(agent)
    ends(client, "not_tls", "upstream")


def forged_record():
    return b"\x17\x03\x03\x00\x40" + random.Random(4).randbytes(64)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_garbage_inside_tls_resets_only_its_own_aggregator_connection(husk, pki, version):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp")
    context = raw.tls_context(False, pki.ca.cert, pki.client, version)
    (bad, bad_end), (good, good_end) = [
        (raw.TlsPeer(raw.connect(server.address), context).handshake(), upstream.accept()) for _ in range(2)]
    bad.sock.sendall(forged_record())
    raw.assert_reset(bad_end)
    ends(server, "tls_protocol", "downstream")
    raw.carry(good, good_end)


def client_hello(pki):
    return raw.TlsPeer(None, raw.tls_context(False, pki.ca.cert, pki.client)).first_flight()


def survives(server, pki, openings):
    """A stranger sends each of these first bytes; afterwards a good peer completes its handshake."""
    for opening in openings:
        stranger = raw.connect(server.address)
        stranger.sendall(opening)
        stranger.close()
    server.wait_for_metric("husk_connections_ended_total", len(openings), side="downstream")
    raw.connect_tls(server.address, pki.ca.cert, pki.client)


def test_husk_survives_a_handshake_that_ends_at_any_byte(husk, pki):
    server = husk.server(raw.Listener(), protocol="tcp")
    hello = client_hello(pki)
    survives(server, pki, [hello[:length] for length in range(1, len(hello), 37)])


def test_husk_survives_a_handshake_with_flipped_bits(husk, pki):
    server = husk.server(raw.Listener(), protocol="tcp")
    flips, mangled = random.Random(5), []
    for _ in range(50):
        hello = bytearray(client_hello(pki))
        hello[flips.randrange(len(hello))] ^= 1 << flips.randrange(8)
        mangled.append(hello)
    survives(server, pki, mangled)
