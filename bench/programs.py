"""The programs that a benchmark starts: line-based communication, CPU time, memory, and how they are stopped."""

import json
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import time

WAIT_LIMIT_S = 60.0  # for a single wait
HOST = "127.0.0.1"

# Below the ephemeral range, so that no outgoing connection can use one of these ports.
_ports = random.Random(os.getpid()).sample(range(20000, 32000), 12000)


def free_port():
    while True:
        port = _ports.pop()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue


class Failed(Exception):
    """A candidate failed in a scenario; the report shows the reason in its table."""


class Program:
    """Owns one process and its descendants. Their standard error goes to a file."""

    def __init__(self, argv, log, env=None):
        self.name = pathlib.Path(argv[0]).name
        self._log = pathlib.Path(log)
        self._pending = b""
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env={**os.environ, **(env or {})}, start_new_session=True)

    # ---- line-based communication ----

    def say(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def read_line(self, limit_s=WAIT_LIMIT_S):
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._pending:
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Failed(f"{self.name} writes nothing for {limit_s:.0f} s")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise Failed(f"{self.name} ended: {self.last_log_line()}")
            self._pending += piece
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()

    def read_json(self, limit_s=WAIT_LIMIT_S):
        return json.loads(self.read_line(limit_s))

    def last_log_line(self):
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][-200:] if lines else "no output"

    def wait_until_it_listens(self, port):
        deadline = time.monotonic() + WAIT_LIMIT_S
        while True:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{self.name} does not start: {self.last_log_line()}") from None
                time.sleep(0.005)

    # ---- CPU time and memory ----

    def tree(self):
        """Returns the pids of the process and of its descendants."""
        pids = [self.process.pid]
        for pid in pids:
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    pids += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            except OSError:
                pass  # the process has just ended
        return pids

    def cpu_seconds(self):
        """User and kernel time of all processes, including ended threads, with nanosecond precision."""
        return sum(map(_process_clock, self.tree()))

    def thread_seconds(self):
        """CPU time of each thread that has not ended."""
        return {int(task): _thread_clock(pid, task) for pid in self.tree() for task in os.listdir(f"/proc/{pid}/task")}

    def resident_kib(self):
        return sum(_kib(f"/proc/{pid}/status", "VmRSS:") for pid in self.tree())

    def peak_resident_kib(self):
        """The sum of the peaks of the processes, each since its start."""
        return sum(_kib(f"/proc/{pid}/status", "VmHWM:") for pid in self.tree())

    def proportional_kib(self):
        """Like resident_kib, but each shared page is divided among its users; None if the kernel does not report it."""
        try:
            return sum(_kib(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in self.tree())
        except OSError:
            return None

    # ---- stopping ----

    def stop(self):
        """Sends SIGTERM, then SIGKILL to the processes that are left: there is no data to lose."""
        pids = self.tree()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(0.5)
            except subprocess.TimeoutExpired:
                pass
        for pid in pids[1:] + [self.process.pid] * (self.process.poll() is None):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(WAIT_LIMIT_S)
        self.process.stdin.close()
        self.process.stdout.close()


def _process_clock(pid):
    """CPU seconds of a process. The clock id is that of clock_getcpuclockid(3); 2 is CPUCLOCK_SCHED."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0  # the process has just ended


def _thread_clock(pid, task):
    try:
        return int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


def _kib(path, name):
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
