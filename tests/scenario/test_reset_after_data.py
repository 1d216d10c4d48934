"""Bytes that a peer sends before it resets the connection arrive.

A peer that closes its socket with unread bytes resets the connection. A TLS 1.3 agent that never reads leaves husk's
session tickets unread."""

import contextlib
import signal

import pytest

from support import raw
from support.forward import event
from support.husk import LIGHT

ROUNDS = 20 if LIGHT else 100
ENDED = "husk_connections_ended_total"


class WriteOnlyAgent:
    """A TLS 1.3 agent that sends its data together with its last flight and never reads."""

    def __init__(self, husk, server):
        context = raw.tls_context(False, husk.pki.ca.cert, husk.pki.client, version="1.3")
        self.peer = raw.TlsPeer(raw.connect(server.address), context)
        self.flight = self.peer.last_flight()

    def write(self, data, orderly=True):
        """`orderly`: close_notify follows the data."""
        records = self.flight + self.peer.seal(data)
        self.peer.sock.sendall(records + (self.peer.seal_end() if orderly else b""))

    def close(self):
        """Closes at a random moment. The kernel resets when the session tickets are or become unread."""
        self.peer.sock.close()

    def reset(self):
        """Resets the connection, as the kernel does when the session tickets have arrived."""
        raw.reset(self.peer.sock)


@contextlib.contextmanager
def stopped(husk):
    """Stops the process, so that it later finds all bytes of this time at once."""
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
    assert bool(half.husk.problems()) != orderly


def test_messages_of_agents_that_close_at_any_moment_all_arrive(husk, half):
    half = half()
    for number in range(ROUNDS):
        agent = WriteOnlyAgent(husk, half.husk)
        agent.write(event(number))
        agent.close()
    half.aggregator.wait_for(ROUNDS)
    half.husk.wait_for_metric(ENDED, ROUNDS, side="downstream", reason="closed")
    assert sorted(half.aggregator.numbers()) == list(range(ROUNDS))


def test_messages_arrive_after_an_ack_that_could_not_be_sent(half):
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


def test_the_end_of_an_agent_counts_although_it_arrives_during_the_handshake(husk, half):
    """The agent waits for no ack, so it sends its message again, and husk must not."""
    half = half(acks=False, workers=1)
    agent = WriteOnlyAgent(husk, half.husk)
    agent.write(event(1, "asked"))
    half.aggregator.wait_for(1)
    half.aggregator.end_connections()
    half.husk.wait_for_metric(ENDED, 1, side="downstream", reason="undelivered")
    assert half.husk.metric("husk_messages_retried_total") == 0
    assert len(half.aggregator.messages) == 1


# ---- acks ----

def test_acks_before_the_aggregators_reset_settle_their_messages(half):
    """husk sends a new message to the ended connection before it reads the acks."""
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
    assert half.husk.metric("husk_messages_retried_total") <= 1  # the new message, at most


def test_a_message_sent_to_a_reset_connection_is_not_settled(husk, pki):
    """Without acks a message counts as delivered when the socket has accepted its sealed bytes."""
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
    assert client.metric("husk_messages_settled_total") == 1  # the second message waits or was dropped


# ---- bytes ----

def payload_of(orderly):
    return lambda number: b"%d " % number + (b"message " * 500) + (b"end" if orderly else b"cut")


def collect(peer):
    """Reads to the end. Returns the bytes and how the connection ended."""
    data = bytearray()
    try:
        while more := peer.recv(1 << 18):
            data += more
    except ConnectionResetError:
        return bytes(data), "reset"
    return bytes(data), "end"


@pytest.mark.parametrize("dial_delay", ["0ms", "1m"])
@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
def test_bytes_of_agents_that_never_read_all_arrive_with_the_same_end(husk, orderly, dial_delay):
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
    assert bool(server.problems()) != orderly


def test_bytes_of_agents_that_close_at_any_moment_all_arrive(husk):
    upstream = raw.Collector()
    server = husk.server(upstream, protocol="tcp")
    for number in range(ROUNDS):
        agent = WriteOnlyAgent(husk, server)
        agent.write(b"%d" % number)
        agent.close()
    assert sorted(map(int, upstream.wait_for(ROUNDS))) == list(range(ROUNDS))
    server.wait_for_metric(ENDED, ROUNDS, side="downstream", reason="closed")
    assert not server.problems()


def test_bytes_of_a_plain_agent_that_resets_during_the_dial_arrive_before_a_reset(husk, pki):
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp")
    agent = raw.connect(client.address)
    agent.sendall(b"message")
    upstream = listener.accept()  # husk still waits for the TLS handshake
    raw.reset(agent)
    aggregator = raw.TlsPeer(upstream, raw.tls_context(True, pki.ca.cert, pki.server), server_side=True).handshake()
    assert raw.read_exactly(aggregator, 7) == b"message"
    raw.assert_reset(upstream)
    client.wait_for_metric(ENDED, 1, side="downstream", reason="reset")


def silent_agent(husk, server):
    """A TLS agent that has sent no byte, but whose dial has begun."""
    peer = raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client, version="1.3")
    server.wait_for_metric("husk_connections_opened_total", 1, side="upstream")
    return peer


@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
def test_bytes_of_a_tls_agent_that_resets_during_the_dial_arrive_with_the_same_end(husk, orderly):
    listener = raw.FullListener()
    server = husk.server(listener, protocol="tcp", dial_delay="0ms")
    agent = silent_agent(husk, server)
    agent.sock.sendall(agent.seal(b"message") + (agent.seal_end() if orderly else b""))
    raw.reset(agent.sock)
    listener.make_room()
    assert collect(listener.accept()) == (b"message", "end" if orderly else "reset")
    server.wait_for_metric(ENDED, 1, side="downstream", reason="closed" if orderly else "reset")


def test_a_tls_agent_that_resets_without_bytes_cancels_its_dial(husk):
    listener = raw.FullListener()
    server = husk.server(listener, protocol="tcp", dial_delay="0ms", connect_timeout="1m")
    agent = silent_agent(husk, server)
    agent.sock.sendall(agent.seal_end())
    raw.reset(agent.sock)
    server.wait_for_metric(ENDED, 1, side="downstream", reason="left")
    assert not server.problems()
    listener.close()
