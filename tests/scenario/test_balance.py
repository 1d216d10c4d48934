"""Several upstreams of --protocol forward: which one gets a message, when husk dials, when a connection retires."""

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked, event, message
from support.name_server import NameServer
from support.process import eventually
from support.timing import undisturbed

NAME = "logs.test"
LARGE = b"x" * 40000


def text(aggregator, suffix=""):
    return raw.format_address(aggregator.address) + suffix


class Site:
    """agents → husk client ═ husk server → several aggregators"""

    def __init__(self, husk, upstreams, **options):
        self.server = husk.server(upstreams, **options)
        self.client = husk.client(self.server)

    def agent(self):
        return Agent(raw.connect(self.client.address))

    def opened(self):
        return self.server.metric("husk_connections_opened_total", side="upstream")


@pytest.fixture
def site(husk):
    return lambda *upstreams, **options: Site(husk, list(upstreams), **options)


def carry(agent, number):
    carry_acked(agent, number, f"{number}")


def send_until_all_have(agent, aggregators, first=0):
    """Sends until each aggregator has a message. No aggregator acks, so every connection stays busy."""
    sent = first

    def all_have():
        nonlocal sent
        agent.send(message("t", 1, {"n": sent, "pad": LARGE}))
        sent += 1
        return all(any(one.number >= first for one in aggregator.messages) for aggregator in aggregators)
    eventually(all_have, "each has a message")
    return sent


def settle(*aggregators):
    for aggregator in aggregators:
        aggregator.acks = True
        aggregator.ack(*aggregator.messages)


def numbers_of(*aggregators):
    return [number for aggregator in aggregators for number in aggregator.numbers()]


def test_one_connection_is_enough_while_it_is_not_busy(site):
    one, two = Aggregator(), Aggregator()
    site = site(text(one), text(two))
    agent = site.agent()
    for number in range(20):
        carry(agent, number)
    assert site.opened() == 1 and len(one.messages) + len(two.messages) == 20


def test_one_agents_messages_are_spread_over_busy_aggregators(site):
    aggregators = [Aggregator(acks=False) for _ in range(3)]
    site = site(*map(text, aggregators))
    agent = site.agent()
    sent = send_until_all_have(agent, aggregators)
    settle(*aggregators)
    site.server.wait_for_metric("husk_messages_settled_total", sent)
    assert sorted(numbers_of(*aggregators)) == list(range(sent))


def test_unacked_messages_of_a_killed_aggregator_go_to_the_other(site):
    one, two = Aggregator(acks=False), Aggregator(acks=False)
    site = site(text(one), text(two))
    agent = site.agent()
    sent = send_until_all_have(agent, [one, two])
    one.kill()
    settle(two)
    eventually(lambda: set(two.numbers()) | set(one.numbers()) >= set(range(sent)) and
               set(two.numbers()) >= set(one.numbers()), "the other aggregator has all messages")
    carry(agent, 10000)
    assert site.server.metric("husk_messages_dropped_total") == 0


@undisturbed
def test_an_aggregator_that_hangs_is_ejected(site):
    hung, alive = Aggregator(acks=False), Aggregator()
    site = site(text(hung), text(alive), ack_timeout="300ms", eject_time="1m")
    agents = [site.agent() for _ in range(4)]
    for number, agent in enumerate(agents):
        agent.send(event(number, f"{number}"))
    for number, agent in enumerate(agents):
        agent.expect_ack(f"{number}")
    before = len(hung.messages)
    for number in range(20):
        carry(agents[0], 100 + number)
    assert len(hung.messages) == before and site.server.metric("husk_messages_dropped_total") == 0


@pytest.mark.parametrize("fails", ["hangs", "is gone"])
def test_husk_is_ready_while_another_address_acknowledges(site, fails):
    failing, alive = Aggregator(acks=False), Aggregator(acks=False)
    site = site(text(failing), text(alive), ack_timeout="1s", eject_time="1m")
    sent = send_until_all_have(site.agent(), [failing, alive])
    settle(alive)
    if fails == "is gone":
        failing.kill()
    site.server.wait_for_metric("husk_messages_settled_total", sent)
    assert site.server.metric("husk_connections_ended_total", side="upstream") >= 1
    assert site.server.get("/ready") == (200, "ready\n")


def test_an_ack_of_a_connection_that_retires_hides_no_failure(site):
    aggregator = Aggregator(acks=False)
    site = site(text(aggregator), max_connection_age="150ms", connect_timeout="1s")
    agent = site.agent()
    agent.send(event(1, "one"), event(2, "two"))
    first, _ = aggregator.wait_for(2)
    aggregator.stop_listening()
    raw.FullListener(aggregator.address)

    def is_dialled_anew():
        agent.send(event(3))
        return site.server.events(reason="connect_timeout")
    eventually(is_dialled_anew, "another connection is dialled")
    aggregator.ack(first)
    agent.expect_ack("one")
    assert site.server.get("/ready") == (503, "upstream: connecting timed out\n")


def test_an_address_added_in_dns_is_used_and_a_removed_one_retires_between_messages(site):
    first = Aggregator(acks=False, address=("127.0.0.2", raw.free_address()[1]))
    second = Aggregator(acks=False, address=("127.0.0.3", first.address[1]))
    names = NameServer(hosts={NAME: ["127.0.0.2"]}, ttl=0)
    site = site(f"{NAME}:{first.address[1]}", dns_servers=names.text, dns_min_ttl="50ms")
    agent = site.agent()
    sent = send_until_all_have(agent, [first])
    names.hosts[NAME] = ["127.0.0.2", "127.0.0.3"]
    sent = send_until_all_have(agent, [second], sent)
    names.hosts[NAME] = ["127.0.0.3"]
    settle(first, second)
    site.server.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="retired")
    carry(agent, 10000)
    assert second.messages[-1].number == 10000
    assert sorted(numbers_of(first, second)) == [*range(sent), 10000]
    assert site.server.metric("husk_messages_retried_total") == 0


def test_a_standby_is_used_only_while_the_primary_is_down(site):
    primary, standby = Aggregator(), Aggregator()
    site = site(text(standby, ",standby"), text(primary), eject_time="100ms", eject_time_max="100ms")
    agent = site.agent()
    carry(agent, 1)
    assert primary.numbers() == [1]
    primary.kill()
    carry(agent, 2)
    assert standby.numbers() == [2]
    primary.revive()

    def is_back():
        number = 10 + len(primary.messages) + len(standby.messages)
        carry(agent, number)
        return primary.messages[-1].number == number
    eventually(is_back, "the primary is used again")
    site.server.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="retired")


def test_a_connection_is_replaced_at_its_maximum_age_without_a_lost_message(site):
    aggregator = Aggregator()
    site = site(text(aggregator), max_connection_age="150ms")
    agent, number = site.agent(), 0
    while site.opened() < 4:
        carry(agent, number)
        number += 1
    agent.expect_nothing_more()
    assert aggregator.numbers() == list(range(number))
    assert not site.server.problems()


def test_an_old_connection_waits_for_its_acks(site):
    aggregator = Aggregator(acks=False)
    site = site(text(aggregator), max_connection_age="150ms")
    agent = site.agent()
    agent.send(event(1, "one"))
    first, = aggregator.wait_for(1)
    second_agent = site.agent()
    aggregator.acks = lambda received: received.number > 1

    def is_made_anew():
        carry(second_agent, 2)
        return aggregator.messages[-1].connection.number > 0
    eventually(is_made_anew, "another connection is used")
    assert not first.connection.ended
    aggregator.ack(first)
    agent.expect_ack("one")
    aggregator.wait_until(lambda _: first.connection.ended, "the old connection ends")


def test_unacked_messages_are_shared_by_weight(site):
    heavy, light = Aggregator(acks=False), Aggregator(acks=False)
    site = site(text(heavy, ",weight=4"), text(light), retain_bytes="8MiB")
    agents = [site.agent() for _ in range(8)]
    send_until_all_have(agents[0], [heavy, light])
    for number in range(80):
        agents[number % 8].send(message("t", 1, {"n": 1000 + number, "pad": LARGE}))
    eventually(lambda: len(set(numbers_of(heavy, light))) >= 80, "all messages have arrived")
    assert len(heavy.messages) > 1.5 * len(light.messages)


def test_few_long_connections_are_spread_evenly_over_workers(husk):
    """The kernel distributes connections to the workers by chance."""
    server = husk.server(Aggregator(), workers=4)
    peers = [raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client) for _ in range(4)]
    for number, peer in enumerate(peers):
        agent = Agent(peer)
        agent.send(event(number, f"{number}"))
        agent.expect_ack(f"{number}")
    # Each worker has one agent and therefore one upstream connection.
    assert server.metric("husk_connections_opened_total", side="upstream") == 4
