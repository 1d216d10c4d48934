"""Programs are killed at random under load, and every numbered event arrives at least once.

HUSK_KILLS: number of kills (default 6). HUSK_SEED: seed of the random times and programs."""

import collections
import os
import random
import sys
import threading
import time
import types

import pytest

from support import forward, raw
from support.fluentd import Agent, Fluentd, source
from support.forward import event
from support.process import Program, eventually
from test_interop import HERE

KILLS = int(os.environ.get("HUSK_KILLS", 6))
SEED = int(os.environ.get("HUSK_SEED", 1))
ROUND = 5000  # events between two kills of husk client
WAIT_SECONDS = 60.0  # after a kill each of two husks may wait up to 5 s before it dials again


class Recorder:
    """A Fluentd that writes each event to a file before it acks the event, so that a kill loses no acked event."""

    def __init__(self, programs, directory):
        self.address, self._programs, self._directory = raw.free_address(), programs, directory
        self.path = directory / "taken.txt"
        self.path.touch()
        self.start()

    def start(self):
        self.fluentd = self._programs.add(Fluentd("aggregator", self._directory, source(self.address) + f"""
            <match **>
              @type recorder
              path {self.path}
            </match>
        """))
        self.fluentd.wait_started()

    def taken(self, tag):
        """Number of an event → how often it has arrived."""
        whole, _, _ = self.path.read_text().rpartition("\n")
        lines = (line.split(" ") for line in whole.splitlines())
        return collections.Counter(int(number) for own_tag, number in lines if own_tag == tag)

    def wait_for(self, tag, count):
        eventually(lambda: len(self.taken(tag)) >= count, f"{count} events of {tag}", WAIT_SECONDS)

    def restart(self):
        self.fluentd.kill()
        self.start()


class Restarting:
    """A husk with a fixed address. `make` starts it."""

    def __init__(self, make):
        self.address = raw.free_address()
        self._make = lambda: make(listen=raw.format_address(self.address))
        self.husk = self._make()

    def restart(self):
        self.husk.kill()
        self.husk = self._make()


class Flood:
    """Agents without acks that send small messages until stop() is called, first many and then few."""

    BURST, MANY = 40, 20_000

    def __init__(self, address, tags):
        self.sent = collections.Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(address, tag), daemon=True) for tag in tags]
        for thread in self._threads:
            thread.start()

    def _run(self, address, tag):
        agent = forward.Agent(raw.connect(address))
        while not self._over.wait(0.01 if self.sent[tag] < self.MANY else 0.5):
            first = self.sent[tag]
            agent.send(*(event(number, tag=tag) for number in range(first, first + self.BURST)))
            self.sent[tag] += self.BURST
        agent.close()

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def site(husk, programs, tmp_path):
    recorder = Recorder(programs, tmp_path)
    server = Restarting(lambda **options: husk.server(recorder, **options))
    client = Restarting(lambda **options: husk.client(server, **options))
    return types.SimpleNamespace(recorder=recorder, server=server, client=client)


def report(what, sent, taken, since):
    print(f"{what}: {sent} events sent, {sent - len(taken)} lost, {sum(taken.values()) - len(taken)} duplicates, "
          f"{time.monotonic() - since:.0f} s")


def test_nothing_is_lost_when_husk_server_and_fluentd_are_killed(site, programs):
    chance, start, restarts = random.Random(SEED), time.monotonic(), collections.Counter()
    flood = Flood(site.client.address, ["a", "b", "c"])
    loggers = {}
    for number in range(KILLS):
        if number % 3 == 0:
            tag = f"python{number}"
            loggers[tag] = programs.add(Program([sys.executable, HERE / "agent_python.py", site.client.address[0],
                                                 str(site.client.address[1]), tag, "2000"], tag))
        time.sleep(chance.uniform(0.05, 0.8))  # a random moment
        name = chance.choice(["server", "recorder"])
        restarts[name] += 1
        vars(site)[name].restart()
    flood.stop()
    for tag, logger in loggers.items():
        assert logger.wait() == 0, logger.tail()
        flood.sent[tag] = 2000
    for tag, sent in flood.sent.items():
        try:
            site.recorder.wait_for(tag, sent)
        finally:
            report(f"{tag}, {dict(restarts)}", sent, site.recorder.taken(tag), start)
        assert set(site.recorder.taken(tag)) == set(range(sent))
    assert site.client.husk.metric("husk_messages_dropped_total") == 0


def test_an_agent_with_acks_loses_nothing_when_husk_client_is_killed(site, programs, tmp_path):
    chance, start, tag = random.Random(SEED), time.monotonic(), "acked"
    agent = programs.add(Agent(tmp_path, {tag: f"""
        require_ack_response true
        ack_response_timeout 3s
        <server>
          host {site.client.address[0]}
          port {site.client.address[1]}
        </server>
    """}, ROUND))
    sent, kills = ROUND, 0
    while kills < 3:
        enough = sent - ROUND + chance.randrange(ROUND // 2)
        eventually(lambda: len(site.recorder.taken(tag)) > enough, "some events have arrived", WAIT_SECONDS)
        kills += len(site.recorder.taken(tag)) < sent  # otherwise this kill comes too late
        site.client.restart()
        agent.emit(tag, ROUND)
        sent += ROUND
        assert sent < 20 * ROUND, "all kills come too late"
    site.recorder.wait_for(tag, sent)
    report(tag, sent, site.recorder.taken(tag), start)
    assert set(site.recorder.taken(tag)) == set(range(sent))
