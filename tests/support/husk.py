"""husk under test: starts it on free ports with JSON logs and asks its admin endpoint."""

import functools
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess

from support import raw
from support.process import WAIT_SECONDS, Program, eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = str((ROOT / os.environ.get("HUSK", "build/husk")).resolve())
LIGHT = os.environ.get("HUSK_LIGHT") == "1"  # the build has sanitizers and is slow: tests do less work

UDP_IN_USE = re.compile("UDP heartbeats are not answered: cannot bind UDP .*: Address already in use")
SANITIZER_REPORT = re.compile(r"Sanitizer|runtime error:")
# After a finding of a sanitizer the program ends with exit status 66.
# husk is not dumpable, so only root's processes can look into it and check for leaks.
SANITIZERS = {"ASAN_OPTIONS": f"exitcode=66:detect_leaks={int(os.geteuid() == 0)}", "TSAN_OPTIONS": "exitcode=66",
              "UBSAN_OPTIONS": "exitcode=66:print_stacktrace=1"}


def flags(**options):
    """handshake_timeout="1s" → --handshake-timeout 1s. True: a flag; None: nothing; a list: several times."""
    words = []
    for name, value in options.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                words += ["--" + name.replace("_", "-"), *([] if one is True else [str(one)])]
    return words


def run(*arguments, env=None, timeout=WAIT_SECONDS):
    """Runs husk until it ends. Returns status, stdout and stderr."""
    return subprocess.run([BINARY, *map(str, arguments)], text=True, capture_output=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env={**os.environ, **SANITIZERS, **(env or {})})


class Husk(Program):
    """A running `husk client`, `husk server` or `husk run`."""

    def __init__(self, mode, options, env=None, prefix=(), pass_fds=(), binary=BINARY):
        super().__init__([*prefix, binary, mode, *flags(**options)], f"husk {mode}",
                         {**SANITIZERS, **(env or {})}, pass_fds)

    # ---- its log ----

    def events(self, **fields):
        """The parsed log lines that have these fields, of all that husk has done so far."""
        self.settle()
        parsed = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [event for event in parsed if fields.items() <= event.items()]

    def wait_for_event(self, **fields):
        """Returns the first line that has these fields. What husk does along with it is done."""
        first, *_ = self.wait_until(lambda _: self.events(**fields), f"{fields}")
        self.settle()
        return first

    def event(self, **fields):
        """The only log line that has these fields, which may still be on its way."""
        self.wait_for_event(**fields)
        one, = self.events(**fields)
        return one

    def problems(self):
        """The warnings and errors in the log. The kernel chooses a TCP port whose UDP port another program may have."""
        return [event for event in self.events() if event["level"] in ("warn", "error") and not UDP_IN_USE.match(event["message"])]

    def problem(self):
        """The only warning or error in the log, which may still be on its way."""
        self.wait_until(lambda _: self.problems(), "a warning or error")
        one, = self.problems()
        return one

    @functools.cached_property
    def address(self):
        return raw.parse_address(self.wait_for_event(message="listening")["address"])

    @functools.cached_property
    def admin(self):
        return raw.parse_address(self.wait_for_event(message="admin listening")["address"])

    # ---- its admin endpoint ----

    def get(self, path, timeout=WAIT_SECONDS, headers=None):
        """Returns status and body, after all that husk has done so far."""
        self.settle()
        connection = http.client.HTTPConnection(*self.admin, timeout=timeout)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The sum of the samples with these labels."""
        total = 0.0
        for sample, label_text, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", self.get("/metrics")[1], re.M):
            if sample == name and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', label_text)).items():
                total += float(value)
        return total

    def wait_for_metric(self, name, value, **labels):
        """What husk does along with it is done."""
        eventually(lambda: self.metric(name, **labels) >= value, f"{self.name} {name}{labels} >= {value}")
        self.settle()

    # ---- its process ----

    def resident_kib(self):
        return self._status_kib("VmRSS")

    def peak_resident_kib(self):
        return self._status_kib("VmHWM")

    def _status_kib(self, name):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", status)[1])

    def cpu_seconds(self):
        """CPU time that the process has used so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return self.metric("process_open_fds")

    def descriptors_at_rest(self):
        """The descriptors of a husk with one worker, which has its own when it accepts."""
        self.probe()
        return self.descriptors()

    def probe(self):
        """Connects and closes until husk has seen that. A slow husk may dial before it sees the end, which is no probe then."""
        def probes():
            return self.metric("husk_connections_ended_total", side="downstream", reason="probe")
        before = probes()

        def is_seen():
            raw.connect(self.address).close()
            return probes() > before
        eventually(is_seen, "a probe is seen")

    def stop(self):
        """Sends SIGTERM twice, so that husk does not wait for open connections. A sanitizer report fails the test."""
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
        status = super().stop()
        report = [line for line in self.lines if SANITIZER_REPORT.search(line)]
        assert not report and status in (0, 1, -signal.SIGKILL), f"status {status}\n{self.tail(200)}"
        return status


class Tunnel:
    """agent → husk client ═ husk server → aggregator, with --protocol tcp. The ends are sockets of the test."""

    def __init__(self, client, server, upstream):
        self.client, self.server, self.upstream = client, server, upstream

    def open(self):
        """Opens one connection through the tunnel. Returns the socket of the agent and the socket of the aggregator."""
        agent = raw.connect(self.client.address)
        return agent, self.upstream.accept()


class Launcher:
    """Starts husk with the options that every test needs. A test gives only the options that it is about."""

    def __init__(self, pki, programs):
        self.pki, self._programs = pki, programs

    def client(self, upstream, **options):
        return self._start("client", upstream, self.pki.client, options)

    def server(self, upstream, **options):
        if not any(name.startswith("allow") for name in options):
            options["allow_cn"] = "client"
        return self._start("server", upstream, self.pki.server, options)

    def run(self, path, count=1, env=None, **process):
        """Runs the routes of a file with JSON logs, and waits until husk listens on `count` addresses."""
        husk = self._programs.add(Husk("run", {"config": path}, env, **process))
        husk.wait_until(lambda _: len(husk.events(message="listening")) == count, f"{count} listeners")
        return husk

    def tunnel(self, client=(), server=(), upstream=None):
        """`client`, `server`: options of husk client and of husk server."""
        upstream = upstream or raw.Listener()
        server = self.server(upstream, protocol="tcp", **dict(server))
        return Tunnel(self.client(server, protocol="tcp", **dict(client)), server, upstream)

    def options(self, upstream, certificate, /, **options):
        """The options of a start; `options` override them. `upstream`: an address, or an object that has one."""
        if hasattr(upstream, "address"):
            upstream = raw.format_address(upstream.address)
        return {"listen": f"{raw.HOST}:0", "upstream": upstream, "cert": certificate.cert,
                "key": certificate.key, "ca": self.pki.ca.cert, "admin": f"{raw.HOST}:0",
                # A test may be slower than the default. Health probes would connect to the test's own listeners.
                "handshake_timeout": "60s", "health_interval": "off", "drain_quiet": "50ms", "drain_timeout": "2s", "reload_interval": "off",
                "log_format": "json", **options}

    def _start(self, mode, upstream, certificate, options):
        certificate = options.pop("certificate", certificate)
        process = {name: options.pop(name) for name in ("env", "prefix", "pass_fds", "binary") if name in options}
        husk = self._programs.add(Husk(mode, self.options(upstream, certificate, **options), **process))
        husk.address  # waits until husk listens
        return husk
