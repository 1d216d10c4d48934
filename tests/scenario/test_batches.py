"""Batches: messages of one agent and tag that were read together go up as one message, with one chunk id.

Each message that husk sends has a chunk id of its own, and an ack speaks for one message alone. A batch that fails is
split, also if another husk has made the batch."""

import itertools
import select
import signal
import socket
import threading

import pytest

from support import forward, raw
from support.aggregators import CountingAggregator, OpenTelemetryCollector, records_of, resets_at
from support.chain import of_length
from support.forward import Agent, Aggregator, carry_acked, event, message, pack
from support.process import WAIT_SECONDS, eventually
from support.timing import undisturbed

FILLER = b"y" * 1000
COUNT = 6000  # of about 1 KiB each; more than the socket buffers on the way can hold


@pytest.fixture
def aggregator():
    listener = raw.Listener()
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    yield listener
    listener.close()


def serve(sock, until=None):
    """Acks messages until `until` is acked or the connection ends. Returns the number of acks."""
    parser, count = forward.Parser(), 0
    while data := sock.recv(1 << 18):
        for _, value in parser.feed(data):
            if isinstance(value[-1], dict) and "chunk" in value[-1]:
                count += 1
                sock.sendall(forward.ack(value[-1]["chunk"]))
                if value[-1]["chunk"] == until:
                    return count
    return count


@pytest.mark.parametrize("batch_bytes", ["64KiB", "off"])
def test_an_ack_does_not_wait_for_other_messages_of_the_agent(husk, aggregator, batch_bytes):
    server = husk.server(aggregator, batch_bytes=batch_bytes, max_upstream_connections=2)
    agent = forward.Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    before = b"".join(message("t", 1, {"n": n, "x": FILLER}) for n in range(COUNT))
    last = message("t", 1, {"n": COUNT}, {"chunk": "last"})
    sending = threading.Thread(target=agent.send, args=(before, last), daemon=True)
    sending.start()
    full, other = aggregator.accept(), aggregator.accept()  # the first is not read, so later messages use the second
    settled = serve(other, "last")
    sending.join()
    server.wait_for_metric("husk_messages_settled_total", settled)
    agent.expect_ack("last")
    assert server.metric("husk_messages_settled_total") < COUNT
    threading.Thread(target=serve, args=(full,), daemon=True).start()
    server.wait_for_metric("husk_events_settled_total", COUNT + 1)


# ---- what a batch is ----

class Recorder(Aggregator):
    WHOLE = True


def whole(aggregator, count):
    """The messages with `count` events in total, as the aggregator got them."""
    return aggregator.wait_until(lambda messages: sum(len(records_of(one.value)) for one in messages) >= count
                                 and list(messages), f"{count} events")


LENGTHS = [of_length(length) for length in (1, 2)]


@pytest.mark.parametrize("length", LENGTHS)
def test_messages_that_are_read_together_arrive_as_one_packed_message(chain, length):
    chain = chain(length, Recorder())
    made = [message("t", forward.event_time(1700000000 + n, n), {"n": n, "x": "y" * n}) for n in range(20)]
    chain.agent().send(b"".join(made[:5]), message("t", [[1700000005, {"n": 5, "x": "y" * 5}]], {"size": 1}),
                       b"".join(made[6:]))
    arrived = whole(chain.aggregator, 20)
    for husk in chain.husks:
        husk.wait_for_metric("husk_events_settled_total", 20)
        assert husk.metric("husk_messages_settled_total") == husk.metric("husk_messages_received_total") == 20
    assert [record["n"] for one in arrived for record in records_of(one.value)] == list(range(20))
    batch = max(arrived, key=lambda one: len(one.raw))
    assert batch.is_batch and batch.option["size"] == len(records_of(batch.value))
    assert b"".join(one[3:] for one in made[6:]) in b"".join(batch.value[1].split(b"\x92")) or len(arrived) > 1
    assert len({one.chunk for one in arrived}) == len(arrived)


def test_messages_that_cannot_be_joined_stay_as_they_are(half):
    half = half()
    half.aggregator.WHOLE = True
    others = [
        message("t", 1, {"n": 1}, {"other": 1}), message("t", 0, {"n": 2}), message("t", None, {"n": 3}),
        message("u", 1, {"n": 4}), message("t", b"broken"), message("t", 1, {"n": 5}, {"chunk": "c"})]
    agent = half.agent()  # stays: husk drops a message whose agent asks for an ack and leaves
    agent.send(b"".join(others))
    half.husk.wait_for_metric("husk_messages_settled_total", len(others))
    assert [one.value[:3] for one in half.aggregator.messages if not isinstance(one.value[1], bytes)] == [
        forward.Parser().feed(other).__next__()[1][:3] for other in others if b"broken" not in other]
    assert all(one.chunk for one in half.aggregator.messages)


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_a_batch_is_compressed_and_a_compressed_batch_is_split(husk, method):
    """The aggregator resets the connection at one of the events."""
    aggregator = Aggregator()
    server = husk.server(aggregator, compress=method)
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    aggregator.WHOLE, aggregator.acks = True, False
    agent.send(b"".join(message("t", 1, {"n": n, "x": FILLER}) for n in range(12)))
    first, = aggregator.wait_for(1)
    assert first.option["compressed"] == method and first.option["size"] == 12
    aggregator.end_connections()
    aggregator.wait_for(2)
    aggregator.acks = True
    aggregator.end_connections()
    server.wait_for_metric("husk_events_settled_total", 12)
    parts = aggregator.messages[2:]
    assert sorted(record["n"] for one in parts for record in records_of(one.value)) == list(range(12))
    assert len(parts) == 6


def test_a_batch_has_the_tag_prefix_once(husk):
    aggregator = Recorder()
    server = husk.server(aggregator, rule="any tag-prefix=team.")
    Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)).send(batch_of())
    assert {one.value[0] for one in whole(aggregator, BATCH)} == {"team.t"}


# ---- aggregators whose ack speaks for one message alone ----

@pytest.mark.parametrize("length", LENGTHS)
def test_an_aggregator_that_refuses_silently_and_acks_later_messages_loses_nothing(chain, length):
    chain, count = chain(length, OpenTelemetryCollector(0.1), max_attempts=0), 4000
    agents = [chain.agent() for _ in range(4)]
    for start in range(0, count, 40):
        agents[start // 40 % 4].send(b"".join(event(number) for number in range(start, start + 40)))
    chain.aggregator.wait_for_stored(*range(count), timeout=60)
    for husk in chain.husks:
        husk.wait_for_metric("husk_events_settled_total", count)
    assert chain.total("husk_messages_dropped_total") == 0


@pytest.mark.parametrize("length", LENGTHS)
def test_a_poison_event_in_a_batch_costs_itself_alone(chain, length):
    poison, count = 57, 100
    chain = chain(length, CountingAggregator(resets_at(poison)), max_attempts=2)
    agent, other = chain.agent(), chain.agent()
    agent.send(b"".join(event(number) for number in range(count)))
    numbers = [number for number in range(count) if number != poison]
    chain.aggregator.wait_for_stored(*numbers)

    def is_dropped():
        other.send(event(1000))  # evidence that the aggregator works
        return chain.first.metric("husk_messages_dropped_total") == 1
    eventually(is_dropped, "the poison is dropped")
    assert chain.aggregator.stored[poison] == 0

    def all_but_one_are_settled():
        metric = chain.first.metric
        return metric("husk_messages_received_total") == metric("husk_messages_settled_total") + 1
    eventually(all_but_one_are_settled, "all other messages are settled")


# ---- a batch that fails is split ----

BATCH = 8


def batch_of(*options):
    """BATCH messages in one piece, which are read together. `options`: of the last message."""
    return b"".join((*(event(number) for number in range(BATCH - 1)), event(BATCH - 1, *options)))


def test_a_message_that_ends_connections_costs_no_other_of_its_batch(half):
    def until_poisoned(one):
        if one.number == 4:
            poisoned.add(one.connection)
            one.connection.end(by_reset=True)
        return one.connection not in poisoned
    poisoned = set()
    half = half(acks=until_poisoned, max_attempts=3)
    agent = half.agent()
    agent.send(batch_of())
    half.husk.wait_for_metric("husk_messages_dropped_total", 1)
    half.husk.wait_for_metric("husk_messages_settled_total", BATCH - 1)
    assert half.husk.metric("husk_events_settled_total") == BATCH - 1
    for gauge in ("retained_bytes", "waiting", "unacked"):
        assert half.husk.metric(f"husk_messages_{gauge}") == 0


# The same events as another husk sends them.
HUSK_ID = "0123456789012345678901~1"
HUSK_BATCH = forward.Encoded(message("t", b"".join(pack([1, {"n": n}]) for n in range(BATCH)),
                                     {"chunk": HUSK_ID, "size": BATCH}))


def fail_twice(half, agent, batch, acks):
    """Ends the connection of the batch and that of its second attempt. Later messages are acked according to `acks`.

    Returns the number of messages that arrived before the third attempt."""
    agent.send(batch.data if isinstance(batch, forward.Encoded) else batch)
    count = BATCH if isinstance(batch, forward.Encoded) else len(list(forward.Parser().feed(batch)))
    half.aggregator.wait_for(count)
    half.aggregator.end_connections()
    again = half.aggregator.wait_for(2 * count)[count:]
    assert sum(one.chunk is not None for one in again) == 1, "the second attempt is one batch again"
    half.aggregator.acks = acks
    half.aggregator.end_connections()
    return 2 * count


def test_a_long_batch_is_split_into_eighths(half):
    count, half = 100, half(acks=False)
    agent = half.agent()
    arrived = fail_twice(half, agent, b"".join(event(number) for number in range(count)), True)
    half.husk.wait_for_metric("husk_messages_settled_total", count)
    again = half.aggregator.messages[arrived:]
    assert [one.number for one in again] == list(range(count))
    assert [one.number for one in again if one.chunk] == [*range(12, count, 13), count - 1]


@pytest.mark.parametrize("tag_bytes", [1280 - 256, 1280 - 256 + 1, 1280, 1281])
def test_a_batch_whose_tag_has_grown_too_long_settles(half, tag_bytes):
    half = half(acks=False, rule="any tag-prefix=" + "p" * 256, max_tag="2KiB")
    batch = message("t" * tag_bytes, b"".join(pack([1, {"n": n}]) for n in range(BATCH)),
                    {"chunk": HUSK_ID, "size": BATCH})
    agent = half.agent()
    fail_twice(half, agent, forward.Encoded(batch), True)
    half.husk.wait_for_metric("husk_events_settled_total", BATCH)


def test_a_batch_in_several_memory_segments_is_split(half):
    """Each message spans several segments of memory; all messages together are one TLS record."""
    half = half(acks=False)
    agent, batch = half.agent(), b"".join(message("t", 1, {"n": n, "x": b"y" * 5000}) for n in range(3))
    arrived = fail_twice(half, agent, batch, True)
    half.husk.wait_for_metric("husk_messages_settled_total", 3)
    again = half.aggregator.messages[arrived:]
    assert [one.number for one in again] == [0, 1, 2]
    assert len({one.chunk for one in again} - {None}) == 3


def test_one_of_many_messages_that_ends_connections_is_found(half):
    def until_poisoned(one):
        if one.number == 57:
            poisoned.add(one.connection)
            one.connection.end(by_reset=True)
        return one.connection not in poisoned and one.connection.number > 1
    poisoned, count = set(), 100
    half = half(acks=until_poisoned, max_attempts=2)
    agent = half.agent()
    agent.send(b"".join(event(number) for number in range(count)))
    half.husk.wait_for_metric("husk_messages_settled_total", count - 1)
    half.husk.wait_for_metric("husk_messages_dropped_total", 1, reason="reset")
    assert len(poisoned) == 5, "attempts with 100 messages, the same 100 isolated, 13, 2 and 1"


def test_an_aggregator_that_takes_one_message_per_connection_settles_a_batch(half):
    def first_only(one):
        is_first = one.connection not in served
        served.add(one.connection)
        if not is_first:
            one.connection.end()
        return is_first
    served = set()
    half = half(acks=first_only)
    agent = half.agent()
    agent.send(batch_of("last"))
    agent.expect_ack("last")
    assert half.husk.metric("husk_messages_settled_total") == BATCH
    assert half.husk.metric("husk_messages_dropped_total") == 0


def test_a_batch_without_its_ack_is_sent_again_message_by_message(half):
    """The aggregator sends no ack for the last message of the batch."""
    half = half(acks=lambda one: one.number != BATCH - 1, ack_timeout="1s", max_ack_timeouts=2)
    agent, other = half.agent(), half.agent()
    agent.send(batch_of())
    half.husk.wait_for_metric("husk_messages_settled_total", BATCH - 1)
    assert half.husk.metric("husk_messages_dropped_total") == 0

    def is_dropped():
        carry_acked(other, BATCH, "other")  # evidence that the aggregator passes the last message over
        return half.husk.metric("husk_messages_dropped_total", reason="ack_timeout")
    eventually(is_dropped, "the last message is dropped")
    assert half.husk.metric("husk_messages_settled_total") >= BATCH


def test_an_agents_ack_waits_for_all_messages_of_a_split_batch(half):
    half = half(acks=False)
    agent = half.agent()
    arrived = fail_twice(half, agent, HUSK_BATCH, lambda one: one.number != BATCH - 2)
    last_but_one = half.aggregator.wait_for(arrived + BATCH - 1)[-1]
    assert last_but_one.number == BATCH - 2
    agent.sock.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        agent.read_ack()
    agent.sock.sock.settimeout(WAIT_SECONDS)
    half.aggregator.ack(last_but_one)
    agent.expect_ack(HUSK_ID)


def test_an_isolated_message_is_not_overtaken_by_its_agents_later_messages(half):
    """An aggregator that ends its connection at a message may not have sent the acks of earlier messages."""
    half = half(acks=False)
    agent, other = half.agent(), half.agent()
    arrived = fail_twice(half, agent, batch_of(), False)
    half.aggregator.wait_for(arrived + 1)
    agent.send(event(BATCH), event(BATCH + 1))
    for number in range(BATCH):
        first = half.aggregator.wait_for(arrived + 1)[-1]
        other.send(event(100 + number, f"{number}"))
        others = half.aggregator.wait_for(arrived + 2)[-1]
        assert [first.number, others.number] == [number, 100 + number]
        assert first.connection is not others.connection
        half.aggregator.ack(others)
        other.expect_ack(f"{number}")
        half.aggregator.ack(first)
        arrived += 2
    assert [one.number for one in half.aggregator.wait_for(arrived + 2)[-2:]] == [BATCH, BATCH + 1]


@pytest.mark.parametrize("connections", [1, 2])
def test_an_isolated_message_stops_no_other_agent(half, connections):
    """The isolated message is never acked, and its agent sends more than the read budget. The isolated message uses an
    additional connection, which ends after use."""
    half = half(acks=False, max_upstream_connections=connections, ack_timeout="1h", retain_bytes="1MiB",
                buffer_bytes="64KiB")
    more = [message("t", 1, {"n": 0, "x": FILLER}) for _ in range(4000)]
    agent, other = half.agent(), half.agent()
    agent.send(batch_of())
    half.aggregator.wait_for(BATCH)
    half.aggregator.acks = lambda one: one.number >= 100
    half.aggregator.end_connections()
    half.aggregator.wait_for(2 * BATCH)
    flood = threading.Thread(target=agent.send, args=more, daemon=True)
    flood.start()
    select.select([], [], [], 0.3)  # time for husk to read the agent, which it must not
    for number in range(100, 120):
        other.send(event(number, f"{number}"))
        other.expect_ack(f"{number}")
    half.aggregator.acks = True
    half.aggregator.ack(*half.aggregator.messages[BATCH:2 * BATCH])
    flood.join()
    half.husk.wait_for_metric("husk_messages_settled_total", BATCH + 20 + len(more))
    half.aggregator.wait_until(lambda _: sum(not one.ended for one in half.aggregator.connections) <= connections,
                               "the additional connection ends")


def test_a_batch_does_not_delay_the_acks_of_other_messages(half):
    """A message with an ack of its own does not join the batch before it."""
    half = half(acks=False)
    agent = half.agent()
    agent.send(batch_of("first"))
    half.aggregator.wait_for(BATCH)
    agent.send(event(BATCH, "second"))
    half.aggregator.ack(half.aggregator.wait_for(BATCH + 1)[BATCH])
    agent.expect_ack("second")
    half.aggregator.ack(half.aggregator.messages[BATCH - 1])
    agent.expect_ack("first")
    assert half.husk.metric("husk_messages_settled_total") == 2
    half.aggregator.ack(half.aggregator.messages[BATCH - 2])
    half.husk.wait_for_metric("husk_messages_settled_total", BATCH + 1)


def test_attempt_limits_count_for_each_message_and_not_for_its_batch(half):
    half = half(acks=lambda one: one.number != BATCH - 1, ack_timeout="1s", max_ack_timeouts=1, max_attempts=1)
    agent, other, others = half.agent(), half.agent(), itertools.count(1000)
    agent.send(batch_of())

    def is_dropped():
        """A timeout counts for a message only while the aggregator acknowledges others."""
        number = next(others)
        carry_acked(other, number, f"{number}")
        return half.husk.metric("husk_messages_dropped_total") == 1
    eventually(is_dropped, "the message without an ack is dropped")
    assert half.husk.metric("husk_messages_settled_total") == BATCH - 1 + next(others) - 1000


# ---- time ----

@undisturbed
def test_an_aggregator_has_the_ack_timeout_for_each_message(half):
    """An aggregator reads a connection in order. A message is not late because of the messages before it."""
    half = half(acks=False, ack_timeout="600ms")
    agent, count = half.agent(), 8
    agent.send(*(event(number, f"{number}") for number in range(count)))
    for one in half.aggregator.wait_for(count):
        select.select([], [], [], 0.2)
        half.aggregator.ack(one)
        agent.expect_ack(one.chunk)
    assert len(half.aggregator.messages) == count
    assert half.husk.metric("husk_connections_ended_total", side="upstream") == 0


def test_a_batch_is_delivered_after_its_agent_was_reset_at_the_delivery_timeout(husk):
    address = raw.free_address()
    client = husk.client(raw.format_address(address), delivery_timeout="200ms")
    agent = Agent(raw.connect(client.address))
    agent.send(event(1), event(2), event(3, "three"))
    raw.assert_reset(agent.sock)
    aggregator = Aggregator()
    husk.server(aggregator, listen=raw.format_address(address))
    client.wait_for_metric("husk_messages_settled_total", 2)
    assert aggregator.numbers() == [1, 2]
    assert client.metric("husk_messages_dropped_total") == 1, "the agent sends the last one again"


def test_an_agent_in_a_cut_through_without_upstream_is_reset_at_the_delivery_timeout(husk):
    client = husk.client(raw.format_address(raw.free_address()), delivery_timeout="200ms",
                         cut_through_bytes="64KiB")
    agent = Agent(raw.connect(client.address))
    agent.send(message("t", b"x" * (1 << 20))[:200000])
    raw.assert_reset(agent.sock)
    client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="undelivered")
    assert client.metric("husk_cut_through_waiting") == 0


def test_the_drain_waits_for_messages_that_wait_for_a_rate_limit(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, rule="any messages-per-second=20 burst=100ms",
                         drain_quiet="50ms", drain_timeout="20s")
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(*(event(number) for number in range(12)))
    server.wait_for_metric("husk_rate_limited_agents", 1)
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 1)
    assert aggregator.numbers() == list(range(12))


def test_agents_that_send_large_messages_slowly_do_not_block_others(pair):
    pair = pair(retain_bytes="256KiB", buffer_bytes="64KiB", client={"ack_timeout": "1h"})
    large, stop = message("t", b"x" * (3 << 20)), threading.Event()
    agents = [pair.agent() for _ in range(4)]
    for agent in agents:
        agent.send(large[:150000])

    def dribble(agent):
        try:
            while not stop.wait(0.05):
                agent.send(b"x")
        except OSError:
            pass
    threads = [threading.Thread(target=dribble, args=(agent,), daemon=True) for agent in agents]
    for thread in threads:
        thread.start()
    other = pair.agent()
    for number in range(3):
        other.send(event(number, f"{number}"))
        other.expect_ack(f"{number}")
    stop.set()
    for thread in threads:
        thread.join()
