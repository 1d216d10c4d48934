"""Several upstreams with --protocol tcp: weights, standby, names that change, SRV records."""

import select
import time

import pytest

from support import raw
from support.husk import LIGHT
from support.name_server import NameServer
from support.process import eventually

NAME, SERVICE = "aggregator.test", "_fluent._tcp.test"
NOWHERE = f"{raw.HOST}:1"


def text(listener, suffix=""):
    return raw.format_address(listener.address) + suffix


def dial(tunnel, listeners):
    """Opens one connection through the tunnel and returns the listener that it reached."""
    agent = raw.connect(tunnel.client.address)
    agent.sendall(b"?")  # without bytes the dial would wait for --dial-delay
    ready = select.select([listener.sock for listener in listeners], [], [], 20)[0]
    assert len(ready) == 1
    listener = next(listener for listener in listeners if listener.sock is ready[0])
    aggregator = listener.accept()
    assert aggregator.recv(1) == b"?"
    raw.carry(aggregator, agent)
    agent.close()
    aggregator.close()
    return listener


def dead_dials(tunnel):
    return tunnel.server.metric("husk_connections_ended_total", side="upstream", reason="connect_refused")


def tunnel_to(husk, upstreams, **options):
    return husk.tunnel(server=options, upstream=upstreams)


def test_connections_go_through_while_one_of_two_upstreams_is_dead(husk):
    alive = raw.Listener()
    tunnel = tunnel_to(husk, [NOWHERE, text(alive)], eject_time="1m")
    for _ in range(10):
        dial(tunnel, [alive])
    assert dead_dials(tunnel) == 1


def test_a_dead_upstream_is_tried_less_and_less_often(husk):
    alive = raw.Listener()
    tunnel = tunnel_to(husk, [NOWHERE, text(alive)], eject_time="100ms", eject_time_max="1h")

    began = time.monotonic()

    def tried(count):
        dial(tunnel, [alive])
        return dead_dials(tunnel) >= count
    eventually(lambda: tried(4), "the address is tried again")
    assert time.monotonic() - began >= 0.1 + 0.2 + 0.4


def test_connections_are_shared_by_weight(husk):
    count = 100 if LIGHT else 400
    heavy, light = raw.Listener(), raw.Listener()
    tunnel = tunnel_to(husk, [text(heavy, ",weight=3"), text(light, ",weight=1")])
    came = [dial(tunnel, [heavy, light]) for _ in range(count)]
    assert abs(came.count(heavy) - count * 3 // 4) <= count // 40


def test_a_standby_is_used_only_while_the_others_are_down(husk):
    primary, standby = raw.Listener(), raw.Listener()
    tunnel = tunnel_to(husk, [text(standby, ",standby"), text(primary)], eject_time="100ms",
                       eject_time_max="100ms")
    for _ in range(10):
        assert dial(tunnel, [primary, standby]) is primary
    address = primary.address
    primary.close()
    for _ in range(5):
        assert dial(tunnel, [standby]) is standby
    primary = raw.Listener(address)
    eventually(lambda: dial(tunnel, [primary, standby]) is primary, "the primary is used again")
    for _ in range(10):
        assert dial(tunnel, [primary, standby]) is primary


def test_addresses_are_added_and_removed_with_the_name(husk):
    first = raw.Listener(("127.0.0.2", raw.free_address()[1]))
    port = first.address[1]
    second = raw.Listener(("127.0.0.3", port))
    names = NameServer(hosts={NAME: ["127.0.0.2"]}, ttl=0)
    tunnel = tunnel_to(husk, f"{NAME}:{port}", dns_servers=names.text, dns_min_ttl="50ms")
    for _ in range(4):
        assert dial(tunnel, [first, second]) is first
    names.hosts[NAME] = ["127.0.0.2", "127.0.0.3"]
    eventually(lambda: dial(tunnel, [first, second]) is second, "the new address is used")
    assert {dial(tunnel, [first, second]) for _ in range(2)} == {first, second}

    names.hosts[NAME] = ["127.0.0.3"]
    eventually(lambda: {dial(tunnel, [first, second]) for _ in range(6)} == {second}, "the old address is gone")


def test_a_name_that_does_not_resolve_leaves_other_upstreams_usable(husk):
    names = NameServer()
    alive = raw.Listener()
    tunnel = tunnel_to(husk, [f"{NAME}:1", text(alive)], dns_servers=names.text)
    dial(tunnel, [alive])
    tunnel.server.wait_for_event(message=f"cannot resolve {NAME}: Domain name not found", level="warn")
    dial(tunnel, [alive])
    assert tunnel.server.get("/ready")[0] == 200


def test_readiness_lists_the_names_when_none_resolves(husk):
    names = NameServer()
    server = husk.server([f"{NAME}:1", f"srv+{SERVICE}"], protocol="tcp", dns_servers=names.text)
    status, reasons = eventually(lambda: (answer := server.get("/ready"))[1].count("cannot resolve") == 2 and answer,
                                 "both names have been looked up")
    assert status == 503 and NAME in reasons and SERVICE in reasons


def test_a_standby_is_not_used_before_the_other_names_are_resolved(husk):
    """The address of the standby is known at once, that of the primary only after an answer of the name server."""
    standby, primary = raw.Listener(), raw.Listener()
    names = NameServer(hosts={NAME: [raw.HOST]})
    names.answering.clear()
    tunnel = tunnel_to(husk, [text(standby, ",standby"), f"{NAME}:{primary.address[1]}"], dns_servers=names.text)
    agent = raw.connect(tunnel.client.address)
    agent.sendall(b"?")
    tunnel.server.wait_for_metric("husk_connections_opened_total", 1, side="downstream")
    assert not standby.was_dialled()
    names.answering.set()
    assert primary.accept().recv(1) == b"?"
    assert not standby.was_dialled()


def test_a_standby_is_used_when_the_name_of_the_other_does_not_resolve(husk):
    standby = raw.Listener()
    tunnel = tunnel_to(husk, [text(standby, ",standby"), f"{NAME}:1"], dns_servers=NameServer().text)
    dial(tunnel, [standby])


def test_addresses_beyond_the_limit_are_logged(husk):
    names = NameServer(hosts={f"{n}.test": [f"127.0.{n}.{i}" for i in range(25)] for n in range(3)})
    server = husk.server([f"{n}.test:1" for n in range(3)], protocol="tcp", dns_servers=names.text)
    server.wait_for_event(message="more than 64 upstream addresses: 11 left out", level="warn")


# ---- SRV ----

@pytest.fixture
def targets(husk, pki):
    """Two husk servers, each with a certificate for its own name, and their upstream listeners."""
    made = []
    for name in ("one.test", "two.test"):
        listener = raw.Listener()
        certificate = pki.ca.issue(name, name, "serverAuth", f"DNS:{name}")
        server = husk.server(listener, protocol="tcp", certificate=certificate)
        made.append((server, listener))
    return made


def service_of(targets, *shares):
    return [(priority, weight, server.address[1], name)
            for (server, _), name, (priority, weight) in zip(targets, ("one.test", "two.test"), shares)]


def client_of(husk, targets, services, **options):
    names = NameServer(hosts={"one.test": [raw.HOST], "two.test": [raw.HOST]}, services={SERVICE: services})
    return husk.client(f"srv+{SERVICE}", protocol="tcp", dns_servers=names.text, eject_time="100ms",
                       eject_time_max="100ms", **options)


class ThroughClient:
    """Gives `dial` the attribute that it needs of a tunnel."""

    def __init__(self, client):
        self.client = client


def test_services_are_shared_by_weight_and_each_host_proves_its_own_name(husk, targets):
    client = client_of(husk, targets, service_of(targets, (10, 30), (10, 10)))
    one, two = [listener for _, listener in targets]
    came = [dial(ThroughClient(client), [one, two]) for _ in range(12)]
    assert abs(came.count(one) - 9) <= 1
    # A TLS session is offered only to the host that issued it.
    assert client.metric("husk_handshakes_total", side="upstream", result="full") == 2
    assert client.metric("husk_handshakes_total", side="upstream", result="resumed") == 10


def test_services_with_a_higher_priority_number_are_standbys(husk, targets):
    client = client_of(husk, targets, service_of(targets, (20, 100), (10, 1)))
    one, two = [listener for _, listener in targets]
    for _ in range(6):
        assert dial(ThroughClient(client), [one, two]) is two
    targets[1][0].stop()
    for _ in range(6):
        assert dial(ThroughClient(client), [one, two]) is one


def test_a_host_with_the_certificate_of_another_is_refused_unless_the_name_is_pinned(husk, targets):
    swapped = [(10, 1, targets[1][0].address[1], "one.test")]
    refused = client_of(husk, targets, swapped)
    raw.assert_reset(raw.connect(refused.address))
    refused.wait_for_event(reason="certificate_name", side="upstream")
    pinned = client_of(husk, targets, swapped, server_name="two.test")
    dial(ThroughClient(pinned), [targets[1][1]])


def test_a_service_that_is_not_offered_is_logged(husk):
    names = NameServer(services={SERVICE: [(0, 0, 0, ".")]})
    client = husk.client(f"srv+{SERVICE}", protocol="tcp", dns_servers=names.text)
    client.wait_for_event(message=f'cannot resolve {SERVICE}: the service is not offered (SRV target ".")',
                          level="warn")
