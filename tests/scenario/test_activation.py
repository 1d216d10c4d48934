"""Sockets that husk gets when it starts: from a service manager by the protocol of sd_listen_fds(3), and those that the
service manager keeps while husk is restarted."""

import contextlib
import os
import signal
import socket
import sys

import pytest

from support import raw
from support.aggregators import CountingAggregator
from support.config_file import route
from support.forward import Agent, carry_acked
from support.launching import Launch
from support.launching import listen as listen_at
from support.process import eventually
from support.reloading import listen
from support.service_manager import ServiceManager

NOWHERE = f"{raw.HOST}:1"
UNUSED = "husk does not use a socket that it got when it started"


@pytest.fixture
def launch():
    """The options of a husk that gets these sockets: see Launch."""
    made = []

    def make(*sockets, **options):
        made.append(Launch(*sockets, **options))
        return made[-1].options
    yield make
    for one in made:
        one.close()


def visit(address, number):
    with contextlib.closing(Agent(raw.connect(address))) as agent:
        carry_acked(agent, number, f"{number}")


# ---- activation ----

@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", ["tcp", "tcp6", "shared", "unix", "abstract"])
def test_husk_listens_on_the_socket_of_its_address(file, launch, tmp_path, kind, workers):
    path = tmp_path / "agents"
    place = {"tcp": (raw.HOST, 0), "shared": (raw.HOST, 0), "tcp6": ("::1", 0), "unix": path,
             "abstract": f"\0husk-{os.getpid()}-{workers}"}[kind]
    aggregator = CountingAggregator()
    sock = listen_at(place, reuse=kind == "shared")
    address = sock.getsockname()
    if kind == "abstract":
        address = address.decode()
    waiting = Agent(raw.connect(address))  # before husk starts
    text = {"unix": f"unix:{path}", "abstract": f"unix:@{address[1:]}"}.get(kind) or raw.format_address(address)
    running = file(route("one", aggregator, listen=text), workers=workers, **launch(sock))
    carry_acked(waiting, 1, "1")
    for number in range(2, 12):
        visit(address, number)
    sock.close()
    running.husk.signal(signal.SIGTERM)
    assert running.husk.wait() == 0 and not running.husk.problems()
    assert kind != "unix" or path.is_socket()  # the file belongs to the service manager
    waiting.close()


def test_a_unix_socket_whose_file_husk_does_not_see_is_used(file, launch, tmp_path):
    """As in a container, or with PrivateTmp=yes: the file is in a directory of the service manager alone."""
    path, outside, aggregator = tmp_path / "agents", tmp_path / "outside", CountingAggregator()
    sock = listen_at(path)
    path.rename(outside)
    routes = [route("one", aggregator, listen=f"unix:{path}")]
    running = file(*routes, **launch(sock))
    visit(str(outside), 1)
    assert running.change(*routes)["changed"] == 0
    running.change(route("one", aggregator, listen=f"unix:{path}", delivery={"ack_timeout": "9s"}))
    visit(str(outside), 2)
    sock.close()
    running.husk.signal(signal.SIGTERM)
    assert running.husk.wait() == 0 and not running.husk.problems()
    assert outside.is_socket() and not path.exists()


def test_several_sockets_go_to_the_routes_with_their_addresses(file, launch, tmp_path):
    first, second = CountingAggregator(), CountingAggregator()
    paths = [tmp_path / "one", tmp_path / "two"]
    socks = [listen_at(path) for path in paths]
    admin = listen_at((raw.HOST, 0))
    running = file(route("one", first, listen=f"unix:{paths[0]}"), route("two", second, listen=[f"unix:{paths[1]}", f"{raw.HOST}:0"]),
                   admin={"listen": raw.format_address(admin.getsockname())}, listeners=3, **launch(*reversed(socks), admin))
    visit(str(paths[0]), 1)
    visit(str(paths[1]), 2)
    assert first.stored[1] and second.stored[2]
    assert running.husk.admin == admin.getsockname() and running.husk.get("/live")[0] == 200
    assert not running.husk.problems()


def test_a_name_finds_a_socket_for_port_0(husk, launch):
    sock = listen_at((raw.HOST, 0))
    client = husk.client(NOWHERE, protocol="tcp", **launch(sock, names=[f"client/{raw.HOST},0"]))
    assert client.address == sock.getsockname()


def test_a_socket_that_another_process_has_stopped_listens_again(husk, launch):
    sock = listen_at(raw.free_address())  # with port 0, the kernel would choose another port now
    client = husk.client(NOWHERE, protocol="tcp", **launch(sock), listen=raw.format_address(sock.getsockname()))
    sock.shutdown(socket.SHUT_RD)
    eventually(lambda: not raw.is_refused(client.address), "husk listens again")
    assert client.get("/live")[0] == 200
    sock.close()


def test_a_reload_removes_and_keeps_activated_sockets(file, launch, tmp_path):
    aggregator, path = CountingAggregator(), tmp_path / "agents"
    socks = [listen_at((raw.HOST, 0)), listen_at(path)]
    addresses = [listen(socks[0].getsockname()), f"unix:{path}"]
    running = file(route("one", aggregator, listen=addresses), listeners=2, **launch(*socks))
    for sock in socks:
        sock.close()
    running.change(route("one", aggregator, listen=addresses, delivery={"ack_timeout": "9s"}))
    visit(str(path), 1)
    running.change(route("two", aggregator, listen=addresses))
    visit(str(path), 2)
    visit(raw.parse_address(addresses[0]), 3)
    running.change(route("two", aggregator, listen=addresses[1:]))
    visit(str(path), 4)


# ---- sockets that belong to others ----

def listens(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


@pytest.mark.parametrize("own", [0, 1])  # addresses that husk binds
@pytest.mark.parametrize("reuse", [False, True])
def test_husk_refuses_connections_at_its_own_sockets_alone(file, launch, reuse, own):
    upstream, sock = raw.free_address(), listen_at(raw.free_address(), reuse=reuse)
    places = [raw.free_address() for _ in range(own)]
    running = file(route("one", raw.format_address(upstream), listen=[listen(at) for at in [sock.getsockname(), *places]],
                         health={"interval": "50ms", "when_unhealthy": "refuse"}), listeners=1 + own, workers=3, **launch(sock))
    warning = running.husk.wait_for_event(message="connections at this address are not refused while the upstream fails")
    assert warning["address"] == raw.format_address(sock.getsockname())
    running.husk.wait_until(lambda _: running.husk.metric("husk_upstream_healthy") == 0, "the upstream is known to fail")
    for place in places:
        eventually(lambda: raw.is_refused(place), "a refusal")
    waiting = Agent(raw.connect(sock.getsockname()))
    assert listens(sock)
    aggregator = CountingAggregator(address=upstream)
    carry_acked(waiting, 1, "1")
    for number, place in enumerate(places, 2):
        eventually(lambda: not raw.is_refused(place), "connections are accepted again")
        visit(place, number)
    refusals = [event for event in running.husk.problems() if "new connections are refused" in event["message"]]
    assert len(refusals) == own and aggregator.stored[1] == 1
    waiting.close()
    sock.close()


def test_a_reload_stops_no_socket_of_the_service_manager(file, launch):
    aggregator, place = CountingAggregator(), raw.free_address()
    socks = [listen_at(raw.free_address(), reuse=True) for _ in range(2)]
    one, two = (route(name, aggregator, listen=[listen(sock.getsockname())]) for name, sock in zip(("one", "two"), socks))
    running = file(one, two, listeners=2, workers=2, **launch(*socks))
    running.change(route("one", aggregator, listen=listen(place)))  # an address of a route, and a route
    running.husk.wait_for_event(message="route removed")
    assert all(listens(sock) for sock in socks)
    visit(place, 1)
    for sock in socks:
        sock.close()


# ---- sockets that do not fit ----

def test_sockets_for_another_process_are_ignored(husk):
    client = husk.client(NOWHERE, protocol="tcp", env={"LISTEN_PID": "1", "LISTEN_FDS": "3"})
    raw.connect(client.address).close()
    assert not client.problems()


def unfit_sockets(tmp_path):
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pair = socket.socketpair()
    file = open(tmp_path / "file", "w")
    return {"datagram": (datagram, "it is no stream socket"), "connection": (pair[0], "it is a connection, and no listening socket"),
            "file": (file, "it is no socket"), "packets": (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), "it is no stream socket"),
            "address": (listen_at((raw.HOST, 0)), "nothing in husk listens at this address")}


@pytest.mark.parametrize("kind", ["datagram", "connection", "file", "packets", "address"])
def test_a_socket_that_does_not_fit_is_told(husk, launch, tmp_path, kind):
    sock, why = unfit_sockets(tmp_path)[kind]
    client = husk.client(NOWHERE, protocol="tcp", **launch(sock, names=["some.socket"]))
    problem = client.problem()
    assert (problem["message"], problem["name"], problem["detail"]) == (UNUSED, "some.socket", why)
    assert kind != "address" or problem["address"] == raw.format_address(sock.getsockname())
    raw.connect(client.address).close()
    sock.close()


@pytest.mark.parametrize("pid, fds, why", [("x", "1", 'LISTEN_PID: "x" is no process'),
                                           (None, "many", 'LISTEN_FDS: "many" is not from 0 to 65536'),
                                           (None, "-1", 'LISTEN_FDS: "-1" is not from 0 to 65536')])
def test_variables_that_make_no_sense_are_told(husk, pid, fds, why):
    script = ('import os, sys; os.environ.update(LISTEN_PID=sys.argv[1] or str(os.getpid()), LISTEN_FDS=sys.argv[2]); '
              'os.execv(sys.argv[3], sys.argv[3:])')
    client = husk.client(NOWHERE, protocol="tcp", prefix=(sys.executable, "-c", script, pid or "", fds))
    assert client.problem()["message"] == f"husk uses no socket of its starter: {why}"
    raw.connect(client.address).close()


def test_descriptors_that_are_not_open_are_told(husk):
    script = ('import os, sys; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="3"); '
              'os.execv(sys.argv[1], sys.argv[1:])')
    client = husk.client(NOWHERE, protocol="tcp", prefix=(sys.executable, "-c", script))
    client.wait_until(lambda _: len(client.problems()) == 3, "three problems")
    assert {problem["detail"] for problem in client.problems()} == {"the descriptor is not open"}
    assert client.get("/live")[0] == 200
    raw.connect(client.address).close()


# ---- sockets that the service manager keeps ----

@pytest.fixture
def manager(tmp_path):
    made = ServiceManager(str(tmp_path / "notify"))
    yield made
    made.close()


def kept(manager, count):
    """The sockets that the service manager was asked to keep: name → sockets."""
    manager.wait_for("FDSTORE", count=count)
    return {message.fields["FDNAME"]: [socket.socket(fileno=fd) for fd in message.descriptors]
            for message in manager.messages("FDSTORE")}


@pytest.mark.parametrize("before, after", [(1, 1), (3, 1), (1, 3)])
def test_kept_sockets_survive_a_restart(file, launch, manager, tmp_path, before, after):
    aggregator, path = CountingAggregator(), tmp_path / "agents"
    routes = (route("one", aggregator), route("two", aggregator, listen=f"unix:{path}"))
    first = file(*routes, workers=before, env=manager.env)
    names = [f"one/{raw.HOST},0", f"two/unix,{path}"]
    store = kept(manager, 2)
    assert sorted(store) == names and [len(store[name]) for name in names] == [before, before]
    assert all(message.fields["FDPOLL"] == "0" for message in manager.messages("FDSTORE"))
    address = store[names[0]][0].getsockname()
    visit(address, 1)
    first.husk.signal(signal.SIGTERM)
    assert first.husk.wait() == 0 and path.is_socket()
    waiting = [Agent(raw.connect(to)) for to in (address, str(path)) for _ in range(8)]
    second = file(routes[0], route("two", aggregator, listen={"address": f"unix:{path}", "mode": "0640"}), workers=after, env=manager.env,
                  **launch(*(sock for name in names for sock in store[name]),
                           names=[name for name in names for _ in store[name]]))
    for number, agent in enumerate(waiting, 100):
        carry_acked(agent, number, f"{number}")
        agent.close()
    for number in range(200, 220):
        visit(address, number)
    assert path.stat().st_mode & 0o777 == 0o640
    assert not first.husk.problems() and not second.husk.problems()
    for sock in sum(store.values(), []):
        sock.close()


def test_the_service_manager_keeps_what_routes_listen_on(file, manager):
    upstream = CountingAggregator()
    places = [raw.free_address() for _ in range(3)]
    running = file(route("one", upstream, listen=[listen(places[0]), listen(places[1])]), listeners=2, env=manager.env)
    names = [f"one/{listen(place).replace(':', ',')}" for place in places]
    assert set(kept(manager, 2)) == set(names[:2])
    running.change(route("one", upstream, listen=[listen(places[1]), listen(places[2])]))
    assert manager.wait_for("FDSTOREREMOVE").fields["FDNAME"] == names[0]
    assert manager.wait_for("FDSTORE", count=3).fields["FDNAME"] == names[2]
    eventually(lambda: raw.is_refused(places[0]), "nobody listens there any more")
    visit(places[1], 1)
    visit(places[2], 2)
    assert len(manager.messages("FDSTOREREMOVE")) == 1


def test_a_socket_of_the_service_manager_is_not_kept_twice(file, launch, manager, restarting, tmp_path):
    path = tmp_path / "agents"
    own = raw.free_address()
    name = f"one/{listen(own).replace(':', ',')}"
    sock = listen_at(path)
    running = file(route("one", NOWHERE, listen=[f"unix:{path}", listen(own)]), listeners=2, env=manager.env, **launch(sock))
    assert list(kept(manager, 1)) == [name]
    running.hang_up()
    eventually(lambda: len(manager.messages("READY")) == 2, "ready again")
    assert len(manager.messages("FDSTORE")) == 1
    husks = restarting(running.husk)
    for _ in range(2):  # the second process gets the socket from husk, and so does the third one
        husks.swap()
        manager.wait_for("FDSTORE", lambda message: message.pid == husks.pid)
    husks.wait_until_alone()
    assert {message.fields["FDNAME"] for message in manager.messages("FDSTORE")} == {name}
    husks.stop()
    assert path.is_socket()  # the file belongs to the service manager
    sock.close()


def store_of(manager):
    """What the service manager keeps now, by all messages: name → number of sockets."""
    store = {}
    for message in manager.all():
        if "FDSTORE" in message.fields:
            store[message.fields["FDNAME"]] = len(message.descriptors)
        elif "FDSTOREREMOVE" in message.fields:
            store.pop(message.fields["FDNAME"], None)
    return store


GONE = {"address": lambda gone, stays: [route("one", NOWHERE, listen=stays)],
        "route": lambda gone, stays: [route("two", NOWHERE, listen=[gone, stays])]}


@pytest.mark.parametrize("kind", GONE)
def test_a_name_that_is_gone_when_a_process_takes_over_is_not_kept(file, manager, restarting, kind):
    gone, stays = (listen(raw.free_address()) for _ in range(2))
    running = file(route("one", NOWHERE, listen=[gone, stays]), listeners=2, workers=2, env=manager.env)
    kept(manager, 2)
    husks = restarting(running.husk)
    routes = GONE[kind](gone, stays)
    running.replace(*routes, workers=2)
    husks.swap()
    names = {f"{routes[0]['name']}/{place.replace(':', ',')}": 2 for place in (gone, stays) if place in routes[0]["listen"]}
    eventually(lambda: store_of(manager) == names, "the service manager keeps what is listened on")
    husks.wait_until_alone()
    assert raw.is_refused(raw.parse_address(gone)) == (kind == "address")


@pytest.mark.parametrize("kind", GONE)
def test_a_kept_socket_whose_name_is_gone_at_a_restart_is_not_kept(file, launch, manager, kind):
    gone, stays = (listen(raw.free_address()) for _ in range(2))
    first = file(route("one", NOWHERE, listen=[gone, stays]), listeners=2, env=manager.env)
    store = kept(manager, 2)
    first.husk.signal(signal.SIGTERM)
    assert first.husk.wait() == 0
    routes = GONE[kind](gone, stays)
    file(*routes, listeners=2 if kind == "route" else 1, env=manager.env,
         **launch(*(sock for socks in store.values() for sock in socks), names=list(store)))
    names = {f"{routes[0]['name']}/{place.replace(':', ',')}": 1 for place in (gone, stays) if place in routes[0]["listen"]}
    eventually(lambda: store_of(manager) == names, "the service manager keeps what is listened on")
    for sock in sum(store.values(), []):
        sock.close()
