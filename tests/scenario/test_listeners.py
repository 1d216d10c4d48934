"""Several addresses to listen on, and Unix sockets: who may connect, and why listening fails."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import run
from support.process import WAIT_SECONDS, eventually

NOBODY = 65534


def addresses_of(husk, count):
    husk.wait_until(lambda _: len(husk.events(message="listening")) == count, f"{count} listeners")
    return [raw.parse_address(line["address"]) for line in husk.events(message="listening")]


@pytest.fixture
def shared_place():
    """A directory that every user may enter; tmp_path is for its owner only."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="husk-listeners-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


# ---- several addresses ----

@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("mode", ["client", "server"])
def test_agents_of_all_listeners_share_a_route(husk, tmp_path, mode, workers):
    aggregator = Aggregator()
    path = f"{tmp_path}/agents"
    listen = ["127.0.0.1:0", f"unix:{path}", "[::1]:0", "127.0.0.1:0"]
    last = husk.server(aggregator, **({"listen": listen, "workers": workers} if mode == "server" else {}))
    many = last if mode == "server" else husk.client(last, listen=listen, workers=workers)
    addresses = addresses_of(many, len(listen))
    assert [type(address) for address in addresses] == [tuple, str, tuple, tuple]
    assert len(set(addresses)) == len(listen)
    agents = [Agent(raw.connect_tls(address, husk.pki.ca.cert, husk.pki.client) if mode == "server"
                    else raw.connect(address)) for address in addresses * 3]
    for number, agent in enumerate(agents):
        carry_acked(agent, number, f"chunk{number}")
    assert sorted(aggregator.numbers()) == list(range(len(agents)))
    assert many.metric("husk_connections_active", side="downstream") == len(agents)
    for agent in agents:
        agent.close()
    many.signal(signal.SIGTERM)
    assert many.wait() == 0
    assert not os.path.exists(path)


def test_tunnels_accept_on_all_listeners(husk, tmp_path):
    listen = [f"unix:{tmp_path}/agents", "127.0.0.1:0"]
    tunnel = husk.tunnel(client={"listen": listen})
    for address in addresses_of(tunnel.client, 2):
        agent = raw.connect(address)
        agent.sendall(b"?")
        assert tunnel.upstream.accept().recv(1) == b"?"


def test_a_connection_limit_holds_for_all_listeners_together(husk, tmp_path):
    tunnel = husk.tunnel(client={"max_connections": 2, "listen": ["127.0.0.1:0", f"unix:{tmp_path}/agents"]},
                         upstream=raw.Collector())
    tcp, path = addresses_of(tunnel.client, 2)
    agents = [raw.connect(address) for address in (tcp, path)]
    for agent in agents:
        agent.sendall(b"1")
    tunnel.client.wait_for_metric("husk_accept_limited_total", 1)
    waiting = [raw.connect(address) for address in (tcp, path)]  # only the kernel accepts them
    for agent in waiting:
        agent.sendall(b"2")
    assert tunnel.client.metric("husk_connections_active", side="downstream") == 2
    assert tunnel.client.metric("husk_accept_limited_total") == 1
    for agent in agents + waiting:
        agent.close()
    tunnel.upstream.wait_until(lambda received: received.count(b"2") == 2)


def test_without_descriptors_all_listeners_pause_and_recover(husk, tmp_path):
    tunnel = husk.tunnel(client={"prefix": ("prlimit", "--nofile=64"),
                                 "listen": ["127.0.0.1:0", f"unix:{tmp_path}/agents"]}, upstream=raw.Collector())
    addresses = addresses_of(tunnel.client, 2)
    descriptors = tunnel.client.descriptors()
    agents = raw.connect_many(addresses * 40)
    tunnel.client.wait_for_event(level="warn", message="accepting paused: Too many open files")
    for agent in agents:
        agent.close()
    eventually(lambda: tunnel.client.descriptors() <= descriptors, "the descriptors are closed")
    for number, address in enumerate(addresses):
        with raw.connect(address) as agent:
            agent.sendall(b"served again %d" % number)
    for number in range(2):
        tunnel.upstream.wait_until(lambda received, number=number: b"served again %d" % number in received)


def test_when_unhealthy_refuse_holds_for_all_listeners(husk):
    """husk listens again on each port as soon as the port is free; a port that another program took does not delay the others."""
    aggregator = Aggregator()
    free, taken = raw.free_address(), raw.free_address()
    server = husk.server(aggregator, health_interval="50ms", when_unhealthy="refuse",
                         listen=[raw.format_address(taken), raw.format_address(free)])
    aggregator.kill()
    eventually(lambda: raw.is_refused(free) and raw.is_refused(taken), "refused")
    other = raw.Listener(taken)
    aggregator.revive()
    server.wait_for_event(level="error", message="cannot listen again yet: Address already in use")
    Agent(raw.connect_tls(free, husk.pki.ca.cert, husk.pki.client)).send(event(1))
    aggregator.wait_for(1)
    other.close()
    eventually(lambda: not raw.is_refused(taken), "accepted again")


def test_udp_heartbeats_are_answered_at_each_tcp_listener(husk, tmp_path):
    client = husk.client(f"{raw.HOST}:1", listen=["127.0.0.1:0", f"unix:{tmp_path}/agents", "[::1]:0"])
    first, _, second = addresses_of(client, 3)
    for address in (first, second):
        with socket.socket(raw.family_of(address), socket.SOCK_DGRAM) as sock:
            sock.settimeout(WAIT_SECONDS)
            sock.connect(address)
            sock.send(b"\0")
            assert sock.recv(10) == b"\0"
    assert client.metric("husk_udp_heartbeats_answered_total") == 2


# ---- Unix sockets ----

def connects_as_nobody(path, group=NOBODY):
    """Whether another user, of this group, can connect."""
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    return subprocess.run([sys.executable, "-c", code], user=NOBODY, group=group, extra_groups=[],
                          stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("words, mode, connects, connects_in_group", [
    ("", 0o666, True, True), (",mode=0600", 0o600, False, False), (",mode=0660,group=4711", 0o660, False, True),
])
def test_the_mode_and_group_of_a_unix_socket_say_who_may_connect(husk, shared_place, words, mode, connects,
                                                                 connects_in_group):
    path = shared_place / "agents"
    husk.client(f"{raw.HOST}:1", listen=f"unix:{path}{words}")
    assert path.stat().st_mode & 0o777 == mode
    assert connects_as_nobody(path) == connects
    assert connects_as_nobody(path, group=4711) == connects_in_group


def words_of(husk, listen):
    pki = husk.pki
    return ["--listen", listen, "--upstream", "localhost:1", "--admin", "off", "--cert", pki.client.cert,
            "--key", pki.client.key, "--ca", pki.ca.cert]


@pytest.mark.parametrize("make, why", [
    (lambda path: path.write_text("x"), "a file that is no socket has this name"),
    (lambda path: path.mkdir(), "a file that is no socket has this name"),
    (lambda path: path.parent.rmdir(), "the directory does not exist"),
], ids=["file", "directory", "nothing"])
def test_a_failure_to_listen_on_a_unix_socket_is_one_clear_line(husk, tmp_path, make, why):
    path = tmp_path / "place" / "agents"
    path.parent.mkdir()
    make(path)
    result = run("client", *words_of(husk, f"unix:{path}"))
    assert result.returncode == 1
    assert [line.split(" ", 1)[1] for line in result.stderr.splitlines()] == [
        f"error cannot start: --listen: cannot listen on unix:{path}: {why}"]


def test_a_path_that_is_too_long_is_one_clear_line(husk):
    path = "/" + "x" * 110
    result = run("client", *words_of(husk, f"unix:{path}"))
    assert result.stderr == (f'husk client: --listen: Unix socket path "{path}" has 111 bytes: '
                             "expected at most 107\n")


def test_the_socket_of_a_killed_husk_is_taken_over(husk, tmp_path):
    aggregator, listen = Aggregator(), f"unix:{tmp_path}/agents"
    server = husk.server(aggregator)
    husk.client(server, listen=listen).kill()
    assert (tmp_path / "agents").exists()
    client = husk.client(server, listen=listen, workers=2)
    carry_acked(Agent(raw.connect(client.address)), 1, "chunk")


def test_an_address_that_is_given_twice_is_one_clear_line(husk):
    result = run("client", *words_of(husk, "127.0.0.1:24224"), "--listen", "tcp://localhost:24224")
    assert result.stderr == 'husk client: --listen: "tcp://localhost:24224": the same address is given twice\n'
