"""Husks in series while the aggregator is away or slow: nothing is lost, and nobody's patience ends."""

import time

import pytest

from support import raw
from support.aggregators import PASS_OVER, CountingAggregator
from support.chain import LAST, LENGTHS, SLOW_LENGTHS, of_length
from support.forward import event, message
from support.timing import undisturbed

# All timeouts that could end before the aggregator is back.
SHORT = {"ack_timeout": "200ms", "delivery_timeout": "600ms", "max_attempts": 3, "max_ack_timeouts": 2,
         "eject_time": "100ms", "eject_time_max": "400ms"}
VERDICT = "never acknowledged"
OUTAGE_SECONDS = 2.0  # the longest of them, several times
COUNT = 10

lengths = pytest.mark.parametrize("length", SLOW_LENGTHS)
# An aggregator that takes messages and has never answered cannot be told from one without acks: see the test below.
outages = pytest.mark.parametrize("how, warm", [
    pytest.param(how, warm, id=f"{how}-{'warm' if warm else 'cold'}")
    for how in CountingAggregator.OUTAGES for warm in (True, False) if warm or how != "silent"])


def wait_through_the_outage(chain, agents):
    """Sends before, at the beginning and in the middle of the outage. Returns the numbers."""
    sent = []
    for _ in range(COUNT):
        for index, send in enumerate(agents):
            sent.append(1000 * (index + 1) + len(sent))
            send(sent[-1])
        time.sleep(OUTAGE_SECONDS / COUNT)
    return sent


def expect_no_loss(chain):
    """A husk without another in front resets an agent that waits for acks longer than --delivery-timeout."""
    told = ("left", "undelivered") if len(chain.husks) == 1 else ()
    assert not any(set(drops) - set(told) for drops in chain.drops()), chain.drops()


@lengths
@outages
@undisturbed
def test_an_outage_longer_than_all_timeouts_loses_nothing(chain, length, how, warm):
    chain = chain(length, **SHORT)
    plain, acking = chain.agent(), chain.acking_agent()
    if warm:
        plain.send(event(1))
        acking.send(2)
        acking.wait_for_acks(2)
        chain.aggregator.wait_for_stored(1)
    chain.aggregator.leave(how)
    plain_agent = lambda number: plain.send(event(number))
    sent = wait_through_the_outage(chain, [plain_agent, acking.send])
    expect_no_loss(chain)
    if length > 1:
        assert acking.ends == 0, "behind the link a husk waits, and says so"
    chain.aggregator.come_back()
    chain.aggregator.wait_for_stored(*sent)
    acking.wait_for_acks(*sent[1::2])
    plain.send(event(3))
    chain.aggregator.wait_for_stored(3)
    expect_no_loss(chain)


@lengths
def test_after_an_outage_the_backlog_arrives_in_order(chain, length):
    chain = chain(length, **SHORT)
    agent = chain.agent()
    agent.send(event(0))
    chain.aggregator.wait_for_stored(0)
    chain.aggregator.leave("refused")
    agent.send(*(event(number) for number in range(1, 200)))
    time.sleep(1)
    chain.aggregator.come_back()
    chain.aggregator.wait_for_stored(*range(200))
    firsts = list(dict.fromkeys(number for number in chain.aggregator.order))
    assert firsts == sorted(firsts)


@lengths
@undisturbed
def test_memory_full_in_an_outage_is_back_pressure(chain, length):
    chain = chain(length, retain_bytes="1MiB", **SHORT)
    agent = chain.agent()
    agent.send(event(0))
    chain.aggregator.wait_for_stored(0)
    chain.aggregator.leave("refused")
    count = 1500  # of 10 kB: more than all husks hold
    with raw.Sending(agent.sock, (message("t", 1, {"n": n, "x": b"x" * 10_000}) for n in range(1, count))):
        time.sleep(1.5)
        assert chain.first.metric("husk_messages_received_total") < count, "the agent must wait"
        chain.aggregator.come_back()
    chain.aggregator.wait_for_stored(*range(count))
    assert chain.drops() == [{}] * len(chain.husks)


@pytest.mark.parametrize("length", LENGTHS)
def test_only_the_husk_before_an_aggregator_without_acks_says_so(chain, length):
    """It was there, took messages, and stayed silent. The husks in front of it have had answers."""
    chain = chain(length, CountingAggregator(lambda _: PASS_OVER), ack_timeout="200ms")
    agent = chain.agent()
    agent.send(*(event(number) for number in range(20)))
    line = chain.last.wait_until(lambda lines: [line for line in lines if VERDICT in line], VERDICT)[0]
    assert "passthrough" in line, "it says what to do"
    time.sleep(1)
    assert not [line for husk in chain.husks[:-1] for line in husk.lines if VERDICT in line]
    assert len([line for line in chain.last.lines if VERDICT in line]) == 1


# ---- slow ----

@pytest.mark.parametrize("length, slow", [
    of_length(*pair) for pair in ((1, LAST), (2, 0), (2, LAST), (3, 0), (3, LAST))])
@undisturbed
def test_a_message_that_takes_longer_than_the_ack_timeout_to_send_is_left_alone(chain, length, slow):
    """The bytes move, here or at another husk: no husk sends the message again."""
    links = {slow: lambda address: raw.SlowLink(address, bytes_per_second=400_000)}
    chain = chain(length, links=links, ack_timeout="500ms")
    chain.agent().send(message("t", 1, {"n": 1, "x": b"x" * 800_000}))
    chain.aggregator.wait_for_stored(1)
    chain.first.wait_for_metric("husk_messages_settled_total", 1)
    assert chain.total("husk_messages_retried_total") == 0 and chain.aggregator.offered[1] == 1
    assert chain.drops() == [{}] * len(chain.husks)


@pytest.mark.parametrize("length", LENGTHS)
@undisturbed
def test_an_aggregator_slower_than_the_ack_timeouts_of_the_husks_before_the_last(chain, length):
    """The last husk waits for the ack, patiently, and says so."""
    aggregator = CountingAggregator()
    chain = chain(length, aggregator, at={LAST: {"ack_timeout": "20s"}}, ack_timeout="300ms")
    aggregator.leave("silent")
    agent = chain.acking_agent()
    agent.send(*range(10))
    time.sleep(OUTAGE_SECONDS)
    aggregator.come_back()
    agent.wait_for_acks(*range(10))
    assert agent.ends == 0 and aggregator.duplicates() == 0
    assert chain.total("husk_messages_retried_total") == 0 and chain.drops() == [{}] * len(chain.husks)
