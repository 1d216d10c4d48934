"""Agents that ask for acks and do not read them, as fluent-logger for Node.js does in PackedForward mode."""

import contextlib
import signal
import socket
import threading

import pytest

from support import forward, link, raw
from support.forward import Agent, Aggregator, ack, event
from support.husk import LIGHT
from support.process import eventually

ID = "x" * 990  # long ids, so that the sockets cannot hold all acks
COUNT = 7000
# Messages and acks keep their order, and husk holds few of them.
ONE = {"workers": 1, "max_upstream_connections": 1, "retain_bytes": "1MiB"}
SHORT = {"unread_acks_timeout": "30ms"}
WARNING = {"level": "warn", "message":
           "an agent asks for acks and does not read them: its acks beyond --unread-acks are given up"}


def chunk(number):
    return f"{number:06d}{ID}"


def messages(start, end):
    return (event(number, chunk(number)) for number in range(start, end))


class Counter(Aggregator):
    """Acks all messages of one read together, so that one thread serves many messages."""

    count = 0

    def _read(self, connection):
        parser = forward.Parser()
        with contextlib.suppress(OSError):  # husk ends with the test
            while data := connection.sock.recv(1 << 18):
                found = [value for _, value in parser.feed(data)]
                connection.sock.sendall(b"".join(ack(value[-1]["chunk"]) for value in found))
                self.count += len(found)
        connection.sock.close()


def limit(sock):
    """Gives the socket a receive buffer that does not grow: the kernel would let it grow to tens of MiB."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 212992)


@pytest.fixture(params=["plain", "tls"])
def unread(request, husk):
    """Starts a husk and connects an agent."""
    def start(**options):
        aggregator = Counter()
        if request.param == "tls":
            one = husk.server(aggregator, **ONE, **options)
            sock = raw.connect_tls(one.address, husk.pki.ca.cert, husk.pki.client)
        else:
            one = husk.client(husk.server(aggregator, **ONE), **ONE, **options)
            sock = raw.connect(one.address)
        limit(getattr(sock, "sock", sock))
        return one, aggregator, Agent(sock)
    return start


def read_acks_of(agent, until):
    """The ids of all acks, up to the ack of `until`. Every ack is whole, wherever the reads cut the stream."""
    parser, ids = forward.Parser(), []
    while not ids or ids[-1] != until:
        data = agent.read_ack()
        assert data, f"the connection ended after {len(ids)} acks"
        ids += [value["ack"] for _, value in parser.feed(data) if list(value) == ["ack"]]
    return ids


def test_an_agent_that_never_reads_its_acks_is_read(unread):
    husk, aggregator, agent = unread(**SHORT)
    with raw.Sending(agent.sock, messages(0, COUNT)):
        eventually(lambda: aggregator.count == COUNT, "all messages arrive")
    husk.wait_for_metric("husk_messages_settled_total", COUNT)
    husk.wait_for_metric("husk_acks_given_up_total", 1)
    assert len(husk.events(**WARNING)) == 1
    assert LIGHT or husk.resident_kib() < 16 << 10  # the buffers of the sockets do not count

    # An agent that reads later gets whole acks in order, each for its message, and then all further ones. The socket
    # may have taken more acks after some were given up.
    agent.send(event(COUNT, "last"))
    ids = read_acks_of(agent, "last")
    expected = map(chunk, range(COUNT))
    assert all(one in expected for one in ids[:-1]), "the acks are a part of all acks, in their order"
    given_up = husk.metric("husk_acks_given_up_total")
    assert len(ids) + given_up == COUNT + 1
    agent.send(event(COUNT + 1, "after"))
    agent.expect_ack("after")
    assert husk.metric("husk_acks_given_up_total") == given_up


def is_still(husk):
    """A predicate: no message has settled since its last call."""
    seen = []

    def still():
        seen.append(husk.metric("husk_messages_settled_total"))
        return seen[-1] and seen[-3:] == [seen[-1]] * 3
    return still


def test_without_a_timeout_husk_waits_for_the_agent(husk):
    aggregator = Counter()
    husk = husk.client(husk.server(aggregator, **ONE), **ONE, unread_acks_timeout="off")
    agent = Agent(raw.connect(husk.address))
    limit(agent.sock)
    with raw.Sending(agent.sock, [*messages(0, COUNT), event(COUNT, "last")]):
        eventually(is_still(husk), "husk does not read the agent")
        assert aggregator.count < COUNT
        assert len(read_acks_of(agent, "last")) == COUNT + 1
    assert husk.metric("husk_acks_given_up_total") == 0 and not husk.events(**WARNING)


def test_a_husk_that_does_not_read_its_answers_is_not_read(husk):
    server = husk.server(Counter(), **ONE, **SHORT)
    peer = link.connect(server, husk.pki)
    limit(peer.tls.sock)

    def send():
        with contextlib.suppress(OSError):  # the test ends the connection
            peer.send({"sender": 1}, *messages(0, COUNT))
    sending = threading.Thread(target=send)
    sending.start()
    eventually(is_still(server), "the link is not read")
    assert server.metric("husk_messages_settled_total") < COUNT
    assert server.metric("husk_acks_given_up_total") == 0
    peer.tls.sock.shutdown(socket.SHUT_RDWR)
    sending.join()


def test_husk_stops_without_failure_if_acks_are_unread(unread):
    husk, aggregator, agent = unread(**SHORT)
    with raw.Sending(agent.sock, messages(0, COUNT)):
        eventually(lambda: aggregator.count == COUNT, "all messages arrive")
    husk.wait_for_metric("husk_acks_given_up_total", 1)
    husk.signal(signal.SIGTERM)
    assert husk.wait() == 0
