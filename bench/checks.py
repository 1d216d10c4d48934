"""The targets, and whether the medians of one run meet them. Pure: no input or output."""

import dataclasses
import typing

from medians import Medians

HALVES = ("client", "server")
LOADS_PERCENT = (10, 50, 90)


@dataclasses.dataclass(frozen=True)
class Check:
    what: str
    target: str
    value: typing.Optional[float]  # None: not measured in this run
    unit: str  # unit of the value; "×" for a ratio
    against: str  # the name of the compared candidate
    holds: typing.Optional[bool]

    @property
    def verdict(self):
        return "not measured" if self.holds is None else "holds" if self.holds else "**falls short**"


def at_most(what, limit, value, unit="×", against=""):
    return Check(what, f"≤ {limit:g} {unit}", value, unit, against, None if value is None else value <= limit)


def at_least(what, limit, value, unit="×", against=""):
    return Check(what, f"≥ {limit:g} {unit}", value, unit, against, None if value is None else value >= limit)


def within(what, share, value, against=""):
    holds = None if value is None else abs(value - 1) <= share
    return Check(what, f"1 ± {share:g} ×", value, "×", against, holds)


def _quotient(ours, theirs):
    return ours / theirs if ours is not None and theirs else None


def judge(results):
    """Yields a Check for each target, in the order of the report."""
    medians = Medians(results)
    yield from _throughput(medians)
    yield from _connections(medians)
    yield from _latency(medians)
    yield from _scaling(medians)


def _throughput(medians):
    figure = "{}_cpu_s_per_gb"

    def against_peers(what, scenario, candidate, limit):
        for half in HALVES:
            best, name = medians.best_peer(scenario, figure.format(half))
            ours = medians.of(scenario, candidate, figure.format(half))
            yield at_most(f"{what}, {half} half: CPU", limit, _quotient(ours, best), against=name)

    yield from against_peers("Bulk", "bulk", "husk", 0.75)
    for half in HALVES:
        yield at_most(f"Bulk, {half} half: CPU", 1.25,
                      medians.ratio(("bulk", "husk"), ("bulk", "floor"), figure.format(half)), against="floor")
    yield from against_peers("512-byte messages, passthrough", "small", "husk-passthrough", 0.80)
    yield from against_peers("512-byte messages, at-least-once", "small", "husk", 1.3)


def _connections(medians):
    figure = "both_cpu_ms_per_chunk"
    best, name = medians.best_peer("short", figure)
    ours = medians.of("short", "husk", figure)
    yield at_most("Short connections, both halves: CPU", 0.10, _quotient(ours, best), against=name)
    yield at_most("Idle agent connection, client half", 2, medians.of("idle", "husk", "client_kib_per_connection"),
                  "KiB")
    yield at_most("Idle TLS connection, client half (tcp)", 12,
                  medians.of("idle", "husk-tcp", "client_kib_per_connection"), "KiB")
    yield at_most("Idle TLS connection, server half", 12,
                  medians.of("idle", "husk-many-tls", "server_kib_per_connection"), "KiB")
    for half in HALVES:
        yield at_most(f"At rest, {half} half: resident", 4, medians.of("idle", "husk", f"{half}_rest_mib"), "MiB")


def _latency(medians):
    for percent in LOADS_PERCENT:
        for figure in ("p50", "p99"):
            scenario = f"latency_{percent}"
            best, name = medians.best_peer(scenario, f"{figure}_us")
            ours = medians.of(scenario, "husk", f"{figure}_us")
            yield at_most(f"Round trip {figure} at {percent} % load", 1, _quotient(ours, best), against=name)


def _scaling(medians):
    for half in HALVES:
        yield at_least(f"2 workers, {half} half: bulk per CPU time of the busiest worker", 1.8,
                       medians.ratio(("workers_1", "husk"), ("workers_2", "husk"), f"{half}_busiest_s_per_gb"),
                       against="1 worker")
    for connections in (1000, 10000):
        scenario = f"connections_{connections}"
        yield within(f"CPU per message: {medians.title(scenario) or f'{connections:,} connections'}", 0.2,
                     medians.ratio((scenario, "husk"), ("connections_100", "husk"), "both_cpu_us_per_message"),
                     against="100 connections")
