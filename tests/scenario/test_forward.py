"""The default, --protocol forward: messages arrive, acks come back, failures are logged and counted."""

import gzip
import json
import random
import select
import signal
import socket
import threading
import time

import pytest

from support import raw
from support.forward import Agent, Aggregator, Encoded, Pair, ack, carry_acked, event, event_time, message, pack
from support.husk import LIGHT, Launcher
from support.process import WAIT_SECONDS, Programs, eventually
from support.timing import undisturbed

MIB = 1 << 20
FLUENTD_CHUNK = "YWFhYWFhYWFhYWFhYWFhYQ==\n"


def dropped(husk, reason):
    return husk.metric("husk_messages_dropped_total", reason=reason)


# ---- the default protocol ----

def test_forward_is_the_default_in_both_modes(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    client = husk.client(server)
    agent = Agent(raw.connect(client.address))
    carry_acked(agent, 1, "one")
    assert aggregator.messages[0].raw == event(1, "one")
    silent = Agent(raw.connect(client.address))
    silent.send(event(2))
    assert aggregator.wait_for(2)[1].chunk, "husk keeps the message until an ack, though the agent asked for none"
    for one in (client, server):
        one.wait_for_metric("husk_messages_settled_total", 2)


def test_an_agent_that_sends_json_is_reset_with_a_line_about_protocol_tcp(husk):
    client = husk.client(Aggregator())
    raw.assert_resets(client.address, b'["t",1,{"a":1}]')
    assert "--protocol tcp" in client.wait_for_event(reason="json", level="warn")["what"]


# ---- many agents share few upstream connections ----

def test_short_connections_share_two_upstream_connections(pair):
    pair, count = pair(), 60 if LIGHT else 300
    for number in range(count):
        agent = pair.agent()
        agent.send(event(number))
        agent.close()
    received = pair.aggregator.wait_for(count)
    assert sorted(one.number for one in received) == list(range(count))
    for husk in pair.client, pair.server:
        husk.wait_for_metric("husk_messages_settled_total", count)
        assert 1 <= husk.metric("husk_connections_opened_total", side="upstream") <= 2
        assert not husk.problems()
    pair.client.wait_for_metric("husk_connections_ended_total", count, side="downstream", reason="closed")


def test_a_heartbeat_opens_no_upstream_connection(pair):
    pair = pair()
    for _ in range(20):
        pair.agent().close()
    pair.client.wait_for_metric("husk_connections_ended_total", 20, side="downstream", reason="probe")
    assert pair.client.metric("husk_connections_opened_total", side="upstream") == 0
    assert not pair.client.problems()


# ---- ids and acks ----

@pytest.mark.parametrize("chunk", [
    FLUENTD_CHUNK, bytes(range(16)), "x" * 1000, b"\xff" * 1000, "", Encoded(b"\xa3\xff\x00\xfe"),
    Encoded(b"\xdb\x00\x00\x00\x03abc"), Encoded(b"\xc5\x00\x03abc")],
    ids=["newline", "bin", "1000", "bin1000", "empty", "not-utf8", "str32", "bin16"])
def test_an_agents_chunk_id_goes_up_unchanged_and_comes_back_unchanged(pair, chunk):
    pair = pair(acks=False)
    agent = pair.agent()
    value = chunk.data if isinstance(chunk, Encoded) else pack(chunk)
    sent = b"\x93\xa1t\xc4\x03abc\x82\xa4size\x01\xa5chunk" + value
    agent.send(sent)
    received, = pair.aggregator.wait_for(1)
    assert received.raw == sent
    assert not select.select([agent.sock], [], [], 0.1)[0], "the agent got an ack that the aggregator has not sent"
    pair.aggregator.ack(received)
    agent.expect_ack(chunk)
    agent.expect_nothing_more()


def test_acks_reach_their_own_agents_in_the_aggregators_order(pair):
    pair = pair(acks=False)
    agents = [pair.agent() for _ in range(5)]
    for number, agent in enumerate(agents):
        agent.send(event(number, f"{number}a"), event(number, f"{number}b"))
    for one in reversed(pair.aggregator.wait_for(10)):
        pair.aggregator.ack(one)
    for number, agent in enumerate(agents):
        assert agent.read_acks(2) == [f"{number}b", f"{number}a"]
        agent.expect_nothing_more()


def test_the_same_id_of_two_agents_is_acked_to_both(pair):
    pair = pair(acks=False)
    agents = [pair.agent(), pair.agent()]
    for number, agent in enumerate(agents):
        agent.send(event(number, "same"))
    pair.aggregator.ack(*pair.aggregator.wait_for(2))
    for agent in agents:
        agent.expect_ack("same")
        agent.expect_nothing_more()


@pytest.mark.parametrize("tls", [False, True])
def test_acks_that_arrive_together_reach_the_agent_whole(pair, half, tls):
    """Agents treat half an ack in one read as a failure. In TLS one read returns one record."""
    pair, count = (half if tls else pair)(acks=False), 60
    agent = pair.agent()
    ids = [f"{number:03}" * 330 for number in range(count)]
    agent.send(*(event(number, chunk) for number, chunk in enumerate(ids)))
    received = pair.aggregator.wait_for(count)
    received[0].connection.send(b"".join(ack(one.chunk) for one in received))
    assert agent.read_acks(count) == ids


def packed(*entries):
    return b"".join(pack(entry) for entry in entries)


RECORD = {"log": "line", "n": 1, "nested": {"a": [1, 2.5, None, True, b"\x00"]}}
BODY = packed([event_time(1, 2), RECORD], [7, RECORD])
TIMES = {"integer": 1234567890, "eventtime": event_time(1234567890, 999), "float": 1234567890.25}
WITHOUT_CHUNK = {
    **{f"message-{name}": ("t", time, RECORD) for name, time in TIMES.items()},
    **{f"forward-{name}": ("t", [[time, RECORD], [time, {}]]) for name, time in TIMES.items()},
    "message-nil-option": ("t", 1, RECORD, None),
    "message-option": ("t", 1, RECORD, {"size": 1}),
    "forward-nil-option": ("t", [[1, RECORD]], None),
    "forward-option": ("t", [[1, RECORD]], {"size": 1, "fluent_signal": 0, "x": {"y": [1]}}),
    "forward-15-keys": ("t", [[1, RECORD]], {f"k{n}": n for n in range(15)}),
    "fluent-bit": ("t", [[[event_time(1), {}], RECORD], [[event_time(2), {"m": 1}], RECORD]], {"fluent_signal": 0}),
    "empty-forward": ("t", []),
    "packed-bin": ("t", BODY),
    "packed-str": ("t", BODY.decode(errors="surrogateescape")),
    "packed-option": ("t", BODY, {"size": 2}),
    "packed-nil-option": ("t", BODY, None),
    "packed-long": ("t", BODY * 200, {"size": 400}),
    "gzip": ("t" * 200, gzip.compress(BODY), {"compressed": "gzip", "size": 2}),
    "bin-tag": (b"tag", BODY),
    "nil-chunk": ("t", BODY, {"size": 2, "chunk": None}),
}


@pytest.fixture(scope="module")
def shared_pair(pki):
    """One Pair for all cases that leave no state behind."""
    programs = Programs()
    yield Pair(Launcher(pki, programs), Aggregator(), {}, {})
    programs.stop()


@pytest.mark.parametrize("name", WITHOUT_CHUNK)
def test_a_message_without_chunk_gets_one_and_is_otherwise_unchanged(shared_pair, name):
    elements, before = WITHOUT_CHUNK[name], len(shared_pair.aggregator.messages)
    agent = shared_pair.agent()
    agent.send(message(*elements))
    received = shared_pair.aggregator.wait_for(before + 1)[before]
    had_option = elements[-1] if received.option is not None and len(received.value) == len(elements) else None
    *untouched, option = received.value
    assert len(received.chunk) == 24 and isinstance(received.chunk, str)
    body = b"".join(pack(one) for one in (elements[:-1] if len(received.value) == len(elements) else elements))
    assert received.raw.startswith(bytes([0x90 + len(received.value)]) + body)
    assert {key: value for key, value in option.items() if key != "chunk"} == {
        key: value for key, value in (had_option or {}).items() if key != "chunk"}
    if had_option:
        pairs = pack(had_option)[1:] if len(had_option) < 16 else pack(had_option)[3:]
        assert pairs in received.raw
    eventually(lambda: shared_pair.client.metric("husk_messages_retained_bytes") == 0, "the message is settled")
    agent.expect_nothing_more()


# ---- the aggregator ends and comes back ----

@pytest.mark.parametrize("by_reset", [False, True], ids=["fin", "rst"])
def test_unacked_messages_are_sent_again_in_order_with_the_same_ids(pair, by_reset):
    pair, count = pair(acks=False), 20
    asking, other = pair.agent(), pair.agent()
    asking.send(*(event(number, f"id{number}") for number in range(count)))
    pair.aggregator.wait_for(count)
    other.send(*(event(100 + number) for number in range(count)))
    first = pair.aggregator.wait_for(2 * count)
    assert {one.connection.number for one in first} == {0}
    pair.aggregator.ack(*first[:5])
    assert asking.read_acks(5) == [f"id{number}" for number in range(5)]
    pair.aggregator.acks = True
    pair.aggregator.end_connections(by_reset)
    again = pair.aggregator.wait_for(2 * count + 2 * count - 5)[2 * count:]
    for begin in 0, 100:  # each agent's messages in their order
        mine = [one.raw for one in first[5:] if begin <= one.number < begin + count]
        assert [one.raw for one in again if begin <= one.number < begin + count] == mine
    assert asking.read_acks(count - 5) == [f"id{number}" for number in range(5, count)]
    for agent in asking, other:
        agent.expect_nothing_more()
    assert pair.server.metric("husk_messages_retried_total") == 2 * count - 5
    assert pair.client.metric("husk_messages_retried_total") == 0
    assert len(pair.aggregator.messages) == 4 * count - 5


def test_husk_client_sends_again_when_husk_server_dies(pair, husk):
    pair = pair(acks=False)
    agent = pair.agent()
    agent.send(event(1, "one"), event(2))
    pair.aggregator.wait_for(2)
    pair.server.kill()
    pair.aggregator.acks = True
    husk.server(pair.aggregator, listen=raw.format_address(pair.server.address))
    agent.expect_ack("one")
    agent.expect_nothing_more()
    assert sorted(one.number for one in pair.aggregator.wait_for(4)) == [1, 1, 2, 2]


class Load(threading.Thread):
    """An agent that sends numbered events, at most `window` more than have arrived or were acked."""

    def __init__(self, agent, aggregator, name, asks):
        super().__init__(daemon=True)
        self._agent, self._aggregator, self.asks = agent, aggregator, asks
        self.tag, self.count, self.acked, self.failure = name, 0, [], None
        self.stopping = threading.Event()

    def id(self, number):
        return f"{self.tag}:{number}\n"

    def run(self, window=10):
        try:
            while not self.stopping.is_set():
                self._agent.send(*(event(number, self.id(number) if self.asks else None, self.tag)
                                   for number in range(self.count, self.count + window)))
                self.count += window
                if self.asks:
                    self.acked += self._agent.read_acks(window)
                else:
                    self._aggregator.wait_until(lambda messages: any(
                        one.value[0] == self.tag and one.number == self.count - 1
                        for one in reversed(messages)), f"the events of {self.tag} arrive")
            self._agent.expect_nothing_more()
        except (OSError, AssertionError) as failure:
            self.failure = failure


@pytest.mark.parametrize("workers", [1, 2])
def test_an_aggregator_that_restarts_under_load_gets_every_event(pair, workers):
    pair, restarts = pair(workers=workers), 4 if LIGHT else 20 if workers == 1 else 5
    aggregator = pair.aggregator
    # Some acks are lost because the connection ends.
    aggregator.acks = lambda received: received.number % 7 or random.random() < 0.9 or received.connection.end()
    loads = [Load(pair.agent(), aggregator, f"agent{number}", asks=number % 2 == 0) for number in range(4)]
    for load in loads:
        load.start()
    for restart in range(restarts):
        aggregator.wait_for(len(aggregator.messages) + 30)
        aggregator.kill(by_reset=restart % 2 == 0)
        aggregator.revive()
    aggregator.wait_for(len(aggregator.messages) + 30)
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(WAIT_SECONDS)
        assert not load.is_alive() and load.failure is None, f"{load.tag}: {load.failure!r}"
    distinct = {(one.value[0], one.number) for one in aggregator.messages}
    assert distinct == {(load.tag, number) for load in loads for number in range(load.count)}
    for load in loads:
        asked = [load.id(number) for number in range(load.count)] if load.asks else []
        assert sorted(load.acked) == sorted(asked)
    resent = sum(half.metric("husk_messages_retried_total") for half in (pair.client, pair.server))
    assert len(aggregator.messages) - len(distinct) <= resent
    for half in pair.client, pair.server:
        half.wait_for_metric("husk_messages_settled_total", len(distinct))
        eventually(lambda: half.metric("husk_messages_retained_bytes") == 0, "no message is retained")
        assert half.metric("husk_messages_dropped_total") == 0


def test_an_upstream_that_is_down_at_first_gets_the_retained_messages(husk):
    address = raw.free_address()
    client = husk.client(raw.format_address(address))
    gone, asking = Agent(raw.connect(client.address)), Agent(raw.connect(client.address))
    gone.send(event(1), event(2))
    gone.close()
    client.wait_for_metric("husk_messages_received_total", 2)
    asking.send(event(3, "three"))
    client.wait_for_metric("husk_connections_ended_total", 2, side="upstream", reason="connect_refused")
    aggregator = Aggregator()
    husk.server(aggregator, listen=raw.format_address(address))
    asking.expect_ack("three")
    assert sorted(one.number for one in aggregator.messages) == [1, 2, 3]


# ---- missing acks ----

def test_messages_of_a_connection_without_acks_move_to_another_connection(pair):
    pair = pair(acks=lambda received: received.connection.number > 0, server={"ack_timeout": "300ms"})
    agent = pair.agent()
    agent.send(event(1, "one"), event(2))
    first, second, again, *_ = pair.aggregator.wait_for(4)
    assert again.raw == first.raw and again.connection.number == 1
    agent.expect_ack("one")
    agent.expect_nothing_more()
    assert pair.server.metric("husk_connections_ended_total", side="upstream", reason="ack_timeout") == 1
    assert not pair.client.problems()


@pytest.mark.parametrize("asks", [False, True])
def test_an_aggregator_that_never_acks_is_logged_once_and_its_messages_are_kept(half, asks):
    """With --on-no-acks hold. test_answers.py has the default."""
    half = half(acks=False, ack_timeout="100ms", on_no_acks="hold")
    agent, idle = half.agent(), half.agent()
    agent.send(event(1, "one" if asks else None))
    half.husk.wait_for_metric("husk_connections_ended_total", 5, side="upstream", reason="ack_timeout")
    hints = [one for one in half.husk.events(level="error") if "--delivery passthrough" in one["message"]]
    assert len(hints) == 1 and hints[0]["upstream"] == raw.format_address(half.aggregator.address)
    assert half.husk.metric("husk_messages_dropped_total") == 0
    assert half.husk.metric("husk_endpoint_ejected") == 1, "the silence is the address's"
    half.aggregator.acks = True
    if asks:
        agent.expect_ack("one")
    half.husk.wait_for_metric("husk_messages_settled_total", 1)
    carry_acked(idle, 2, "two")


def test_an_aggregator_that_takes_no_bytes_is_not_said_to_send_no_acks(husk):
    listener = raw.Listener()  # accepts nothing: only the kernel takes bytes
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    server = husk.server(listener, ack_timeout="100ms")
    Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)).send(message("t", bytes(2_000_000)))
    server.wait_for_metric("husk_connections_ended_total", 4, side="upstream", reason="ack_timeout")
    assert not server.events(level="error")
    assert server.metric("husk_messages_dropped_total") == 0


def test_a_silent_aggregator_gets_several_messages_a_limited_number_of_times(half):
    """Each ack timeout sends the messages of one connection again, and drops none of them."""
    half = half(acks=False, ack_timeout="100ms", no_acks_after="off")
    agent = half.agent()
    agent.send(*map(event, range(5)))
    half.husk.wait_for_metric("husk_connections_ended_total", 4, side="upstream", reason="ack_timeout")
    ended = half.husk.metric("husk_connections_ended_total", side="upstream", reason="ack_timeout")
    assert len(half.aggregator.messages) <= 5 * (ended + 1)
    half.aggregator.acks = True
    half.husk.wait_for_metric("husk_messages_settled_total", 5)
    assert half.husk.metric("husk_messages_dropped_total") == 0


@undisturbed
def test_a_message_that_is_never_acked_is_dropped(half):
    """Fluentd sends no ack for a chunk that it drops for its size. Other messages must not wait or repeat for ever."""
    half = half(acks=lambda received: received.number != 13, ack_timeout="100ms")
    agent, other = half.agent(), half.agent()
    carry_acked(agent, 1, "one")
    other.send(event(13))
    tries = 0
    while not dropped(half.husk, "ack_timeout"):
        tries += 1
        seen = half.aggregator.numbers().count(13)
        assert seen <= 10
        carry_acked(agent, 2, f"id{tries}")  # a message settles on each connection
        eventually(lambda: dropped(half.husk, "ack_timeout") or half.aggregator.numbers().count(13) > seen,
                   "the message is sent again or dropped")
    assert half.husk.metric("husk_messages_dropped_total") == 1
    carry_acked(agent, 3, "three")


@pytest.mark.parametrize("by_reset", [False, True], ids=["fin", "rst"])
def test_an_aggregator_that_ends_its_first_connections_gets_every_message(half, by_reset):
    """A load balancer accepts and closes while its aggregator is starting."""
    half = half(acks=False)
    agent = half.agent()
    agent.send(event(1))
    for number in range(4):
        eventually(lambda: len(half.aggregator.messages) > number or half.husk.metric("husk_messages_dropped_total"),
                   "the message is sent again")
        assert half.husk.metric("husk_messages_dropped_total") == 0
        half.aggregator.acks = number == 3
        half.aggregator.end_connections(by_reset)
    half.husk.wait_for_metric("husk_messages_settled_total", 1)


def test_an_agent_that_waits_longer_than_the_delivery_timeout_is_reset(husk):
    client = husk.client(raw.format_address(raw.free_address()), delivery_timeout="200ms")
    asking, other = Agent(raw.connect(client.address)), Agent(raw.connect(client.address))
    other.send(event(1))
    client.wait_for_metric("husk_messages_received_total", 1)
    asking.send(event(2, "two"))
    raw.assert_reset(asking.sock)
    client.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="undelivered")
    assert dropped(client, "undelivered") == client.metric("husk_messages_dropped_total") == 1
    client.wait_for_event(reason="undelivered")
    assert client.metric("husk_messages_retained_bytes") > 0, "the message without an ack request is kept"


@undisturbed
def test_an_agent_with_an_unsettled_message_is_not_idle_and_costs_no_cpu(half):
    half = half(acks=False, idle_timeout="300ms")
    agent = half.agent()
    agent.send(event(1, "asked"))
    received, = half.aggregator.wait_for(1)
    time.sleep(0.5)
    before = half.husk.cpu_seconds()
    time.sleep(1)
    assert half.husk.cpu_seconds() - before < (0.5 if LIGHT else 0.25)
    half.aggregator.ack(received)
    assert agent.read_acks(1) == ["asked"]
    half.husk.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="idle")


def test_husk_uses_no_cpu_while_it_waits_for_an_upstream(husk):
    client = husk.client(raw.format_address(raw.free_address()), delivery_timeout="50ms", log_burst=0)
    Agent(raw.connect(client.address)).send(event(1))
    client.wait_for_metric("husk_connections_ended_total", 2, side="upstream", reason="connect_refused")
    before = client.cpu_seconds()
    # The third dial is 200 ms after the second one, the fourth 400 ms after the third one.
    ended = client.get("/metrics") and client.wait_until(
        lambda _: len(client.events(reason="connect_refused")) >= 4, "two more dials")
    assert ended and client.cpu_seconds() - before < (0.5 if LIGHT else 0.25)


# ---- passthrough ----

def test_passthrough_changes_no_byte(husk):
    upstream = raw.Listener()
    server = husk.server(upstream, delivery="passthrough")
    client = husk.client(server, delivery="passthrough")
    stream = b"".join(message(*elements) for elements in WITHOUT_CHUNK.values()) + event(1, FLUENTD_CHUNK)
    agent = raw.connect(client.address)
    agent.sendall(stream)
    aggregator = upstream.accept()
    assert raw.read_exactly(aggregator, len(stream)) == stream
    aggregator.sendall(ack(FLUENTD_CHUNK))
    assert agent.recv(100) == ack(FLUENTD_CHUNK)
    agent.close()


def test_passthrough_resets_exactly_the_agents_with_unsettled_messages(pair):
    pair = pair(acks=False, delivery="passthrough")
    waiting, settled, acked, also_waiting = [pair.agent() for _ in range(4)]
    waiting.send(event(1, "one"))
    settled.send(event(2))
    acked.send(event(3, "three"))
    also_waiting.send(event(4, "four"))
    pair.aggregator.ack(*(one for one in pair.aggregator.wait_for(4) if one.number == 3))
    acked.expect_ack("three")
    pair.aggregator.end_connections(by_reset=True)
    for agent in waiting, also_waiting:
        raw.assert_reset(agent.sock)
    pair.aggregator.acks = True
    for number, agent in enumerate((settled, acked)):
        carry_acked(agent, 10 + number, f"later{number}")
        agent.expect_nothing_more()
    assert sorted(pair.aggregator.numbers()) == [1, 2, 3, 4, 10, 11]
    assert pair.client.metric("husk_messages_dropped_total") == 2


# ---- bad input ----

def nested(depth):
    return {"a": nested(depth - 1)} if depth > 1 else {}


BAD_INPUT = {
    "json": (b'["t",1,{"a":1}]', "json"),
    "json-object": (b'{"a":1}', "json"),
    "json-behind": (message("t", 1, {}) + b'["t",1,{"a":1}]', "not_forward"),
    "random": (random.Random(7).randbytes(500).lstrip(b"{["), "not_forward"),
    "http": (b"GET / HTTP/1.1\r\n\r\n", "not_forward"),
    "tag": (message("t" * 33, 1, {}), "tag_too_long"),
    "announced": (b"\x92\xa1t\xc6\x00\x20\x00\x00", "message_too_long"),
    "announced-array": (b"\x92\xa1t\xdd\x7f\xff\xff\xff", "message_too_long"),
    "deep": (message("t", 1, nested(5)), "message_too_deep"),
    "deep-option": (message("t", 1, {}, nested(5)), "message_too_deep"),
    "chunk-length": (message("t", 1, {}, {"chunk": "x" * 1025}), "bad_option"),
}


@pytest.fixture(scope="module")
def strict_pair(pki):
    programs = Programs()
    yield Pair(Launcher(pki, programs), Aggregator(),
                {"max_tag": 32, "max_message": "1MiB", "max_depth": 4, "log_burst": "off"}, {})
    programs.stop()


def bad_input_ends_one_agent(pair, reason, misbehave):
    """The connection ends with `reason` in log and metrics. Another agent is not disturbed."""
    client, neighbour = pair.client, pair.agent()
    carry_acked(neighbour, 0, "before")
    ended = client.metric("husk_connections_ended_total", side="downstream", reason=reason)
    lines = len(client.events(side="downstream", reason=reason))
    upstream = client.metric("husk_connections_opened_total", side="upstream")
    agent = pair.agent()
    misbehave(agent)
    client.wait_for_metric("husk_connections_ended_total", ended + 1, side="downstream", reason=reason)
    client.wait_until(lambda _: len(client.events(side="downstream", reason=reason)) == lines + 1, "its line appears")
    carry_acked(neighbour, 0, "after")
    neighbour.expect_nothing_more()
    assert client.metric("husk_connections_opened_total", side="upstream") == upstream


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_ends_its_own_connection_only(strict_pair, name):
    data, reason = BAD_INPUT[name]

    def misbehave(agent):
        agent.send(data)
        raw.assert_reset(agent.sock)
    bad_input_ends_one_agent(strict_pair, reason, misbehave)


def test_a_message_cut_by_the_agents_end_is_logged(strict_pair):
    def misbehave(agent):
        agent.send(event(1, "one")[:-3])
        agent.sock.shutdown(1)
        raw.assert_reset(agent.sock)
    bad_input_ends_one_agent(strict_pair, "message_cut", misbehave)


def test_a_connection_reset_inside_a_message_is_no_probe(strict_pair):
    client = strict_pair.client
    before = client.metric("husk_connections_ended_total", side="downstream")
    received = client.metric("husk_bytes_total", side="downstream", direction="received")
    agent, probes = strict_pair.agent(), client.metric("husk_connections_ended_total", reason="probe")
    agent.send(event(1)[:-3])
    client.wait_for_metric("husk_bytes_total", received + 1, side="downstream", direction="received")
    agent.reset()
    client.wait_for_metric("husk_connections_ended_total", before + 1, side="downstream")
    assert client.metric("husk_connections_ended_total", reason="probe") == probes


def test_whole_messages_before_the_bad_input_are_delivered(pair):
    pair = pair()
    agent = pair.agent()
    agent.send(event(1), event(2), b"GET / HTTP/1.1\r\n")
    raw.assert_reset(agent.sock)
    assert sorted(one.number for one in pair.aggregator.wait_for(2)) == [1, 2]


@pytest.mark.parametrize("answer, reason", [
    (b"HTTP/1.1 400 Bad Request\r\n", "bad_ack"), (pack({"ack": 7}), "bad_ack"), (pack({"nack": "one"}), "ack_refused"),
    (pack({"ack": "x" * 5000}), "bad_ack"), (json.dumps({"ack": 1}).encode(), "bad_ack"),
    (ack("another"), "unknown_ack"), (json.dumps({"ack": "On\n"}).encode(), "unknown_ack"),
    (ack("one\n"), "unknown_ack")],
    ids=["http", "integer", "key", "long", "json", "another", "json-another", "newline"])
def test_a_wrong_answer_ends_the_connection_and_the_message_is_sent_again(half, answer, reason):
    half = half(acks=lambda received: received.connection.number > 0)
    agent = half.agent()
    agent.send(event(1, "one"))
    first, = half.aggregator.wait_for(1)
    first.connection.send(answer)
    again = half.aggregator.wait_for(2)[1]
    assert again.raw == first.raw
    agent.expect_ack("one")
    half.husk.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason=reason)
    assert half.husk.wait_for_event(reason=reason, side="upstream")


# ---- back-pressure ----

def test_agents_are_not_read_while_too_many_bytes_are_retained(pair):
    limit = 64 * 1024
    pair = pair(acks=False, retain_bytes=limit, buffer_bytes=limit)
    agents, sent = [pair.agent() for _ in range(3)], [0, 0, 0]
    warm = pair.agent()
    warm.send(event(0))
    pair.aggregator.wait_for(1)
    resident = pair.client.resident_kib(), pair.server.resident_kib()
    one = message("t", 1, {"n": 1, "pad": "x" * 8000})
    for agent in agents:
        agent.sock.setblocking(False)
    left = [b""] * 3
    while True:
        writable = select.select([], [agent.sock for agent in agents], [], 0.3)[1]
        if not writable:
            break
        for index, agent in enumerate(agents):
            if agent.sock in writable:
                left[index] = left[index] or one * 8
                taken = agent.sock.send(left[index])
                left[index] = left[index][taken:]
                sent[index] += taken
        assert sum(sent) < 256 * MIB, "the agents can send without limit"
    bound = limit + len(agents) * (limit + 10000)
    for half in pair.client, pair.server:
        assert half.metric("husk_messages_retained_bytes") < bound
    assert pair.client.metric("husk_bytes_total", side="downstream", direction="received") < bound
    if not LIGHT:
        assert pair.client.resident_kib() < resident[0] + 2048
        assert pair.server.resident_kib() < resident[1] + 2048
    pair.aggregator.acks = True
    pair.aggregator.ack(*pair.aggregator.messages)
    for agent, rest in zip(agents, left):
        agent.sock.settimeout(WAIT_SECONDS)
        agent.send(rest)
        agent.expect_nothing_more()
    whole = (sum(sent) + sum(map(len, left))) // len(one) + 1
    assert len(pair.aggregator.wait_for(whole)) == whole
    eventually(lambda: pair.client.metric("husk_messages_retained_bytes") == 0, "all messages are settled")


# ---- agents that close their connection ----

@pytest.mark.parametrize("how", ["rst", "fin"])
def test_the_message_of_an_agent_that_closed_before_its_ack_is_not_sent_again(half, how):
    """The agent itself sends the message again."""
    half = half(acks=False)
    agent, staying = half.agent(), half.agent()
    agent.send(event(1, "one"))
    half.aggregator.wait_for(1)
    if how == "rst":
        raw.reset(agent.sock.sock)
        half.husk.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="reset")
    else:
        agent.close()
    staying.send(event(2, "two"))
    half.aggregator.wait_for(2)
    half.aggregator.acks = True
    half.aggregator.end_connections()
    staying.expect_ack("two")
    assert half.aggregator.numbers() == [1, 2, 2]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_an_agent_without_acks_may_close_and_its_message_is_delivered(pair, how):
    pair = pair(acks=False)
    agent = pair.agent()
    agent.send(event(1))
    first, = pair.aggregator.wait_for(1)
    agent.close() if how == "fin" else agent.reset()
    pair.aggregator.acks = True
    pair.aggregator.end_connections()
    assert pair.aggregator.wait_for(2)[1].raw == first.raw
    pair.server.wait_for_metric("husk_messages_settled_total", 1)


def test_an_ack_for_an_agent_that_closed_disturbs_no_other(half):
    half = half(acks=False)
    agent, staying = half.agent(), half.agent()
    agent.send(event(1, "one"))
    first, = half.aggregator.wait_for(1)
    raw.reset(agent.sock.sock)
    half.husk.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="reset")
    half.aggregator.ack(first)
    half.aggregator.acks = True
    carry_acked(staying, 2, "two")
    assert half.husk.metric("husk_connections_ended_total", side="upstream") == 0


# ---- the end of the process ----

def test_sigterm_with_unacked_messages_ends_with_status_1(pair):
    pair = pair(acks=False)
    agent = pair.agent()
    agent.send(event(1, "one"), event(2))
    pair.aggregator.wait_for(2)
    pair.client.signal(signal.SIGTERM)
    assert pair.client.wait() == 1
    assert any("undelivered" in one["message"] for one in pair.client.problems())
    raw.assert_reset(agent.sock)


def test_sigterm_without_unacked_messages_ends_with_status_0(pair):
    pair = pair()
    agent = pair.agent()
    carry_acked(agent, 1, "one")
    pair.client.signal(signal.SIGTERM)
    assert pair.client.wait() == 0
    assert agent.sock.recv(1) == b""
    assert not pair.client.problems()


def test_acks_that_arrive_during_the_drain_reach_their_agents(pair):
    pair = pair(acks=False, client={"drain_quiet": "5s", "drain_timeout": "20s"})
    agent = pair.agent()
    agent.send(event(1, "one"))
    received = pair.aggregator.wait_for(1)
    pair.client.signal(signal.SIGTERM)
    pair.client.wait_for_event(message="draining")
    pair.aggregator.ack(*received)
    agent.expect_ack("one")
    agent.close()
    pair.client.signal(signal.SIGTERM)
    assert pair.client.wait() == 0


# ---- sizes and cuts ----

def test_a_message_of_8_mib_passes(pair):
    pair = pair()
    agent = pair.agent()
    body = random.Random(11).randbytes(8 * MIB)
    sent = message("t", body, {"size": 1, "chunk": FLUENTD_CHUNK})
    with raw.Sending(agent.sock, [sent]):
        received, = pair.aggregator.wait_for(1)
    assert received.raw == sent
    agent.expect_ack(FLUENTD_CHUNK)


@pytest.mark.parametrize("asks", [False, True])
def test_a_message_too_large_to_retain_passes_unchanged_and_is_not_sent_again(half, asks):
    half = half(acks=False, retain_bytes="64KiB")
    agent, idle = half.agent(), half.agent()
    sent = message("t", b"x" * 200000, {"chunk": "large"} if asks else {})
    agent.send(sent)
    received, = half.aggregator.wait_for(1)
    assert received.raw == sent
    assert half.husk.metric("husk_messages_unprotected_total") == 1
    half.husk.wait_for_metric("husk_messages_settled_total", 0 if asks else 1)
    half.aggregator.acks = True
    half.aggregator.end_connections(by_reset=True)
    if asks:
        raw.assert_reset(agent.sock)
    else:
        carry_acked(agent, 1, "one")
    carry_acked(idle, 2, "two")
    assert half.husk.metric("husk_messages_dropped_total") == asks
    assert half.aggregator.messages.count(received) == 1


def test_one_byte_writes_of_two_agents_do_not_mix(pair):
    pair = pair()
    streams = [b"".join(event(number, f"{name}{number}", name) for number in range(10)) for name in "ab"]
    agents = [pair.agent(), pair.agent()]
    for at in range(len(streams[0])):
        for agent, stream in zip(agents, streams):
            agent.send(stream[at:at + 1])
    received = pair.aggregator.wait_for(20)
    for name, stream, agent in zip("ab", streams, agents):
        assert b"".join(one.raw for one in received if one.value[0] == name) == stream
        assert agent.read_acks(10) == [f"{name}{number}" for number in range(10)]
        agent.expect_nothing_more()


def test_an_agent_in_the_middle_of_a_message_delays_nobody(pair):
    pair = pair(max_upstream_connections=1)
    slow, other = pair.agent(), pair.agent()
    data = event(1, "slow")
    slow.send(data[:-1])
    carry_acked(other, 2, "other")
    slow.send(data[-1:])
    slow.expect_ack("slow")


# ---- silence ----

HINT = ("an agent sends nothing: if it is configured with a shared key, set --accept-key-env or "
        "--accept-key-file")


@undisturbed
def test_the_first_silent_agent_is_logged_once(pair):
    pair = pair(client={"silence_hint": "200ms", "log_level": "debug"})
    carry_acked(pair.agent(), 0, "talks")
    silent = [pair.agent() for _ in range(3)]
    hint = pair.client.wait_for_event(message=HINT, level="info")
    addresses = [raw.format_address(agent.sock.getsockname()) for agent in silent]
    assert hint["peer"] in addresses
    for number, agent in enumerate(silent):  # the hint is only a line: the connections still work
        carry_acked(agent, number, f"late{number}")
    late = pair.agent()
    assert not select.select([late.sock], [], [], 0.5)[0], "husk neither answers nor ends the connection"
    assert len(pair.client.events(message=HINT)) == 1


@pytest.mark.parametrize("options", [{"silence_hint": "off"}, {"accept_key_env": "KEY", "env": {"KEY": "k"}}],
                         ids=["off", "with a key"])
def test_a_silent_agent_is_not_logged_when_the_hint_is_off_or_husk_asks_for_a_key(pair, options):
    pair = pair(client={"silence_hint": "100ms", **options})
    agent = pair.agent()
    if "accept_key_env" in options:
        assert b"HELO" in agent.sock.recv(1000)
    assert not select.select([agent.sock], [], [], 0.5)[0], "husk neither answers nor ends the connection"
    pair.client.stop()
    assert not pair.client.events(message=HINT)


@undisturbed
def test_heartbeat_connections_are_not_silent_agents(pair):
    pair = pair(client={"silence_hint": "200ms"})
    for _ in range(3):
        pair.agent().close()
    talking = pair.agent()
    carry_acked(talking, 0, "talks")
    assert not select.select([talking.sock], [], [], 0.5)[0], "an agent that is idle after a message is not ended"
    assert not pair.client.events(message=HINT)
