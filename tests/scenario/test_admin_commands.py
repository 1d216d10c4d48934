"""POST /quit and /startup of the admin endpoint, and the commands that ask it: husk healthcheck and husk quit."""

import os
import signal
import subprocess

import pytest

from support import raw
from support.husk import BINARY, Husk, run
from support.process import eventually

NOWHERE = f"{raw.HOST}:1"


def ask(husk, *words):
    return run(*words, "--admin", raw.format_address(husk.admin))


def post(husk, path):
    """The answer to a POST, from the status line to its end."""
    curious = raw.connect(husk.admin)
    curious.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return raw.read_to_end(curious).decode()


# ---- husk healthcheck ----

def test_healthcheck_says_whether_husk_is_ready_live_and_started(husk):
    tunnel = husk.tunnel()
    eventually(lambda: ask(tunnel.client, "healthcheck").returncode == 0, "the client is ready")
    for probe, text in [("ready", "ready\n"), ("live", "live\n"), ("startup", "started\n")]:
        answer = ask(tunnel.client, "healthcheck", "--probe", probe)
        assert (answer.returncode, answer.stderr) == (0, "") and answer.stdout.startswith(text)


def test_healthcheck_fails_with_the_reasons_while_husk_is_not_ready(husk):
    client = husk.client(NOWHERE, protocol="tcp", health_interval="50ms")
    eventually(lambda: "connection refused" in ask(client, "healthcheck").stdout, "the reason")
    assert ask(client, "healthcheck").returncode == 1
    assert ask(client, "healthcheck", "--probe", "live").returncode == 0


def test_healthcheck_reaches_a_unix_socket(husk, tmp_path):
    client = husk.client(NOWHERE, protocol="tcp", admin=f"unix:{tmp_path}/admin")
    client.wait_for_event(message="admin listening")
    assert run("healthcheck", "--probe=live", f"--admin=unix:{tmp_path}/admin").stdout == "live\n"


@pytest.mark.parametrize("command", ["healthcheck", "quit"])
def test_no_husk_answers(command, tmp_path):
    answer = run(command, "--admin", NOWHERE)
    assert (answer.returncode, answer.stderr) == (1, f"husk {command}: {NOWHERE}: connection refused\n")
    listener = raw.Listener()
    silent = raw.format_address(listener.address)
    answer = run(command, "--admin", silent, "--timeout", "50ms")
    assert (answer.returncode, answer.stderr) == (1, f"husk {command}: {silent} did not answer in time\n")
    answer = run(command, "--admin", f"unix:{tmp_path}/none")
    assert answer.returncode == 1 and f"husk {command}: unix:{tmp_path}/none: " in answer.stderr


@pytest.mark.parametrize("bytes_of_a_stranger", [b"no HTTP\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"])
def test_another_program_answers(bytes_of_a_stranger):
    stranger = raw.Listener()
    address = raw.format_address(stranger.address)
    asking = subprocess.Popen([BINARY, "healthcheck", "--admin", address], stderr=subprocess.PIPE, text=True)
    connection = stranger.accept()
    connection.recv(1024)
    connection.sendall(bytes_of_a_stranger)
    connection.close()
    assert asking.communicate()[1] == f"husk healthcheck: {address} does not answer as the admin port of a husk\n"
    assert asking.returncode == 1


@pytest.mark.parametrize("words, text", [
    (["healthcheck", "--probe", "red"], "husk healthcheck: --probe: "),
    (["healthcheck", "now"], "husk healthcheck: "),
    (["healthcheck", "--admin", "nowhere"], "husk healthcheck: "),
    (["quit", "--now"], "husk quit: --now: "),
])
def test_a_wrong_word_is_told_in_one_line(words, text):
    answer = run(*words)
    assert answer.returncode in (1, 2) and answer.stderr.startswith(text) and answer.stderr.count("\n") == 1


# ---- quit ----

def test_quit_drains_and_ends_husk_as_sigterm_does(husk):
    tunnel = husk.tunnel(client={"admin_quit": True, "drain_quiet": "1h", "drain_timeout": "1h"})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    for _ in range(2):
        answer = ask(tunnel.client, "quit")
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "draining\n", "")
    assert tunnel.client.metric("husk_draining") == 1
    raw.carry_both_ways(agent, aggregator)


def test_husk_ends_with_status_0_after_quit(husk):
    client = husk.client(NOWHERE, protocol="tcp", admin_quit=True)
    assert "HTTP/1.1 200" in post(client, "/quit")
    assert client.wait() == 0
    assert client.wait_for_event(message="stopped")


def test_quit_is_off_without_its_setting(husk):
    client = husk.client(NOWHERE, protocol="tcp")
    answer = ask(client, "quit")
    assert answer.returncode == 1
    assert answer.stderr == \
        f"husk quit: {raw.format_address(client.admin)} refuses: this page is off: set --admin-quit\n"
    assert client.metric("husk_draining") == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_only_a_post_quits(husk, method):
    client = husk.client(NOWHERE, protocol="tcp", admin_quit=True)
    curious = raw.connect(client.admin)
    curious.sendall(f"{method} /quit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = raw.read_to_end(curious).decode()
    assert "HTTP/1.1 405" in answer and "Allow: POST\r\n" in answer
    assert client.metric("husk_draining") == 0


def test_a_post_of_another_page_is_refused(husk):
    client = husk.client(NOWHERE, protocol="tcp", admin_quit=True)
    assert "HTTP/1.1 405" in post(client, "/ready")


def test_quit_is_refused_to_another_host(husk):
    """192.0.2.1 is an address of the namespace, but no loopback address."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a network namespace")
    inside = ("unshare", "--net", "sh", "-c", 'ip link set lo up && ip addr add 192.0.2.1/32 dev lo && exec "$@"', "sh")
    client = husk.client(NOWHERE, protocol="tcp", admin="0.0.0.0:9901", admin_quit=True, prefix=inside)
    client.wait_for_event(message="admin listening")

    def quit_at(address):
        return subprocess.run(["nsenter", f"--net=/proc/{client.pid}/ns/net", BINARY, "quit", "--admin", address],
                              capture_output=True, text=True)
    refused = quit_at("192.0.2.1:9901")
    assert refused.returncode == 1
    assert refused.stderr == "husk quit: 192.0.2.1:9901 refuses: only for clients on this host\n"
    assert quit_at("127.0.0.1:9901").returncode == 0
    assert client.wait() == 0


# ---- /startup ----

def test_startup_is_not_over_before_the_credentials_are_there(husk, programs, tmp_path):
    """husk waits for the first answer of its Workload API; the admin port answers meanwhile."""
    admin = f"unix:{tmp_path}/admin"
    waiting = programs.add(Husk("server", husk.options(
        raw.Listener(), husk.pki.server, spiffe_socket=f"unix:{tmp_path}/none", allow_any=True, admin=admin,
        cert=None, key=None, ca=None,
        admin_quit=True)))
    waiting.wait_for_event(level="warn")
    answer = run("healthcheck", "--probe", "startup", "--admin", admin)
    assert (answer.returncode, answer.stdout) == (1, "starting\n")
    assert run("healthcheck", "--probe", "live", "--admin", admin).returncode == 0
    assert run("quit", "--admin", admin).stderr == f"husk quit: {admin} refuses: starting\n"
    waiting.signal(signal.SIGKILL)
