"""Several upstream names at one address: with TLS each name is an upstream of its own, without TLS they are one."""

import re

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked, event
from support.name_server import NameServer
from support.process import eventually

A, B, C = NAMES = "a.test", "b.test", "c.test"
SERVICE = "_fluent._tcp.test"
EJECTED = "husk_endpoint_ejected"


def certificate_of(pki, name):
    return pki.ca.issue(name, name, "serverAuth", f"DNS:{name}")


def names_at(*names, address=raw.HOST, **options):
    return NameServer(hosts={name: [address] for name in names}, **options)


def series(husk, name=EJECTED):
    """The labels of all samples of this name."""
    return [dict(re.findall(r'(\w+)="([^"]*)"', labels))
            for labels in re.findall(rf"^{name}{{(.*)}} ", husk.get("/metrics")[1], re.M)]


def ejected(client, name, **labels):
    return client.metric(EJECTED, server_name=name, **labels)


@pytest.fixture
def behind(husk, pki):
    """Starts a husk server for each name, which echoes what it gets (tcp) or has an aggregator (forward)."""
    def start(name, upstream, **options):
        return husk.server(upstream, certificate=certificate_of(pki, name), **options).address
    return start


class Echo(raw.Server):
    def serve(self, sock):
        raw.splice(sock, sock)


def client_of(husk, upstreams, names, endpoints, **options):
    """Waits until husk knows so many endpoints."""
    client = husk.client(upstreams, **{"protocol": "tcp", "dns_servers": names.text, "eject_time": "1m", **options})
    eventually(lambda: len(series(client)) == endpoints, "the names are resolved")
    return client


def is_served(client):
    with raw.connect(client.address) as agent:
        agent.sendall(b"?")
        try:
            return agent.recv(1) == b"?"
        except ConnectionError:
            return False


@pytest.mark.parametrize("role", ["", ",standby", ",weight=3"])
def test_a_name_whose_backend_is_away_does_not_hide_the_other_name(husk, behind, role):
    router = raw.SniRouter({B: behind(B, Echo(), protocol="tcp")}, NAMES)
    port = router.address[1]
    client = client_of(husk, [f"{A}:{port}", f"{B}:{port}{role}"], names_at(A, B), 2)
    assert all(is_served(client) for _ in range(7))  # two rounds of the greatest weight
    assert set(router.asked) == {A, B}
    assert ejected(client, A) == 1 and ejected(client, B) == 0


def test_three_names_at_two_addresses(husk, behind):
    """a and b are at the first address, b and c at the second. b works at the second one alone."""
    served = {B: behind(B, Echo(), protocol="tcp")}
    first = raw.SniRouter({}, NAMES, ("127.0.0.2", raw.free_address()[1]))
    port = first.address[1]
    raw.SniRouter(served, NAMES, ("127.0.0.3", port))
    names = NameServer(hosts={A: ["127.0.0.2"], B: ["127.0.0.2", "127.0.0.3"], C: ["127.0.0.3"]})
    client = client_of(husk, [f"{name}:{port}" for name in NAMES], names, 4)
    assert all(is_served(client) for _ in range(8))
    states = {(one["server_name"], one["endpoint"]): client.metric(EJECTED, **one) for one in series(client)}
    good = (B, f"127.0.0.3:{port}")
    assert states.pop(good) == 0 and set(states.values()) == {1} and len(states) == 3


def test_targets_of_a_service_that_share_an_address(husk, behind):
    router = raw.SniRouter({C: behind(C, Echo(), protocol="tcp")}, NAMES)
    services = [(priority, 1, router.address[1], name) for priority, name in ((1, A), (1, B), (2, C))]
    names = NameServer(hosts={name: [raw.HOST] for name in NAMES}, services={SERVICE: services})
    client = client_of(husk, f"srv+{SERVICE}", names, 3)
    assert all(is_served(client) for _ in range(3))
    assert [ejected(client, name) for name in NAMES] == [1, 1, 0]


def test_a_name_that_moves_leaves_the_state_of_the_other_name(husk, behind):
    served = {A: behind(A, Echo(), protocol="tcp")}
    first = raw.SniRouter(served, NAMES, ("127.0.0.2", raw.free_address()[1]))
    port = first.address[1]
    second = raw.SniRouter(served, NAMES, ("127.0.0.3", port))
    names = names_at(A, B, address="127.0.0.2", ttl=0)
    client = client_of(husk, [f"{B}:{port}", f"{A}:{port}"], names, 2, dns_min_ttl="50ms")
    eventually(lambda: is_served(client) and ejected(client, B) == 1, "b is ejected")
    dialled = first.asked.count(B)

    names.hosts[A] = ["127.0.0.3"]
    eventually(lambda: [one["endpoint"] for one in series(client) if one["server_name"] == A] == [f"127.0.0.3:{port}"],
               "a has moved")
    assert all(is_served(client) for _ in range(4)) and second.asked == [A] * 4
    assert ejected(client, B, endpoint=f"127.0.0.2:{port}") == 1 and first.asked.count(B) == dialled


def test_forward_messages_go_to_the_name_that_works(husk, behind):
    aggregator = Aggregator()
    router = raw.SniRouter({B: behind(B, aggregator)}, NAMES)
    port = router.address[1]
    client = client_of(husk, [f"{A}:{port}", f"{B}:{port},standby"], names_at(A, B), 2,
                       protocol="forward")
    agent = Agent(raw.connect(client.address))
    for number in range(3):
        agent.send(event(number, chunk=f"c{number}"))
        agent.expect_ack(f"c{number}")
    assert sorted(aggregator.numbers()) == [0, 1, 2]
    assert ejected(client, A) == 1 and ejected(client, B) == 0
    assert client.metric("husk_upstream_connections", server_name=B, state="ready") >= 1


def test_forward_connections_are_kept_when_another_name_joins_their_address(husk, behind):
    aggregators = {name: Aggregator() for name in (A, B)}
    router = raw.SniRouter({name: behind(name, one) for name, one in aggregators.items()}, NAMES)
    port = router.address[1]
    names = names_at(A, ttl=0)
    client = client_of(husk, [f"{A}:{port}", f"{B}:{port},standby"], names, 1, protocol="forward",
                       dns_min_ttl="50ms", dns_retry_min="50ms", dns_retry_max="50ms")
    agent = Agent(raw.connect(client.address))
    agent.send(event(0, chunk="c0"))
    agent.expect_ack("c0")
    names.hosts[B] = [raw.HOST]
    eventually(lambda: len(series(client)) == 2, "b is known")
    agent.send(event(1, chunk="c1"))
    agent.expect_ack("c1")
    assert router.asked == [A] and aggregators[A].numbers() == [0, 1]


@pytest.mark.parametrize("kind", ["server", "server_name"])
def test_names_that_change_nothing_are_one_upstream(husk, kind):
    """Without TLS, and with --server-name, names of one address lead to one place."""
    port = raw.free_address()[1]
    upstreams = [f"{A}:{port}", f"{B}:{port},standby", f"[::ffff:{raw.HOST}]:{port}", f"srv+{SERVICE}"]
    names = NameServer(hosts={name: [raw.HOST] for name in NAMES},
                       services={SERVICE: [(1, 1, port, A), (2, 1, port, C), (3, 1, port + 1, C)]})
    options = {"protocol": "tcp", "dns_servers": names.text}
    if kind == "server":
        one = husk.server(upstreams, **options)
    else:
        one = husk.client(upstreams, server_name="localhost", **options)
    eventually(lambda: any(name["endpoint"].endswith(f":{port + 1}") for name in series(one)), "all is resolved")
    assert len(series(one)) == 2 and not any("server_name" in name for name in series(one))


def test_one_name_in_several_spellings_is_one_upstream(husk, behind):
    router = raw.SniRouter({A: behind(A, Echo(), protocol="tcp")}, NAMES)
    port = router.address[1]
    client = client_of(husk, [f"{A}:{port}", f"{A}.:{port}", f"A.Test:{port},standby", f"{B}:{port}"], names_at(A, B), 2)
    assert all(is_served(client) for _ in range(2))
    assert {one["server_name"].lower().rstrip(".") for one in series(client)} == {A, B}
