"""Strangers take all places for TLS handshakes, or all memory for them: others still get their turn."""

import time

import pytest

from support import raw
from support.husk import LIGHT
from support.timing import expect_within, in_time, undisturbed

PLACES = 8
TIMEOUT = 0.3  # --crowded-handshake-timeout, in seconds


def hello(pki, version=None):
    return raw.TlsPeer(None, raw.tls_context(False, pki.ca.cert, None, version)).first_flight()


def records_of(message):
    for start in range(0, len(message), 16384):
        piece = message[start:start + 16384]
        yield b"\x16\x03\x03" + len(piece).to_bytes(2, "big") + piece


def unfinished_certificate(length=31000):
    """The TLS 1.2 records of a Certificate message (RFC 5246, 7.4.2) of 32 KiB that stops after `length` bytes."""
    size = 32700
    start = b"\x0b" + b"".join((size - n).to_bytes(3, "big") for n in (0, 3, 6))
    return b"".join(records_of(start.ljust(length, b"\0")))


def say_nothing(peer, _):
    pass


def say_half_of_a_hello(peer, pki):
    peer.sendall(hello(pki)[:100])


def stop_after_the_hello(version):
    def say(peer, pki):
        peer.sendall(hello(pki, version))
    return say


def claim_a_large_record(peer, _):
    peer.sendall(b"\x16\x03\x01\x40\0\x01\0\x3f\xfc" + bytes(200))


STRANGERS = pytest.mark.parametrize("say", [
    pytest.param(say_nothing, id="silent"),
    pytest.param(say_half_of_a_hello, id="half a hello"),
    pytest.param(stop_after_the_hello("1.2"), id="hello of TLS 1.2"),
    pytest.param(stop_after_the_hello("1.3"), id="hello of TLS 1.3"),
    pytest.param(claim_a_large_record, id="large record"),
])


@pytest.fixture
def crowded(husk):
    upstream = raw.Listener()

    def make(**options):
        return husk.server(upstream, max_handshakes=PLACES, crowded_handshake_timeout=f"{TIMEOUT * 1000:.0f}ms",
                           handshake_timeout="60s", workers=options.pop("workers", 1), **options)
    return make


@STRANGERS
@pytest.mark.parametrize("protocol", ["tcp", "forward"])
@in_time
def test_strangers_in_all_places_make_way_together(crowded, pki, protocol, say):
    """Four times as many strangers as places come first. Places that came free one by one would take ten times as long."""
    server = crowded(protocol=protocol)
    strangers = [raw.connect(server.address) for _ in range(4 * PLACES)]
    for stranger in strangers:
        say(stranger, pki)
    begun = time.monotonic()
    raw.connect_tls(server.address, pki.ca.cert, pki.client).close()
    if not LIGHT:
        expect_within(10 * TIMEOUT, time.monotonic() - begun)
    server.wait_for_metric("husk_connections_ended_total", 3 * PLACES + 1, reason="handshake_timeout")


def test_each_worker_makes_its_strangers_give_way(crowded, pki):
    server = crowded(protocol="tcp", workers=2)
    strangers = [raw.connect(server.address) for _ in range(4 * PLACES)]
    raw.connect_tls(server.address, pki.ca.cert, pki.client).close()
    assert strangers


def test_strangers_that_send_a_byte_now_and_then_make_way(crowded, pki):
    server = crowded(protocol="tcp")
    strangers = [raw.connect(server.address) for _ in range(3 * PLACES)]
    for byte in hello(pki)[:100]:  # 5 s in all
        for stranger in strangers:
            try:
                stranger.sendall(bytes([byte]))
            except ConnectionError:
                continue
        time.sleep(TIMEOUT / 6)
        if server.metric("husk_connections_ended_total", reason="handshake_timeout") > 2 * PLACES:
            break
    else:
        raise AssertionError("the strangers keep their places")


@undisturbed
def test_a_peer_has_the_time_for_each_of_its_flights(crowded, pki):
    """A slow peer that answers in time finishes its handshake although the places are full throughout."""
    server = crowded(protocol="tcp")
    context = raw.tls_context(False, pki.ca.cert, pki.client, "1.2")  # made in advance: it takes a while
    slow = raw.TlsPeer(raw.connect(server.address), context)
    first = slow.first_flight()
    strangers = [raw.connect(server.address) for _ in range(8 * PLACES)]
    for _ in range(2):
        time.sleep(0.6 * TIMEOUT)
        slow.sock.sendall(first) if first else slow.handshake()
        first = b""
    slow.close()
    assert strangers


def test_nobody_is_hurried_while_there_are_places(crowded, pki):
    server = crowded(protocol="tcp")
    slow = [raw.connect(server.address) for _ in range(PLACES - 1)]
    time.sleep(2 * TIMEOUT)
    for peer in slow:
        raw.TlsPeer(peer, raw.tls_context(False, pki.ca.cert, pki.client)).handshake()


def stop_in_the_certificate(server, pki, length=31000):
    peer = raw.connect(server.address)
    peer.sendall(hello(pki, "1.2"))
    answer = b""
    while b"\x0e\0\0\0" not in answer:  # ServerHelloDone
        answer += peer.recv(65536)
    peer.sendall(unfinished_certificate(length))
    return peer


def test_large_unfinished_handshakes_stay_within_their_memory(husk, pki):
    """100 handshakes of 42 KiB each (4.1 MiB) and memory for 1 MiB: those that do not fit end, and nobody else does."""
    server = husk.server(raw.Listener(), protocol="tcp", handshake_memory="1MiB", handshake_timeout="60s",
                         crowded_handshake_timeout=f"{TIMEOUT * 1000:.0f}ms", workers=1)
    stop_in_the_certificate(server, pki).close()
    before = server.resident_kib()
    strangers = [stop_in_the_certificate(server, pki) for _ in range(100)]
    server.wait_until(lambda _: server.metric("husk_connections_ended_total", reason="handshake_memory") >= 1,
                      "one has no space")
    assert LIGHT or server.resident_kib() - before < 3072
    raw.connect_tls(server.address, pki.ca.cert, pki.client).close()
    server.wait_for_event(reason="handshake_memory", side="downstream", phase="handshake", level="warn")
    assert strangers


def test_an_ordinary_chain_in_two_parts_passes_in_a_crowd(husk, pki):
    """Silent strangers take all memory. A peer whose flight is longer than 4 KiB takes the memory of one of them."""
    server = husk.server(raw.Listener(), protocol="tcp", handshake_memory="1MiB", handshake_timeout="60s",
                         crowded_handshake_timeout="30s", workers=1)
    peer = raw.connect(server.address)
    strangers = [raw.connect(server.address) for _ in range(63)]
    server.wait_for_metric("husk_connections_active", 64, side="downstream")
    peer.sendall(hello(pki, "1.2"))
    answer = b""
    while b"\x0e\0\0\0" not in answer:
        answer += peer.recv(65536)
    peer.sendall(unfinished_certificate(6000))
    raw.assert_closed(strangers[0])
    server.wait_for_event(reason="handshake_memory", level="warn", peer=raw.format_address(strangers[0].getsockname()))
    peer.settimeout(0.1)
    with pytest.raises(TimeoutError):
        peer.recv(1)


def test_a_large_handshake_passes_while_there_is_memory(husk, pki):
    server = husk.server(raw.Listener(), protocol="tcp", handshake_memory="1MiB", workers=1)
    peers = [stop_in_the_certificate(server, pki, 20000) for _ in range(20)]  # 32 KiB each
    raw.connect_tls(server.address, pki.ca.cert, pki.client).close()
    for peer in peers:
        with pytest.raises(BlockingIOError):
            peer.setblocking(False)
            peer.recv(1)


def test_the_memory_may_be_too_small_for_all_places(husk, pki):
    """1 MiB is enough for 64 handshakes, although 1,024 are allowed: silent strangers fill it."""
    server = husk.server(raw.Listener(), protocol="tcp", handshake_memory="1MiB", handshake_timeout="60s",
                         crowded_handshake_timeout=f"{TIMEOUT * 1000:.0f}ms", workers=1)
    strangers = [raw.connect(server.address) for _ in range(100)]
    raw.connect_tls(server.address, pki.ca.cert, pki.client).close()
    # the client was the 101st connection, and there are places for 64
    assert server.metric("husk_connections_ended_total", reason="handshake_timeout") >= 37
    assert server.metric("husk_accept_limited_total") >= 1 and strangers
