#!/usr/bin/python3
"""Calculates the cores, memory and connections that husk needs for a number of agents, from measured constants.

usage: capacity.py [--results FILE] --agents N --rate MB/S [options]    see docs/capacity.md
       capacity.py [--results FILE] --check        compares the model with measurements not used for it
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys

import checks
from medians import Medians

MB, GB, MIB, KIB = 1e6, 1e9, 1 << 20, 1 << 10
SMALL_BYTES, BULK_BYTES, SPREAD_BYTES, ARRAY_BYTES = 512, 65536, 4096, 102400  # message sizes of the scenarios
SPREAD_RATE = 5000  # messages per second in the scenario connections_100
MAX_UPSTREAM_CONNECTIONS = 2  # husk's default, as is RETAIN_BYTES
RETAIN_BYTES = 16 * MIB
HANDSHAKE_BYTES = 16 << 20  # --handshake-memory


@dataclasses.dataclass(frozen=True)
class Half:
    """The cost of one half: CPU seconds, memory in bytes."""

    byte_s: float  # moving and sealing one byte
    message_s: float  # scanning, retaining, acknowledging one message while the worker is awake
    wake_s: float  # in addition, for a message that wakes the worker
    base_bytes: float  # a process that has carried messages
    connection_bytes: float  # an idle connection: from an agent (client) or from a client half (server)

    def work_s(self, message_bytes):
        """CPU seconds for one message while the worker is awake."""
        return message_bytes * self.byte_s + self.message_s

    def utilisation(self, messages_per_s, message_bytes):
        """The share u of its time for which a worker is busy. With probability u a message finds the worker awake:
        u = rate × (work + wake × (1 - u)). At 1 and above the worker never sleeps, and only the work counts."""
        work, wake = messages_per_s * self.work_s(message_bytes), messages_per_s * self.wake_s
        return work if work >= 1 else (work + wake) / (1 + wake)

    def rate_at(self, utilisation, message_bytes):
        """The inverse: messages per second that keep a worker busy for this share (below 1) of its time."""
        return utilisation / (self.work_s(message_bytes) + self.wake_s * (1 - utilisation))


@dataclasses.dataclass(frozen=True)
class Constants:
    client: Half
    server: Half
    handshake_s: float  # a full handshake, in the server half


def constants(results):
    """Calculates the cost of one byte, one message and one wake-up from the medians of a run."""
    medians = Medians(results)
    halves = {half: _half(medians, half) for half in checks.HALVES}
    handshake_ms = medians.of("handshakes_full", "husk-many-tls", "server_cpu_ms_per_handshake")
    return Constants(**halves, handshake_s=handshake_ms / 1e3)


def _half(medians, half):
    bulk, small = (medians.of(name, "husk", f"{half}_cpu_s_per_gb") / GB for name in ("bulk", "small"))
    message_s = max(0.0, (small - bulk) / (1 / SMALL_BYTES - 1 / BULK_BYTES))
    byte_s = bulk - message_s / BULK_BYTES
    spread_s = medians.of("connections_100", "husk", f"{half}_cpu_us_per_message") / 1e6
    wake_s = max(0.0, spread_s - (SPREAD_BYTES * byte_s + message_s)) / (1 - SPREAD_RATE * spread_s)
    connection = ("husk", "client") if half == "client" else ("husk-many-tls", "server")
    return Half(byte_s, message_s, wake_s, medians.of("idle", connection[0], f"{half}_used_mib") * MIB,
                medians.of("idle", connection[0], f"{half}_kib_per_connection") * KIB)


@dataclasses.dataclass(frozen=True)
class Demand:
    agents: int
    agent_bytes_per_s: float
    message_bytes: float
    agents_per_node: int
    utilisation: float  # the average share of its time for which a worker may be busy
    replica_workers: int  # the maximum for one server half


@dataclasses.dataclass(frozen=True)
class Need:
    """The needs of one process."""

    name: str
    processes: int
    cores: float  # used
    workers: int  # needed to keep each worker within the utilisation
    downstream: int  # connections
    upstream: int
    working_bytes: float  # memory during normal work
    limit_bytes: float  # memory while --retain-bytes and, with TLS for agents, --handshake-memory are used


def needs(demand, constants_):
    """Yields the needs of sidecars (a client half for each agent) and of node gateways (one for each node), each with
    the server halves beside the aggregators."""
    sidecar = _client_need("sidecar, each", demand.agents, 1, demand, constants_.client)
    nodes = math.ceil(demand.agents / demand.agents_per_node)
    gateway = _client_need("node gateway, each", nodes, demand.agents_per_node, demand, constants_.client)
    for client in (sidecar, gateway):
        yield client
        yield _server_need(f"aggregator behind {client.name.split(',')[0]}s, each", client, demand, constants_.server)


def _client_need(name, processes, agents, demand, half):
    messages_per_s = agents * demand.agent_bytes_per_s / demand.message_bytes
    workers = math.ceil(messages_per_s / half.rate_at(demand.utilisation, demand.message_bytes))
    return _need(name, processes, messages_per_s, workers, agents, demand, half, RETAIN_BYTES)


def _server_need(name, clients, demand, half):
    messages_per_s = demand.agents * demand.agent_bytes_per_s / demand.message_bytes
    workers = math.ceil(messages_per_s / half.rate_at(demand.utilisation, demand.message_bytes))
    replicas = math.ceil(workers / demand.replica_workers)
    return _need(name, replicas, messages_per_s / replicas, math.ceil(workers / replicas),
                 math.ceil(clients.processes * clients.upstream / replicas), demand, half,
                 RETAIN_BYTES + HANDSHAKE_BYTES)


def _need(name, processes, messages_per_s, workers, downstream, demand, half, reserve_bytes):
    cores = workers * half.utilisation(messages_per_s / workers, demand.message_bytes)
    working = half.base_bytes + downstream * half.connection_bytes
    return Need(name, processes, cores, workers, downstream, workers * MAX_UPSTREAM_CONNECTIONS, working,
                working + reserve_bytes)


def reconnect_seconds(need, constants_):
    """Seconds until all clients of a server half have reconnected after a restart."""
    return need.downstream * constants_.handshake_s / need.workers


# ---- comparison with measurements -------------------------------------------------------------------------------


def predictions(results):
    """Yields (label, predicted, measured) CPU seconds of both halves, for points not used for the constants."""
    medians, known = Medians(results), constants(results)
    halves = (known.client, known.server)
    measured = medians.of("events", "husk", "both_cpu_s_per_gb")
    if measured is not None:
        work = sum(half.work_s(ARRAY_BYTES) for half in halves)
        yield "arrays of 100 KiB, full rate: s/GB", work * GB / ARRAY_BYTES, measured
    for percent in checks.LOADS_PERCENT:
        rate = medians.of(f"latency_{percent}", "husk", "messages_per_s")
        if rate is not None:
            predicted = sum(half.utilisation(rate, SMALL_BYTES) for half in halves) / rate
            yield (f"messages of 512 bytes, {rate:,.0f}/s: µs each", predicted * 1e6,
                   medians.of(f"latency_{percent}", "husk", "both_cpu_us_per_message"))


# ---- output -----------------------------------------------------------------------------------------------------


def _print_needs(demand, known):
    print(f"{demand.agents:,} agents, each {demand.agent_bytes_per_s / MB:g} MB/s in messages of "
          f"{demand.message_bytes:,.0f} bytes; each worker is busy for at most {demand.utilisation:.0%} of its time\n")
    print(f"{'':40}{'processes':>10}{'cores':>8}{'workers':>9}{'agents in':>10}{'out':>6}{'MiB':>8}{'limit':>8}")
    for need in needs(demand, known):
        print(f"{need.name:40}{need.processes:>10,}{need.cores:>8.3f}{need.workers:>9}{need.downstream:>10,}"
              f"{need.upstream:>6}{need.working_bytes / MIB:>8.1f}{need.limit_bytes / MIB:>8.1f}")
        if need.name.startswith("aggregator"):
            print(f"{'':40}reconnect after a restart: {reconnect_seconds(need, known):.1f} s of handshakes")


def _print_predictions(results):
    print(f"{'':48}{'predicted':>10}{'measured':>10}{'ratio':>8}")
    for what, predicted, measured in predictions(results):
        print(f"{what:48}{predicted:>10.2f}{measured:>10.2f}{predicted / measured:>8.2f}")


def main():
    here = pathlib.Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path, default=here / "docs/benchmarks/results.json")
    parser.add_argument("--check", action="store_true", help="compare the model with measurements")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.1, help="rate of each agent in MB/s (default 0.1)")
    parser.add_argument("--message", type=float, default=BULK_BYTES, help="size of a message in bytes (default 65536)")
    parser.add_argument("--agents-per-node", type=int, default=30)
    parser.add_argument("--utilisation", type=float, default=0.6, help="maximum of a worker (default 0.6)")
    parser.add_argument("--replica-workers", type=int, default=2, help="maximum of a server half (default 2)")
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    if options.check:
        _print_predictions(results)
    else:
        _print_needs(Demand(options.agents, options.rate * MB, options.message, options.agents_per_node,
                           options.utilisation, options.replica_workers), constants(results))


if __name__ == "__main__":
    sys.exit(main())
