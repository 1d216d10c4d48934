"""docs/link.md, frames: what is correct though unusual, and what ends the connection, on either side."""

import pytest

from support import link, raw
from support.aggregators import CountingAggregator
from support.forward import Agent, Encoded, event, pack


def packed(*pairs):
    """A map with these keys and values, which may repeat. An Encoded stands for its bytes."""
    return bytes([0x80 | len(pairs)]) + b"".join(
        one.data if isinstance(one, Encoded) else pack(one) for pair in pairs for one in pair)


deep = b"\x91" * 100 + b"\xc0"  # an array in an array …

HARMLESS = {
    "empty": packed(),
    "unknown": packed(("news", {"a": [1, 2.5, None]})),
    "unknown_twice": packed(("news", 1), ("news", 2)),
    "unknown_deep": packed(("news", Encoded(deep))),
    "bin_key": packed((b"sender", "seven")),
    "int_key": packed((7, 7)),
    "array_key": packed(([1], 7)),
    "wide_map": b"\xdf\x00\x00\x00\x01" + pack("news") + pack(1),
    "longest": packed(("x", b"y" * 2042)),
}

NONSENSE = {
    "true": b"\xc3",
    "number": b"\x07",
    "text": pack("sender"),
    "float": pack(1.5),
    "reserved": b"\xc1",
    "reserved_inside": packed(("news", Encoded(b"\xc1"))),
    "too_long": packed(("x", b"y" * 2043)),
    "endless": b"\xdf\xff\xff\xff\xff" + packed(("x", b"y"))[1:] * 1000,
}

# Towards the server.
BAD_FROM_CLIENT = {
    **NONSENSE,
    "sender_text": packed(("sender", "7")),
    "sender_nil": packed(("sender", None)),
    "sender_float": packed(("sender", 7.0)),
    "sender_negative": packed(("sender", -1)),
    "sender_twice": packed(("sender", 7), ("sender", 7)),
    "gone_twice": packed(("gone", 7), ("gone", 8)),
    "gone_bool": packed(("gone", True)),
    "every_0": packed(("waiting_every_ms", 0)),
    "every_long": packed(("waiting_every_ms", 1 << 32)),
}
HARMLESS_FROM_CLIENT = {
    **HARMLESS,
    "nil": b"\xc0",
    "of_the_other_direction": packed(("ack", 1), ("window", "x"), ("waiting", None), ("goaway", 1), ("ack", 2)),
    "wide_key": packed((Encoded(b"\xda\x00\x06sender"), Encoded(b"\xd3\x00\x00\x00\x00\x00\x00\x00\x07"))),
    "most": packed(("gone", 2**64 - 1), ("sender", 2**64 - 1), ("waiting_every_ms", 2**32 - 1)),
}

# Towards the client.
BAD_FROM_SERVER = {
    **NONSENSE,
    "array": pack(["t", 1, {}]),
    "nil": b"\xc0",
    "ack_number": packed(("ack", 1)),
    "ack_twice": packed(("ack", "1"), ("ack", "1")),
    "ack_long": packed(("ack", "x" * 1100)),
    "refused_without_ack": packed(("refused", 1), ("reason", "x")),
    "refused_without_reason": packed(("ack", "1"), ("refused", 1)),
    "refused_0": packed(("ack", "1"), ("refused", 0), ("reason", "x")),
    "reason_empty": packed(("ack", "1"), ("refused", 1), ("reason", "")),
    "reason_long": packed(("ack", "1"), ("refused", 1), ("reason", "x" * 65)),
    "waiting_long": packed(("waiting", "x" * 65)),
    "waiting_number": packed(("waiting", 1)),
    "goaway_nil": packed(("goaway", None)),
    "goaway_true": packed(("goaway", Encoded(b"\xc3"))),
    "goaway_long": packed(("goaway", "x" * 65)),
    "goaway_twice": packed(("goaway", ""), ("goaway", "")),
    "window_without_sender": packed(("window", 0)),
    "window_text": packed(("sender", 1), ("window", "0")),
}
HARMLESS_FROM_SERVER = {
    **HARMLESS,
    "of_the_other_direction": packed(("gone", "x"), ("waiting_every_ms", 0), ("gone", 1)),
    "reason_alone": packed(("reason", "x")),
    "sender_alone": packed(("sender", 1)),
    "window_of_an_unknown_sender": packed(("sender", 2**64 - 1), ("window", 0)),
    "waiting_empty": packed(("waiting", "")),
}


def each(frames):
    return pytest.mark.parametrize("frame", [pytest.param(data, id=name) for name, data in frames.items()])


# ---- husk server ----

@pytest.fixture
def peers(husk):
    """(husk server, its aggregator, a function that connects a link client)"""
    aggregator = CountingAggregator()
    server = husk.server(aggregator)
    return server, aggregator, lambda: link.connect(server, husk.pki)


@each(HARMLESS_FROM_CLIENT)
def test_the_server_passes_over_a_frame_that_says_nothing_to_it(peers, frame):
    _, _, connect = peers
    peer = connect()
    peer.send(frame, event(1, "a"), frame, frame, event(2, "b"))
    assert sorted(peer.read()["ack"] for _ in range(2)) == ["a", "b"]


@each(BAD_FROM_CLIENT)
def test_a_bad_frame_ends_the_clients_connection_alone(peers, frame):
    server, aggregator, connect = peers
    bad, good = connect(), connect()
    good.send({"sender": 1}, event(1, "a"))
    good.answer("a")
    bad.send({"sender": 1}, event(2, "b"), frame, event(3, "c"))
    bad.expect_end()
    server.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="link_error")
    server.wait_for_event(side="downstream", reason="link_error", level="warn")
    aggregator.wait_for_stored(2)
    good.send(event(4, "d"))
    assert good.read()["ack"] == "d"
    assert not aggregator.offered[3]


def test_a_frame_in_pieces_is_read(peers):
    _, _, connect = peers
    peer = connect()
    for byte in packed(("news", 1), ("sender", 300), ("waiting_every_ms", 5000)) + event(1, "a"):
        peer.send(bytes([byte]))
    assert peer.read() == {"ack": "a", "sender": 300}


def test_a_frame_that_the_end_cuts_off_says_nothing(peers):
    server, aggregator, connect = peers
    peer = connect()
    peer.send(event(1), packed(("sender", 300))[:-1])
    peer.tls.close_write()
    aggregator.wait_for_stored(1)
    peer.expect_end()


# ---- husk client ----

@pytest.fixture
def scripted(husk):
    """(husk client, an agent of it, the scripted server)"""
    listener = link.LinkServer(husk.pki)
    client = husk.client(listener)
    return client, Agent(raw.connect(client.address)), listener


@each(HARMLESS_FROM_SERVER)
def test_the_client_passes_over_a_frame_that_says_nothing_to_it(scripted, frame):
    client, agent, listener = scripted
    agent.send(event(1, "a"))
    peer = listener.accept_link()
    peer.read_message()
    peer.send(frame, {"ack": "a"}, frame)
    agent.expect_ack("a")
    agent.send(event(2, "b"))
    peer.read_message()
    peer.send({"ack": "b"})
    agent.expect_ack("b")


@each(BAD_FROM_SERVER)
def test_a_bad_frame_ends_the_servers_connection_and_loses_nothing(scripted, frame):
    client, agent, listener = scripted
    agent.send(event(1, "1"))
    bad = listener.accept_link()
    bad.read_message()
    bad.send(frame)
    bad.expect_end()
    client.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="link_error")
    client.wait_for_event(side="upstream", reason="link_error", level="warn")
    good = listener.accept_link()
    assert good.read_message()[3] == {"chunk": "1"}
    good.send({"ack": "1"})
    agent.expect_ack("1")
    assert client.metric("husk_messages_dropped_total") == 0


def test_an_ack_of_an_unknown_message_ends_the_servers_connection_as_in_plain_forward(scripted):
    client, agent, listener = scripted
    agent.send(event(1, "1"))
    peer = listener.accept_link()
    peer.read_message()
    peer.send({"ack": "2"})
    client.wait_for_event(side="upstream", reason="unknown_ack")
