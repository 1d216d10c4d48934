"""Runs the micro-benchmarks and parses their output: name, ns per operation and, for some, GB/s."""

import pathlib
import re
import subprocess

LINE = re.compile(r"^(?P<name>\S.*?)\s{2,}(?P<ns>[\d.]+) ns(?:\s+(?P<gb_per_s>[\d.]+) GB/s)?$")


def measure(directory, quick):
    seconds = "0.05" if quick else "1"
    results = []
    for program in sorted(one for one in pathlib.Path(directory).iterdir() if not one.suffix):
        done = subprocess.run([program, seconds], capture_output=True, text=True, timeout=120, check=True)
        for match in filter(None, map(LINE.match, done.stdout.splitlines())):
            results.append({"program": program.name, "name": match["name"], "ns": float(match["ns"]),
                            **({"gb_per_s": float(match["gb_per_s"])} if match["gb_per_s"] else {})})
    return results
