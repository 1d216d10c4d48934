"""Husks in series: a rule of a husk in the middle or at the end refuses messages, not nodes."""

import pytest

from support import raw
from support.chain import AUTO, Steady, of_length
from support.forward import event, message
from support.timing import expect_within, in_time

WORST_SECONDS = 3
TAGS, BYTES = "any tags=t,app.**", "any max-message=2KiB"
CUT = "64KiB"  # --cut-through-bytes
LARGE = b"x" * 300_000  # longer than CUT

# Length of the chain, and the index of the husk that refuses.
refusers = pytest.mark.parametrize("length, refuser", [of_length(*pair) for pair in ((1, 0), (2, 1), (3, 1), (3, 3))])
refusers_behind = pytest.mark.parametrize("length, refuser", [of_length(*pair) for pair in ((2, 1), (3, 1), (3, 3))])


def long_event(number, tag, filler):
    return message(tag, 1, {"n": number, "x": filler})


def expect_counted(chain, refuser, reason, count):
    """The husk that refuses counts the messages, and so does each husk before it."""
    for husk in chain.husks[:refuser + 1]:
        husk.wait_for_metric("husk_messages_dropped_total", count, reason=reason)
    drops = chain.drops()
    assert drops == [{reason: count}] * (refuser + 1) + [{}] * (len(drops) - refuser - 1)


def expect_no_address_blamed(chain):
    assert chain.total("husk_endpoint_ejected") == 0
    assert chain.total("husk_connections_ended_total", side="upstream") == 0


@refusers
@in_time
def test_a_forbidden_tag_costs_no_other_agent(chain, length, refuser):
    chain = chain(length, at={refuser: {"rule": TAGS}}).warm()
    good, bad = Steady(chain, 1, "app.x"), chain.agent()
    good.step()
    for number in range(1000, 1005):
        try:
            bad.send(event(number, tag="other"))
        except ConnectionError:
            bad = chain.agent()
        for _ in range(10):
            good.step()
    expect_within(WORST_SECONDS, good.worst)
    expect_no_address_blamed(chain)
    assert not chain.aggregator.offered.keys() & set(range(1000, 1005))


@refusers_behind
def test_an_agent_without_acks_goes_on_after_a_refusal(chain, length, refuser):
    chain = chain(length, at={refuser: {"rule": TAGS}}).warm()
    agent = chain.agent()
    agent.send(event(1, tag="app.x"), event(2, tag="other"), event(3, tag="app.x"), event(4, tag="other"))
    expect_counted(chain, refuser, "tag_not_allowed", 2)
    agent.send(event(5, tag="app.x"))
    chain.aggregator.wait_for_stored(1, 3, 5)
    assert sorted(chain.aggregator.offered) == [1, 3, 5]
    expect_no_address_blamed(chain)


@refusers_behind
def test_an_agent_that_wants_acks_is_reset_at_a_refusal(chain, length, refuser):
    chain = chain(length, at={refuser: {"rule": TAGS}}).warm()
    agent, other = chain.agent(), chain.agent()
    agent.send(event(1, "1", "app.x"))
    agent.expect_ack("1")
    agent.send(event(2, "2", "other"))
    raw.assert_reset(agent.sock)
    expect_counted(chain, refuser, "tag_not_allowed", 1)
    other.send(event(3, "3", "app.x"))
    other.expect_ack("3")
    expect_no_address_blamed(chain)


@refusers_behind
def test_on_refused_reset_resets_an_agent_without_acks_too(chain, length, refuser):
    chain = chain(length, at={0: {"on_refused": "reset"}, refuser: {"rule": TAGS}}).warm()
    agent = chain.agent()
    agent.send(event(1, tag="app.x"))
    chain.aggregator.wait_for_stored(1)
    agent.send(event(2, tag="other"))
    raw.assert_reset(agent.sock)
    expect_counted(chain, refuser, "tag_not_allowed", 1)
    expect_no_address_blamed(chain)


@refusers_behind
def test_a_message_longer_than_a_rule_allows_is_refused_alone(chain, length, refuser):
    chain = chain(length, at={refuser: {"rule": BYTES}}).warm()
    agent = chain.agent()
    agent.send(event(1), long_event(2, "t", b"x" * 4096), event(3))
    expect_counted(chain, refuser, "message_too_long", 1)
    chain.aggregator.wait_for_stored(1, 3)
    assert sorted(chain.aggregator.offered) == [1, 3]
    expect_no_address_blamed(chain)


@refusers_behind
@pytest.mark.parametrize("rule, tag, reason", [
    pytest.param(TAGS, "other", "tag_not_allowed", id="tag"),
    pytest.param(BYTES, "app.x", "message_too_long", id="length")])
@in_time
def test_a_message_sent_by_cut_through_is_refused_alone(chain, length, refuser, rule, tag, reason):
    chain = chain(length, at={refuser: {"rule": rule}}, cut_through_bytes=CUT).warm()
    good, agent = Steady(chain, 1, "app.x"), chain.agent()
    good.step()
    agent.send(long_event(1000, tag, LARGE))
    good.step_until(lambda: chain.first.metric("husk_messages_dropped_total"))
    expect_counted(chain, refuser, reason, 1)
    agent.send(event(1001, tag="app.x"))
    chain.aggregator.wait_for_stored(1001)
    assert 1000 not in chain.aggregator.offered
    expect_within(WORST_SECONDS, good.worst)


@refusers
def test_a_rate_limit_of_a_node_loses_nothing(chain, length, refuser):
    """All agents of a husk client are one identity: they wait together."""
    chain = chain(length, at={refuser: {"rule": "any messages-per-second=400 burst=1s"}}).warm()
    good, fast = Steady(chain, 1), chain.agent()
    numbers = range(1000, 2000)  # 1.5 s
    fast.send(*(event(number) for number in numbers))
    good.step_until(lambda: not chain.aggregator.missing(numbers))
    assert chain.husks[refuser].metric("husk_rate_limited_total"), "the limit was reached"
    assert chain.drops() == [{}] * len(chain.husks)
    expect_no_address_blamed(chain)


@in_time
def test_a_refusal_before_the_husks_know_each_other_is_one_too(chain):
    """Without TLS the link begins with the first ack, and the first message of all is refused behind that hop."""
    chain = chain(3, at={**AUTO, 3: {"rule": TAGS}}, max_attempts=3)
    agent, good = chain.agent(), Steady(chain, 1, "app.x")
    agent.send(event(1000, tag="other"))
    good.step_until(lambda: chain.first.metric("husk_messages_dropped_total"))
    agent.send(event(1001, tag="app.x"))
    chain.aggregator.wait_for_stored(1001)
    assert 1000 not in chain.aggregator.offered
    expect_within(WORST_SECONDS, good.worst)
    assert chain.last.metric("husk_messages_dropped_total", reason="tag_not_allowed") <= 3


def test_without_tls_the_husks_know_each_other_after_an_ack(chain):
    chain = chain(3, at={**AUTO, 3: {"rule": TAGS}}).warm()
    agent = chain.agent()
    agent.send(event(1, tag="other"), event(2))
    chain.aggregator.wait_for_stored(2)
    expect_counted(chain, 3, "tag_not_allowed", 1)
    expect_no_address_blamed(chain)
