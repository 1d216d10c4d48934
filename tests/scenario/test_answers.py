"""What aggregators answer: acks in JSON or with an id of the other type, refusals, and no acks at all."""

import contextlib
import json
import signal
import socket
import ssl
import threading

import pytest

from support import raw
from support.aggregators import EMPTY, PASS_OVER, TAKE, CountingAggregator, Vector
from support.chain import LENGTHS, drops_of, of_length
from support.forward import Agent, ack, carry_acked, event, message
from support.husk import BINARY
from support.process import Program, eventually
from support.timing import expect_within, in_time, undisturbed

# husk dials again at once after a connection without acks.
QUICK = {"ack_timeout": "60ms", "eject_time": "50ms", "eject_time_max": "50ms", "linger_timeout": "1s"}
lengths = pytest.mark.parametrize("length", LENGTHS)
one_and_two = pytest.mark.parametrize("length", [of_length(1), of_length(2)])


class Answering(CountingAggregator):
    """Answers each message that has a chunk id with answer(id), in pieces of `slice` bytes."""

    def __init__(self, answer, slice=None):
        self._answer, self._slice = answer, slice
        super().__init__()

    def ack(self, *messages):
        for one in messages:
            data = b"" if one.chunk is None else self._answer(one.chunk)
            step = self._slice or len(data) or 1
            for at in range(0, len(data), step):
                one.connection.send(data[at:at + step])


# ---- acks in other forms ----

def in_json(chunk):
    return json.dumps({"ack": chunk}).encode()


def in_escaped_json(chunk):
    units = chunk.encode("utf-16-be")
    escaped = "".join(f"\\u{units[at:at + 2].hex()}" for at in range(0, len(units), 2))
    return f'\r\n{{"other": [1, {{"ack": "}}"}}], "ack" : "{escaped}" }}\n'.encode()


@lengths
@pytest.mark.parametrize("answer, slice", [(in_json, None), (in_escaped_json, 1)], ids=["whole", "escaped-sliced"])
def test_acks_in_json_are_acks(chain, length, answer, slice):
    """Vector before 0.31 sends such acks, and Fluentd sends them to clients that speak JSON."""
    chain = chain(length, Answering(answer, slice))
    agent, other = chain.agent(), chain.agent()
    other.send(*map(event, range(1, 4)))
    agent.send(event(4, "a/b+c=\n"), event(5, "é\U0001F600"))
    assert agent.read_acks(2) == ["a/b+c=\n", "é\U0001F600"]
    chain.first.wait_for_metric("husk_messages_settled_total", 5)
    assert chain.total("husk_messages_retried_total") == 0
    assert not [problem for husk in chain.husks for problem in husk.problems()]


@one_and_two
def test_an_id_of_the_other_type_is_the_id(chain, length):
    """Vector answers str for bin. The agent gets the type that it sent."""
    chain = chain(length, Answering(lambda chunk: ack(chunk.decode() if isinstance(chunk, bytes) else chunk.encode())))
    agent = chain.agent()
    carry_acked(agent, 1, b"one")
    carry_acked(agent, 2, "two")
    assert chain.total("husk_messages_retried_total") == 0


# ---- refusals ----

@one_and_two
@pytest.mark.parametrize("refusal", [b"\x80", b"{}", b"\x81\xa5error\xa4full"], ids=["map", "json", "key"])
def test_a_refused_message_is_sent_again(chain, length, refusal):
    refused = set()

    def judge(numbers):
        first = 13 in numbers and 13 not in refused
        refused.update(numbers)
        return EMPTY if first else TAKE

    aggregator = CountingAggregator(judge)
    aggregator.EMPTY_ANSWER = refusal
    chain = chain(length, aggregator).warm()
    agent, other = chain.acking_agent(), chain.agent()
    agent.send(13)
    other.send(*map(event, range(100, 110)))
    aggregator.wait_for_stored(13, *range(100, 110))
    agent.wait_for_acks(13)
    chain.last.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="ack_refused")
    assert chain.drops() == [{}] * len(chain.husks) and agent.ends == 0
    assert chain.last.metric("husk_endpoint_ejected") == 0, "others get through"


@one_and_two
@in_time
def test_a_message_that_is_refused_each_time_is_given_up_and_delays_no_other_agent(chain, length):
    aggregator = CountingAggregator(lambda numbers: EMPTY if 13 in numbers else TAKE)
    chain = chain(length, aggregator, max_attempts=3).warm()
    bad, good = chain.agent(), chain.agent()
    bad.send(event(13))
    for number in range(100, 130):
        good.send(event(number))
        expect_within(2, aggregator.wait_for_stored(number))
    eventually(lambda: chain.drops() == [{"ack_refused": 1}] * len(chain.husks), "each husk counts it once")
    assert aggregator.offered[13] == 3
    assert chain.last.metric("husk_endpoint_ejected") == 0


def test_vector_whose_sink_refuses_some_messages_gets_each(chain):
    chain = chain(1, Vector(refused_share=0.2))
    agent, asking = chain.agent(), chain.acking_agent()
    agent.send(*map(event, range(1, 60)))
    asking.send(*range(100, 130))
    chain.aggregator.wait_for_stored(*range(1, 60), *range(100, 130))
    asking.wait_for_acks(*range(100, 130))
    assert chain.drops() == [{}]


# ---- no acks ----

def never_acks():
    return CountingAggregator(lambda _: PASS_OVER)


def findings(husk):
    return [one for one in husk.events(level="error") if "has never acknowledged" in one["message"]]


def wait_for_finding(husk):
    husk.wait_for_metric("husk_endpoint_without_acks", 1)
    return husk.wait_until(lambda _: findings(husk), "that it never acknowledges")[0]


@lengths
@undisturbed
def test_husk_continues_without_acks_if_none_come(chain, length):
    """The aggregator reads everything. Agents see the same as without husk."""
    chain = chain(length, never_acks(), **QUICK)
    aggregator, last = chain.aggregator, chain.last
    agent, asking = chain.agent(), chain.agent()
    agent.send(event(1))
    found = wait_for_finding(last)
    assert found["upstream"] == raw.format_address(aggregator.address)
    assert "--on-no-acks hold" in found["message"] and "--delivery passthrough" in found["message"]
    asking.send(event(2, "two"))
    agent.send(event(3))
    eventually(lambda: aggregator.offered[2] == aggregator.offered[3] == 1, "later messages are sent once")
    chain.first.wait_for_metric("husk_messages_settled_total", 3)
    for husk in chain.husks:
        eventually(lambda: husk.metric("husk_messages_retained_bytes") == 0, "nothing is retained")
    assert last.metric("husk_messages_unacknowledged_total") == 3
    status, text = last.get("/ready")
    assert status == 200 and "never acknowledges" in text
    assert chain.drops() == [{}] * len(chain.husks) and len(findings(last)) == 1
    assert aggregator.offered[1] <= 4
    asking.send(event(4))
    eventually(lambda: aggregator.offered[4], "the agent that asked for an ack is not reset")
    assert chain.first.metric("husk_bytes_total", side="downstream", direction="sent") == 0, "and gets no ack"


@one_and_two
@pytest.mark.parametrize("answer", [ack, in_json], ids=["msgpack", "json"])
def test_husk_waits_for_acks_again_after_an_ack(chain, length, answer):
    aggregator = never_acks()
    chain = chain(length, aggregator, **QUICK)
    agent = chain.agent()
    agent.send(event(1))
    wait_for_finding(chain.last)
    chain.first.wait_for_metric("husk_messages_settled_total", 1)
    aggregator.ack = lambda *messages: [one.connection.send(answer(one.chunk)) for one in messages if one.chunk]
    aggregator._judge = lambda _: TAKE
    agent.send(event(2))  # the ack comes when the message has already settled
    chain.last.wait_for_event(level="info", message="the aggregator acknowledges messages: husk waits for its acks "
                                                    "from now on")
    carry_acked(agent, 3, "three")
    assert chain.last.metric("husk_endpoint_without_acks") == 0 and chain.last.get("/ready") == (200, "ready\n")
    assert chain.last.metric("husk_connections_ended_total", reason="unknown_ack") == 0


@pytest.mark.parametrize("asks", [True, False], ids=["asked", "not-asked"])
def test_acks_of_many_messages_at_once_show_that_the_aggregator_acknowledges(chain, asks):
    """It acknowledges more messages together than husk remembers to have settled without acks, or, of messages that
    husk asks about itself, only some that husk no longer remembers."""
    aggregator, count = never_acks(), 150
    chain = chain(1, aggregator, batch_bytes="off", **QUICK)
    agent = chain.agent()
    agent.send(event(1))
    wait_for_finding(chain.last)
    agent.send(*(event(number, f"{number}" if asks else None) for number in range(2, 2 + count)))
    chain.first.wait_for_metric("husk_messages_settled_total", 1 + count)
    eventually(lambda: aggregator.offered[1 + count], "the last message is at the aggregator")
    late = aggregator.messages[-count:]
    late[0].connection.send(b"".join(ack(one.chunk) for one in (late if asks else late[:50])))
    eventually(lambda: chain.last.metric("husk_endpoint_without_acks") == 0, "husk waits for acks again")
    aggregator._judge = lambda _: TAKE
    carry_acked(agent, 200, "two hundred")
    assert chain.last.metric("husk_connections_ended_total", reason="unknown_ack") == 0


@one_and_two
def test_on_no_acks_hold_keeps_messages(chain, length):
    chain = chain(length, never_acks(), on_no_acks="hold", **QUICK)
    aggregator, last = chain.aggregator, chain.last
    agent, later = chain.agent(), chain.agent()
    agent.send(event(1))
    assert "--on-no-acks continue" in wait_for_finding(last)["message"]
    status, text = last.get("/ready")
    assert status == 503 and "husk keeps its messages" in text
    later.send(event(2, "two"))
    sent = aggregator.offered[1]
    eventually(lambda: aggregator.offered[1] > sent, "the message is tried again")
    assert aggregator.offered[2] == 0 and last.metric("husk_messages_received_total") == 1, "agents are not read"
    assert last.metric("husk_messages_settled_total") == 0 and chain.drops() == [{}] * len(chain.husks)
    aggregator._judge = lambda _: TAKE
    later.expect_ack("two")
    chain.first.wait_for_metric("husk_messages_settled_total", 2)
    assert len(findings(last)) == 1 and last.get("/ready") == (200, "ready\n")


def test_no_acks_after_off_concludes_nothing(chain):
    chain = chain(1, never_acks(), no_acks_after="off", **QUICK)
    chain.agent().send(event(1))
    chain.last.wait_for_metric("husk_connections_ended_total", 4, side="upstream", reason="ack_timeout")
    assert not findings(chain.last) and chain.last.metric("husk_messages_settled_total") == 0


@one_and_two
def test_answers_that_husk_cannot_read_end_no_connection_without_acks(chain, length):
    chain = chain(length, Answering(lambda chunk: b"OK\n"))
    agent = chain.agent()
    agent.send(event(1))
    wait_for_finding(chain.last)
    connections = len(chain.aggregator.connections)
    for number in range(2, 30):
        agent.send(event(number))
        chain.aggregator.wait_for_stored(number)
    chain.first.wait_for_metric("husk_messages_settled_total", 29)
    assert chain.aggregator.duplicates() <= 4 and len(chain.aggregator.connections) <= connections + 1


def test_an_answer_of_another_protocol_proves_nothing(chain):
    chain = chain(1, Answering(lambda chunk: b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    chain.agent().send(event(1))
    chain.last.wait_for_metric("husk_connections_ended_total", 5, side="upstream", reason="bad_ack")
    assert not findings(chain.last) and chain.last.metric("husk_messages_settled_total") == 0


# ---- silence is not a verdict ----

def silent_for(husk, connections):
    husk.wait_for_metric("husk_connections_ended_total", connections, side="upstream", reason="ack_timeout")
    assert not findings(husk) and husk.metric("husk_messages_settled_total") == 0
    assert husk.metric("husk_messages_dropped_total") == 0


def test_a_stopped_aggregator_is_only_silent(husk, programs):
    host, port = raw.free_address()
    aggregator = programs.add(Program([BINARY, "receive", "--listen", f"{host}:{port}"], "husk receive"))
    aggregator.wait_for_line(lambda line: "listening" in line, "listening")
    aggregator.signal(signal.SIGSTOP)
    try:
        server = husk.server(f"{host}:{port}", **{**QUICK, "linger_timeout": "50ms"})
        agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
        agent.send(event(1), event(2, "two"))
        silent_for(server, 4)
    finally:
        aggregator.signal(signal.SIGCONT)
    agent.expect_ack("two")
    server.wait_for_metric("husk_messages_settled_total", 2)


def test_an_aggregator_that_hangs_after_reading_is_only_silent(chain):
    chain = chain(1, **{**QUICK, "linger_timeout": "50ms"})
    chain.aggregator.leave("silent")
    agent = chain.agent()
    agent.send(event(1))
    silent_for(chain.last, 4)
    chain.aggregator.come_back()
    chain.aggregator.wait_for_stored(1)


def test_a_reset_proves_nothing(husk):
    """The program closes before it has read everything: its system resets the connection."""
    listener = raw.Listener()
    server = husk.server(listener, **QUICK)
    Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)).send(event(1))
    for _ in range(5):
        sock = listener.accept()
        server.wait_for_metric("husk_bytes_total", 1, side="upstream", direction="sent")
        eventually(lambda: b"\xa1n\x01" in sock.recv(1 << 16, socket.MSG_PEEK), "the message is there")
        server.wait_for_metric("husk_upstream_connections", 1)
        closed = threading.Timer(0.12, sock.close)
        closed.start()
        closed.join()
    silent_for(server, 4)


def test_a_husk_whose_aggregator_is_away_is_no_aggregator_without_acks(chain):
    """Before the first ack, the first husk does not know that the plaintext upstream is a husk."""
    chain = chain(3, at={1: {"upstream_link": "auto"}}, **{**QUICK, "linger_timeout": "50ms"})
    chain.aggregator.leave("refused")
    chain.agent().send(event(1))
    chain.husks[1].wait_for_metric("husk_connections_ended_total", 3, side="upstream", reason="ack_timeout")
    assert not [one for husk in chain.husks for one in findings(husk)]
    chain.aggregator.come_back()
    chain.aggregator.wait_for_stored(1)
    assert chain.drops()[0] == {}


# ---- over TLS ----

class TlsAggregator(raw.Listener):
    """Reads and never acknowledges. Closes each connection after the end of the peer, with close_notify or without."""

    def __init__(self, context, with_close_notify):
        super().__init__()
        self._context, self._with_close_notify = context, with_close_notify
        self.bytes = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._read, args=(self.sock.accept()[0],), daemon=True).start()

    def _read(self, sock):
        with contextlib.suppress(OSError), self._context.wrap_socket(sock, server_side=True) as tls:
            while data := tls.recv(1 << 16):
                self.bytes += len(data)
            if self._with_close_notify:
                tls.unwrap()


@pytest.mark.parametrize("with_close_notify", [True, False], ids=["close-notify", "fin"])
def test_an_aggregator_without_acks_is_recognised_over_tls_too(husk, with_close_notify):
    context = raw.tls_context(True, husk.pki.ca.cert, husk.pki.server)
    context.suppress_ragged_eofs = True
    client = husk.client(TlsAggregator(context, with_close_notify), **QUICK)
    agent = Agent(raw.connect(client.address))
    agent.send(event(1))
    wait_for_finding(client)
    agent.send(event(2))
    client.wait_for_metric("husk_messages_settled_total", 2)


def test_passthrough_never_tests_whether_an_aggregator_reads(husk):
    aggregator = never_acks()
    server = husk.server(aggregator, delivery="passthrough", **QUICK)
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(message("t", 1, {"n": 1}))
    server.wait_for_metric("husk_messages_settled_total", 1)
    assert not findings(server) and server.metric("husk_messages_unacknowledged_total") == 0
