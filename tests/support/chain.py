"""Husks in series, and agents in front of them."""

import collections
import contextlib
import queue
import re
import select
import ssl
import threading

import pytest

from support import raw
from support.forward import Agent, Parser, event
from support.husk import LIGHT
from support.process import eventually


def of_length(length, *more):
    """A parameter set of a test: -k 2-husks selects this length."""
    return pytest.param(length, *more, id="-".join([f"{length}-husks", *map(str, more)]))


LENGTHS = [of_length(length) for length in (1, 2, 3)]
# For tests that take seconds each: with sanitizers, the usual length alone.
SLOW_LENGTHS = [of_length(2)] if LIGHT else LENGTHS

# The husks of a chain, from the agents to the aggregator. One husk process has TLS on one side only. Therefore the
# middle of three is two processes, joined without TLS over loopback. Before any ack, only a setting tells the first of
# them that the second is a husk. With AUTO it finds out by the first ack.
_MODES = {1: ["server"], 2: ["client", "server"], 3: ["client", "server", "client", "server"]}
_BEFORE_PLAINTEXT = 1  # index of the husk, in a chain of three
AUTO = {_BEFORE_PLAINTEXT: {"upstream_link": "auto"}}
LAST = -1


class Chain:
    """agents → husk ═ … husk → aggregator. With length 1 the agents speak TLS themselves.

    `options`: of every husk; `at`: index of a husk → its own options; `links`: index of a husk → a function that
    makes the link behind this husk from the address of the next one."""

    def __init__(self, husk, length, aggregator, options, at, links):
        modes = _MODES[length]
        self._launcher, self.aggregator, self.husks = husk, aggregator, [None] * len(modes)
        own = {_BEFORE_PLAINTEXT: {"upstream_link": "on"}} if length == 3 else {}
        for index, given in at.items():
            own[index % len(modes)] = {**own.get(index % len(modes), {}), **given}
        links = {index % len(modes): make for index, make in links.items()}
        self._starts, self._opened, upstream = {}, [], aggregator
        for index in reversed(range(len(modes))):
            if index in links:
                upstream = links[index](upstream.address)
                self._opened.append(upstream)
            start = getattr(husk, modes[index])
            given = {**options, **own.get(index, {})}
            self._starts[index] = lambda start=start, upstream=upstream, given=given, **more: start(
                upstream, **{**given, **more})
            self.husks[index] = upstream = self._starts[index]()
        self._speaks_tls = modes[0] == "server"

    @property
    def first(self):
        return self.husks[0]

    @property
    def last(self):
        return self.husks[-1]

    def warm(self):
        """Carries one event, so that each husk has had an ack. The aggregator forgets the event. Returns the chain."""
        agent = self.agent()
        agent.send(event(0))
        self.first.wait_for_metric("husk_messages_settled_total", 1)
        self.aggregator.forget()
        self._opened.append(agent)
        return self

    def kill_and_restart(self, index):
        """kill -9. The new process has the same address."""
        address = raw.format_address(self.husks[index].address)
        self.husks[index].kill()
        self.husks[index] = self._starts[index](listen=address)

    def connect(self):
        if not self._speaks_tls:
            return raw.connect(self.first.address)
        pki = self._launcher.pki
        return raw.connect_tls(self.first.address, pki.ca.cert, pki.client)

    def agent(self):
        return Agent(self.connect())

    def acking_agent(self, tag="t"):
        agent = AckingAgent(self._connect_stream, tag)
        self._opened.append(agent)
        return agent

    def close(self):
        """Ends the links and the agents that would connect again."""
        while self._opened:
            with contextlib.suppress(OSError):  # husk may have reset the connection
                self._opened.pop().close()

    def _connect_stream(self):
        sock = raw.connect(self.first.address)
        if self._speaks_tls:
            pki = self._launcher.pki
            context = raw.tls_context(False, pki.ca.cert, pki.client)
            sock = context.wrap_socket(sock, server_hostname="localhost")
        return sock

    def total(self, name, **labels):
        """The sum of a metric over all husks."""
        return sum(husk.metric(name, **labels) for husk in self.husks)

    def drops(self):
        """For each husk: the messages dropped, by reason."""
        return [drops_of(husk) for husk in self.husks]


def drops_of(husk):
    samples = re.findall(r'^husk_messages_dropped_total\{(.*)\} (\S+)$', husk.get("/metrics")[1], re.M)
    counts = collections.Counter()
    for labels, value in samples:
        counts[re.search(r'reason="(\w+)"', labels)[1]] += int(float(value))
    return {reason: count for reason, count in counts.items() if count}


class Steady:
    """Sends events one after the other. Each must be stored before the next is sent."""

    def __init__(self, chain, first_number, tag="good"):
        self._agent, self._aggregator, self._tag = chain.agent(), chain.aggregator, tag
        self._next, self.worst = first_number, 0.0

    def step(self):
        self._agent.send(event(self._next, tag=self._tag))
        self.worst = max(self.worst, self._aggregator.wait_for_stored(self._next))
        self._next += 1

    def step_until(self, condition, limit=20000):
        """Sends until `condition` is true, and one event more."""
        for _ in range(limit):
            if condition():
                break
            self.step()
        else:
            raise AssertionError(f"still not after {limit} events")
        self.step()


class AckingAgent:
    """Asks for an ack of each event, as Fluentd does with require_ack_response: keeps the event until its ack, and
    sends it again when the connection ends. One thread does all of it, because an SSL object serves one thread."""

    def __init__(self, connect, tag):
        self._connect, self._tag = connect, tag
        self._wanted, self._unacked = queue.SimpleQueue(), {}
        self.ends = 0  # connections that have ended
        self.acked = set()
        self._sock, self._out, self._parser = None, bytearray(), None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, *numbers):
        for number in numbers:
            self._wanted.put(number)

    def wait_for_acks(self, *numbers, timeout=30.0):
        missing = lambda: [number for number in numbers if number not in self.acked]
        eventually(lambda: not missing(), f"acks of {len(numbers)} events", timeout)

    def close(self):
        self._stopped = True
        self._thread.join()

    def _run(self):
        while not self._stopped:
            try:
                if self._sock is None:
                    self._open()
                self._step()
            except (ConnectionError, ssl.SSLError, EOFError, TimeoutError):
                self.ends += self._sock is not None
                self._sock = None
                select.select([], [], [], 0.02)
        if self._sock:
            self._sock.close()

    def _open(self):
        sock = self._connect()
        sock.setblocking(False)
        self._sock, self._parser = sock, Parser()
        self._out = bytearray().join(self._unacked.values())

    def _step(self):
        while not self._wanted.empty():
            number = self._wanted.get()
            self._unacked[f"{number}"] = event(number, f"{number}", self._tag)
            self._out += self._unacked[f"{number}"]
        if self._out:
            self._try(self._write)
        if not self._try(self._read):
            select.select([self._sock], [self._sock] if self._out else [], [], 0.02)

    @staticmethod
    def _try(step):
        try:
            return step()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False

    def _write(self):
        del self._out[:self._sock.send(self._out[:16384])]
        return True

    def _read(self):
        data = self._sock.recv(65536)
        if not data:
            raise EOFError
        for _, value in self._parser.feed(data):
            if self._unacked.pop(value["ack"], None):
                self.acked.add(int(value["ack"]))
        return True
