"""husk@.service and husk@.socket under a real systemd. Runs inside of the container that tests/release/service boots."""

import collections
import contextlib
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

AGENT, AGGREGATOR, RECEIVER = "husk@agent", "husk@aggregator", "receiver"
ADDRESS = ("127.0.0.1", 24224)
UNITS = pathlib.Path("/etc/systemd/system")
EXAMPLES = pathlib.Path("/usr/share/doc/husk/examples")
WATCHDOG_SECONDS = 3


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def systemctl(*words):
    return run("systemctl", *words)


def property_of(unit, name):
    return systemctl("show", "--value", "--property", name, unit).strip()


def eventually(condition, what):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within 30 s: {what}")


def drop_in(unit, name, text):
    directory = UNITS / f"{unit}.service.d"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.conf").write_text(text)


def send(count=1):
    run("husk", "send", "--to", "127.0.0.1:24224", "--tag", "t", "--count", str(count), "--ack", "--timeout", "30s")


def metrics():
    with urllib.request.urlopen("http://127.0.0.1:9901/metrics", timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module", autouse=True)
def machine():
    """Both services with the certificates of `husk pki init`, as docs/packages.md sets them up."""
    run("husk", "pki", "init", "/root/pki", "--server-name", "localhost")
    for name in ("client.crt.pem", "client.key.pem", "server.crt.pem", "server.key.pem", "ca.crt.pem"):
        shutil.copyfile(f"/root/pki/{name}", f"/etc/husk/{name}")
        pathlib.Path(f"/etc/husk/{name}").chmod(0o600)
    (UNITS / f"{RECEIVER}.service").write_text("[Service]\nExecStart=/usr/bin/husk receive --listen 127.0.0.1:24225\n")
    drop_in(AGENT, "credentials", (EXAMPLES / "credentials-client.conf").read_text())
    drop_in(AGGREGATOR, "credentials", (EXAMPLES / "credentials-server.conf").read_text())
    drop_in(AGENT, "watchdog", f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}s\n")
    pathlib.Path("/etc/default/husk-agent").write_text("UPSTREAM=localhost:24284\n")
    pathlib.Path("/etc/default/husk-aggregator").write_text("LISTEN=127.0.0.1:24284\nADMIN=127.0.0.1:9902\n")
    systemctl("daemon-reload")
    systemctl("start", RECEIVER, AGGREGATOR)


@pytest.fixture(autouse=True)
def agent():
    systemctl("restart", AGENT)
    yield
    systemctl("stop", AGENT)
    assert property_of(AGENT, "Result") == "success"


class Connecting(threading.Thread):
    """Connects without a pause until it is asked to stop, and counts what becomes of the connections."""

    def __init__(self):
        super().__init__()
        self.outcomes, self.is_over = collections.Counter(), threading.Event()

    def run(self):
        while not self.is_over.wait(0.002):
            try:
                socket.create_connection(ADDRESS, timeout=30).close()
                self.outcomes["connected"] += 1
            except OSError as error:
                self.outcomes[str(error)] += 1


@contextlib.contextmanager
def nobody_is_refused():
    connecting = Connecting()
    connecting.start()
    try:
        yield
    finally:
        connecting.is_over.set()
        connecting.join()
    assert set(connecting.outcomes) == {"connected"}, connecting.outcomes


def test_the_service_runs_and_says_how_it_is():
    assert property_of(AGENT, "ActiveState") == "active"
    send()
    eventually(lambda: property_of(AGENT, "StatusText") == "ready", "the status line says that husk is ready")
    assert property_of(AGENT, "User") == "husk"


def test_the_key_is_readable_for_the_service_alone():
    process = property_of(AGENT, "MainPID")
    assert re.search(r"^Uid:\t[1-9]", pathlib.Path(f"/proc/{process}/status").read_text(), re.M)
    keys = list(pathlib.Path(f"/proc/{process}/root/run/credentials/{AGENT}.service").glob("*.key.pem"))
    assert [key.stat().st_mode & 0o007 for key in keys] == [0]
    stranger = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "cat", keys[0]], capture_output=True)
    assert b"Permission denied" in stranger.stderr


def test_a_reload_keeps_the_process_and_reads_the_file():
    process = property_of(AGENT, "MainPID")
    send()
    systemctl("reload", AGENT)
    eventually(lambda: 'husk_config_reloads_total{result="success"} 1' in metrics(), "husk has read its file again")
    assert property_of(AGENT, "MainPID") == process and property_of(AGENT, "ActiveState") == "active"
    send()


def test_a_restart_refuses_no_connection():
    with nobody_is_refused():
        before = property_of(AGENT, "MainPID")
        eventually(lambda: property_of(AGENT, "NFileDescriptorStore") != "0", "systemd keeps the listening sockets")
        systemctl("restart", AGENT)
        assert property_of(AGENT, "MainPID") != before
    send()


def test_a_kill_refuses_no_connection():
    eventually(lambda: property_of(AGENT, "NFileDescriptorStore") != "0", "systemd keeps the listening sockets")
    before = property_of(AGENT, "MainPID")
    with nobody_is_refused():
        systemctl("kill", "--kill-whom=main", "--signal=KILL", AGENT)
        eventually(lambda: property_of(AGENT, "MainPID") not in (before, "0") and
                   property_of(AGENT, "ActiveState") == "active", "systemd has started husk again")
    send()


def test_sigusr2_replaces_the_process():
    with nobody_is_refused():
        for _ in range(3):
            before = property_of(AGENT, "MainPID")
            systemctl("kill", "--kill-whom=main", "--signal=USR2", AGENT)
            eventually(lambda: property_of(AGENT, "MainPID") not in (before, "0"), "another process is the main process")
            eventually(lambda: not pathlib.Path(f"/proc/{before}").exists(), "the old process has ended")
            send()
    assert property_of(AGENT, "ActiveState") == "active" and property_of(AGENT, "NRestarts") == "0"
    systemctl("restart", AGENT)
    send()


def test_the_watchdog_replaces_a_process_that_hangs():
    before = property_of(AGENT, "MainPID")
    time.sleep(2 * WATCHDOG_SECONDS)
    assert property_of(AGENT, "MainPID") == before, "husk feeds the watchdog"
    systemctl("kill", "--kill-whom=main", f"--signal={signal.SIGSTOP.value}", AGENT)
    eventually(lambda: property_of(AGENT, "MainPID") not in (before, "0"), "systemd has started husk again")
    eventually(lambda: property_of(AGENT, "ActiveState") == "active", "husk works")
    assert property_of(AGENT, "NRestarts") == "1"
    send()


def test_systemd_listens_and_starts_husk():
    systemctl("stop", AGENT)
    systemctl("start", "husk@agent.socket")
    try:
        assert property_of(AGENT, "ActiveState") == "inactive"
        send()
        assert property_of(AGENT, "ActiveState") == "active"
        with nobody_is_refused():
            systemctl("restart", AGENT)
            send(100)
    finally:
        systemctl("stop", "husk@agent.socket")


def test_a_wrong_file_ends_the_start_with_its_line():
    good = pathlib.Path("/etc/husk/agent.yaml").read_text()
    pathlib.Path("/etc/husk/agent.yaml").write_text(good.replace("upstreams:", "upstream_s:"))
    try:
        assert subprocess.run(["systemctl", "restart", AGENT], capture_output=True).returncode != 0
        assert "upstream_s" in run("journalctl", "--no-pager", "-u", AGENT, "-n", "30")
    finally:
        pathlib.Path("/etc/husk/agent.yaml").write_text(good)
        systemctl("reset-failed", AGENT)
        systemctl("restart", AGENT)
