"""Heartbeats follow the upstream's health: UDP ones are answered or not, TCP ones refused if that is wanted."""

import signal
import socket
import time

import pytest

from support import raw
from support.forward import Agent, Aggregator, event
from support.process import WAIT_SECONDS, eventually

SILENCE = 0.3  # seconds in which an answer would have come
PROBED = {"health_interval": "50ms"}


class UdpAgent:
    """An agent's UDP socket; like Fluentd's it hears only whom it asks."""

    def __init__(self, address):
        self.sock = socket.socket(raw.family_of(address), socket.SOCK_DGRAM)
        self.sock.connect(address)

    def send_heartbeat(self, wait=SILENCE):
        """What is answered; None: nothing."""
        self.sock.settimeout(wait)
        try:
            self.sock.send(b"\0")
            return self.sock.recv(100)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def expect_answer(self):
        assert self.send_heartbeat(WAIT_SECONDS) == b"\0"

    def wait_until_answered(self):
        eventually(lambda: self.send_heartbeat() == b"\0", "a heartbeat is answered")

    def wait_until_silent(self):
        eventually(lambda: self.send_heartbeat() is None, "a heartbeat is not answered")


def agent_of(server, pki):
    """An agent that speaks TLS."""
    return Agent(raw.connect_tls(server.address, pki.ca.cert, pki.client))


def is_refused(husk):
    try:
        raw.connect(husk.address).close()
    except ConnectionRefusedError:
        return True
    return False


# ---- UDP ----

def test_udp_heartbeats_are_answered_while_the_upstream_is_healthy(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED)
    udp_agent = UdpAgent(server.address)
    udp_agent.expect_answer()
    agent = agent_of(server, husk.pki)
    agent.send(event(0))  # so that there is a connection that breaks
    aggregator.wait_for(1)
    aggregator.kill()
    udp_agent.wait_until_silent()
    assert server.metric("husk_upstream_healthy") == 0
    assert udp_agent.send_heartbeat() is None
    aggregator.revive()
    udp_agent.wait_until_answered()
    assert server.metric("husk_upstream_healthy") == 1
    answered = server.metric("husk_udp_heartbeats_answered_total")
    udp_agent.expect_answer()
    assert server.metric("husk_udp_heartbeats_answered_total") == answered + 1


def test_what_dials_find_out_decides_about_heartbeats_too(husk):
    """Without probes, and of a TLS upstream that is there but does not let us in."""
    aggregator = Aggregator()
    server = husk.server(aggregator, allow_cn="somebody-else")
    client = husk.client(server)
    udp_agent = UdpAgent(client.address)
    udp_agent.expect_answer()
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))
    udp_agent.wait_until_silent()
    assert client.metric("husk_upstream_healthy") == 0


def test_a_husk_that_knows_nothing_yet_answers(husk):
    UdpAgent(husk.client(f"{raw.HOST}:1").address).expect_answer()


def test_no_heartbeat_is_answered_during_the_drain(husk):
    aggregator = Aggregator(acks=False)
    client = husk.client(husk.server(aggregator), drain_timeout="20s")
    udp_agent = UdpAgent(client.address)
    udp_agent.expect_answer()
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))  # held until it is acknowledged: the drain waits
    aggregator.wait_for(1)
    client.signal(signal.SIGTERM)
    client.wait_for_event(message="draining")
    assert udp_agent.send_heartbeat() is None
    assert client.process.poll() is None


def test_udp_heartbeats_over_ipv6(husk):
    client = husk.client(Aggregator(), listen="[::1]:0")
    UdpAgent(client.address).expect_answer()


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_on_all_addresses_the_answer_comes_from_the_one_that_was_asked(husk, host):
    client = husk.client(Aggregator(), listen="*:0", unsafe_listen=True)
    UdpAgent((host, client.address[1])).expect_answer()


@pytest.mark.parametrize("options", [{"udp_heartbeats": "off"}, {"protocol": "tcp"}],
                         ids=["off", "tcp"])
def test_without_udp_heartbeats_the_udp_port_stays_free(husk, options):
    client = husk.client(Aggregator(), **options)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(client.address)


def test_a_unix_listener_has_no_udp_port_and_nothing_to_say_about_it(husk, tmp_path):
    client = husk.client(Aggregator(), listen=f"unix:{tmp_path}/agents", server_name="x")
    raw.connect(client.address).close()
    assert not client.complaints()


def test_udp_heartbeats_beyond_the_limit_wait_for_the_next_second(husk):
    client = husk.client(Aggregator(), udp_heartbeats=2)
    udp_agent = UdpAgent(client.address)
    began = time.monotonic()
    for _ in range(5):
        udp_agent.expect_answer()
    assert time.monotonic() - began > 1.5


def test_a_udp_port_that_is_taken_costs_a_warning_and_nothing_more(husk):
    address = raw.free_address()
    aggregator = Aggregator()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(address)
        server = husk.server(aggregator)
        client = husk.client(server, listen=raw.format_address(address))
    text = raw.format_address(address)
    client.wait_for_event(level="warn", message="UDP heartbeats are not answered: "
                                                f"cannot bind UDP {text}: Address already in use")
    agent = Agent(raw.connect(client.address))
    agent.send(event(7))
    assert aggregator.wait_for(1)[0].number == 7


# ---- TCP ----

def test_connections_are_accepted_whatever_the_upstreams_health_unless_told_otherwise(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED)
    aggregator.kill()
    eventually(lambda: server.metric("husk_upstream_healthy") == 0, "known to be gone")
    time.sleep(1.2)  # more than one look at it
    assert not is_refused(server)


@pytest.mark.parametrize("workers", [1, 3])
def test_connections_are_refused_while_the_upstream_is_down_if_wanted(husk, workers):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED, listen=raw.format_address(raw.free_address()),
                         when_unhealthy="refuse", workers=workers)

    agents = [agent_of(server, husk.pki)]
    aggregator.kill()
    server.wait_for_event(level="warn", message="upstream: connection refused; new connections are refused")
    eventually(lambda: all(is_refused(server) for _ in range(10)), "refused")
    aggregator.revive()
    server.wait_for_event(message="upstream may be back; connections are accepted again")
    eventually(lambda: not any(is_refused(server) for _ in range(10)), "accepted again")
    agents += [agent_of(server, husk.pki) for _ in range(10)]
    for number, agent in enumerate(agents):  # the first one has outlived it
        agent.send(event(number))
    assert sorted(one.number for one in aggregator.wait_for(11)) == list(range(11))


def test_what_an_agents_message_found_out_is_overruled_by_a_later_probe(husk):
    """A TLS upstream, which is not probed while it is well."""
    aggregator = Aggregator()
    address = raw.format_address(raw.free_address())
    server = husk.server(aggregator, listen=address)
    client = husk.client(server, **PROBED, listen=raw.format_address(raw.free_address()), when_unhealthy="refuse")
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))
    aggregator.wait_for(1)
    server.kill()
    agent.send(event(1))
    eventually(lambda: is_refused(client), "refused")
    husk.server(aggregator, listen=address)
    eventually(lambda: not is_refused(client), "accepted again")
    aggregator.wait_until(lambda messages: messages[-1].number == 1, "the held message arrives")


def test_a_port_that_was_taken_meanwhile_is_listened_on_again_once_it_is_free(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED, listen=raw.format_address(raw.free_address()),
                         when_unhealthy="refuse")
    aggregator.kill()
    eventually(lambda: is_refused(server), "refused")
    other = raw.Listener(server.address)
    aggregator.revive()
    server.wait_for_event(level="error", message="cannot listen again yet: Address already in use")
    other.close()
    eventually(lambda: not is_refused(server), "accepted again")
