"""Heartbeats and the upstream's health: husk answers UDP heartbeats while it is healthy, and may
refuse connections while it is down."""

import pathlib
import signal
import socket
import struct
import time

import pytest

from support import raw
from support.config_file import route
from support.forward import Agent, Aggregator, event
from support.process import WAIT_SECONDS, eventually
from support.reloading import listen

SILENCE = 0.3  # seconds within which an answer would arrive
PROBED = {"health_interval": "50ms"}


class UdpAgent:
    """An agent's UDP socket. Like the socket of Fluentd, it receives only from the address that it sends to. Each heartbeat
    comes from another port, so that only the test of the limit of one source reaches this limit."""

    def __init__(self, address):
        self.address = address
        self.sock = None
        self.renew()

    def renew(self):
        if self.sock:
            self.sock.close()
        self.sock = socket.socket(raw.family_of(self.address), socket.SOCK_DGRAM)
        self.sock.connect(self.address)

    def send_heartbeat(self, wait=SILENCE, question=b"\0"):
        """Returns the answer. None: no answer came."""
        self.renew()
        return self.ask(wait, question)

    def ask(self, wait=SILENCE, question=b"\0"):
        """The same, from the port of the last heartbeat."""
        self.sock.settimeout(wait)
        try:
            self.sock.send(question)
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


# ---- UDP ----

def test_udp_heartbeats_are_answered_while_the_upstream_is_healthy(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED)
    udp_agent = UdpAgent(server.address)
    udp_agent.expect_answer()
    agent = agent_of(server, husk.pki)
    agent.send(event(0))  # opens the upstream connection that ends below
    aggregator.wait_for(1)
    aggregator.kill()
    eventually(lambda: server.metric("husk_upstream_healthy") == 0, "the upstream is known to be down")
    udp_agent.wait_until_silent()
    assert udp_agent.send_heartbeat() is None
    aggregator.revive()
    udp_agent.wait_until_answered()
    assert server.metric("husk_upstream_healthy") == 1
    answered = server.metric("husk_udp_heartbeats_answered_total")
    udp_agent.expect_answer()
    assert server.metric("husk_udp_heartbeats_answered_total") == answered + 1


def test_a_failed_dial_stops_the_answers_to_heartbeats(husk):
    """There are no probes, and the TLS upstream refuses husk's certificate."""
    aggregator = Aggregator()
    server = husk.server(aggregator, allow_cn="somebody-else")
    client = husk.client(server)
    udp_agent = UdpAgent(client.address)
    udp_agent.expect_answer()
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))
    eventually(lambda: client.metric("husk_upstream_healthy") == 0, "the upstream is known to be down")
    udp_agent.wait_until_silent()


def test_heartbeats_are_answered_before_the_first_probe_or_dial(husk):
    UdpAgent(husk.client(f"{raw.HOST}:1").address).expect_answer()


def test_no_heartbeat_is_answered_during_the_drain(husk):
    aggregator = Aggregator(acks=False)
    client = husk.client(husk.server(aggregator), drain_timeout="20s")
    udp_agent = UdpAgent(client.address)
    udp_agent.expect_answer()
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))  # the drain waits for its ack
    aggregator.wait_for(1)
    client.signal(signal.SIGTERM)
    client.wait_for_event(message="draining")
    assert udp_agent.send_heartbeat() is None
    assert client.process.poll() is None


def test_udp_heartbeats_are_answered_over_ipv6(husk):
    client = husk.client(Aggregator(), listen="[::1]:0")
    UdpAgent(client.address).expect_answer()


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_a_listener_on_all_addresses_answers_from_the_address_of_the_heartbeat(husk, host):
    client = husk.client(Aggregator(), listen="*:0", unsafe_listen=True)
    UdpAgent((host, client.address[1])).expect_answer()


@pytest.mark.parametrize("options", [{"udp_heartbeats": "off"}, {"protocol": "tcp"}],
                         ids=["off", "tcp"])
def test_without_udp_heartbeats_the_udp_port_stays_free(husk, options):
    client = husk.client(Aggregator(), **options)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(client.address)


def test_a_unix_listener_opens_no_udp_port_and_writes_no_line(husk, tmp_path):
    client = husk.client(Aggregator(), listen=f"unix:{tmp_path}/agents", server_name="x")
    raw.connect(client.address).close()
    assert not client.problems()


def test_udp_heartbeats_beyond_the_limit_are_answered_in_the_next_second(husk):
    client = husk.client(Aggregator(), udp_heartbeats=2)
    udp_agent = UdpAgent(client.address)
    began = time.monotonic()
    for _ in range(5):
        udp_agent.expect_answer()
    assert time.monotonic() - began > 1.5


def test_a_udp_port_in_use_causes_only_a_warning(husk):
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


def test_a_udp_port_that_becomes_free_is_used(husk):
    address = raw.free_address()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(address)
        client = husk.client(f"{raw.HOST}:1", listen=raw.format_address(address))
        client.wait_for_event(message="UDP heartbeats are not answered: "
                                      f"cannot bind UDP {raw.format_address(address)}: Address already in use")
    UdpAgent(address).wait_until_answered()
    assert len(client.events(level="warn")) == 1 and not client.problems()


def udp_inodes(husk, address):
    """Of the UDP sockets at the port of `address`."""
    lines = [line.split() for line in pathlib.Path(f"/proc/{husk.pid}/net/udp").read_text().splitlines()[1:]]
    return [line[9] for line in lines if line[1].endswith(f":{address[1]:04X}")]


def test_a_change_of_the_route_keeps_the_socket_of_heartbeats(file):
    aggregator, other, address = Aggregator(), Aggregator(), raw.free_address()

    def at(upstream, *more, **settings):
        return route("r", upstream, listen=[listen(address), *more], **settings)
    running = file(at(aggregator))
    before = udp_inodes(running.husk, address)
    assert len(before) == 1
    second = raw.free_address()
    for changed in (at(other), at(aggregator, listen(second)), at(aggregator, heartbeats={"per_second": 5, "per_source": 7})):
        running.change(changed)
        assert udp_inodes(running.husk, address) == before
        assert UdpAgent(address).send_heartbeat(WAIT_SECONDS) == b"\0"
    running.change(at(aggregator, heartbeats={"per_second": "off"}))
    assert not udp_inodes(running.husk, address)
    running.change(route("x", aggregator, listen=listen(address)))
    assert UdpAgent(address).send_heartbeat(WAIT_SECONDS) == b"\0"


def test_an_empty_heartbeat_is_answered_too(husk):
    """Fluency's UDPHeartbeater sends nothing in its datagrams, and Fluentd answers them."""
    client = husk.client(f"{raw.HOST}:1")
    assert UdpAgent(client.address).send_heartbeat(WAIT_SECONDS, question=b"") == b"\0"


def test_a_source_that_asks_too_often_gets_fewer_answers_and_others_get_theirs(husk):
    client = husk.client(f"{raw.HOST}:1")
    hasty = UdpAgent(client.address)
    eventually(lambda: hasty.ask() is None, "the source is limited")
    client.wait_for_metric("husk_udp_heartbeats_limited_total", 1)
    warning = client.wait_for_event(level="warn", message="UDP heartbeats from one source exceed "
                                                          "--udp-heartbeats-per-source and are not answered")
    assert warning["source"] == raw.format_address(hasty.sock.getsockname())
    UdpAgent(client.address).expect_answer()
    eventually(lambda: hasty.ask() == b"\0", "the source is answered again")


def test_udp_heartbeats_per_source_off_answers_every_heartbeat(husk):
    hasty = UdpAgent(husk.client(f"{raw.HOST}:1", udp_heartbeats_per_source="off").address)
    assert [hasty.ask(WAIT_SECONDS) for _ in range(100)] == [b"\0"] * 100


def forge(source, target):
    """Sends a heartbeat to `target` that seems to come from `source`."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            loopback = socket.inet_aton(raw.HOST)
            datagram = struct.pack(">HHHH", source[1], target[1], 9, 0) + b"\0"
            header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, socket.IPPROTO_UDP, 0)
            sock.sendto(header + loopback + loopback + datagram, (raw.HOST, 0))
    except PermissionError:
        pytest.skip("a forged datagram needs CAP_NET_RAW")


def test_two_husks_stop_answering_each_other_after_a_forged_heartbeat(husk):
    pair = [husk.client(f"{raw.HOST}:1") for _ in range(2)]
    forge(pair[0].address, pair[1].address)

    def total(result):
        return sum(one.metric(f"husk_udp_heartbeats_{result}_total") for one in pair)
    eventually(lambda: total("limited"), "a heartbeat is not answered")
    answered = total("answered")
    assert answered < 50
    time.sleep(SILENCE)
    assert (total("answered"), total("limited")) == (answered, 1)


# ---- TCP ----

def test_connections_are_accepted_by_default_while_the_upstream_is_down(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED)
    aggregator.kill()
    eventually(lambda: server.metric("husk_upstream_healthy") == 0, "the upstream is known to be down")
    time.sleep(1.2)  # longer than the interval between two checks of the health
    assert not raw.is_refused(server.address)


@pytest.mark.parametrize("workers", [1, 3])
def test_when_unhealthy_refuse_refuses_connections_while_the_upstream_is_down(husk, workers):
    aggregator = Aggregator()
    server = husk.server(aggregator, **PROBED, listen=raw.format_address(raw.free_address()),
                         when_unhealthy="refuse", workers=workers)

    agents = [agent_of(server, husk.pki)]
    aggregator.kill()
    server.wait_for_event(level="warn", message="upstream: connection refused; new connections are refused")
    eventually(lambda: all(raw.is_refused(server.address) for _ in range(10)), "refused")
    aggregator.revive()
    server.wait_for_event(message="upstream may be back; connections are accepted again")
    eventually(lambda: not any(raw.is_refused(server.address) for _ in range(10)), "accepted again")
    agents += [agent_of(server, husk.pki) for _ in range(10)]
    for number, agent in enumerate(agents):  # the first agent's connection stayed open all the time
        agent.send(event(number))
    assert sorted(one.number for one in aggregator.wait_for(11)) == list(range(11))


def test_a_later_probe_overrules_the_failed_dial_of_a_message(husk):
    """A TLS upstream is not probed while it is healthy."""
    aggregator = Aggregator()
    address = raw.format_address(raw.free_address())
    server = husk.server(aggregator, listen=address)
    client = husk.client(server, **PROBED, listen=raw.format_address(raw.free_address()), when_unhealthy="refuse")
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))
    aggregator.wait_for(1)
    server.kill()
    agent.send(event(1))
    eventually(lambda: raw.is_refused(client.address), "refused")
    husk.server(aggregator, listen=address)
    eventually(lambda: not raw.is_refused(client.address), "accepted again")
    aggregator.wait_until(lambda messages: messages[-1].number == 1, "the retained message arrives")
