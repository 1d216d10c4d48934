"""Husks in series: a message that the aggregator cannot take costs nobody but its own agent."""

import pytest

from support.aggregators import CountingAggregator, resets_at
from support.chain import LENGTHS, Steady
from support.forward import event
from support.husk import LIGHT
from support.timing import expect_within, in_time, undisturbed

ATTEMPTS = 5
WORST_SECONDS = 3  # of an event that nothing is wrong with; an undisturbed one takes milliseconds
POISON = 1_000_000

lengths = pytest.mark.parametrize("length", LENGTHS)


def poisoned(chain, length, *poison):
    return chain(length, CountingAggregator(resets_at(*poison)), max_attempts=ATTEMPTS)


def dropped(chain):
    """The drops of the husk that gave up, in front of the aggregator."""
    return chain.last.metric("husk_messages_dropped_total")


@lengths
@in_time
def test_a_message_at_which_the_aggregator_resets_delays_no_other_agent(chain, length):
    chain = poisoned(chain, length, POISON).warm()
    good, bad = Steady(chain, 1), chain.agent()
    good.step()
    bad.send(event(POISON, tag="bad"))
    good.step_until(lambda: dropped(chain))
    expect_within(WORST_SECONDS, good.worst)
    assert chain.total("husk_endpoint_ejected") == 0, "the address is not at fault"


@lengths
@in_time
def test_the_first_message_of_all_may_be_one_at_which_the_aggregator_resets(chain, length):
    """Nothing has been acknowledged yet: the innocent ones must show that the address is not at fault."""
    chain = poisoned(chain, length, POISON)
    good, bad = Steady(chain, 1), chain.agent()
    bad.send(event(POISON, tag="bad"))
    chain.aggregator.wait_until(lambda _: chain.aggregator.offered[POISON], "the poison arrives")
    good.step_until(lambda: dropped(chain))
    expect_within(WORST_SECONDS, good.worst)


@lengths
def test_all_husks_together_try_a_message_max_attempts_times(chain, length):
    chain = poisoned(chain, length, POISON).warm()
    good, bad = Steady(chain, 1), chain.agent()
    good.step()
    bad.send(event(POISON, tag="bad"))
    good.step_until(lambda: all(husk.metric("husk_messages_dropped_total") for husk in chain.husks))
    assert chain.aggregator.offered[POISON] == ATTEMPTS
    drops = chain.drops()
    assert all(one == drops[-1] for one in drops), f"one drop each, for the same reason: {drops}"


@lengths
@in_time
def test_the_agent_of_a_message_that_is_given_up_is_reset_if_it_wants_acks(chain, length):
    chain = poisoned(chain, length, POISON).warm()
    good, bad = Steady(chain, 1), chain.acking_agent()
    good.step()
    bad.send(POISON)
    good.step_until(lambda: bad.ends)
    bad.close()
    assert chain.aggregator.offered[POISON] >= ATTEMPTS
    expect_within(WORST_SECONDS, good.worst)


@lengths
@in_time
def test_messages_in_front_of_and_behind_the_bad_one_arrive(chain, length):
    """They are of the same agent, and husk may have sent them together with the bad one."""
    chain = poisoned(chain, length, POISON).warm()
    good, bad = Steady(chain, 1), chain.agent()
    good.step()
    numbers = [*range(POISON - 10, POISON), *range(POISON + 1, POISON + 11)]
    bad.send(*(event(number, tag="bad") for number in range(POISON - 10, POISON + 11)))
    good.step_until(lambda: not chain.aggregator.missing(numbers) and dropped(chain))
    assert chain.aggregator.offered[POISON] <= ATTEMPTS + 3, "a few times more until it is found among the others"
    expect_within(WORST_SECONDS, good.worst)


@lengths
@in_time
def test_one_bad_message_in_a_hundred_of_one_agent_among_twenty(chain, length):
    rounds, per_round = (10, 20) if LIGHT else (40, 10)
    poison = range(POISON, POISON + rounds * per_round, 100)
    chain = poisoned(chain, length, *poison).warm()
    good = [chain.agent() for _ in range(19)]
    bad, sent, worst = chain.agent(), POISON, 0.0
    for number in range(rounds):
        try:
            bad.send(*(event(n, tag="bad") for n in range(sent, sent + per_round)))
            sent += per_round
        except ConnectionError:
            bad = chain.agent()
        numbers = [100 * number + agent for agent in range(19)]
        for agent, one in zip(good, numbers):
            agent.send(event(one, tag=f"good.{one % 100}"))
        worst = max(worst, chain.aggregator.wait_for_stored(*numbers))
    expect_within(WORST_SECONDS, worst)
    Steady(chain, 10_000).step_until(lambda: dropped(chain))
    # The reset takes the acks of up to 19 earlier messages with it. Until these have settled, one of them may be the oldest at
    # each end, and the bad message is sent with the others once more.
    offered = [chain.aggregator.offered[number] for number in poison]
    assert max(offered) <= 3 * ATTEMPTS
    assert min(offered) <= ATTEMPTS + 3, "a few times more until it is found among the others"
