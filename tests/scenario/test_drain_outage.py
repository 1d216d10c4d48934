"""husk drains while its upstream takes no connection: agents that send again go elsewhere, the others are waited for."""

import collections
import signal
import threading
import time

import pytest

from support import raw
from support.aggregators import CountingAggregator
from support.chain import AckingAgent, drops_of
from support.forward import Agent, event
from support.process import eventually

FOREVER = {"drain_quiet": "100ms", "drain_timeout": "1h"}


def acking_agent(husk):
    return AckingAgent(lambda: raw.connect(husk.address), "t")


class Stream:
    """An agent that sends one event after the other, without asking for acks."""

    def __init__(self, husk):
        self.sent, self._stopped = 0, threading.Event()
        self._agent, self._thread = Agent(raw.connect(husk.address)), threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stopped.wait(0.002):
            self._agent.send(event(self.sent))
            self.sent += 1

    def stop(self):
        self._stopped.set()
        self._thread.join()


class Site:
    """agents → husk client ═ two husk servers, each with its own aggregator"""

    def __init__(self, husk, **options):
        self.aggregators = [CountingAggregator() for _ in range(2)]
        self.servers = [husk.server(each, listen=raw.format_address(raw.free_address()), eject_time="200ms", **options)
                        for each in self.aggregators]
        self.client = husk.client([raw.format_address(each.address) for each in self.servers])

    def one_in_use(self):
        """The server that gets the messages now, and its aggregator."""
        eventually(lambda: any(each.calls for each in self.aggregators), "messages arrive")
        return next(pair for pair in zip(self.servers, self.aggregators) if pair[1].calls)

    def stored(self):
        return sum((each.stored for each in self.aggregators), collections.Counter())


@pytest.mark.parametrize("workers", [1, 2])
def test_husks_take_their_messages_to_another_server(husk, workers):
    """The aggregator ends before its husk, as in a Pod, under steady traffic."""
    site = Site(husk, workers=workers, **FOREVER)
    stream, acking = Stream(site.client), acking_agent(site.client)
    try:
        server, aggregator = site.one_in_use()
        acking.send(1_000_000)
        acking.wait_for_acks(1_000_000)
        aggregator.leave("refused")
        eventually(lambda: server.metric("husk_upstream_healthy") == 0, "the upstream fails")
        server.signal(signal.SIGTERM)
        acking.send(1_000_001)
        assert server.wait() == 0
        acking.wait_for_acks(1_000_001)
    finally:
        stream.stop()
        acking.close()
    sent = {*range(stream.sent), 1_000_000, 1_000_001}
    eventually(lambda: set(site.stored()) >= sent, "every event is stored")
    assert drops_of(site.client) == {}, "the husk in front gives up nothing"
    assert acking.ends == 0


@pytest.fixture
def outage(chain):
    """Makes agents → husk → aggregator. The aggregator has acknowledged event 0, and has ended."""
    def make(**options):
        site = chain(1, listen=raw.format_address(raw.free_address()), eject_time="200ms", **options).warm()
        site.aggregator.leave("refused")
        return site
    return make


def test_an_agent_that_waits_for_acks_is_let_go(outage):
    site = outage(**FOREVER)
    acking = site.acking_agent()
    acking.send(1, 2)
    site.first.wait_for_metric("husk_messages_received_total", 3)
    site.first.signal(signal.SIGTERM)
    assert site.first.wait() == 0
    assert acking.ends >= 1 and not acking.acked


def test_messages_of_agents_without_acks_are_waited_for_until_the_drain_timeout(outage):
    site = outage(drain_quiet="100ms", drain_timeout="5s")
    plain = site.agent()
    plain.send(event(1))
    site.first.wait_for_metric("husk_messages_received_total", 2)
    started = time.monotonic()
    site.first.signal(signal.SIGTERM)
    assert site.first.wait() == 1
    assert time.monotonic() - started >= 5


def test_an_aggregator_that_comes_back_gets_what_waits(outage):
    """Meanwhile agents that wait for acks have gone, and new connections are refused."""
    site = outage(**FOREVER)
    plain, acking = site.agent(), site.acking_agent()
    plain.send(event(1))
    acking.send(2)
    site.first.wait_for_metric("husk_messages_received_total", 3)
    site.first.signal(signal.SIGTERM)
    eventually(lambda: site.first.metric("husk_connections_ended_total", side="downstream", reason="retired"), "it is let go")
    assert [set(drops) for drops in site.drops()] == [{"left"}]
    site.first.wait_for_event(level="warn", message="upstream: connection refused; new connections are refused")
    eventually(lambda: is_refused(site.first.address), "new connections are refused")
    plain.send(event(3))
    site.first.wait_for_metric("husk_messages_received_total", 4)
    site.aggregator.come_back()
    site.aggregator.wait_for_stored(1, 3)
    assert site.first.wait() == 0


def is_refused(address):
    try:
        raw.connect(address).close()
    except ConnectionRefusedError:
        return True
    return False
