"""--batch-delay: messages of one agent and tag that come one by one wait for each other; what ends this wait.

A witness is an agent whose message has begun to wait before. What arrives before the message of the witness has not
waited for the delay."""

import signal

import pytest

from support import raw
from support.chain import of_length
from support.forward import Agent, Aggregator, event, message
from support.husk import LIGHT
from support.timing import undisturbed

LENGTHS = [of_length(length) for length in (1, 2)]
DELAY = {"batch_delay": "1s"}
WITNESS = 1000


class Recorder(Aggregator):
    WHOLE = True


def send_apart(husk, agent, *messages):
    """Sends each message after husk has read the message before it."""
    for one in messages:
        agent.send(one)
        husk.settle()


@pytest.mark.parametrize("length", LENGTHS)
@undisturbed
def test_messages_that_come_one_by_one_arrive_as_one_message(chain, length):
    chain = chain(length, Recorder(), **DELAY)
    agent = chain.agent()
    send_apart(chain.first, agent, *(event(number) for number in range(5)))
    batch, = chain.aggregator.wait_for(1)
    assert batch.is_batch and [one.number for one in batch.events()] == list(range(5))
    for husk in chain.husks:
        husk.wait_for_metric("husk_messages_settled_total", 5)
        assert husk.metric("husk_messages_received_total") == 5


@undisturbed
def test_batches_of_two_agents_wait_independently(chain):
    chain = chain(2, Recorder(), **DELAY)
    agents = chain.agent(), chain.agent()
    for number in range(6):
        send_apart(chain.first, agents[number % 2], event(number))
    arrived = chain.aggregator.wait_for(2)
    assert sorted([one.number for one in batch.events()] for batch in arrived) == [[0, 2, 4], [1, 3, 5]]


# ---- what ends the wait ----

ENDS = {
    "fin": lambda husk, agent: agent.close(),
    "reset": lambda husk, agent: agent.reset(),
    "tag": lambda husk, agent: agent.send(event(2, tag="u")),
    "ack": lambda husk, agent: agent.send(event(2, "asks")),
    "full": lambda husk, agent: agent.send(*map(event, range(2, 300))),
    "large": lambda husk, agent: agent.send(message("t", b"x" * 100000)),
    "refused": lambda husk, agent: agent.send(b"\xc1"),
}


@pytest.fixture
def waiting(husk):
    """Makes a husk client, its aggregator, and an agent whose messages 0 and 1 wait later than that of the witness."""
    witnesses = []

    def make():
        aggregator = Aggregator()
        client = husk.client(husk.server(aggregator), batch_bytes="1KiB", cut_through_bytes="64KiB",
                             max_upstream_connections=1, **DELAY)
        witness, agent = Agent(raw.connect(client.address)), Agent(raw.connect(client.address))
        witnesses.append(witness)
        send_apart(client, witness, event(WITNESS))
        send_apart(client, agent, event(0), event(1))
        return client, aggregator, agent
    yield make
    for witness in witnesses:
        witness.close()


@pytest.mark.parametrize("what", ENDS)
@undisturbed
def test_the_wait_ends(waiting, what):
    client, aggregator, agent = waiting()
    ENDS[what](client, agent)
    arrived = aggregator.wait_for(2)
    assert [one.number for one in arrived[:2]] == [0, 1]
    client.wait_for_metric("husk_messages_settled_total", 2)


@undisturbed
def test_an_ack_that_an_agent_asks_for_does_not_wait(waiting):
    _, aggregator, agent = waiting()
    agent.send(event(2, "asks"))
    agent.expect_ack("asks")
    assert WITNESS not in aggregator.numbers()


@undisturbed
def test_a_drain_ends_the_wait(waiting):
    client, aggregator, _ = waiting()
    client.signal(signal.SIGTERM)
    assert client.wait() == 0
    assert sorted(aggregator.numbers()) == [0, 1, WITNESS]


def test_an_agent_that_closes_at_once_loses_nothing(husk):
    aggregator = Aggregator()
    client = husk.client(husk.server(aggregator, **DELAY), **DELAY)
    for number in range(20):
        agent = Agent(raw.connect(client.address))
        agent.send(event(number))
        agent.close()
    aggregator.wait_for(20)
    assert sorted(aggregator.numbers()) == list(range(20))


def test_messages_around_a_large_one_keep_their_order(husk):
    aggregator = Aggregator()
    client = husk.client(husk.server(aggregator), cut_through_bytes="64KiB", batch_delay="50ms")
    agent, large = Agent(raw.connect(client.address)), message("t", 1, {"n": 2, "x": "y" * 100000})
    send_apart(client, agent, event(0), event(1), large, event(3), event(4))
    aggregator.wait_for(5)
    assert sorted(aggregator.numbers()) == list(range(5))
    client.wait_for_metric("husk_messages_settled_total", 5)


@undisturbed
def test_passthrough_does_not_wait(husk):
    aggregator = Recorder()
    client = husk.client(husk.server(aggregator, delivery="passthrough"), delivery="passthrough", **DELAY)
    agent = Agent(raw.connect(client.address))
    for number in range(30):  # one after the other: this takes 30 s if each message waits
        agent.send(event(number))
        assert aggregator.wait_for(number + 1)[number].raw == event(number)


def test_messages_that_wait_are_not_lost_when_husk_resets_the_agent(husk):
    """The agent loses the message that waits for its ack. Another message waits for its batch."""
    aggregator = Aggregator()
    server = husk.server(aggregator)
    client = husk.client(server, delivery_timeout="300ms", max_attempts=1, **DELAY)
    server.kill()
    agent = Agent(raw.connect(client.address))
    agent.send(event(0, "asks"))
    client.wait_for_metric("husk_messages_waiting", 1)
    agent.send(event(1))
    raw.assert_reset(agent.sock)
    client.wait_for_metric("husk_messages_waiting", 1)
    assert client.metric("husk_messages_received_total") == 2


def test_waiting_batches_leave_memory_to_others(husk):
    """More agents than memory: batches do not wait while agents wait for memory."""
    count, agents = 4 if LIGHT else 10, 30
    aggregator = Aggregator()
    client = husk.client(husk.server(aggregator), workers=1, retain_bytes="64KiB", **DELAY)
    connected = [Agent(raw.connect(client.address)) for _ in range(agents)]
    for number in range(count):
        for index, agent in enumerate(connected):
            agent.send(message("t", 1, {"n": number * agents + index, "x": "y" * 1000}))
    aggregator.wait_for(count * agents)
    assert sorted(aggregator.numbers()) == list(range(count * agents))


def test_waiting_batches_count_as_memory(husk):
    """The aggregator acknowledges nothing. What waits must not be read beyond --retain-bytes."""
    agents, body, retain = 30, 50_000, 256 << 10
    aggregator = Recorder(acks=False)
    client = husk.client(husk.server(aggregator), workers=1, retain_bytes=retain, **DELAY)
    connected = [Agent(raw.connect(client.address)) for _ in range(agents)]
    for number, agent in enumerate(connected):
        agent.send(message("t", 1, {"n": number, "x": "y" * body}))
    client.wait_for_metric("husk_messages_received_total", 2)
    assert client.metric("husk_bytes_total", side="downstream", direction="received") < retain + 3 * body
