#!/usr/bin/python3
"""Measures husk beside its peers; writes results.json, README.md and charts to a directory. See docs/benchmarks.

usage: run.py --build DIR --out DIR [--quick] [--rounds N] [--only NAME …] [--candidates NAME …]
"""

import argparse
import datetime
import itertools
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import candidates
import machine
import micro
import report
import scenarios
from medians import summarize
from programs import Failed


class Run:
    def __init__(self, options, directory):
        self.quick, self.rounds = options.quick, options.rounds
        self.only, self.wanted = options.only, options.candidates
        self.bench = scenarios.Bench(options.build.resolve(), directory / "pki", directory)
        self.candidates = {one.name: one for one in candidates.ALL if not one.missing()}
        self.absent = {one.name: one.missing() for one in candidates.ALL if one.missing()}
        self.results = {}
        subprocess.run([self.bench.build / "husk", "pki", "init", self.bench.pki], check=True,
                       stdout=subprocess.DEVNULL)

    def measure(self):
        self._carry_out(scenarios.plans(self.quick))
        capacities = [one["messages_per_s"]["median"]
                      for one in self.results.get("capacity", {}).get("candidates", {}).values()
                      if "messages_per_s" in one]
        if capacities:
            self._carry_out(scenarios.latency_plans(self.quick, min(capacities)))

    def _carry_out(self, plans):
        wanted = [plan for plan in plans if not self.only or plan.name in self.only]
        for _, family in itertools.groupby(wanted, key=lambda plan: plan.family):
            self._measure(list(family))

    def _measure(self, family):
        """Measures each candidate once per round, so that a disturbance of the machine affects all candidates."""
        samples = {plan.name: {name: [] for name in self._names(plan)} for plan in family}
        started = time.monotonic()
        for turn in range(self.rounds or family[0].rounds):
            for plan in family:
                names = self._names(plan)
                for name in names[turn % len(names):] + names[:turn % len(names)]:
                    samples[plan.name][name].append(self._sample(plan, self.candidates[name]))
        for plan in family:
            self.results[plan.name] = {"title": plan.title, "candidates": {
                name: summarize(rounds) for name, rounds in samples[plan.name].items()}}
            print(plan.title, flush=True)
        print(f"  {time.monotonic() - started:.0f} s", flush=True)

    def _names(self, plan):
        return [name for name in plan.candidates
                if name in self.candidates and (not self.wanted or name in self.wanted)]

    def _sample(self, plan, candidate):
        try:
            return plan.scenario.measure(self.bench, candidate)
        except (Failed, OSError) as failure:
            print(f"  {candidate.name}: {failure}", flush=True)
            return {"failed": str(failure)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help="directory with husk and the load generators")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="less than 3 minutes: one round, small samples")
    parser.add_argument("--rounds", type=int, help="overrides each scenario's number of rounds")
    parser.add_argument("--only", nargs="+", default=[], metavar="SCENARIO")
    parser.add_argument("--candidates", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends in order: started programs are stopped
    usage = machine.OtherUsage()
    with tempfile.TemporaryDirectory(prefix="husk-bench.") as directory:
        run = Run(options, pathlib.Path(directory))
        run.measure()
    results = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": options.quick,
        "machine": {**machine.facts(), **usage.shares()},
        "versions": machine.versions(options.build / "husk", run.candidates),
        "candidates": {one.name: {"kind": one.kind, "halves": one.halves} for one in candidates.ALL},
        "absent": run.absent,
        "scenarios": run.results,
        "micro": micro.measure(options.build / "bench/micro", options.quick) if not options.only else [],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    report.write(results, options.out)
    print(f"{options.out}/README.md")


if __name__ == "__main__":
    sys.exit(main())
