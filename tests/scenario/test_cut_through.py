"""Cut-through: a message longer than --cut-through-bytes goes upstream while it is read."""

import random
import select
import socket
import threading

import pytest

from support import raw
from support.forward import Agent, Aggregator, ack, carry_acked, event, message
from support.husk import LIGHT
from support.process import eventually
from support.timing import undisturbed

KIB, MIB = 1 << 10, 1 << 20
LIMIT = {"cut_through_bytes": "64KiB"}
BODY = random.Random(5).randbytes(1 * MIB)
ENTRIES = [[1, {"n": number, "pad": "x" * 100}] for number in range(5000)]
LARGE = {
    "packed": ("t", BODY), "packed-option": ("t", BODY, {"size": 7}), "packed-nil-option": ("t", BODY, None),
    "packed-asked": ("t", BODY, {"size": 7, "chunk": "mine\n"}), "packed-asked-bin": ("t", BODY, {"chunk": b"mine"}),
    "forward": ("t", ENTRIES), "forward-asked": ("t", ENTRIES, {"chunk": "mine"}),
    "message": ("t", 1, {"log": BODY}), "message-asked": ("t", 1, {"log": BODY}, {"chunk": "mine", "x": [1, 2]}),
}


def cut_through_count(husk):
    return husk.metric("husk_messages_cut_through_total")


@pytest.mark.parametrize("delivery", ["at-least-once", "passthrough"])
@pytest.mark.parametrize("name", LARGE)
def test_a_large_message_arrives_unchanged(pair, name, delivery):
    pair, elements = pair(delivery=delivery, **LIMIT), LARGE[name]
    asked = elements[-1].get("chunk") if isinstance(elements[-1], dict) and len(elements) > 2 else None
    agent, sent = pair.agent(), message(*elements)
    with raw.Sending(agent.sock, [sent, event(1)]):
        received, after = pair.aggregator.wait_for(2)
    assert after.number == 1
    if asked or delivery == "passthrough":
        assert received.raw == sent
    else:
        assert received.value[:len(elements) - isinstance(elements[-1], dict)][:2] == list(elements[:2])
        assert len(received.chunk) == 24
    if asked:
        agent.expect_ack(asked)
    agent.expect_nothing_more()
    for half in pair.client, pair.server:
        assert cut_through_count(half) == 1
        half.wait_for_metric("husk_messages_settled_total", 2)
        eventually(lambda: half.metric("husk_messages_retained_bytes") == 0, "no message is retained")


def test_a_large_message_begins_to_arrive_before_it_is_whole(husk):
    upstream = raw.Listener()
    client = husk.client(husk.server(upstream, **LIMIT), **LIMIT)
    agent, sent = raw.connect(client.address), message("t", BODY, {"chunk": "mine"})
    agent.sendall(sent[:-1])
    aggregator = upstream.accept()
    assert raw.read_exactly(aggregator, len(sent) - 100) == sent[:-100]
    agent.sendall(sent[-1:])
    assert raw.read_exactly(aggregator, 100) == sent[-100:]
    aggregator.sendall(ack("mine"))
    assert agent.recv(100) == ack("mine")


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 10, 20])
def test_a_chunk_id_that_arrives_in_two_pieces_is_recognized(pair, cut):
    pair = pair(**LIMIT)
    agent, sent = pair.agent(), message("t", BODY, {"chunk": "0123456789"})
    agent.send(sent[:-cut])
    pair.server.wait_for_metric("husk_bytes_total", MIB, side="downstream", direction="received")
    agent.send(sent[-cut:])
    agent.expect_ack("0123456789")
    assert pair.aggregator.wait_for(1)[0].raw == sent


@pytest.mark.parametrize("connections", [1, 2])
def test_an_agent_in_the_middle_of_a_large_message_delays_no_other(pair, connections):
    pair = pair(max_upstream_connections=connections, **LIMIT)
    slow, other = [pair.agent() for _ in range(3)], pair.agent()
    for agent in slow:
        agent.send(message("t", BODY, {"chunk": "slow"})[:-5])
    pair.server.wait_for_metric("husk_bytes_total", 3 * MIB, side="downstream", direction="received")
    for number in range(5):
        carry_acked(other, number, f"{number}")
    for agent in slow:
        agent.send(message("t", BODY, {"chunk": "slow"})[-5:])
        agent.expect_ack("slow")


def test_an_agent_that_dies_in_the_middle_ends_only_its_exclusive_connection(pair):
    pair = pair(acks=False, **LIMIT)
    other, dying = pair.agent(), pair.agent()
    other.send(event(1, "one"))
    received, = pair.aggregator.wait_for(1)
    dying.send(message("t", BODY)[:-5])
    pair.server.wait_for_metric("husk_bytes_total", MIB, side="downstream", direction="received")
    dying.reset()
    pair.server.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="other_side")
    pair.aggregator.ack(received)
    other.expect_ack("one")
    assert pair.client.metric("husk_messages_retried_total") == pair.server.metric("husk_messages_retried_total") == 0
    assert len(pair.aggregator.messages) == 1


class CuttingAggregator(Aggregator):
    """Resets each of the first `cuts` connections after `after` bytes."""

    def __init__(self, cuts, after):
        self._cuts, self._after = cuts, after
        super().__init__()

    def _read(self, connection):
        if self._cuts > 0:
            self._cuts -= 1
            left = self._after
            while left > 0 and (data := connection.sock.recv(left)):
                left -= len(data)
            raw.reset(connection.sock)
        else:
            super()._read(connection)


def test_a_retained_large_message_is_sent_again_on_another_connection(husk):
    aggregator = CuttingAggregator(3, MIB // 2)
    server = husk.server(aggregator, max_upstream_connections=1, **LIMIT)
    client = husk.client(server, **LIMIT)
    agent, sent = Agent(raw.connect(client.address)), message("t", BODY, {"chunk": "mine"})
    agent.send(sent)
    agent.expect_ack("mine")
    assert [one.raw for one in aggregator.messages] == [sent]
    assert server.metric("husk_messages_retried_total") >= 1
    assert client.metric("husk_messages_dropped_total") == server.metric("husk_messages_dropped_total") == 0


@pytest.mark.parametrize("options", [{"delivery": "passthrough"}, {"retain_bytes": "256KiB"}],
                         ids=["passthrough", "too-large"])
def test_an_agent_is_reset_when_a_message_that_is_not_retained_is_lost(husk, options):
    aggregator = CuttingAggregator(2, MIB // 2)
    client = husk.client(husk.server(aggregator, **LIMIT, **options), **LIMIT, **options)
    agent, sent = Agent(raw.connect(client.address)), message("t", BODY, {"chunk": "mine"})
    try:
        agent.send(sent)
        raw.assert_reset(agent.sock)
    except ConnectionError:
        pass
    client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="undelivered")
    eventually(lambda: client.metric("husk_messages_retained_bytes") == 0, "no message is retained")
    assert not aggregator.messages


def test_a_large_message_is_retained_until_its_ack_and_sent_again(pair):
    pair = pair(acks=False, **LIMIT)
    agent = pair.agent()
    agent.send(message("t", BODY))
    agent.close()
    first, = pair.aggregator.wait_for(1)
    assert pair.server.metric("husk_messages_retained_bytes") > MIB
    pair.aggregator.acks = True
    pair.aggregator.end_connections(by_reset=True)
    assert pair.aggregator.wait_for(2)[1].raw == first.raw
    for half in pair.client, pair.server:
        half.wait_for_metric("husk_messages_settled_total", 1)


def test_a_cut_through_goes_on_while_an_earlier_message_of_its_agent_is_isolated(half):
    """Both need the only exclusive connection. The isolated message gets it when the large message is complete."""
    acked = []
    half = half(acks=lambda _: acked, max_exclusive_connections=1, workers=1, **LIMIT)
    agent, large = half.agent(), message("t", 1, {"n": 2, "pad": "x" * 3 * MIB})
    agent.send(event(1))
    half.aggregator.wait_for(1)
    agent.send(large[:300 * KIB])
    eventually(lambda: len(half.aggregator.connections) == 2, "the large message has a connection of its own")
    acked.append(True)
    half.aggregator.connections[0].end()
    agent.send(large[300 * KIB:])
    half.aggregator.wait_for(3)
    assert sorted(half.aggregator.numbers()) == [1, 1, 2]
    half.husk.wait_for_metric("husk_messages_settled_total", 2)


def test_large_messages_take_turns_on_the_exclusive_connections(pair):
    pair = pair(max_exclusive_connections=1, **LIMIT)
    agents = [pair.agent() for _ in range(4)]
    with raw.Sending(agents[0].sock, [message("t", BODY, {"chunk": "0"})]), \
            raw.Sending(agents[1].sock, [message("t", BODY, {"chunk": "1"})]), \
            raw.Sending(agents[2].sock, [message("t", BODY, {"chunk": "2"})]):
        for number, agent in enumerate(agents[:3]):
            agent.expect_ack(f"{number}")
    carry_acked(agents[3], 9, "nine")
    assert pair.client.metric("husk_connections_opened_total", side="upstream") <= 3


def test_an_agent_that_stops_in_the_middle_is_reset_at_the_message_timeout(pair):
    pair = pair(message_timeout="300ms", **LIMIT)
    agents = [pair.agent(), pair.agent()]
    agents[0].send(message("t", BODY)[:-5])
    agents[1].send(event(1)[:-1])
    for agent in agents:
        raw.assert_reset(agent.sock)
    pair.client.wait_for_metric("husk_connections_ended_total", 2, side="downstream", reason="message_stalled")
    carry_acked(pair.agent(), 2, "two")


@undisturbed
def test_a_slow_agent_that_makes_progress_is_not_reset(pair):
    pair = pair(message_timeout="600ms")
    agent, data = pair.agent(), event(1, "one" * 20)
    for at in range(len(data)):
        agent.send(data[at:at + 1])
        select.select([agent.sock], [], [], 0.02)
    agent.expect_ack("one" * 20)


def test_a_stalled_agent_ends_when_others_wait_for_the_read_budget(pair):
    """The stalled agent ends long before --message-timeout, which is a minute. No other timer may wake husk."""
    pair = pair(retain_bytes="64KiB", buffer_bytes="64KiB", cut_through_bytes="4MiB", silence_hint="off")
    stalling, other = pair.agent(), pair.agent()
    stalling.send(message("t", BODY)[:-5])
    pair.client.wait_for_metric("husk_bytes_total", MIB, side="downstream", direction="received")
    sent = message("t", BODY[:200 * KIB], {"chunk": "two"})
    with raw.Sending(other.sock, [sent]):
        other.expect_ack("two")
    pair.client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="message_stalled")


def test_partial_messages_do_not_block_each_other(pair):
    """All messages together are far larger than --retain-bytes."""
    pair, pieces = pair(retain_bytes="256KiB", buffer_bytes="64KiB", cut_through_bytes="4MiB"), 20
    agents = [pair.agent() for _ in range(6)]
    messages = [message("t", BODY, {"chunk": f"{number}"}) for number in range(6)]
    size = len(messages[0]) // pieces + 1
    for piece in range(pieces):
        for agent, data in zip(agents, messages):
            agent.sock.setblocking(False)
            try:
                agent.sent = getattr(agent, "sent", 0)
                agent.sent += agent.sock.send(data[agent.sent:agent.sent + size])
            except BlockingIOError:
                pass
    for agent in agents:
        agent.sock.setblocking(True)
        agent.sock.settimeout(20)
    threads = [raw.Sending(agent.sock, [data[agent.sent:]]) for agent, data in zip(agents, messages)]
    for thread in threads:
        thread.__enter__()
    for number, agent in enumerate(agents):
        agent.expect_ack(f"{number}")
    for thread in threads:
        thread.__exit__(None)
    assert sorted(one.raw for one in pair.aggregator.messages) == sorted(messages)


def flood(agent, one, most):
    """Sends until the socket accepts no byte for 0.5 s."""
    agent.sock.setblocking(False)
    sent = 0
    while select.select([], [agent.sock], [], 0.5)[1]:
        sent += agent.sock.send(one[sent % len(one):])
        assert sent < most, "the agent can send without limit"


@pytest.mark.parametrize("count", [1, 3])
def test_an_aggregator_that_does_not_read_stops_the_agents_without_cpu_use(husk, count):
    upstream = raw.Listener()
    upstream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    client = husk.client(husk.server(upstream, max_upstream_connections=1), max_upstream_connections=1)
    for _ in range(count):
        flood(Agent(raw.connect(client.address)), message("t", BODY[:200000]), 64 * MIB)
    assert client.metric("husk_messages_retained_bytes") < 17 * MIB
    before = client.cpu_seconds()
    select.select([], [], [], 0.5)
    assert client.cpu_seconds() - before < (0.3 if LIGHT else 0.1)


def test_a_new_agent_is_read_among_agents_that_send_all_the_time(pair):
    options = {"retain_bytes": "2MiB", "buffer_bytes": "64KiB", "batch_bytes": "off", "max_upstream_connections": 1}
    pair = pair(client=options, server=options)
    one, stop = message("t", 1, {"n": 0, "pad": BODY[:300 * KIB]}), threading.Event()

    def keep_sending(agent):
        while not stop.is_set():
            agent.send(one)
    busy = [threading.Thread(target=keep_sending, args=(pair.agent(),), daemon=True) for _ in range(6)]
    for thread in busy:
        thread.start()
    pair.aggregator.wait_for(20)
    for number in range(5):
        carry_acked(pair.agent(), 1000 + number, f"{number}")
    stop.set()
    for thread in busy:
        thread.join()


def test_the_option_of_a_large_message_has_a_limit(pair):
    pair = pair(**LIMIT)
    agent = pair.agent()
    try:
        agent.send(message("t", BODY, {"pad": "x" * 70000}))
        raw.assert_reset(agent.sock)
    except ConnectionError:
        pass
    pair.client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="bad_option")


def test_a_message_of_200_mib_needs_less_than_32_mib(husk):
    upstream, size = raw.Listener(), (20 if LIGHT else 200) * MIB
    server = husk.server(upstream, delivery="passthrough")
    client = husk.client(server, delivery="passthrough")
    agent = raw.connect(client.address)
    head = b"\x92\xa1t\xc6" + size.to_bytes(4, "big")
    with raw.Sending(agent, [head, *[BODY] * (size // MIB)]):
        aggregator = upstream.accept()
        assert raw.read_exactly(aggregator, len(head)) == head
        for _ in range(size // MIB):
            assert raw.read_exactly(aggregator, MIB) == BODY
    if not LIGHT:
        assert max(client.peak_resident_kib(), server.peak_resident_kib()) < 32 * 1024
