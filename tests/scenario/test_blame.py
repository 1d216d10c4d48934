"""Whose failure it is: a message's, an address's, or nobody's. One message's failure costs no other agent."""

import os
import random
import signal
import socket
import threading
import time

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked, event, message
from support.husk import LIGHT
from support.process import eventually
from support.timing import undisturbed

RETRIED = "husk_messages_retried_total"


@undisturbed
def test_the_ack_timeout_stands_still_while_bytes_move(husk):
    aggregator = Aggregator()
    link = raw.SlowLink(husk.server(aggregator).address, bytes_per_second=400_000)
    client = husk.client(link, ack_timeout="500ms")
    large = message("t", random.Random(1).randbytes(800_000), {"size": 1})
    Agent(raw.connect(client.address)).send(large)
    aggregator.wait_for(1)
    client.wait_for_metric("husk_messages_settled_total", 1)
    assert client.metric(RETRIED) == 0 and not client.problems()
    link.close()


def test_the_ack_timeout_does_not_wait_for_an_aggregator_that_takes_no_bytes(husk):
    listener = raw.Listener()  # accepts nothing: only the kernel takes bytes
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    server = husk.server(listener, ack_timeout="300ms")
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(message("t", bytes(2_000_000)))
    server.wait_for_event(reason="ack_timeout")


def test_a_tag_that_the_far_husk_forbids_delays_no_other_agent(pair):
    pair = pair(server={"rule": "any tags=app.**"})
    good, bad = pair.agent(), pair.agent()
    good.send(event(0, tag="app.x"))
    pair.aggregator.wait_for(1)
    for number in range(1, 40):
        if number % 10 == 1:
            bad.send(event(100 + number, tag="other"))
        good.send(event(number, tag="app.x"))
        pair.aggregator.wait_until(lambda messages, wanted=number: any(one.number == wanted for one in messages),
                                   "the event of the allowed agent")
    for half in pair.server, pair.client:
        half.wait_for_metric("husk_messages_dropped_total", 4, reason="tag_not_allowed")
    assert pair.client.metric("husk_endpoint_ejected") == 0, "the address is not at fault"
    assert pair.client.metric(RETRIED) == 0


@pytest.mark.parametrize("chunks", [True, False], ids=["own-acks", "batches"])
def test_an_aggregator_that_refuses_now_and_then_gets_few_repeats(half, chunks):
    chance, count = random.Random(7), 300 if LIGHT else 2000
    half = half(acks=lambda _: Aggregator.REFUSE if chance.random() < 0.1 else True, workers=1)
    agent = half.agent()
    agent.send(*(event(number, f"{number}" if chunks else None) for number in range(count)))
    half.husk.wait_for_metric("husk_messages_settled_total", count)
    assert set(half.aggregator.numbers()) == set(range(count))
    assert half.husk.metric("husk_messages_dropped_total") == 0
    assert len(half.aggregator.messages) <= 3 * count
    assert half.husk.metric(RETRIED) <= 8 * count  # without a window: more than 100


def test_a_message_goes_to_the_standby_where_the_first_address_ends_every_connection(husk):
    """Nothing gets through to the first address any more, so the address may be at fault, although the message is
    isolated. The address has worked lately, so the first retry decides nothing."""
    first = Aggregator(acks=lambda one: True if one.number == 0 else Aggregator.REFUSE)
    standby = Aggregator()
    server = husk.server([raw.format_address(first.address), raw.format_address(standby.address) + ",standby"])
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    for number in range(2):
        agent.send(event(number, f"{number}"))
        agent.expect_ack(f"{number}")
    assert (standby.numbers(), first.numbers().count(1)) == ([1], 3)


@pytest.mark.parametrize("count", [1, 3], ids=["one-agent", "three-agents"])
def test_an_aggregator_that_refuses_everything_for_a_while_costs_no_message(husk, count):
    """Fluentd does this while its buffers are full: each connection is open and quiet until it gets a message."""
    is_full, refusals = True, 0

    def answer(_):
        nonlocal refusals
        refusals += is_full
        return Aggregator.REFUSE if is_full else True
    aggregator = Aggregator(acks=answer)
    server = husk.server(aggregator, max_attempts=8, eject_time="50ms", eject_time_max="100ms")
    agents = [Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)) for _ in range(count)]
    for number, agent in enumerate(agents):
        agent.send(event(number))
    eventually(lambda: refusals >= count, "an attempt of each")
    for number, agent in enumerate(agents):
        agent.send(event(10 + number))  # husk reads it when the message before it yields
    eventually(lambda: refusals >= 10, "more attempts than a message has")
    is_full = False
    server.wait_for_metric("husk_messages_settled_total", 2 * count)
    assert server.metric("husk_messages_dropped_total") == 0
    assert {*range(count), *range(10, 10 + count)} <= set(aggregator.numbers())


def test_a_load_balancer_without_aggregators_costs_no_message(husk):
    balancer = raw.ClosingListener()
    server = husk.server(balancer, max_attempts=2, delivery_timeout="1h")
    agents = [Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)) for _ in range(4)]
    for number, agent in enumerate(agents):
        agent.send(event(number, f"{number}"), event(10 + number))
    eventually(lambda: balancer.accepted >= 7, "more connections end than a message has attempts")
    assert server.metric("husk_messages_dropped_total") == 0
    balancer.stop()
    aggregator = Aggregator(address=balancer.address)
    for number, agent in enumerate(agents):
        assert agent.read_acks(1) == [f"{number}"]
    server.wait_for_metric("husk_messages_settled_total", 8)
    assert set(aggregator.numbers()) == {*range(4), *range(10, 14)}
    assert server.metric("husk_messages_dropped_total") == 0


class StoppingBalancer(raw.ClosingListener):
    """The machine of husk stops while the balancer closes a connection, as if it swapped: longer than the retry delay."""

    pid = None

    def serve(self, sock):
        threading.Thread(target=self._close, args=[sock], daemon=True).start()

    def _close(self, sock):
        time.sleep(0.03)  # husk holds the connection for a message
        os.kill(self.pid, signal.SIGSTOP)
        super().serve(sock)
        time.sleep(0.2)
        os.kill(self.pid, signal.SIGCONT)


def test_a_machine_that_stops_costs_no_message(husk):
    balancer = StoppingBalancer()
    server = husk.server(balancer, max_attempts=2, delivery_timeout="1h")
    balancer.pid = server.pid
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(event(0, "0"))
    eventually(lambda: balancer.accepted >= 5, "more connections end than a message has attempts")
    balancer.stop()
    aggregator = Aggregator(address=balancer.address)
    assert agent.read_acks(1) == ["0"]
    assert aggregator.numbers() == [0]
    assert server.metric("husk_messages_dropped_total") == 0


@pytest.mark.parametrize("attempts", [2, 4])
def test_a_message_that_ends_each_connection_is_dropped_although_nobody_else_sends(half, attempts):
    """Each retry waits on an open connection, which does not end before it gets the message."""
    half = half(acks=lambda _: Aggregator.REFUSE, max_attempts=attempts)
    agent = half.agent()
    agent.send(event(0, "poison"))
    raw.assert_reset(agent.sock)
    assert half.aggregator.numbers() == [0] * attempts
    assert half.husk.metric("husk_messages_dropped_total") == 1


def test_a_message_that_ends_each_connection_does_not_eject_an_address_where_others_get_through(half):
    half = half(acks=lambda one: Aggregator.REFUSE if one.number == 0 else True, max_attempts=4)
    agent, other = half.agent(), half.agent()
    carry_acked(other, 1, "1")
    agent.send(event(0, "poison"))
    number = 1

    def is_dropped():
        nonlocal number
        number += 1
        carry_acked(other, number, f"{number}")
        return half.husk.metric("husk_messages_dropped_total")
    eventually(is_dropped, "the message is dropped")
    assert half.aggregator.numbers().count(0) == 4
    assert half.husk.metric("husk_endpoint_ejected") == 0


@pytest.mark.parametrize("on_refused, chunk, is_reset", [(None, None, False), (None, "poison", True),
                                                         ("continue", None, False), ("reset", None, True)])
def test_an_agent_that_asked_for_no_ack_goes_on_unless_it_is_to_be_reset(half, on_refused, chunk, is_reset):
    half = half(acks=lambda one: Aggregator.REFUSE if one.number == 0 else True, max_attempts=2, on_refused=on_refused)
    agent = half.agent()
    agent.send(event(0, chunk))
    line = half.husk.wait_for_event(message="messages given up")
    assert (line["reason"], line["messages"]) == ("upstream_closed", 1)
    assert half.husk.metric("husk_messages_dropped_total", reason="upstream_closed") == 1
    if is_reset:
        raw.assert_reset(agent.sock)
    else:
        carry_acked(agent, 1, "1")


def test_a_message_is_given_up_by_its_age_and_by_nothing_else_while_no_aggregator_is_there(husk):
    address = raw.free_address()
    server = husk.server(raw.format_address(address), max_age="1s")
    asks, other = (Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)) for _ in range(2))
    asks.send(event(0, "zero"))
    other.send(event(1))
    raw.assert_reset(asks.sock)
    server.wait_for_metric("husk_messages_dropped_total", 2, reason="too_old")
    assert server.metric("husk_messages_waiting") == server.metric("husk_messages_retained_bytes") == 0
    aggregator = Aggregator(address=address)
    carry_acked(other, 2, "two")
    assert aggregator.numbers() == [2]
