#!/usr/bin/python3
"""Measures what strangers cost the agents that husk serves.

usage: strangers.py --build DIR [--seconds N] [--rate N] [--messages N] [--workers N] [--rounds N]
       see docs/performance.md

Agents send messages to husk client ═ husk server, and wait for each ack. Meanwhile bench/load/strangers connects,
without a certificate, to the husk server of the agents, or to another husk server that serves no agents. The second case
is the control: it shows the cost of the processor time that the same flood takes on this machine.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import signal
import subprocess
import sys
import tempfile

import candidates
from medians import summarize
from programs import WAIT_LIMIT_S, Failed, Program
from scenarios import Bench, Pair, RoundTrip, ready

LEAD_S = 1  # the flood lasts longer than the messages by this time, because it begins before the agents connect
OPEN_MAX = 8192  # connections of strangers at a time; husk takes 1,024 handshakes
CONNECTIONS = 16  # agents


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    flooded: str = ""  # the pair that the strangers connect to


CASES = (Case("quiet"), Case("strangers at another husk server", "other"),
         Case("strangers at the husk server of the agents", "served"), Case("quiet again"))


@contextlib.contextmanager
def strangers(options, pair, directory):
    """Strangers at the server half of a pair. At the end of the block the strangers have left, and husk has accepted all
    their connections in the queue of the kernel: husk has served a peer that connected after them."""
    program = Program([options.build / "bench/load/strangers", pair.server_port, options.rate,
                       options.seconds + LEAD_S, OPEN_MAX], directory / "strangers.log")
    try:
        ready(program)
        program.say("go")
        yield program
    finally:
        program.stop()
    ready(pair.handshakes(1, "full"))


def measure(options, case, pairs, directory):
    trip, flooded = RoundTrip(options.seconds, options.messages, CONNECTIONS), pairs[case.flooded or "served"]
    with contextlib.ExitStack() as stack:
        if case.flooded:
            flood = stack.enter_context(strangers(options, flooded, directory))
        times = trip.measure_in(pairs["served"])
        report = flood.read_json(options.seconds + LEAD_S + WAIT_LIMIT_S) if case.flooded else {}
    figures = {**{name: times[name] for name in ("p50_us", "p99_us", "max_us")},
               "resident_mib": flooded.server.resident_kib() / 1024}
    if case.flooded:
        figures.update({"attempts_per_s": report["attempts"] / report["seconds"],
                        **{name: report[name] for name in ("connected", "refused", "closed")},
                        "peak_mib": flooded.server.peak_resident_kib() / 1024})
    return figures


def measure_all(options, directory):
    """Returns the figures of all cases. Their messages go over the same connections between the halves."""
    candidate = next(one for one in candidates.ALL if one.name == "husk")
    with contextlib.ExitStack() as stack:
        pairs = {}
        for name in ("served", "other"):
            (directory / name).mkdir()
            bench = Bench(options.build, directory.parent / "pki", directory / name)
            pairs[name] = stack.enter_context(Pair(bench, candidate, options.workers, CONNECTIONS))
        found = {case: measure(options, case, pairs, directory) for case in CASES}
    quiet = [figures["p99_us"] for case, figures in found.items() if not case.flooded]
    for figures in found.values():
        figures["p99_ratio"] = figures["p99_us"] / (sum(quiet) / len(quiet))
    return found


COLUMNS = (("p50_us", "p50 µs", ".0f"), ("p99_us", "p99 µs", ".0f"), ("p99_ratio", "p99 / quiet", ".2f"),
           ("max_us", "longest µs", ".0f"), ("attempts_per_s", "attempts/s", ".0f"), ("connected", "connected", ".0f"),
           ("refused", "refused", ".0f"), ("closed", "closed by husk", ".0f"),
           ("resident_mib", "server, MiB", ".1f"), ("peak_mib", "its peak, MiB", ".1f"))


def cell(summary, figure, form):
    if figure not in summary:
        return ""
    median, low, high = (f"{summary[figure][name]:{form}}" for name in ("median", "min", "max"))
    return median if summary["rounds"] == 1 else f"{median} ({low} – {high})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help="directory with husk and the load generators")
    parser.add_argument("--seconds", type=int, default=60, help="of each case (default 60)")
    parser.add_argument("--rate", type=int, default=2000, help="attempts of strangers per second (default 2000)")
    parser.add_argument("--messages", type=int, default=500, help="messages per second (default 500)")
    parser.add_argument("--workers", type=int, default=1, help="of each half (default 1)")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    options.build = options.build.resolve()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an ordinary end stops the started programs
    samples = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="husk-bench.") as scratch:
        scratch = pathlib.Path(scratch)
        subprocess.run([options.build / "husk", "pki", "init", scratch / "pki"], check=True, stdout=subprocess.DEVNULL)
        for turn in range(options.rounds):
            (scratch / str(turn)).mkdir()
            try:
                found = measure_all(options, scratch / str(turn))
            except (Failed, OSError) as failure:
                sys.exit(f"strangers.py: {failure}")
            for case, figures in found.items():
                samples[case].append(figures)
    print(f"| | {' | '.join(title for _, title, _ in COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for case, rounds in samples.items():
        summary = summarize(rounds)
        print(f"| {case.name} | {' | '.join(cell(summary, figure, form) for figure, _, form in COLUMNS)} |")


if __name__ == "__main__":
    sys.exit(main())
