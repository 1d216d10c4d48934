"""An ack speaks for what its agent sent before it: the husk that gives one is the aggregator of another husk, whose run
may have come in pieces."""

import select
import signal
import socket
import threading

import pytest

from support import forward, raw
from support.forward import Agent, Aggregator, event, message
from support.process import WAIT_SECONDS

FILLER = b"y" * 1000
COUNT = 6000  # of about a KiB: more than the sockets on the way to an aggregator that does not read can take


@pytest.fixture
def aggregator():
    listener = raw.Listener()
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    yield listener
    listener.close()


def serve(sock, until=None):
    """Acks whatever asks for it, until `until` has been acked or the connection ends; how many were."""
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
def test_an_ack_waits_for_what_the_agent_sent_before_without_asking(husk, aggregator, batch_bytes):
    server = husk.server(aggregator, batch_bytes=batch_bytes, max_upstream_connections=2)
    agent = forward.Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    before = b"".join(message("t", 1, {"n": n, "x": FILLER}) for n in range(COUNT))
    last = message("t", 1, {"n": COUNT}, {"chunk": "last"})
    sending = threading.Thread(target=agent.send, args=(before, last), daemon=True)
    sending.start()
    full, other = aggregator.accept(), aggregator.accept()  # the first is not read: what follows goes by the second
    settled = serve(other, "last")
    sending.join()
    server.wait_for_metric("husk_messages_settled_total", settled)
    agent.sock.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        agent.read_ack()
    agent.sock.sock.settimeout(WAIT_SECONDS)
    threading.Thread(target=serve, args=(full,), daemon=True).start()
    agent.expect_ack("last")


# ---- a run that fails is taken apart ----

BATCH = 8


def batch_of(*options):
    """In one piece, so that they are read together; `options` of the last."""
    return b"".join((*(event(number) for number in range(BATCH - 1)), event(BATCH - 1, *options)))


def test_a_message_that_ends_connections_costs_no_other_of_its_run(half):
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


def fail_twice(half, agent, run, acks):
    """The run's connection ends, and that of its second try; what comes then is acked as `acks` says."""
    agent.send(run)
    count = len(list(forward.Parser().feed(run)))
    half.aggregator.wait_for(count)
    half.aggregator.end_connections()
    again = half.aggregator.wait_for(2 * count)[count:]
    assert sum(one.chunk is not None for one in again) == 1, "a connection may end for other reasons"
    half.aggregator.acks = acks
    half.aggregator.end_connections()
    return 2 * count


def test_a_long_run_is_taken_apart_by_eighths(half):
    count, half = 100, half(acks=False)
    agent = half.agent()
    come = fail_twice(half, agent, b"".join(event(number) for number in range(count)), True)
    half.husk.wait_for_metric("husk_messages_settled_total", count)
    again = half.aggregator.messages[come:]
    assert [one.number for one in again] == list(range(count))
    assert [one.number for one in again if one.chunk] == [*range(12, count, 13), count - 1]


def test_a_run_in_several_pieces_of_memory_is_taken_apart(half):
    """None of its messages fits into what is kept flat; together they are one TLS record."""
    half = half(acks=False)
    agent, run = half.agent(), b"".join(message("t", 1, {"n": n, "x": b"y" * 5000}) for n in range(3))
    come = fail_twice(half, agent, run, True)
    half.husk.wait_for_metric("husk_messages_settled_total", 3)
    again = half.aggregator.messages[come:]
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
    assert len(poisoned) == 5, "100 messages, 100 alone, 13, 2, and the one"


def test_a_run_is_settled_by_an_aggregator_that_takes_one_message_from_each_connection(half):
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


def test_a_run_whose_ack_does_not_come_goes_on_message_by_message(half):
    """Its last message is one that the aggregator passes over."""
    half = half(acks=lambda one: one.number != BATCH - 1, ack_timeout="1s", max_ack_timeouts=2)
    agent = half.agent()
    agent.send(batch_of())
    half.husk.wait_for_metric("husk_messages_dropped_total", 1, reason="ack_timeout")
    half.husk.wait_for_metric("husk_messages_settled_total", BATCH - 1)


def test_an_agents_ack_waits_for_all_of_a_run_that_was_taken_apart(half):
    half = half(acks=False)
    agent = half.agent()
    come = fail_twice(half, agent, batch_of("last"), lambda one: one.number != BATCH - 2)
    last_but_one = half.aggregator.wait_for(come + BATCH - 1)[-1]
    assert last_but_one.number == BATCH - 2
    agent.sock.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        agent.read_ack()
    agent.sock.sock.settimeout(WAIT_SECONDS)
    half.aggregator.ack(last_but_one)
    agent.expect_ack("last")


def test_what_may_have_ended_a_connection_goes_alone_and_nothing_of_its_agent_overtakes_it(half):
    """An aggregator may not get to send the acks of what came before the message that it ends connections at."""
    half = half(acks=False)
    agent, other = half.agent(), half.agent()
    come = fail_twice(half, agent, batch_of(), False)
    half.aggregator.wait_for(come + 1)
    agent.send(event(BATCH), event(BATCH + 1))
    for number in range(BATCH):
        first = half.aggregator.wait_for(come + 1)[-1]
        other.send(event(100 + number, f"{number}"))
        others = half.aggregator.wait_for(come + 2)[-1]
        assert [first.number, others.number] == [number, 100 + number]
        assert first.connection is not others.connection
        half.aggregator.ack(others)
        other.expect_ack(f"{number}")
        half.aggregator.ack(first)
        come += 2
    assert [one.number for one in half.aggregator.wait_for(come + 2)[-2:]] == [BATCH, BATCH + 1]


@pytest.mark.parametrize("connections", [1, 2])
def test_what_goes_alone_stops_nobody_else(half, connections):
    """Not even when it is never acked, and its agent sends more than there is room for; its connection is one more,
    and goes when it is not needed any longer."""
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
    select.select([], [], [], 0.3)  # for what is read though it should not be
    for number in range(100, 120):
        other.send(event(number, f"{number}"))
        other.expect_ack(f"{number}")
    half.aggregator.acks = True
    half.aggregator.ack(*half.aggregator.messages[BATCH:2 * BATCH])
    flood.join()
    half.husk.wait_for_metric("husk_messages_settled_total", BATCH + 20 + len(more))
    half.aggregator.wait_until(lambda _: sum(not one.ended for one in half.aggregator.connections) <= connections,
                               "it is closed")


def test_a_run_whose_last_message_asks_holds_back_the_acks_behind_it(half):
    """What of it asked for none is not settled before it is."""
    half = half(acks=False)
    agent = half.agent()
    agent.send(batch_of("first"))
    half.aggregator.wait_for(BATCH)
    agent.send(event(BATCH, "second"))
    half.aggregator.ack(half.aggregator.wait_for(BATCH + 1)[BATCH])
    half.husk.wait_for_metric("husk_messages_settled_total", 1)
    agent.sock.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        agent.read_ack()
    agent.sock.sock.settimeout(WAIT_SECONDS)
    half.aggregator.ack(half.aggregator.messages[BATCH - 1])
    assert set(agent.read_acks(2)) == {"first", "second"}


def test_limits_of_tries_count_for_a_message_not_for_its_run(half):
    half = half(acks=lambda one: one.number != BATCH - 1, ack_timeout="1s", max_ack_timeouts=1, max_attempts=1)
    agent = half.agent()
    agent.send(batch_of())
    half.husk.wait_for_metric("husk_messages_dropped_total", 1)
    assert half.husk.metric("husk_messages_settled_total") == BATCH - 1


# ---- time ----

def test_an_aggregator_has_the_ack_timeout_for_each_message_not_for_all_that_wait(half):
    """It works through a connection in order: what is behind others is not late because of them."""
    half = half(acks=False, ack_timeout="600ms")
    agent, count = half.agent(), 8
    agent.send(*(event(number, f"{number}") for number in range(count)))
    for one in half.aggregator.wait_for(count):
        select.select([], [], [], 0.2)
        half.aggregator.ack(one)
        agent.expect_ack(one.chunk)
    assert len(half.aggregator.messages) == count
    assert half.husk.metric("husk_connections_ended_total", side="upstream") == 0


def test_a_run_outlives_the_delivery_timeout_its_agent_is_told_of(husk):
    address = raw.free_address()
    client = husk.client(raw.format_address(address), delivery_timeout="200ms")
    agent = Agent(raw.connect(client.address))
    agent.send(event(1), event(2), event(3, "three"))
    raw.assert_reset(agent.sock)
    aggregator = Aggregator()
    husk.server(aggregator, listen=raw.format_address(address))
    assert sorted(one.number for one in aggregator.wait_for(3)) == [1, 2, 3]
    assert client.metric("husk_messages_dropped_total") == 0


def test_an_agent_whose_stream_finds_no_upstream_is_told_after_the_delivery_timeout(husk):
    client = husk.client(raw.format_address(raw.free_address()), delivery_timeout="200ms",
                         cut_through_bytes="64KiB")
    agent = Agent(raw.connect(client.address))
    agent.send(message("t", b"x" * (1 << 20))[:200000])
    raw.assert_reset(agent.sock)
    client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="undelivered")
    assert client.metric("husk_cut_through_waiting") == 0


def test_messages_that_a_rate_limit_lets_wait_are_waited_for_while_draining(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, rule="any messages-per-second=20 burst=100ms",
                         drain_quiet="50ms", drain_timeout="20s")
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(*(event(number) for number in range(12)))
    server.wait_for_metric("husk_agents_paused", 1)
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 1)
    assert aggregator.numbers() == list(range(12))


def test_agents_that_dribble_large_messages_give_way(pair):
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
