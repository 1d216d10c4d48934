"""Whose failure it is: a message's, an address's, or nobody's. One message's failure costs no other agent."""

import random
import socket

import pytest

from support import raw
from support.forward import Agent, Aggregator, event, message
from support.husk import LIGHT

RETRIED = "husk_messages_retried_total"


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
    assert pair.client.metric("husk_messages_dropped_total") == 0, "the forbidden messages are still tried"
    assert pair.client.metric("husk_endpoint_ejected") == 0, "the address is not at fault"


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
    """Nothing gets through there any more, so the address may be at fault, although the message is isolated."""
    first = Aggregator(acks=lambda one: True if one.number == 0 else Aggregator.REFUSE)
    standby = Aggregator()
    server = husk.server([raw.format_address(first.address), raw.format_address(standby.address) + ",standby"])
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    for number in range(2):
        agent.send(event(number, f"{number}"))
        agent.expect_ack(f"{number}")
    assert (standby.numbers(), first.numbers().count(1)) == ([1], 2)
