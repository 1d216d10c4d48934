"""husk run follows its file: the addresses where routes listen, and routes that begin and end."""

import contextlib
import itertools
import os
import pathlib
import random
import re
import socket
import threading

import pytest

from support import raw
from support.config_file import route
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import LIGHT
from support.process import eventually
from support.reloading import WORKERS, agent_of, listen


# ---- addresses ----

@WORKERS
def test_listening_addresses_come_stay_and_go(file, workers):
    aggregator = Aggregator()
    a, b, c = (raw.free_address() for _ in range(3))
    running = file(route("r", aggregator, listen=[listen(a), listen(b)]), workers=workers, listeners=2)
    agents = [Agent(raw.connect(one)) for one in (a, b)]
    running.change(route("r", aggregator, listen=[listen(b), listen(c)]))
    eventually(lambda: raw.is_refused(a), "nobody listens there any more")
    for number, agent in enumerate([*agents, Agent(raw.connect(b)), Agent(raw.connect(c))]):
        carry_acked(agent, number, f"{number}")


@WORKERS
def test_an_address_becomes_the_address_of_all_interfaces(file, workers):
    aggregator = Aggregator()
    host, port = raw.free_address()
    running = file(route("r", aggregator, listen=f"{host}:{port}", unsafe_listen=True), workers=workers)
    agent = Agent(raw.connect((host, port)))
    for number, place in enumerate((f"0.0.0.0:{port}", f"{host}:{port}", f"0.0.0.0:{port}")):
        running.change(route("r", aggregator, listen=place, unsafe_listen=True))
        carry_acked(agent, 2 * number, "old")
        carry_acked(Agent(raw.connect((host, port))), 2 * number + 1, "new")


@WORKERS
def test_two_routes_exchange_their_addresses(file, workers, tmp_path):
    first, second = Aggregator(), Aggregator()
    places = [[listen(raw.free_address()), f"unix:{tmp_path}/{name}"] for name in ("x", "y")]

    def at(a, b):
        return route("a", first, listen=places[a]), route("b", second, listen=places[b])
    running = file(*at(0, 1), workers=workers, listeners=4)
    for number in range(4):
        running.change(*at((number + 1) % 2, number % 2))
        for place in range(2):
            for address in places[place]:
                expected = (first, second)[(place + number + 1) % 2]
                carry_to(address, expected)
    assert not running.husk.problems()


def carry_to(address, aggregator):
    """An agent at this address soon reaches this aggregator."""
    before = len(aggregator.messages)

    def reaches():
        with contextlib.suppress(OSError):
            carry_acked(Agent(raw.connect(raw.parse_address(address))), 1, "x")
        return len(aggregator.messages) > before
    eventually(reaches, f"{address} is of the other route")


@WORKERS
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_route_gets_another_name(file, workers, kind, tmp_path):
    aggregator = Aggregator()
    place = listen(raw.free_address()) if kind == "tcp" else f"unix:{tmp_path}/socket"
    running = file(route("r0", aggregator, listen=place), workers=workers)
    for number in range(1, 4):
        agent = Agent(raw.connect(raw.parse_address(place)))
        agent.send(event(number, f"{number}"))
        agent.expect_ack(f"{number}")
        running.change(route(f"r{number}", aggregator, listen=place))
        assert raw.read_to_end(agent.sock) == b""
        carry_to(place, aggregator)


def test_a_unix_socket_gets_other_rights(file, tmp_path):
    path, aggregator = tmp_path / "socket", Aggregator()

    def at(mode):
        return route("r", aggregator, listen={"address": f"unix:{path}", "mode": mode})
    running = file(at("0600"))
    agent = Agent(raw.connect(str(path)))
    running.change(at("0660"))
    assert path.stat().st_mode & 0o777 == 0o660
    carry_acked(agent, 1, "one")


def unlinked(path):
    path.unlink()
    return path


@WORKERS
def test_a_unix_socket_whose_file_is_gone_is_bound_again(file, workers, tmp_path):
    path, aggregator = tmp_path / "socket", Aggregator()

    def at(number):
        return route("r", aggregator, listen=f"unix:{path}", delivery={"ack_timeout": f"{number}s"})
    running = file(at(1), workers=workers)
    agent = Agent(raw.connect(str(path)))
    unlinked(path)
    running.change(at(2))
    carry_acked(Agent(raw.connect(str(path))), 1, "one")
    running.change(route("other", aggregator, listen=f"unix:{unlinked(path)}"))
    carry_acked(Agent(raw.connect(str(path))), 2, "two")
    assert raw.read_to_end(agent.sock) == b""
    running.change(route("none", aggregator))
    eventually(lambda: not path.exists(), "husk removes its file")


def test_a_unix_socket_whose_file_is_gone_is_bound_again_though_no_setting_differs(file, tmp_path):
    path, stays, aggregator = tmp_path / "socket", tmp_path / "stays", Aggregator()
    routes = route("r", aggregator, listen=f"unix:{path}"), route("s", aggregator, listen=f"unix:{stays}")
    running = file(*routes)
    unlinked(path)
    agent = Agent(raw.connect(str(stays)))
    assert running.change(*routes)["changed"] == 1
    carry_acked(Agent(raw.connect(str(path))), 1, "one")
    carry_acked(agent, 2, "two")
    assert running.change(*routes)["changed"] == 0


def test_a_unix_socket_of_another_program_is_left_alone(file, tmp_path):
    path, aggregator = tmp_path / "socket", Aggregator()

    def at(number):
        return route("r", aggregator, listen=f"unix:{path}", delivery={"ack_timeout": f"{number}s"})
    running = file(at(1), reload={"interval": "off", "retry_max": "50ms"})
    unlinked(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        running.replace(at(2))
        running.hang_up("failure")
        assert running.husk.problem()["message"].endswith(f"cannot listen on unix:{path}: Address already in use")
        other.close()
    running.husk.wait_for_event(message="configuration reloaded")
    carry_acked(Agent(raw.connect(str(path))), 1, "one")


@WORKERS
def test_a_unix_socket_of_a_route_that_refused_connections_accepts_them(file, workers, tmp_path):
    """A refused Unix socket would never listen again."""
    aggregator, place, path = Aggregator(), raw.free_address(), tmp_path / "socket"
    probed = {"interval": "50ms"}
    running = file(route("r", listen(raw.free_address()), listen=listen(place), health={**probed, "when_unhealthy": "refuse"}),
                   workers=workers)
    eventually(lambda: raw.is_refused(place), "refused")
    running.change(route("r", aggregator, listen=f"unix:{path}", health=probed))
    carry_acked(Agent(raw.connect(str(path))), 1, "one")
    running.husk.wait_for_event(message="connections are accepted again")


def watched_count(husk, path):
    """How many entries of husk's epoll sets are of the Unix socket with this path."""
    inode, = {int(line.split()[6]) for line in pathlib.Path("/proc/net/unix").read_text().splitlines() if line.endswith(f" {path}")}
    infos = ""
    for info in pathlib.Path(f"/proc/{husk.pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):  # husk has closed the descriptor
            infos += info.read_text()
    return len(re.findall(rf"^tfd:.* ino:{inode:x} ", infos, re.M))


@pytest.mark.skipif(os.geteuid() != 0, reason="husk is not dumpable: only root can look into it")
@WORKERS
def test_a_unix_socket_that_moves_is_watched_by_its_new_route_alone(file, workers, tmp_path):
    """The route before has duplicates of the socket, whose end alone does not take them out of an epoll set."""
    aggregator, path = Aggregator(), tmp_path / "socket"
    running = file(route("r0", aggregator, listen=f"unix:{path}"), workers=workers)
    for number in range(1, 4):
        running.change(route(f"r{number}", aggregator, listen=f"unix:{path}"))
        running.husk.wait_for_event(message="route removed", route=f"r{number - 1}")
        assert watched_count(running.husk, path) == workers


# ---- all or nothing ----

class Caller:
    """Connects to an address again and again, until finish()."""

    def __init__(self, address):
        self._address, self.reached = address, 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def _call(self):
        while not self._stopped.is_set():
            with contextlib.suppress(OSError), raw.connect(self._address):
                self.reached += 1

    def finish(self):
        self._stopped.set()
        self._thread.join()
        return self.reached


@WORKERS
def test_nobody_sees_a_file_that_fails(file, workers, tmp_path):
    """New routes and new addresses that stand before the route that fails."""
    aggregator, busy = Aggregator(), raw.Listener()
    place, path, new = listen(raw.free_address()), tmp_path / "socket", raw.free_address()
    running = file(route("r", aggregator, listen=[place, f"unix:{path}"]), workers=workers, listeners=2)
    agent = Agent(raw.connect(raw.parse_address(place)))
    caller = Caller(new)
    before = len(running.husk.events())
    running.replace(route("r", aggregator, listen=[listen(raw.free_address())], delivery={"ack_timeout": "1s"}),
                    route("new", aggregator, listen=[listen(new), f"unix:{tmp_path}/new"]),
                    route("taking", aggregator, listen={"address": f"unix:{path}", "mode": "0600"}),
                    route("busy", aggregator, listen=listen(busy.address)))
    for number in range(20):
        running.hang_up("failure")
        carry_acked(agent, number, f"{number}")
        assert path.stat().st_mode & 0o777 == 0o666
    assert caller.finish() == 0
    assert not (tmp_path / "new").exists()
    carry_acked(Agent(raw.connect(str(path))), 100, "100")
    running.change(route("r", aggregator, listen=place))
    lines = running.husk.events()[before:]
    assert [line["message"] for line in lines if line["level"] == "info"] == ["listening", "configuration reloaded"]
    assert {line["message"] for line in lines if line["level"] != "info"} == {
        f"the configuration is not changed, and husk tries again: route busy: listen: cannot listen on "
        f"{listen(busy.address)}: Address already in use"}
    assert 'route="new"' not in running.husk.get("/metrics")[1]


# ---- routes begin and end ----

@WORKERS
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_another_protocol_begins_the_route_anew(file, workers, kind, tmp_path):
    aggregator, other = Aggregator(), raw.Listener()
    place = listen(raw.free_address()) if kind == "tcp" else f"unix:{tmp_path}/socket"
    running = file(route("r", aggregator, listen=place), workers=workers, drain={"quiet": "20s", "timeout": "20s"})
    for number in range(3):
        agent = Agent(raw.connect(raw.parse_address(place)))
        carry_acked(agent, number, f"{number}")
        result = running.change(route("r", other, listen=place, protocol="tcp"))
        assert (result["added"], result["changed"], result["removed"]) == (0, 1, 0)
        assert raw.read_to_end(agent.sock) == b""
        near = raw.connect(raw.parse_address(place))
        near.sendall(b"hello")
        far = other.accept()
        assert far.recv(5) == b"hello"
        running.change(route("r", aggregator, listen=place))
        raw.carry(far, near, b"x" * 1000)  # the tunnel goes on
        near.close()
    assert not running.husk.problems()


def test_the_address_of_a_route_with_another_protocol_goes_to_another_route(file):
    first, second = Aggregator(), Aggregator()
    a, b = (listen(raw.free_address()) for _ in range(2))
    running = file(route("r", first, listen=a))
    running.change(route("r", second, listen=b, protocol="tcp"), route("more", second, listen=a))
    carry_to(a, second)
    carry_to(b, second)
    assert not running.husk.problems() and not first.numbers()


# ---- any file after any other ----

class RandomFiles:
    """Files of up to four routes, which share six addresses and two upstreams in ever other ways."""

    NAMES = ("a", "b", "c", "d")

    def __init__(self, seed, folder):
        self._random = random.Random(seed)
        self.upstreams = [Aggregator(), Aggregator()]
        self.addresses = [listen(raw.free_address()) for _ in range(4)] + [f"unix:{folder}/{name}" for name in "xy"]

    def routes(self):
        """(the routes, upstream by address)"""
        names = self._random.sample(self.NAMES, self._random.randint(1, 4))
        free = self._random.sample(self.addresses, len(self.addresses))
        routes, expected = [], {}
        for name in names:
            upstream = self._random.choice(self.upstreams)
            mine = [free.pop() for _ in range(self._random.randint(1, 2)) if free] or [f"{raw.HOST}:0"]
            expected.update({address: upstream for address in mine if not address.endswith(":0")})
            routes.append(route(name, upstream, listen=mine, protocol=self._random.choice(("forward", "forward", "tcp")),
                                delivery={"ack_timeout": f"{self._random.randint(8, 9)}s"}))
        return routes, expected


def is_closed(address):
    place = raw.parse_address(address)
    return not pathlib.Path(place).exists() if isinstance(place, str) else raw.is_refused(place)


def expect_places(files, expected, numbers):
    for address in files.addresses:
        if address not in expected:
            assert is_closed(address), address
            continue
        number = next(numbers)
        carry_acked(Agent(raw.connect(raw.parse_address(address))), number, f"{number}")
        assert number in expected[address].numbers(), address


@WORKERS
def test_any_file_may_follow_any_other(file, workers, tmp_path):
    """At the log line of the reload, each address is of its new route. A file that fails changes no address."""
    files, numbers, busy = RandomFiles(workers, tmp_path), itertools.count(), raw.Listener()
    routes, expected = files.routes()
    running = file(*routes, workers=workers, listeners=sum(len(one["listen"]) for one in routes))
    for _ in range(10 if LIGHT else 30):
        failing, _ = files.routes()
        running.replace(*failing, route("e", files.upstreams[0], listen=listen(busy.address)))
        running.hang_up("failure")
        expect_places(files, expected, numbers)
        routes, expected = files.routes()
        running.change(*routes)
        expect_places(files, expected, numbers)
    assert all("Address already in use" in one["message"] for one in running.husk.problems())
