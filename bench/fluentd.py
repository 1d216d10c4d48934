#!/usr/bin/python3
"""Measures the CPU time that Fluentd needs for each event of a logger: without husk, and behind two husks.

usage: fluentd.py --build DIR --peers DIR [--events N] [--bytes N] [--rate N] [--rounds N]    see docs/performance.md

The logger sends events in Message mode on one connection. Fluentd has a file buffer and a file output.
`--peers` is where tests/interop/install-peers has installed Fluentd.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import candidates
import msgpack
from medians import summarize
from programs import HOST, Failed, Program, free_port

WARM_UP = 2000  # events before the measurement: Ruby loads code at the first ones
WAIT_LIMIT_S = 120.0  # for the last event
FLUENTD = """\
<system>
  suppress_config_dump true
</system>
<source>
  @type forward
  bind {host}
  port {port}
</source>
<label @FLUENT_LOG>
  <match **>
    @type null
  </match>
</label>
<match logger>
  @type file
  path {directory}/out
  append true
  <buffer>
    @type file
    path {directory}/buffer
    flush_mode interval
    flush_interval 1s
  </buffer>
</match>
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One way from the logger to Fluentd."""

    name: str
    asks_acks: bool = False
    chunk_events: int = 1  # more than one: in PackedForward mode, as Fluentd itself sends
    husk: tuple = None  # options of husk client; None: the logger sends to Fluentd


CASES = (
    Case("direct, no acks"),
    Case("direct, an ack each", asks_acks=True),
    Case("direct, chunks of 100 with an ack each: the bound", asks_acks=True, chunk_events=100),
    Case("husk", husk=()),
    Case("husk --batch-delay 100ms", husk=("--batch-delay", "100ms")),
)


def event(number, length, asks_acks):
    """A message of so many bytes, more than 100."""
    def packed(text):
        return msgpack.packb(["logger", 1700000000 + number // 1000, {"n": number, "log": text},
                              *([{"chunk": f"{number:024}"}] if asks_acks else [])])
    text_bytes = length - len(packed("x" * 100)) + 100
    return packed("x" * (text_bytes - (text_bytes > 255)))  # the header of a longer text has one byte more


def messages(first, count, length, case):
    events = [event(number, length, case.asks_acks and case.chunk_events == 1)
              for number in range(first, first + count)]
    if case.chunk_events == 1:
        return events
    tag = msgpack.packb("logger")
    entries = [b"\x92" + one[1 + len(tag):] for one in events]  # without the tag
    chunks = (b"".join(entries[at:at + case.chunk_events]) for at in range(0, count, case.chunk_events))
    return [msgpack.packb(["logger", chunk, {"chunk": f"{first + number:024}"}]) for number, chunk in enumerate(chunks)]


class Fluentd(Program):
    def __init__(self, peers, directory, port):
        gems = peers / "gems"
        config = directory / "fluentd.conf"
        config.write_text(FLUENTD.format(host=HOST, port=port, directory=directory))
        super().__init__([gems / "bin/fluentd", "--no-supervisor", "-c", config], directory / "fluentd.log",
                         {"GEM_HOME": str(gems), "GEM_PATH": str(gems)})
        self._directory = directory
        while "worker is now running" not in self.read_line():
            pass

    def wait_for_events(self, count):
        """Waits until the output has so many lines: until the last chunk is flushed."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while self._lines() < count:
            if time.monotonic() > deadline:
                raise Failed(f"{self._lines()} of {count} events arrived")
            time.sleep(0.1)
        if self._lines() != count:
            raise Failed(f"{self._lines()} events instead of {count}")

    def _lines(self):
        return sum(path.read_bytes().count(b"\n") for path in self._directory.glob("out*.log"))


class Husks:
    """husk client ═ husk server"""

    def __init__(self, stack, build, pki, directory, upstream, options):
        self.port, link = free_port(), free_port()
        starts = ((candidates.husk_server(*candidates.FORWARD), link, upstream),
                  (candidates.husk_client(*candidates.FORWARD, *options), self.port, link))
        self._halves = []
        for start, listen, to in starts:
            site = candidates.Site(build, pki, directory, listen, to, 1, 100)
            half = Program(start(site), directory / f"husk-{listen}.log")
            stack.callback(half.stop)
            half.wait_until_it_listens(listen)
            self._halves.append(half)

    def cpu_seconds(self):
        return sum(half.cpu_seconds() for half in self._halves)


def read_acks(sock, count):
    unpacker = msgpack.Unpacker()
    while count:
        data = sock.recv(65536)
        if not data:
            raise Failed(f"the connection ended before {count} acks")
        unpacker.feed(data)
        count -= sum(1 for _ in unpacker)


def send(port, first, count, options, case):
    rate, sent = options.rate / case.chunk_events, messages(first, count, options.bytes, case)
    with socket.create_connection((HOST, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = threading.Thread(target=read_acks, args=(sock, len(sent) if case.asks_acks else 0))
        reader.start()
        started = time.monotonic()
        for number, one in enumerate(sent):
            if rate:
                time.sleep(max(0.0, started + number / rate - time.monotonic()))
            sock.sendall(one)
        reader.join()


def measure(options, case, directory, pki):
    with contextlib.ExitStack() as stack:
        port = free_port()
        fluentd = Fluentd(options.peers, directory, port)
        stack.callback(fluentd.stop)
        husks = Husks(stack, options.build, pki, directory, port, case.husk) if case.husk is not None else None
        to = husks.port if husks else port
        send(to, 0, WARM_UP, options, case)
        fluentd.wait_for_events(WARM_UP)
        before, husk_before = fluentd.cpu_seconds(), husks.cpu_seconds() if husks else 0
        send(to, WARM_UP, options.events, options, case)
        fluentd.wait_for_events(WARM_UP + options.events)
        figures = {"fluentd_us_per_event": (fluentd.cpu_seconds() - before) / options.events * 1e6}
        if husks:
            figures["husks_us_per_event"] = (husks.cpu_seconds() - husk_before) / options.events * 1e6
        return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help="directory with husk")
    parser.add_argument("--peers", type=pathlib.Path, required=True, help="directory with Fluentd")
    parser.add_argument("--events", type=int, default=20000)
    parser.add_argument("--bytes", type=int, default=512, help="length of an event")
    parser.add_argument("--rate", type=float, default=0, help="events per second; 0: as fast as possible")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.build, options.peers = options.build.resolve(), options.peers.resolve()

    samples = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="husk-bench.") as scratch:
        scratch = pathlib.Path(scratch)
        subprocess.run([options.build / "husk", "pki", "init", scratch / "pki"], check=True, stdout=subprocess.DEVNULL)
        for turn in range(options.rounds):
            for number, case in enumerate(CASES):
                directory = scratch / f"{turn}-{number}"
                directory.mkdir()
                samples[case].append(measure(options, case, directory, scratch / "pki"))
    print("| way | Fluentd, CPU µs/event | both husks, CPU µs/event |\n|---|---:|---:|")
    for case, rounds in samples.items():
        summary = summarize(rounds)
        cells = [f"{summary[name]['median']:.1f} ({summary[name]['min']:.1f} – {summary[name]['max']:.1f})"
                 if name in summary else "" for name in ("fluentd_us_per_event", "husks_us_per_event")]
        print(f"| {case.name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    sys.exit(main())
