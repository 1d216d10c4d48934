"""The scenarios: each one starts a new pair, applies a load, and returns figures by name.

agents (a load generator) → client half ═ TLS ═ server half → sink. CPU seconds are those of the processes of one half
between "go" and the last event at the sink.
"""

import contextlib
import dataclasses
import os
import pathlib
import time
import typing

from candidates import Site
from checks import LOADS_PERCENT
from programs import WAIT_LIMIT_S, Failed, Program, free_port

GB = 1e9
ACK_WAIT_S = 0.05  # for the last acks, so that their cost is counted


@dataclasses.dataclass(frozen=True)
class Bench:
    """The parameters that all measurements of a run share."""

    build: pathlib.Path
    pki: pathlib.Path
    directory: pathlib.Path


class Pair:
    """The two halves of a candidate and the sink behind them, started and stopped together."""

    def __init__(self, bench, candidate, workers, connections):
        self._bench, self._stack = bench, contextlib.ExitStack()
        self.candidate = candidate
        sink_port, server_port, self.port = free_port(), free_port(), free_port()
        self.server_port = server_port
        try:
            self.sink = self.start([bench.build / "bench/load/sink", sink_port], "sink")
            self.sink.read_line()
            common = (workers, connections)
            self.server = self._start_half("server", server_port, sink_port, *common)
            self.client = self._start_half("client", self.port, server_port, *common)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def start(self, argv, name, env=None):
        program = Program(argv, self._bench.directory / f"{self.candidate.name}-{name}.log", env)
        self._stack.callback(program.stop)
        return program

    def load(self, name, *arguments):
        """Starts a load generator, which waits for "go"."""
        return self.start([self._bench.build / "bench/load" / name, *arguments], name)

    def handshakes(self, count, mode):
        """Starts TLS clients of the server half. They are ready when husk has served the first of them."""
        keys = [self._bench.pki / f"{name}.pem" for name in ("client.crt", "client.key", "ca.crt")]
        return self.load("handshakes", self.server_port, count, mode, *keys)

    def _start_half(self, role, listen, upstream, workers, connections):
        directory = self._bench.directory / role
        directory.mkdir(exist_ok=True)
        site = Site(self._bench.build, self._bench.pki, directory, listen, upstream, workers, connections)
        program = self.start(getattr(self.candidate, role)(site), role, self.candidate.environment(site))
        program.wait_until_it_listens(listen)
        return program

    def halves(self):
        """The halves of which figures are reported."""
        return [(role, getattr(self, role)) for role in self.candidate.halves]


class Meter:
    """Measures the CPU time of the halves since its creation."""

    def __init__(self, pair):
        self._halves = pair.halves()
        self._threads = {role: half.thread_seconds() for role, half in self._halves}
        self._cpu = {role: half.cpu_seconds() for role, half in self._halves}
        self._start = time.monotonic()

    def cpu(self):
        spent = {role: half.cpu_seconds() - self._cpu[role] for role, half in self._halves}
        if len(spent) == 2:
            spent["both"] = sum(spent.values())
        return spent

    def busiest_thread(self):
        """CPU time of the busiest thread: with a core for each thread, the work would take this time."""
        return {role: max(seconds - self._threads[role].get(thread, 0)
                          for thread, seconds in half.thread_seconds().items()) for role, half in self._halves}


def _figures(prefix, values, unit):
    return {f"{role}_{prefix}": value / unit for role, value in values.items()}


def ready(load):
    """Waits until a load generator is ready. Returns the number of messages that it will send."""
    word, number = load.read_line().split()
    assert word == "ready"
    return int(number)


def _run(pair, load):
    """Starts a load and waits until all events have arrived.

    Returns the meter, the number of events and the sink's report.
    """
    events = ready(load)
    pair.sink.say(events)
    pair.sink.read_line()
    meter = Meter(pair)
    load.say("go")
    try:
        report = pair.sink.read_json()
    except Failed:
        pair.sink.say("")
        raise Failed(f"{pair.sink.read_json()['events']} of {events} events arrived") from None
    time.sleep(ACK_WAIT_S)
    return meter, events, report


# ---- throughput -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Stream:
    """Messages in one direction, as fast as the candidate accepts them."""

    kind: str
    message_bytes: int
    write_bytes: int
    total_bytes: int
    connections: int = 4
    workers: int = 1

    def measure(self, bench, candidate):
        with Pair(bench, candidate, self.workers, self.connections) as pair:
            messages = int(self.total_bytes * candidate.share) // self.message_bytes
            load = pair.load("stream", pair.port, self.connections, self.kind, self.message_bytes, messages,
                             self.write_bytes, 0)
            meter, _, report = _run(pair, load)
            # Counts the bytes that the load sent: bytes that husk adds are no payload.
            sent = self._sent_bytes(messages) / GB
            return {**_figures("cpu_s_per_gb", meter.cpu(), sent), "gb_per_s": sent / report["seconds"],
                    **_figures("busiest_s_per_gb", meter.busiest_thread(), sent),
                    "load_cpu_s_per_gb": load.cpu_seconds() / sent, "sink_cpu_s_per_gb": pair.sink.cpu_seconds() / sent}

    def _sent_bytes(self, messages):
        """Rounds as stream.c does: each connection sends the same number of whole writes."""
        write = max(1, self.write_bytes // self.message_bytes)
        return -(-messages // (self.connections * write)) * self.connections * write * self.message_bytes


# ---- connections ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Short:
    """Fluentd's default: one connection for each chunk, and one heartbeat connection for each chunk."""

    chunks: int
    chunk_bytes: int = 4096
    heartbeats: int = 1
    rate: int = 100

    def measure(self, bench, candidate):
        with Pair(bench, candidate, 1, 1000) as pair:
            load = pair.load("short", pair.port, self.chunks, self.chunk_bytes, self.heartbeats, self.rate)
            meter, chunks, _ = _run(pair, load)
            return _figures("cpu_ms_per_chunk", meter.cpu(), chunks / 1e3)


@dataclasses.dataclass(frozen=True)
class Idle:
    """Memory of connections that have carried one acknowledged message and are now idle.

    The first connections are not counted: they make a process load code and buffers that it keeps.
    """

    connections: int
    first: int = 64

    def measure(self, bench, candidate):
        with Pair(bench, candidate, 1, self.first + self.connections) as pair:
            rest = {role: half.resident_kib() for role, half in pair.halves()}
            shares = {role: half.proportional_kib() for role, half in pair.halves()}
            self._open(pair, self.first)
            used = {role: half.resident_kib() for role, half in pair.halves()}
            self._open(pair, self.connections)
            grown = {role: half.resident_kib() - used[role] for role, half in pair.halves()}
            return {**_figures("rest_mib", rest, 1024), **_figures("used_mib", used, 1024),
                    **_figures("kib_per_connection", grown, self.connections),
                    **{f"{role}_rest_pss_mib": kib / 1024 for role, kib in shares.items() if kib is not None}}

    @staticmethod
    def _open(pair, connections):
        ready(pair.load("stream", pair.port, connections, "single", 512, 1, 1, 1))


@dataclasses.dataclass(frozen=True)
class Spread:
    """A fixed rate of messages over a given number of connections."""

    connections: int
    messages: int
    rate: int
    message_bytes: int = 4096

    def measure(self, bench, candidate):
        with Pair(bench, candidate, 1, self.connections) as pair:
            load = pair.load("stream", pair.port, self.connections, "packed", self.message_bytes, self.messages, 1,
                             self.rate)
            meter, messages, _ = _run(pair, load)
            return _figures("cpu_us_per_message", meter.cpu(), messages / 1e6)


@dataclasses.dataclass(frozen=True)
class Handshakes:
    """Handshakes of a server half with the TLS clients of bench/load: full, or resumed if the half supports it."""

    count: int
    mode: str

    def measure(self, bench, candidate):
        with Pair(bench, candidate, 1, 1000) as pair:
            load = pair.handshakes(self.count, self.mode)
            handshakes = ready(load)
            meter = Meter(pair)
            load.say("go")
            result = load.read_json()
            spent = meter.cpu()["server"]
            return {"server_cpu_ms_per_handshake": spent / handshakes * 1e3,
                    "resumed_share": result["resumed"] / handshakes}


# ---- latency ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class RoundTrip:
    """Time from a message's due time to its ack. `rate` None: full rate, with 64 messages in flight at all times."""

    seconds: float
    rate: typing.Optional[float] = None
    connections: int = 16
    message_bytes: int = 512

    CAPACITY_MESSAGES = 40000

    def measure(self, bench, candidate):
        with Pair(bench, candidate, 1, self.connections) as pair:
            return self.measure_in(pair)

    def measure_in(self, pair):
        messages = self.CAPACITY_MESSAGES if self.rate is None else max(100, round(self.rate * self.seconds))
        load = pair.load("roundtrip", pair.port, self.connections, self.message_bytes, messages, round(self.rate or 0))
        ready(load)
        meter = Meter(pair)
        load.say("go")
        result = load.read_json(self.seconds + WAIT_LIMIT_S)
        figures = {"messages_per_s": messages / result["seconds"],
                   **_figures("cpu_us_per_message", meter.cpu(), messages / 1e6)}
        if self.rate is not None:
            figures.update({name: result[name] for name in ("p50_us", "p90_us", "p99_us", "max_us")})
        return figures


# ---- plans of a run ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Plan:
    """One scenario in the results: its candidates and its number of rounds."""

    name: str
    title: str
    scenario: typing.Any
    rounds: int
    candidates: tuple

    @property
    def family(self):
        """Plans of one family are compared with each other, so their rounds are interleaved."""
        return self.name.split("_")[0]


HUSKS = ("husk", "husk-passthrough", "husk-tcp")
BYTE_PEERS = ("stunnel", "haproxy", "nginx", "hitch", "ghostunnel")
PAIR_PEERS = tuple(name for name in BYTE_PEERS if name != "hitch")


def connection_limit():
    """The most connections for all candidates: a byte proxy needs two descriptors for each connection, and stunnel uses
    only 125 of 256 descriptors for connections."""
    return os.sysconf("SC_OPEN_MAX") * 125 // 256 - 64


def plans(quick):
    """Yields all plans except those of latency_plans, which need the capacities measured here."""
    size = 400_000_000 if quick else 2_000_000_000
    rounds = 1 if quick else 5
    few = 1 if quick else 3
    many = [n for n in (100, 1000, 10000) if not quick or n <= 1000]
    all_of_them = ("floor", *HUSKS, *BYTE_PEERS)

    yield Plan("bulk", "Bulk: PackedForward of 64 KiB", Stream("packed", 65536, 65536, size), rounds, all_of_them)
    yield Plan("small", "Small: single messages of 512 bytes, 32 in a write", Stream("single", 512, 16384, size),
               rounds, all_of_them)
    yield Plan("events", "Arrays: 400 events of 256 bytes, Forward mode", Stream("events", 102400, 102400, size),
               rounds, (*all_of_them, "fluent-bit"))
    yield Plan("short", "Short connections: one 4 KiB chunk and one heartbeat", Short(100 if quick else 1000),
               rounds, (*HUSKS, *PAIR_PEERS))
    yield Plan("idle", "Idle connections: memory", Idle(500 if quick else 1000), few,
               (*HUSKS, "husk-many-tls", *BYTE_PEERS))
    for mode in ("full", "resumed"):
        yield Plan(f"handshakes_{mode}", f"Handshakes, {mode}: server half", Handshakes(200 if quick else 2000, mode),
                   few, ("husk-tcp", "husk-many-tls", *BYTE_PEERS))
    for workers in (1, 2):
        yield Plan(f"workers_{workers}", f"Bulk over 256 connections, workers: {workers}",
                   Stream("packed", 65536, 65536, size, connections=256, workers=workers), few, (*HUSKS, *BYTE_PEERS))
    for wanted in many:
        connections = min(wanted, connection_limit())
        yield Plan(f"connections_{wanted}", f"{connections:,} connections, a 4 KiB message on each in turn",
                   Spread(connections, 5000 if quick else 20000, 5000), few, (*HUSKS, *PAIR_PEERS))
    yield Plan("capacity", "Acknowledged messages of 512 bytes, full rate", RoundTrip(0), few,
               (*HUSKS, *PAIR_PEERS))


def latency_plans(quick, messages_per_s):
    """`messages_per_s` is the capacity of the slowest candidate; all candidates get the same shares of it as load."""
    for percent in LOADS_PERCENT:
        yield Plan(f"latency_{percent}", f"Round trip at {percent} % load ({messages_per_s * percent / 100:,.0f}/s)",
                   RoundTrip(1 if quick else 5, messages_per_s * percent / 100), 1 if quick else 3,
                   (*HUSKS, *PAIR_PEERS))
