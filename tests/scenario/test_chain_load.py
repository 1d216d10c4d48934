"""Husks in series under load: an aggregator that refuses by chance, killed husks, many idle agents.

HUSK_CHAIN_MESSAGES and HUSK_CHAIN_KILLS ask for more than `make test` does: 100000 and 50 are worth their time."""

import contextlib
import os
import random
import resource
import threading

import pytest

from support import raw
from support.aggregators import CountingAggregator, OpenTelemetryCollector, Vector
from support.chain import SLOW_LENGTHS, of_length
from support.forward import event
from support.husk import LIGHT
from support.process import WAIT_SECONDS, eventually

MESSAGES = int(os.environ.get("HUSK_CHAIN_MESSAGES", 600 if LIGHT else 3000))
KILLS = int(os.environ.get("HUSK_CHAIN_KILLS", 3))
AGENTS = 10
SECONDS = 3 * WAIT_SECONDS + MESSAGES / 150 + 5 * KILLS  # generous: for one test


def numbers_of(agent, count):
    return range(agent * 10_000_000, agent * 10_000_000 + count)


@contextlib.contextmanager
def sending(agents, count, pause_every=None):
    """Each agent sends `count` events, half of the agents with acks of their own. `pause_every`: so many at a time,
    about 20 ms apart."""
    def run(index, agent):
        numbers, step = numbers_of(index, count), pause_every or count
        for start in range(0, count, step):
            some = numbers[start:start + step]
            if hasattr(agent, "acked"):
                agent.send(*some)
            else:
                agent.send(*(event(number, tag=f"t.{index}") for number in some))
            stopped.wait(0.02 if pause_every else 0)
    stopped = threading.Event()
    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(agents)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "an agent could not send"


def agents_of(chain):
    return [chain.acking_agent(f"t.{index}") if index % 2 else chain.agent() for index in range(AGENTS)]


def everything(count):
    return [number for index in range(AGENTS) for number in numbers_of(index, count)]


@pytest.mark.parametrize("length", SLOW_LENGTHS)
@pytest.mark.parametrize("kind, batch_bytes", [
    (OpenTelemetryCollector, "off"), (OpenTelemetryCollector, "1KiB"), (Vector, "1KiB")])
def test_an_aggregator_that_refuses_one_message_in_ten(chain, length, kind, batch_bytes, capsys):
    """It passes over refused messages without an id, and takes or refuses a batch whole."""
    aggregator, count = kind(refused_share=0.1), MESSAGES // AGENTS
    chain = chain(length, aggregator, batch_bytes=batch_bytes)
    agents = agents_of(chain)
    with sending(agents, count):
        aggregator.wait_for_stored(*everything(count), timeout=SECONDS)
    for index, agent in enumerate(agents):
        if index % 2:
            agent.wait_for_acks(*numbers_of(index, count), timeout=SECONDS)
    eventually(lambda: chain.total("husk_messages_retained_bytes") == 0, "all is settled", SECONDS)
    per_event = sum(aggregator.offered.values()) / len(aggregator.offered)
    with capsys.disabled():
        print(f" [{aggregator.calls} calls; each event offered {per_event:.2f} times; resent by the husks: "
              f"{[int(husk.metric('husk_messages_retried_total')) for husk in chain.husks]}]", end="")
    assert chain.drops() == [{}] * len(chain.husks)
    assert per_event <= 3
    assert chain.total("husk_messages_retried_total") <= 10 * MESSAGES * len(chain.husks), "no storm between husks"
    assert all(agent.ends == 0 for index, agent in enumerate(agents) if index % 2)


# Which husk is killed: never the first, where alone the agents' events are held.
@pytest.mark.parametrize("length, killed", [of_length(2, 1), of_length(3, 1), of_length(3, 3)])
def test_kill_9_of_a_husk_behind_the_first_loses_nothing(chain, length, killed, capsys):
    chance, count = random.Random(5), 40 * KILLS
    chain = chain(length)
    agents = agents_of(chain)
    with sending(agents, count, pause_every=2):
        for _ in range(KILLS):
            mark = sum(chain.aggregator.stored.values()) + chance.randrange(20, 200)
            eventually(lambda: sum(chain.aggregator.stored.values()) >= mark or
                       not chain.aggregator.missing(everything(count)), "events arrive", SECONDS)
            chain.kill_and_restart(killed)
        chain.aggregator.wait_for_stored(*everything(count), timeout=SECONDS)
    for index, agent in enumerate(agents):
        if index % 2:
            agent.wait_for_acks(*numbers_of(index, count), timeout=SECONDS)
    with capsys.disabled():
        print(f" [{KILLS} kills, {AGENTS * count} events, {chain.aggregator.duplicates()} stored twice]", end="")
    assert chain.drops() == [{}] * len(chain.husks)


@pytest.mark.skipif(LIGHT, reason="sanitizers need memory themselves")
@pytest.mark.parametrize("length", [of_length(2)])
def test_an_idle_agent_needs_little_memory_behind_the_link(chain, length, capsys):
    """It has sent one message and stays connected to husk client."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    before, count = 1000, min(20_000, most - 1500)
    part = (count - before) // 4
    chain = chain(length, CountingAggregator(), max_connections=most)

    def connect(numbers):
        for number in numbers:
            agent = chain.agent()
            agent.send(event(number))
            idle.append(agent)
        chain.aggregator.wait_for_stored(*numbers, timeout=3 * WAIT_SECONDS)
        eventually(lambda: chain.total("husk_messages_retained_bytes") == 0, "all is settled")

    def grow_by(first):
        resident = chain.last.resident_kib()
        connect(range(first, first + part))
        return (chain.last.resident_kib() - resident) * 1024 / part

    idle = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        connect(range(before))
        each = min(grow_by(at) for at in range(before, count - part + 1, part))  # what is in flight only adds to it
    finally:
        for agent in idle:
            raw.reset(agent.sock)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with capsys.disabled():
        print(f" [{each:.0f} bytes for each of {part} senders]", end="")
    assert each <= 256
