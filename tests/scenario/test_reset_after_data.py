"""A peer that closes with something of husk's unread resets the connection: what it sent before arrives all the same.

Every TLS 1.3 agent that writes and closes without ever reading does so, for it leaves husk's session tickets unread."""

import contextlib
import signal

import pytest

from support import raw
from support.forward import event
from support.husk import LIGHT

ROUNDS = 20 if LIGHT else 100
ENDED = "husk_connections_ended_total"


class WriteOnlyAgent:
    """A TLS 1.3 agent that says all it has to say with its last flight, and never reads."""

    def __init__(self, husk, server):
        context = raw.tls_context(False, husk.pki.ca.cert, husk.pki.client, version="1.3")
        self.peer = raw.TlsPeer(raw.connect(server.address), context)
        self.flight = self.peer.last_flight()

    def write(self, data, orderly=True):
        """`orderly`: with close_notify."""
        words = self.flight + self.peer.seal(data)
        self.peer.sock.sendall(words + (self.peer.seal_end() if orderly else b""))

    def close(self):
        """Before or after the tickets come, as it happens: the kernel resets then, or when they do."""
        self.peer.sock.close()

    def reset(self):
        """As if the tickets had come."""
        raw.reset(self.peer.sock)


@contextlib.contextmanager
def stopped(husk):
    """What is sent meanwhile it finds all at once."""
    husk.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        husk.signal(signal.SIGCONT)


# ---- messages ----

@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
def test_messages_of_agents_that_never_read_all_arrive(husk, half, orderly):
    half = half()
    agents = [WriteOnlyAgent(husk, half.husk) for _ in range(ROUNDS)]
    with stopped(half.husk):
        for number, agent in enumerate(agents):
            agent.write(event(number), orderly)
            agent.reset()
    half.aggregator.wait_for(ROUNDS)
    assert sorted(half.aggregator.numbers()) == list(range(ROUNDS))
    half.husk.wait_for_metric(ENDED, ROUNDS, side="downstream", reason="closed" if orderly else "reset")
    assert bool(half.husk.complaints()) != orderly


def test_messages_of_agents_that_close_at_any_moment_all_arrive(husk, half):
    half = half()
    for number in range(ROUNDS):
        agent = WriteOnlyAgent(husk, half.husk)
        agent.write(event(number))
        agent.close()
    half.aggregator.wait_for(ROUNDS)
    half.husk.wait_for_metric(ENDED, ROUNDS, side="downstream", reason="closed")
    assert sorted(half.aggregator.numbers()) == list(range(ROUNDS))


def test_messages_after_one_whose_ack_finds_the_agent_gone_arrive(half):
    half = half(acks=False, workers=1)
    agent = half.agent()
    agent.send(event(0, "asked"))
    asked, = half.aggregator.wait_for(1)
    with stopped(half.husk):
        half.aggregator.ack(asked)
        agent.send(*map(event, range(1, 50)))
        raw.reset(agent.sock.sock)
    half.husk.wait_for_metric("husk_messages_received_total", 50)
    half.husk.wait_for_metric(ENDED, 1, side="downstream", reason="reset")


# ---- acks ----

def test_acks_that_came_before_the_aggregators_reset_settle_their_messages(half):
    """A new message finds the aggregator gone before the acks are read."""
    half = half(acks=False, workers=1)
    agent = half.agent()
    agent.send(*(event(number, f"{number}") for number in range(10)))
    received = half.aggregator.wait_for(10)
    with stopped(half.husk):
        half.aggregator.ack(*received)
        half.aggregator.acks = True
        half.aggregator.end_connections(by_reset=True)
        agent.send(event(10, "10"))
    assert agent.read_acks(11) == [f"{number}" for number in range(11)]
    assert half.aggregator.numbers() == list(range(11))
    assert half.husk.metric("husk_messages_resent_total") <= 1  # the new one, if it came before the reset was seen


def test_a_message_that_finds_the_aggregator_gone_is_not_taken_for_delivered(husk, pki):
    """Nothing will ack it: it counts as delivered once the socket has taken it, sealed."""
    listener = raw.Listener()
    client = husk.client(listener, delivery="passthrough", workers=1)
    agent = raw.connect(client.address)
    agent.sendall(event(0))
    sock = listener.accept()
    listener.close()
    aggregator = raw.TlsPeer(sock, raw.tls_context(True, pki.ca.cert, pki.server), server_side=True).handshake()
    assert raw.read_exactly(aggregator, len(event(0))) == event(0)
    client.wait_for_metric("husk_messages_settled_total", 1)
    with stopped(client):
        raw.reset(sock)
        agent.sendall(event(1))
    client.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="reset")
    client.wait_for_metric("husk_messages_received_total", 2)
    assert client.metric("husk_messages_settled_total") == 1  # it waits, or was dropped with the connection


# ---- bytes ----

def payload_of(orderly):
    return lambda number: b"%d " % number + (b"message " * 500) + (b"end" if orderly else b"cut")


def collect(peer):
    """What it said until it ended, and whether by a reset."""
    data = bytearray()
    try:
        while more := peer.recv(1 << 18):
            data += more
    except ConnectionResetError:
        return bytes(data), "reset"
    return bytes(data), "end"


@pytest.mark.parametrize("dial_delay", ["0ms", "1m"])
@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
def test_bytes_of_agents_that_never_read_all_arrive_and_end_as_they_ended(husk, orderly, dial_delay):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", dial_delay=dial_delay)
    agents = [WriteOnlyAgent(husk, server) for _ in range(ROUNDS)]
    data = payload_of(orderly)
    with stopped(server):
        for number, agent in enumerate(agents):
            agent.write(data(number), orderly)
            agent.reset()
    arrived = []
    for _ in agents:
        with upstream.accept() as aggregator:
            arrived.append(collect(aggregator))
    assert sorted(arrived) == sorted((data(number), "end" if orderly else "reset") for number in range(ROUNDS))
    server.wait_for_metric(ENDED, ROUNDS, side="downstream", reason="closed" if orderly else "reset")
    assert bool(server.complaints()) != orderly


def test_bytes_of_agents_that_close_at_any_moment_all_arrive(husk):
    upstream = raw.Collector()
    server = husk.server(upstream, protocol="tcp")
    for number in range(ROUNDS):
        agent = WriteOnlyAgent(husk, server)
        agent.write(b"%d" % number)
        agent.close()
    assert sorted(map(int, upstream.wait_for(ROUNDS))) == list(range(ROUNDS))
    server.wait_for_metric(ENDED, ROUNDS, side="downstream", reason="closed")
    assert not server.complaints()


def test_bytes_of_a_plain_agent_that_resets_during_the_dial_arrive_and_then_a_reset(husk, pki):
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp")
    agent = raw.connect(client.address)
    agent.sendall(b"message")
    upstream = listener.accept()  # the TLS handshake, which husk waits for, is still to come
    raw.reset(agent)
    aggregator = raw.TlsPeer(upstream, raw.tls_context(True, pki.ca.cert, pki.server), server_side=True).handshake()
    assert raw.read_exactly(aggregator, 7) == b"message"
    raw.assert_reset(upstream)
    client.wait_for_metric(ENDED, 1, side="downstream", reason="reset")


def silent_agent(husk, server):
    """Its dial begins before it says anything."""
    peer = raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client, version="1.3")
    server.wait_for_metric("husk_connections_opened_total", 1, side="upstream")
    return peer


@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
def test_bytes_of_a_tls_agent_that_resets_during_the_dial_arrive_and_end_as_they_ended(husk, orderly):
    listener = raw.FullListener()
    server = husk.server(listener, protocol="tcp", dial_delay="0ms")
    agent = silent_agent(husk, server)
    agent.sock.sendall(agent.seal(b"message") + (agent.seal_end() if orderly else b""))
    raw.reset(agent.sock)
    listener.make_room()
    assert collect(listener.accept()) == (b"message", "end" if orderly else "reset")
    server.wait_for_metric(ENDED, 1, side="downstream", reason="closed" if orderly else "reset")


def test_tls_agent_that_says_nothing_and_resets_cancels_its_dial(husk):
    listener = raw.FullListener()
    server = husk.server(listener, protocol="tcp", dial_delay="0ms", connect_timeout="1m")
    agent = silent_agent(husk, server)
    agent.sock.sendall(agent.seal_end())
    raw.reset(agent.sock)
    server.wait_for_metric(ENDED, 1, side="downstream", reason="left")
    assert not server.complaints()
    listener.close()
