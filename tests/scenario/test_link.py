"""docs/link.md, husk server: what it answers to a scripted link client."""

import time

import pytest

from support import link
from support.aggregators import CountingAggregator, resets_at
from support.forward import event, message, pack
from support.husk import LIGHT
from support.timing import expect_within, in_time

POISON = 1000
HUSK_ID = "0123456789012345678901~1"


@pytest.fixture
def server(husk):
    """Makes (husk server, its aggregator, a function that connects a link client)."""
    def make(aggregator=None, **options):
        aggregator = aggregator or CountingAggregator()
        server = husk.server(aggregator, **options)

        def connect(*first):
            peer = link.connect(server, husk.pki)
            peers.append(peer)  # stays open until the test's end
            peer.send(*first)
            return peer
        return server, aggregator, connect
    peers = []
    return make


def sender(number):
    return {"sender": number}


def ack(chunk, of, refused=0, reason=None):
    return {"ack": chunk, "sender": of, **({"refused": refused, "reason": reason} if refused else {})}


def test_the_server_chooses_the_link(server, husk):
    server, _, connect = server()
    assert connect().protocol == link.LINK
    assert link.connect(server, husk.pki, [link.OLD, link.LINK]).protocol == link.LINK


def other_senders_until(peer, chunk):
    """Messages of another sender are acked one by one, until this id is. Returns what came before, and the answer.

    The acks show that the aggregator is not at fault."""
    values = []
    for number in range(2000, 6000):
        time.sleep(0.005)
        peer.send(sender(99), event(number, f"{number}"))
        values += peer.read_until(lambda value, wanted=f"{number}": value.get("ack") in (wanted, chunk))
        if values[-1].get("ack") == chunk:
            return values
    raise AssertionError(f"no answer to {chunk}")


# ---- acks ----

def test_each_message_with_an_id_is_acked(server):
    _, aggregator, connect = server()
    peer = connect(sender(1), event(1, "a"), event(2, "b"), sender(2), event(3, "c"), sender(1), event(4, "d"))
    answers = [peer.read() for _ in range(4)]
    assert sorted(answers, key=lambda answer: answer["ack"]) == [ack("a", 1), ack("b", 1), ack("c", 2), ack("d", 1)]
    assert sorted(aggregator.stored) == [1, 2, 3, 4]


def test_an_id_of_type_bin_is_acked_as_bin(server):
    _, _, connect = server()
    assert connect(sender(1), event(1, b"\xff\x00")).read() == ack(b"\xff\x00", 1)


def test_the_ack_of_a_split_batch_waits_for_all_its_parts_and_for_nothing_else(server):
    aggregator = CountingAggregator(resets_at(POISON))
    _, _, connect = server(aggregator, max_attempts=4)
    batch = message("t", b"".join(pack([1, {"n": n}]) for n in (POISON, 2)), {"chunk": HUSK_ID, "size": 2})
    peer = connect(sender(1), batch, sender(2), event(3, "b"))
    values = peer.read_until(lambda value: value.get("ack") == "b")
    values += other_senders_until(peer, HUSK_ID)
    assert (values[-1]["ack"], values[-1]["refused"]) == (HUSK_ID, 1)
    assert aggregator.offered[POISON] <= 7, "4, and a few times more until it is found in front of the other"
    assert aggregator.stored[2]


def test_two_senders_may_use_the_same_id(server):
    _, _, connect = server()
    peer = connect(sender(1), event(1, "same"), sender(2), event(2, "same"))
    assert sorted(peer.read()["sender"] for _ in range(2)) == [1, 2]


def test_two_messages_of_a_sender_with_the_same_id_get_two_acks(server):
    _, _, connect = server()
    peer = connect(sender(1), event(1, "same"), event(2, "same"))
    assert [peer.read(), peer.read()] == [ack("same", 1)] * 2


def test_messages_before_the_first_sender_are_from_sender_0(server):
    _, aggregator, connect = server(CountingAggregator(resets_at(POISON)), max_attempts=4)
    peer = connect(event(POISON, "bad"))
    assert {"sender": 0, "window": 0} == peer.read_until(lambda value: "window" in value)[-1]


def test_messages_of_a_sender_that_is_gone_are_delivered_and_answered(server):
    _, aggregator, connect = server()
    aggregator.leave("refused")
    peer = connect(sender(1), event(1), event(2, "a"), {"gone": 1, "sender": 2}, event(3, "b"), {"gone": 2},
                   {"gone": 99})
    time.sleep(0.3)
    aggregator.come_back()
    peer.answer("b")
    aggregator.wait_for_stored(1, 2, 3)
    peer.send(sender(1), event(4, "again"))
    peer.answer("again")


# ---- refusals ----

@pytest.mark.parametrize("rule, bad, reason", [
    ("any tags=app.**", message("other", 1, {"n": 9}, {"chunk": "x"}), "tag_not_allowed"),
    ("any max-message=1KiB", message("app.x", 1, {"n": 9, "x": "y" * 2000}, {"chunk": "x"}), "message_too_long"),
], ids=["tag", "length"])
def test_a_refusal_is_an_answer_for_this_message_only(server, rule, bad, reason):
    husk, aggregator, connect = server(rule=rule)
    peer = connect(sender(1), event(1, "a", "app.x"), bad, event(2, "b", "app.x"),
                   sender(2), event(3, "c", "app.x"))
    answers = [peer.read() for _ in range(4)]
    assert sorted(answers, key=lambda answer: answer["ack"]) == [
        ack("a", 1), ack("b", 1), ack("c", 2), ack("x", 1, 1, reason)]
    assert husk.metric("husk_messages_dropped_total", reason=reason) == 1
    assert husk.metric("husk_connections_active", side="downstream") == 1
    assert sorted(aggregator.offered) == [1, 2, 3]


def test_an_ack_speaks_for_its_own_message_alone(server):
    """Refused messages without a chunk id are not answered."""
    husk, aggregator, connect = server(rule="any tags=app.**")
    peer = connect(sender(1), event(1, tag="app.x"), event(8, tag="other"), event(9, tag="other"), event(2, "a", "app.x"),
                   event(3, "b", "app.x"))
    assert "refused" not in peer.answer("a") and "refused" not in peer.answer("b")
    aggregator.wait_for_stored(1, 2, 3)
    assert husk.metric("husk_messages_dropped_total", reason="tag_not_allowed") == 2


def test_a_refusal_counts_events(server):
    husk, _, connect = server(rule="any tags=app.**")
    peer = connect(sender(1), message("other", [[1, {"n": 1}], [1, {"n": 2}]], {"chunk": "x"}))
    assert peer.answer("x")["refused"] == 2
    assert husk.metric("husk_messages_dropped_total", reason="tag_not_allowed") == 1


def test_a_large_message_is_refused_at_its_head(server):
    """The client may still send the rest. husk discards the rest."""
    husk, aggregator, connect = server(rule="any tags=app.**", cut_through_bytes="64KiB")
    large = message("other", 1, {"n": 9, "x": b"x" * 1_000_000}, {"chunk": "x"})
    peer = connect(sender(1), large, event(1, "a", "app.x"))
    assert peer.answer("x")["reason"] == "tag_not_allowed"
    peer.answer("a")
    assert sorted(aggregator.offered) == [1]


def test_a_message_that_is_given_up_is_refused_with_the_reason(server):
    husk, aggregator, connect = server(CountingAggregator(resets_at(POISON)), max_attempts=3)
    peer = connect(sender(1), event(1, "a"))
    peer.answer("a")
    peer.send(event(POISON, "bad"), event(2, "b"))
    answer = other_senders_until(peer, "bad")[-1]
    assert answer["refused"] == 1
    assert husk.metric("husk_messages_dropped_total", reason=answer["reason"]) == 1
    aggregator.wait_for_stored(2)
    assert aggregator.offered[POISON] == 3


# ---- waiting ----

@pytest.mark.parametrize("how, text", [("refused", "connect_refused"), ("silent", "busy")])
@in_time
def test_the_server_says_that_it_waits_at_the_asked_interval(server, how, text):
    _, aggregator, connect = server()
    peer = connect({"waiting_every_ms": 200}, sender(1), event(1, "a"))
    assert peer.answer("a") == ack("a", 1)
    aggregator.leave(how)
    started = time.monotonic()
    peer.send(event(2, "b"))
    frames = []
    while len(frames) < 8:
        frame = peer.read()  # a window is said too, if a connection ended at the message
        frames += [frame] if frame.keys() == {"waiting"} else []
        assert frame.keys() in ({"waiting"}, {"sender", "window"})
    took = time.monotonic() - started
    assert frames[-1] == {"waiting": text}
    assert took > 0.5, "every 200 ms"
    expect_within(5, took)
    aggregator.come_back()
    peer.answer("b")
    assert peer.is_silent_for(1), "nothing is held any more"


def test_the_newest_interval_is_valid(server):
    _, aggregator, connect = server()
    aggregator.leave("refused")
    peer = connect({"waiting_every_ms": 4_000_000_000}, sender(1), event(1, "a"))
    assert peer.is_silent_for(1)
    peer.send({"waiting_every_ms": 100})
    assert peer.read().keys() == {"waiting"}


def test_a_server_that_does_not_read_says_that_it_waits(server):
    """The memory of the server is full: it cannot hold the next message yet."""
    _, aggregator, connect = server(retain_bytes="256KiB")
    aggregator.leave("refused")
    peer = connect({"waiting_every_ms": 200}, sender(1))
    peer.send(*(message("t", 1, {"n": n, "x": b"x" * 50_000}) for n in range(10)))
    assert [peer.read().keys() for _ in range(5)] == [{"waiting"}] * 5
    aggregator.come_back()
    peer.send(event(10, "last"))
    peer.answer("last")
    assert not aggregator.missing(range(11))


def test_a_husk_that_does_not_read_its_answers_costs_no_cpu(server):
    husk, _, connect = server()
    peer = connect({"waiting_every_ms": 100}, sender(1))
    peer.tls.sock.settimeout(2)
    with pytest.raises(TimeoutError):  # husk does not read while so many answers are unsent
        for number in range(100_000):
            peer.send(event(number, f"{number:01000}"))
    before = husk.cpu_seconds()
    time.sleep(1)
    assert husk.cpu_seconds() - before < (0.3 if LIGHT else 0.1)


# ---- window ----

def test_an_isolated_message_closes_the_window_of_its_sender_alone(server):
    _, aggregator, connect = server(CountingAggregator(resets_at(POISON)), max_attempts=6)
    peer = connect(sender(7), event(1, "a"))
    peer.answer("a")
    peer.send(event(POISON, "bad"))
    values = peer.read_until(lambda value: "window" in value)
    peer.send(event(2, "behind"))  # it was on its way
    values += other_senders_until(peer, "behind")
    while {"sender": 7, "window": None} not in values:
        values.append(peer.read())
    assert values.index({"sender": 7, "window": 0}) < values.index({"sender": 7, "window": None})
    assert {value["sender"] for value in values if "window" in value} == {7}
    assert aggregator.stored[2] == 1


def test_one_number_on_two_connections_is_two_senders(server):
    _, aggregator, connect = server(CountingAggregator(resets_at(POISON)), max_attempts=6)
    one, other = connect(sender(1), event(1, "a")), connect(sender(1), event(2, "b"))
    one.answer("a"), other.answer("b")
    one.send(event(POISON, "bad"))
    one.read_until(lambda value: value.get("window") == 0)
    for number in range(10, 20):
        other.send(event(number, f"{number}"))
        assert other.read() == ack(f"{number}", 1)
    other_senders_until(one, "bad")


@pytest.mark.parametrize("count", [200 if LIGHT else 1000])
def test_many_senders_and_interleaved_messages(server, count):
    """Each sender's messages arrive in its order, none is lost."""
    _, aggregator, connect = server(retain_bytes="64MiB")
    peer = connect()
    for turn in range(5):
        peer.send(*(item for n in range(count) for item in (sender(n), event(turn * 10_000 + n, f"{turn}.{n}"))))
    chunks = {peer.read()["ack"] for _ in range(5 * count)}
    assert chunks == {f"{turn}.{n}" for turn in range(5) for n in range(count)}
    for n in range(count):
        own = [number for number in aggregator.order if number % 10_000 == n]
        assert own == sorted(own)
