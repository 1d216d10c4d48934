"""Messages at husk's limits, during reload and drain, and after the loss of an upstream.

The same for --protocol tcp: test_limits, test_lifecycle, test_upstreams."""

import signal

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked, event
from support.process import eventually
from support.timing import undisturbed


def agent_of(husk):
    return Agent(raw.connect(husk.address))


# ---- limits ----

@pytest.mark.parametrize("mode", ["client", "server"])
def test_running_out_of_descriptors_pauses_accepting_and_recovers_by_itself(pair, husk, mode):
    pair = pair(**{mode: {"prefix": ("prlimit", "--nofile=64")}})
    limited = getattr(pair, mode)
    talking = pair.agent()
    carry_acked(talking, 0, "before")
    descriptors = limited.descriptors()
    idle = raw.connect_many([limited.address] * 100)
    limited.wait_for_event(level="warn", message="accepting paused: Too many open files")
    carry_acked(talking, 1, "meanwhile")
    for one in idle:
        one.close()
    eventually(lambda: limited.descriptors() <= descriptors, "the descriptors are closed")
    carry_acked(pair.agent(), 2, "after")


def test_agents_beyond_the_limit_wait_until_one_ends(pair):
    pair = pair(client={"max_connections": 2, "workers": 1})
    first, second = pair.agent(), pair.agent()
    carry_acked(first, 1, "first")
    carry_acked(second, 2, "second")
    third = pair.agent()
    third.send(event(3, "third"))
    pair.client.wait_for_metric("husk_accept_limited_total", 1)
    carry_acked(second, 4, "again")
    assert pair.aggregator.numbers() == [1, 2, 4]
    first.close()
    third.expect_ack("third")


@undisturbed
def test_a_silent_peer_ends_at_the_handshake_timeout_and_delays_no_other(pair):
    pair = pair(server={"handshake_timeout": "300ms", "workers": 1})
    silent = [raw.connect(pair.server.address) for _ in range(20)]
    carry_acked(pair.agent(), 1, "one")
    for one in silent:
        raw.assert_closed(one)
    assert pair.server.metric("husk_connections_ended_total", reason="handshake_timeout", side="downstream") == 20


def test_an_upstream_that_never_completes_a_handshake_costs_no_message(husk):
    """The agent asks for no ack. Its message goes to another upstream."""
    silent, aggregator = raw.Listener(), Aggregator()
    server = husk.server(aggregator)
    client = husk.client([raw.format_address(silent.address), raw.format_address(server.address) + ",standby"],
                         handshake_timeout="300ms")
    agent = agent_of(client)
    agent.send(event(1))
    agent.close()
    assert aggregator.wait_for(1)[0].number == 1
    assert client.metric("husk_messages_dropped_total") == 0


# ---- several upstreams ----

def test_messages_go_to_the_standby_only_while_the_first_upstream_is_down(husk):
    first, standby = Aggregator(), Aggregator()
    server = husk.server([raw.format_address(first.address), raw.format_address(standby.address) + ",standby"],
                         eject_time="100ms", eject_time_max="100ms")
    client = husk.client(server)
    agent = agent_of(client)
    carry_acked(agent, 1, "one")
    first.kill()
    carry_acked(agent, 2, "two")
    assert (first.numbers(), standby.numbers()) == ([1], [2])
    first.revive()

    def comes_back():
        standby.end_connections()
        carry_acked(agent, 3, "more")
        return 3 in first.numbers()
    eventually(comes_back, "the first is used again")


# ---- reload ----

def test_retained_messages_of_a_refused_client_go_up_after_its_reload(pair, pki, mounted):
    pair = pair(client={"certificate": mounted(pki.foreign_client)})
    agent = pair.agent()
    agent.send(event(1), event(2, "two"))
    pair.client.wait_for_event(reason="tls_rejected", side="upstream")
    mounted(pki.client)
    pair.client.signal(signal.SIGHUP)
    agent.expect_ack("two")
    assert pair.aggregator.numbers() == [1, 2]


def test_a_reload_does_not_disturb_unacked_messages(pair, pki, mounted):
    pair = pair(acks=False, server={"certificate": mounted(pki.server)})
    agent = pair.agent()
    agent.send(event(1, "one"))
    sent = pair.aggregator.wait_for(1)
    mounted(pki.next_server)
    pair.server.signal(signal.SIGHUP)
    pair.server.wait_for_metric("husk_reloads_total", 1, result="success")
    pair.aggregator.ack(*sent)
    agent.expect_ack("one")
    assert pair.aggregator.numbers() == [1] and len(pair.aggregator.connections) == 1
    assert not pair.server.problems() and not pair.client.problems()


# ---- end ----

@pytest.mark.parametrize("which", ["client", "server"])
def test_an_agent_that_connects_during_the_drain_is_served(pair, which):
    pair = pair(**{which: {"drain_quiet": "2s", "drain_timeout": "20s"}})
    carry_acked(pair.agent(), 0, "before")
    draining = getattr(pair, which)
    draining.signal(signal.SIGTERM)
    eventually(lambda: draining.metric("husk_draining") == 1, "husk drains")
    draining.signal(signal.SIGHUP)  # ignored
    carry_acked(pair.agent(), 1, "late")
    assert draining.wait() == 0


def test_a_drain_does_not_wait_for_the_back_off_of_a_retry(half):
    """After its sixth attempt the message waits for 1.6 s. This is longer than the drain may take."""
    refusals = 6
    half = half(acks=lambda _: Aggregator.REFUSE if len(half.aggregator.messages) < refusals else True,
                drain_timeout="1s")
    agent = half.agent()
    agent.send(event(0, "zero"))
    half.aggregator.wait_for(refusals)
    half.husk.signal(signal.SIGTERM)
    agent.expect_ack("zero")
    agent.close()
    assert half.husk.wait() == 0
