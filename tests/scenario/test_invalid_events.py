"""Well-formed MessagePack that the Forward protocol does not allow ends no connection and affects no other event."""

import pytest

from support import link, raw
from support.chain import LENGTHS
from support.forward import Aggregator, Agent, Encoded, Pair, ack, event, event_time, message, pack
from support.husk import Launcher
from support.process import Programs

FAULTS = "husk_invalid_events_total"
CHUNK = {"chunk": "c"}

# name: (the bytes of a value, its reason, whether the agent gets the ack "c")
WHOLE = {
    "record-nil": (message("t", 1, None), "record", False),
    "record-nil-chunk": (message("t", 1, None, CHUNK), "record", True),
    "record-list": (message("t", 1, [1, {"a": 2}], CHUNK), "record", True),
    "record-text": (message("t", event_time(5), "text", CHUNK), "record", True),
    "time-bool": (message("t", True, {"n": 1}, CHUNK), "time", True),
    "time-map": (message("t", {"a": 1}, {"n": 1}, CHUNK), "time", True),
    "entries": (message("t", [[1, None], [1, "x"]], CHUNK), "record", True),
    "entry-number": (message("t", [7], CHUNK), "entry", True),
    "entry-of-three": (message("t", [[1, {}, {}]], CHUNK), "entry", True),
    "entry-metadata-nil": (message("t", [[[1, None], {}]], CHUNK), "entry", True),
    "entry-time-text": (message("t", [["now", {}]], CHUNK), "time", True),
    "tag-number": (pack([7, 1, {"n": 1}, CHUNK]), "message", True),
    "tag-nil": (pack([None, [[1, {"n": 1}]], CHUNK]), "message", True),
    "empty-array": (pack([]), "message", False),
    "one-element": (pack(["t"]), "message", False),
    "five-elements": (pack(["t", 1, {}, CHUNK, CHUNK]), "message", False),
    "second-is-a-map": (pack(["t", {"n": 1}]), "message", False),
    "option-number": (message("t", 1, {}, 7), "message", False),
    "option-list": (message("t", [[1, {}]], [1, 2]), "message", False),
    "chunk-number": (message("t", 1, {}, {"chunk": 7}), "message", False),
    "true": (b"\xc3", "value", False),
    "text": (pack("hello"), "value", False),
    "map": (pack({"log": "hello"}), "value", False),
    "float": (pack(1.5), "value", False),
}


@pytest.fixture(scope="module")
def shared(pki):
    programs = Programs()
    yield Pair(Launcher(pki, programs), Aggregator(), {"log_burst": "off"}, {})
    programs.stop()


def around(name):
    return event(1, "before", name), event(2, "after", name)


@pytest.mark.parametrize("name", WHOLE)
def test_a_wrong_value_is_skipped_and_the_messages_around_it_arrive(shared, name):
    data, reason, is_acked = WHOLE[name]
    agent, counted = shared.agent(), shared.client.metric(FAULTS, reason=reason)
    before, after = around(name)
    agent.send(before, data, after)
    assert agent.read_acks(2 + is_acked) == ["before", *["c"] * is_acked, "after"]
    agent.expect_nothing_more()
    assert [one.raw for one in shared.aggregator.messages if one.value[0] == name] == [before, after]
    assert shared.client.metric(FAULTS, reason=reason) > counted
    assert shared.client.metric("husk_messages_dropped_total") == 0
    assert not shared.server.metric(FAULTS), "the client has left it out"


@pytest.mark.parametrize("mode", ["skip", "pass"])
def test_invalid_entries_are_left_out_or_passed_on(pair, mode):
    """skip leaves invalid entries out and corrects the counts; pass changes nothing."""
    pair, agent = pair(invalid_events=mode), None
    agent = pair.agent()
    data = message("t", [[1, {"n": 1}], [1, None], 7, [[1, {"m": 1}], {"n": 2}], ["x", {}]], {"size": 5, **CHUNK})
    agent.send(data)
    agent.expect_ack("c")
    received, = pair.aggregator.messages
    valid = message("t", [[1, {"n": 1}], [[1, {"m": 1}], {"n": 2}]], {"size": 2, **CHUNK})
    assert received.raw == (valid if mode == "skip" else data)
    assert {reason: pair.client.metric(FAULTS, reason=reason) for reason in ("record", "entry", "time")} == \
        dict.fromkeys(("record", "entry", "time"), 1)


def test_invalid_events_that_are_passed_on_arrive_alone_and_unchanged(pair):
    pair = pair(invalid_events="pass")
    agent, wrong = pair.agent(), message("t", 1, None)
    agent.send(event(1), event(2), wrong, event(3), pack([7, 1, {}]), event(4))
    received = pair.aggregator.wait_until(
        lambda messages: len(messages) >= 5 and list(messages), "all but what is no message arrives")
    assert [one.value[2] for one in received] == [{"n": 1}, {"n": 2}, None, {"n": 3}, {"n": 4}]
    assert received[2].value[:3] == ["t", 1, None] and not received[2].is_batch
    pair.client.wait_for_event(level="warn", message="invalid events are passed on", reason="record", tag="t")
    other = pair.agent()
    other.send(pack([7, 1, {}]))
    pair.client.wait_for_event(level="warn", message="invalid events are left out", reason="message")


@pytest.mark.parametrize("length", LENGTHS)
def test_an_agent_without_acks_loses_nothing_but_the_invalid_event(chain, length):
    chain = chain(length).warm()
    agents = [chain.agent() for _ in range(2)]
    for number, agent in enumerate(agents):
        first = 100 * number
        agent.send(b"\xc0", *(event(first + n) if n != 5 else message("t", 1, None) for n in range(10)),
                   message("t", [[1, {"n": first + 10}], [1, None], [1, {"n": first + 11}]]), b"\xc0")
    chain.aggregator.wait_for_stored(*(n + first for first in (0, 100) for n in range(12) if n != 5))
    chain.first.wait_for_metric(FAULTS, 4, reason="record")
    assert not chain.total("husk_messages_dropped_total")
    assert not chain.total("husk_connections_ended_total", side="upstream")
    assert len(chain.first.events(message="invalid events are left out")) == 2, "one line for each agent"


def test_a_husk_behind_one_that_passes_answers_for_each_sender(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    client = husk.client(server, invalid_events="pass")
    agents = [Agent(raw.connect(client.address)) for _ in range(2)]
    for agent in agents:
        agent.send(message("bad", 1, None, CHUNK), event(1, "after"), message("bad", 1, [], CHUNK))
        assert sorted(agent.read_acks(3)) == ["after", "c", "c"]
    assert [one.number for one in aggregator.messages] == [1, 1]
    server.wait_for_metric(FAULTS, 4, reason="record")
    assert len(server.events(message="invalid events are left out", tag="bad")) == 2, "one line for each sender"


def test_acks_keep_their_order(half):
    half = half(acks=False)
    agent = half.agent()
    agent.send(event(1, "one"), message("t", 1, None, {"chunk": "two"}), event(3, "three"))
    first, second = half.aggregator.wait_for(2)
    half.husk.wait_for_metric(FAULTS, 1)
    half.aggregator.ack(second)
    half.husk.wait_for_metric("husk_messages_settled_total", 2)
    half.aggregator.ack(first)
    acks = agent.read_acks(3)
    assert acks.index("two") > acks.index("one")


def test_reads_of_one_byte_give_the_same_messages_and_acks(shared):
    agent = shared.agent()
    data = b"\xc0" + event(1, "1", "cut") + message("cut", [[1, None], [1, {"n": 2}]], {"chunk": "2"}) + b"\xc3\xc0" + \
        message("cut", 1, "x", {"chunk": "3"}) + event(4, "4", "cut")
    for at in range(len(data)):
        agent.send(data[at:at + 1])
    assert agent.read_acks(4) == ["1", "2", "3", "4"]
    assert [one.value[1:3] for one in shared.aggregator.messages if one.value[0] == "cut"] == [
        [1, {"n": 1}], [[[1, {"n": 2}]], {"chunk": "2"}], [1, {"n": 4}]]


@pytest.mark.parametrize("delivery", ["at-least-once", "passthrough"])
def test_nils_alone_are_a_probe(pair, delivery):
    pair = pair(delivery=delivery)
    agent = pair.agent()
    agent.send(b"\xc0", b"\xc0\xc0")
    agent.expect_nothing_more()
    pair.client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="probe")
    assert not pair.client.metric(FAULTS) and not pair.client.problems()


def test_a_nil_on_the_link_says_nothing(husk):
    server = husk.server(Aggregator())
    peer = link.connect(server, husk.pki)
    peer.send(b"\xc0", {"sender": 1}, b"\xc0", event(1, "a"), b"\xc0\xc0", event(2, "b"))
    assert [peer.read()["ack"] for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("name, data", [("integer", b"\x07"), ("negative", b"\xd0\x80"), ("text", b"lost framing"),
                                        ("reserved", b"\xc1"), ("reserved-in-a-wrong-value", b"\x95\xc1")])
def test_lost_framing_ends_the_connection(shared, name, data):
    agent = shared.agent()
    agent.send(event(1, "before", name))
    agent.expect_ack("before")
    agent.send(data)
    raw.assert_reset(agent.sock)
    shared.client.wait_for_event(side="downstream", reason="not_forward")


def test_a_message_that_is_cut_through_passes_with_its_invalid_events(half):
    half = half(cut_through_bytes="64KiB")
    agent, data = half.agent(), message("t", [[1, None], *([1, {"x": "y" * 1000}] for _ in range(200))], CHUNK)
    agent.send(data)
    agent.expect_ack("c")
    assert half.aggregator.messages[0].raw == data
    assert half.husk.metric(FAULTS, reason="record") == 1
    half.husk.wait_for_event(message="invalid events are passed on", reason="record")


def test_a_message_that_is_cut_through_with_a_wrong_option_is_dropped(half):
    half = half(cut_through_bytes="64KiB")
    agent = half.agent()
    agent.send(message("t", [[1, {"x": "y" * 1000}] for _ in range(200)], 7), event(1, "after"))
    agent.expect_ack("after")
    half.aggregator.wait_until(lambda messages: [one.chunk for one in messages] == ["after"], "only the good one arrives")
    assert half.husk.metric(FAULTS, reason="message") == 1


def test_an_invalid_event_is_in_no_batch(half):
    """This also holds for an event in a packed body, which husk reads only to join the message."""
    half, wrong = half(), pack([1, None]) + pack([1, {"n": 9}])
    half.aggregator.WHOLE = True
    agent = half.agent()
    agent.send(event(1), event(2), message("t", wrong), event(3), event(4))
    received = half.aggregator.wait_until(lambda messages: len(messages) == 3 and list(messages), "two batches and it")
    assert received[1].value[1] == wrong and not received[1].is_batch
    assert received[0].is_batch and received[2].is_batch
    assert Encoded(ack(received[1].chunk))


def test_a_size_that_is_a_number_of_bytes_is_ignored(half):
    half, body = half(), b"".join(pack([1, {"n": n}]) for n in range(10))
    agent = half.agent()
    agent.send(message("t", body, {"size": len(body), "chunk": "a"}), message("t", body, {"size": 10, "chunk": "b"}))
    assert agent.read_acks(2) == ["a", "b"]
    assert half.husk.metric("husk_events_received_total") == 10
