"""SIGUSR2: a new process takes the place of husk. No connection is refused, and no message is lost."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import raw
from support.aggregators import CountingAggregator
from support.config_file import address_of, route
from support.forward import Agent, carry_acked, event
from support.hot_restart import FAILED, STARTS, Replaceable, has_ended
from support.husk import LIGHT
from support.process import eventually
from support.reloading import WORKERS, Streaming, listen
from support.service_manager import ServiceManager
from support.threads import stopped_worker

NOWHERE = f"{raw.HOST}:1"
SWAPS = int(os.environ.get("HUSK_SWAPS", "10" if LIGHT else "50"))


@pytest.fixture
def program(tmp_path):
    return Replaceable(tmp_path)


class Visitors:
    """Short connections, one after the other: each brings one event, waits for its ack, and goes. An event whose connection
    ends without the ack is sent again. Counts the connections that were refused."""

    def __init__(self, address, first):
        self._address, self._first = address, first
        self.refused, self.again, self.stored = 0, 0, []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _bring(self, number):
        try:
            agent = Agent(raw.connect(self._address))
        except ConnectionRefusedError:
            self.refused += 1
            return False
        except ConnectionResetError:
            self.again += 1
            return False
        with contextlib.closing(agent):
            try:
                carry_acked(agent, number, f"{number}")
            except (ConnectionError, AssertionError):
                self.again += 1
                return False
        return True

    def _run(self):
        number = self._first
        while not self._stopped.is_set():
            if self._bring(number):
                self.stored.append(number)
                number += 1

    def finish(self):
        self._stopped.set()
        self._thread.join()
        return self.stored


# ---- under load ----

@WORKERS
def test_swaps_under_load_refuse_no_connection_and_lose_nothing(file, restarting, tmp_path, workers):
    aggregator = CountingAggregator()
    path = tmp_path / "agents"
    running = file(route("tcp", aggregator), route("unix", aggregator, listen=f"unix:{path}"), workers=workers)
    address = address_of(running.husk, "tcp")
    husks = restarting(running.husk)
    streams = [Streaming(to, 10_000_000 * n) for n, to in enumerate((address, address, str(path)), 1)]
    visitors = [Visitors(to, 100_000_000 * n) for n, to in enumerate((address, str(path)), 1)]
    for _ in range(SWAPS):
        acked, visits = streams[0].acked_count, len(visitors[0].stored)
        husks.swap()
        eventually(lambda: streams[0].acked_count > acked and len(visitors[0].stored) > visits, "messages go on")
    sent = [number for one in streams + visitors for number in one.finish()]
    aggregator.wait_for_stored(*sent)
    husks.wait_until_alone()
    assert [one.refused for one in visitors] == [0, 0]
    assert not running.husk.problems() and path.is_socket()
    print(f"{SWAPS} swaps; {len(sent)} events; connections of the streams that ended: {[one.ends for one in streams]}; "
          f"visits repeated: {[one.again for one in visitors]}")


def test_messages_of_agents_without_acks_are_delivered_once(file, restarting):
    aggregator = CountingAggregator()
    running = file(route("one", aggregator), workers=2)
    address = address_of(running.husk, "one")
    husks = restarting(running.husk)
    number = 0
    for _ in range(5):
        agents = [Agent(raw.connect(address)) for _ in range(20)]
        for agent in agents:
            number += 1
            agent.send(event(number))
        husks.swap()
        for agent in agents:
            agent.close()
    aggregator.wait_for_stored(*range(1, number + 1))
    husks.wait_until_alone()
    assert set(aggregator.stored.values()) == {1}


# ---- what the new process is ----

def test_the_new_process_has_the_new_file_of_the_configuration(file, restarting, program):
    first, second = CountingAggregator(), CountingAggregator()
    gone, new = raw.free_address(), raw.free_address()
    address = raw.free_address()
    running = file(route("one", first, listen=listen(address)), route("gone", first, listen=listen(gone)), workers=4,
                   binary=program.path)
    husks = restarting(running.husk)
    for workers in (1, 3, 2):
        running.replace(route("one", second, listen=listen(address)),
                        route("new", second, listen=listen(new)), workers=workers, log={"format": "json", "level": "debug"})
        husks.swap()
        husks.wait_until_alone()
        threads = len(list(pathlib.Path(f"/proc/{husks.pid}/task").iterdir()))
        assert threads >= workers + 1
        for number in range(workers * 100, workers * 100 + 8):
            with contextlib.closing(Agent(raw.connect(address))) as agent:
                carry_acked(agent, number, f"{number}")
        raw.connect(new).close()
        with pytest.raises(ConnectionRefusedError):
            raw.connect(gone)
    assert len(second.stored) == 24 and not first.stored
    unused = running.husk.wait_for_event(message="husk does not use a socket that it got when it started")
    assert unused["address"] == raw.format_address(gone) and unused["level"] == "info"


def change_while_one_starts(running, husks, program, *routes):
    """A reload while a new process starts. Returns when the old process has got it."""
    program.hold()
    husks.start()
    running.husk.wait_for_line(lambda line: line == "copied", "copied")
    running.replace(*routes)
    husks.signal(signal.SIGHUP)
    assert running.husk.get("/live")[0] == 200  # after SIGHUP


def test_the_new_process_has_a_change_that_came_while_it_started(file, restarting, program):
    """Only the new process binds the new address."""
    first, second = CountingAggregator(), CountingAggregator()
    places = [raw.free_address() for _ in range(2)]
    running = file(route("one", first, listen=listen(places[0])), binary=program.path)
    husks = restarting(running.husk)
    change_while_one_starts(running, husks, program, route("one", second, listen=[listen(place) for place in places]))
    assert raw.is_refused(places[1])
    program.go_on(running.path)
    husks.pid = running.husk.wait_for_event(message="hot restart: the new process has taken over")["pid"]
    running.husk.wait_for_event(message="configuration reloaded")  # the new process, on SIGHUP from the old one
    husks.wait_until_alone()
    for number, place in enumerate(places, 1):
        with contextlib.closing(Agent(raw.connect(place))) as agent:
            carry_acked(agent, number, f"{number}")
    assert len(second.stored) == 2 and not running.husk.problems()


def test_the_old_process_has_a_change_that_came_while_a_process_started_that_failed(file, restarting, program, tmp_path):
    first, second = CountingAggregator(), CountingAggregator()
    places = [raw.free_address() for _ in range(2)]
    manager = ServiceManager(str(tmp_path / "notify"))
    running = file(route("one", first, listen=listen(places[0])), binary=program.path, env=manager.env)
    husks = restarting(running.husk)
    change_while_one_starts(running, husks, program, route("one", second, listen=[listen(place) for place in places]))
    manager.wait_for("RELOADING")
    assert len(manager.messages("READY")) == 1
    os.kill(husks.pids[-1], signal.SIGKILL)
    running.husk.wait_for_event(message="configuration reloaded")
    manager.wait_for("READY", count=2)
    for number, place in enumerate(places, 1):
        with contextlib.closing(Agent(raw.connect(place))) as agent:
            carry_acked(agent, number, f"{number}")
    assert len(second.stored) == 2
    manager.close()


def test_the_new_process_gets_the_sockets_and_no_other_descriptor(husk, restarting, program):
    upstream = raw.Listener()
    client = husk.client(upstream, protocol="tcp", workers=2, binary=program.path, handshake_timeout="1m")
    husks = restarting(client)
    agents = [raw.connect(client.address) for _ in range(3)]
    program.replace('ls -l /proc/$$/fd >&2\n'
                    'echo "variables $LISTEN_FDS $LISTEN_FDNAMES" >&2; [ $LISTEN_PID = $$ ] && echo "pid is right" >&2; exit 7\n')
    husks.start()
    assert client.problem()["message"] == FAILED + "the new process has ended with status 7"
    client.wait_for_line(lambda line: line == "pid is right", "that LISTEN_PID is right")
    links = [line.split() for line in client.lines if " -> " in line]
    numbers = {int(words[-3]): words[-1] for words in links}
    own = {number: name for number, name in numbers.items() if 2 < number < 10}  # the shell has its own from 10 on
    assert sorted(own) == [3, 4, 5, 6] and all(name.startswith("socket:") for name in own.values())
    listens = f"client/{raw.HOST},0"
    assert f"variables 4 {listens}:{listens}:/admin/{raw.HOST},0:/channel" in client.lines
    for agent in agents:
        agent.close()
    upstream.close()


def test_the_admin_address_stays(husk, restarting):
    client = husk.client(NOWHERE, protocol="tcp")
    husks = restarting(client)
    for _ in range(3):
        husks.swap()
        assert client.get("/live")[0] == 200
    husks.wait_until_alone()
    assert client.get("/live")[0] == 200


def test_the_new_process_removes_the_file_of_a_unix_socket(husk, restarting, tmp_path):
    paths = [tmp_path / "agents", tmp_path / "admin"]
    client = husk.client(NOWHERE, protocol="tcp", listen=f"unix:{paths[0]}", admin=f"unix:{paths[1]}")
    husks = restarting(client)
    for _ in range(2):
        husks.swap()
        husks.wait_until_alone()
        assert all(path.is_socket() for path in paths)
        raw.connect(str(paths[0])).close()
    husks.stop()
    assert not any(path.exists() for path in paths)


def test_the_new_process_removes_the_file_of_an_address_that_is_gone(file, restarting, tmp_path):
    gone, admin, stays = (tmp_path / name for name in ("gone", "admin", "stays"))
    running = file(route("one", NOWHERE, listen=[f"unix:{gone}", f"unix:{stays}"]), listeners=2, workers=2,
                   admin={"listen": f"unix:{admin}"})
    husks = restarting(running.husk)
    running.replace(route("one", NOWHERE, listen=f"unix:{stays}"), workers=2, admin={"listen": f"{raw.HOST}:0"})
    husks.swap()
    eventually(lambda: not gone.exists() and not admin.exists(), "the files are removed")
    husks.wait_until_alone()
    raw.connect(str(stays)).close()


@WORKERS
def test_a_unix_socket_whose_file_is_gone_is_bound_again(file, restarting, tmp_path, workers):
    """Also that of the admin port."""
    path, admin = tmp_path / "agents", tmp_path / "admin"
    aggregator = CountingAggregator()
    running = file(route("one", aggregator, listen=f"unix:{path}"), workers=workers, admin={"listen": f"unix:{admin}"})
    husks = restarting(running.husk)
    path.unlink()
    admin.unlink()
    husks.swap()
    carry_acked(Agent(raw.connect(str(path))), 1, "one")
    raw.connect(str(admin)).close()
    husks.wait_until_alone()
    carry_acked(Agent(raw.connect(str(path))), 2, "two")
    assert not running.husk.problems()
    assert not running.husk.events(message="husk does not use a socket that it got when it started")
    husks.stop()
    assert not path.exists() and not admin.exists()


def test_sighup_is_for_the_new_process(file, restarting):
    first, second = CountingAggregator(), CountingAggregator()
    address = raw.free_address()
    running = file(route("one", first, listen=listen(address)))
    husks = restarting(running.husk)
    husks.swap()
    husks.wait_until_alone()
    running.replace(route("one", second, listen=listen(address)))
    husks.signal(signal.SIGHUP)
    running.husk.wait_for_event(message="configuration reloaded")
    with contextlib.closing(Agent(raw.connect(address))) as agent:
        carry_acked(agent, 1, "1")
    assert second.stored[1]


def test_heartbeats_over_udp_go_on(husk, restarting):
    client = husk.client(husk.server(CountingAggregator()), health_interval="50ms")
    husks = restarting(client)

    def answers():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect(client.address)
            with contextlib.suppress(OSError):
                sock.send(b"\0")
                return sock.recv(16) == b"\0"
    for _ in range(3):
        husks.swap()
        eventually(answers, "an answer to a heartbeat")
    assert not client.problems()


def test_a_husk_that_refuses_connections_hands_over_sockets_that_listen(husk, restarting):
    address = raw.free_address()
    client = husk.client(raw.format_address(address), listen=raw.format_address(raw.free_address()),
                         health_interval="50ms", when_unhealthy="refuse")
    client.wait_until(lambda _: [e for e in client.events() if "connections are refused" in e["message"]], "a refusal")
    husks = restarting(client)
    husks.start()
    husks.pid = client.wait_for_event(message="hot restart: the new process has taken over")["pid"]
    husks.wait_until_alone()
    upstream = raw.Listener(address)

    eventually(lambda: not raw.is_refused(client.address), "connections are accepted again")
    upstream.close()


# ---- the old process ----

def test_a_tunnel_of_the_old_process_goes_on(husk, restarting):
    tunnel = husk.tunnel(client={"drain_quiet": "20s", "drain_timeout": "20s"})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    husks = restarting(tunnel.client)
    husks.swap()
    raw.carry_both_ways(agent, aggregator)
    raw.carry_both_ways(*tunnel.open())
    assert not has_ended(tunnel.client.pid)
    agent.close()
    aggregator.close()
    husks.wait_until_alone()


def test_one_sigterm_does_not_cut_the_drain_of_the_old_process(husk, restarting):
    tunnel = husk.tunnel(client={"drain_quiet": "20s", "drain_timeout": "20s"})
    agent, aggregator = tunnel.open()
    husks = restarting(tunnel.client)
    husks.swap()
    os.kill(tunnel.client.pid, signal.SIGTERM)
    for _ in range(20):
        raw.carry_both_ways(agent, aggregator)
        time.sleep(0.02)
    os.kill(tunnel.client.pid, signal.SIGTERM)
    raw.assert_closed(agent)
    husks.wait_until_alone()


def test_sigterm_ends_a_new_process_that_starts(husk, restarting, program):
    client = husk.client(NOWHERE, protocol="tcp", binary=program.path)
    husks = restarting(client)
    program.replace("exec sleep 60\n")
    child = husks.start()
    husks.signal(signal.SIGTERM)
    assert client.wait() == 0
    eventually(lambda: has_ended(child), "the new process ends")
    assert not client.problems()


def test_sigusr2_during_a_drain_is_ignored(husk, restarting):
    tunnel = husk.tunnel(client={"drain_quiet": "20s", "drain_timeout": "20s"})
    agent, aggregator = tunnel.open()
    husks = restarting(tunnel.client)
    husks.signal(signal.SIGTERM)
    eventually(lambda: tunnel.client.metric("husk_draining") == 1, "draining")
    husks.signal()
    assert tunnel.client.problem()["message"] == "SIGUSR2 is ignored: this process is stopping"
    raw.carry_both_ways(agent, aggregator)


@pytest.mark.parametrize("limit", ["handover", "drain"])  # the limit that ends first
def test_the_new_process_does_not_wait_for_a_worker_that_hangs(file, restarting, limit):
    aggregator, drain = CountingAggregator(), {"handover": "1m", "drain": "300ms"}[limit]
    running = file(route("one", aggregator), workers=2, drain={"timeout": drain, "quiet": drain})
    address = address_of(running.husk, "one")
    husks = restarting(running.husk)
    with stopped_worker(running.husk):
        husks.swap()
        for number in range(8):
            with contextlib.closing(Agent(raw.connect(address))) as agent:
                carry_acked(agent, number, f"{number}")
    hangs = "hot restart: a worker of this process hangs, and the new process does not wait for it"
    assert [e["message"] for e in running.husk.problems()] == ([hangs] if limit == "handover" else [])
    husks.wait_until_alone()


# ---- failures ----

def assert_goes_on(client, husks, program):
    """The process works, and the next new process takes over."""
    raw.connect(client.address).close()
    assert client.get("/live")[0] == 200
    program.replace()
    husks.swap()
    husks.wait_until_alone()
    raw.connect(client.address).close()


FAILURES = {
    "ends": ("exit 3\n", "the new process has ended with status 3"),
    "killed": ("kill -9 $$\n", "the new process was ended by signal 9"),
    "late": ("exec sleep 60\n", "the new process has not started within --hot-restart-timeout"),
    "other": ("exec 3<&- 4<&- 5<&-; exec sleep 60\n", "the new process was ended by signal 9"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_new_process_that_fails_changes_nothing(husk, restarting, program, kind):
    script, why = FAILURES[kind]
    client = husk.client(NOWHERE, protocol="tcp", binary=program.path,
                         hot_restart_timeout="300ms" if kind == "late" else "20s")
    husks = restarting(client)
    program.replace(script)
    child = husks.start()
    assert client.problem()["message"] == FAILED + why
    assert has_ended(child)
    if kind != "late":
        assert_goes_on(client, husks, program)


def test_a_program_that_cannot_be_run_changes_nothing(husk, restarting, program):
    client = husk.client(NOWHERE, protocol="tcp", binary=program.path)
    husks = restarting(client)
    program.path.unlink()
    husks.signal()
    assert client.problem()["message"] == FAILED + f"cannot run {program.path}: No such file or directory"
    assert_goes_on(client, husks, program)


def test_a_configuration_with_a_mistake_changes_nothing(file, restarting, program, tmp_path):
    path = tmp_path / "agents"
    running = file(route("one", NOWHERE, listen=f"unix:{path}"), binary=program.path)
    husks = restarting(running.husk)
    good = running.path.read_text()
    running.write_text("routes: 5\n")
    husks.start()
    assert running.husk.problem()["message"] == FAILED + "the new process has ended with status 2"
    running.write_text(good.replace(str(path), f"{path}-2").replace("127.0.0.1:1\n", "127.0.0.1:1\n  max_depth: 500\n"))
    raw.connect(str(path)).close()
    running.write_text(good)
    husks.swap()
    husks.wait_until_alone()
    raw.connect(str(path)).close()


def test_a_start_that_fails_late_keeps_the_files_of_the_old_process(file, restarting, tmp_path):
    path, admin = tmp_path / "agents", tmp_path / "admin"
    running = file(route("one", NOWHERE, listen=f"unix:{path}"), admin={"listen": f"unix:{admin}"})
    husks = restarting(running.husk)
    taken = raw.Listener()
    running.replace(route("one", NOWHERE, listen=f"unix:{path}"), route("two", NOWHERE, listen=listen(taken.address)),
                    admin={"listen": f"unix:{admin}"})
    husks.start()
    running.husk.wait_until(lambda _: [e for e in running.husk.problems() if e["message"].startswith(FAILED)], "a failure")
    assert path.is_socket() and admin.is_socket()
    raw.connect(str(path)).close()


def test_a_start_that_fails_late_ends_no_refusal(file, restarting):
    refusing = {"health": {"interval": "50ms", "when_unhealthy": "refuse"}}
    address, upstream = raw.free_address(), raw.format_address(raw.free_address())
    running = file(route("one", upstream, listen=listen(address), **refusing), workers=2)
    eventually(lambda: raw.is_refused(address), "a refusal")
    husks = restarting(running.husk)
    taken = raw.Listener()
    running.replace(route("one", upstream, listen=listen(address), **refusing),
                    route("two", upstream, listen=listen(taken.address)), workers=3)
    husks.start()
    running.husk.wait_until(lambda _: [e for e in running.husk.problems() if e["message"].startswith(FAILED)], "a failure")
    assert raw.is_refused(address)
    aggregator = raw.Listener(raw.parse_address(upstream))
    eventually(lambda: not raw.is_refused(address), "connections are accepted again")
    aggregator.close()


def test_a_second_sigusr2_is_ignored_while_a_process_starts(husk, restarting, program):
    client = husk.client(NOWHERE, protocol="tcp", binary=program.path)
    husks = restarting(client)
    program.replace("exec sleep 60\n")
    child = husks.start()
    husks.signal()
    assert client.problem()["message"] == "SIGUSR2 is ignored: a new process is starting already"
    os.kill(child, signal.SIGKILL)
    client.wait_until(lambda _: len(client.problems()) == 2, "the failure")
    assert len(client.events(message=STARTS)) == 1


def test_process_1_of_a_container_is_not_replaced(husk):
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may not make a PID namespace")
    client = husk.client(NOWHERE, protocol="tcp", prefix=("unshare", "--pid", "--fork", "--kill-child"))
    inner = int(pathlib.Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text())
    os.kill(inner, signal.SIGUSR2)
    assert client.problem()["message"] == \
        "SIGUSR2 is ignored: this is process 1, whose end would end the new process, too"
    raw.connect(client.address).close()
    os.kill(inner, signal.SIGTERM)
    assert client.wait() == 0


# ---- the service manager ----

def test_the_service_manager_is_told_the_new_process(husk, restarting, tmp_path):
    manager = ServiceManager(str(tmp_path / "notify"))
    client = husk.client(NOWHERE, protocol="tcp",
                         env={**manager.env, "WATCHDOG_USEC": "300000"})
    husks = restarting(client)
    old = client.pid
    manager.wait_for("READY")
    husks.swap()
    told = manager.wait_for("MAINPID")
    assert told.pid == old and int(told.fields["MAINPID"]) == husks.pid
    assert manager.wait_for("READY", count=2).pid == husks.pid
    manager.wait_for("WATCHDOG", lambda message: message.pid == husks.pid, count=3)
    husks.wait_until_alone()
    assert not manager.messages("STOPPING")
    order = [name for message in manager.all() for name in message.fields if name in ("MAINPID", "READY")]
    assert order == ["READY", "MAINPID", "READY"]
    manager.close()


def test_the_watchdog_of_one_process_is_that_of_the_next(husk, restarting, tmp_path):
    manager = ServiceManager(str(tmp_path / "notify"))
    script = 'WATCHDOG_PID=$$ exec "$0" "$@"'
    client = husk.client(NOWHERE, protocol="tcp", prefix=("/bin/sh", "-c", script),
                         env={**manager.env, "WATCHDOG_USEC": "300000"})
    husks = restarting(client)
    manager.wait_for("WATCHDOG")
    husks.swap()
    manager.wait_for("WATCHDOG", lambda message: message.pid == husks.pid, count=2)
    husks.stop()
    manager.close()


def test_a_new_process_tells_the_service_manager_nothing_before_it_has_taken_over(file, restarting, tmp_path):
    manager = ServiceManager(str(tmp_path / "notify"))
    running = file(route("one", NOWHERE), env=manager.env)
    husks = restarting(running.husk)
    running.replace(route("one", NOWHERE, tls={"upstream": {"spiffe_socket": f"unix:{tmp_path}/none"}}))
    child = husks.start()
    running.husk.wait_until(lambda _: [e for e in running.husk.problems() if "SPIFFE Workload API" in e["message"]],
                            "that the new process waits for credentials")
    os.kill(child, signal.SIGTERM)
    running.husk.wait_until(lambda _: [e for e in running.husk.problems() if e["message"].startswith(FAILED)], "a failure")
    husks.signal(signal.SIGHUP)
    manager.wait_for("RELOADING")  # comes after all messages of the new process
    assert {message.pid for message in manager.all()} == {husks.pid}
    manager.close()
