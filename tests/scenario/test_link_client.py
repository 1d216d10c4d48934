"""docs/link.md, husk client: what it sends to a scripted link server, and what it makes of the answers."""


import pytest

from support import link, raw
from support.forward import Agent, event
from support.timing import undisturbed

ACK_TIMEOUT_MS = 400


class Scripted:
    """Agents → husk client → a scripted link server."""

    def __init__(self, husk, options):
        self.listener = link.LinkServer(husk.pki)
        self.client = husk.client(self.listener, **{"ack_timeout": f"{ACK_TIMEOUT_MS}ms",
                                                    "max_upstream_connections": 1, **options})
        self.dropped = lambda **labels: self.client.metric("husk_messages_dropped_total", **labels)

    def agent(self):
        return Agent(raw.connect(self.client.address))

    def expect_no_end(self):
        assert self.client.metric("husk_connections_ended_total", side="upstream") == 0
        assert self.client.metric("husk_messages_retried_total") == 0


class Reader:
    """Reads at the scripted server, and knows from which sender each message is."""

    def __init__(self, peer):
        self.peer, self.frames, self.sender = peer, [], 0

    def message(self):
        """The next message: (its sender, its event's number, its chunk id)."""
        while isinstance(value := self.peer.read(), dict):
            self.frames.append(value)
            self.sender = value.get("sender", self.sender)
        return self.sender, value[2]["n"], value[3]["chunk"]

    def messages(self, *numbers):
        """Reads until these have come. Returns number → (sender, chunk id)."""
        found = {}
        while not found.keys() >= set(numbers):
            sender, number, chunk = self.message()
            found[number] = sender, chunk
        return found

    def ack(self, *chunks, **more):
        self.peer.send(*({"ack": chunk, **more} for chunk in chunks))


@pytest.fixture
def scripted(husk):
    return lambda **options: Scripted(husk, options)


def test_the_client_asks_for_a_sign_of_life_in_its_first_frame(scripted):
    scripted = scripted()
    scripted.agent().send(event(1))
    peer = scripted.listener.accept_link()
    assert peer.protocol == link.LINK
    reader = Reader(peer)
    reader.message()
    assert 1 <= reader.frames[0]["waiting_every_ms"] <= ACK_TIMEOUT_MS / 2


def test_each_message_follows_the_number_of_its_agent(scripted):
    scripted = scripted()
    one, other = scripted.agent(), scripted.agent()
    one.send(event(1, "a"))
    reader = Reader(scripted.listener.accept_link())
    seen = {1: reader.message()}
    for number in range(2, 12):
        (one if number % 2 else other).send(event(number, f"{number}"))
        seen[number] = reader.message()
    assert [number for _, number, _ in seen.values()] == list(range(1, 12))
    assert len({seen[number][0] for number in range(1, 12, 2)}) == 1
    assert len({seen[number][0] for number in range(2, 12, 2)}) == 1
    assert seen[1][0] != seen[2][0]


def test_a_sender_is_gone_when_its_agent_has_left_and_its_messages_are_settled(scripted):
    scripted = scripted()
    leaving, staying = scripted.agent(), scripted.agent()
    leaving.send(event(1))
    reader = Reader(scripted.listener.accept_link())
    gone, _, chunk = reader.message()
    leaving.close()
    reader.ack(chunk)
    scripted.client.wait_for_metric("husk_messages_settled_total", 1)
    staying.send(event(2))
    reader.message()
    staying.send(event(3))
    reader.message()
    assert [frame["gone"] for frame in reader.frames if "gone" in frame] == [gone]


def test_an_ack_that_names_its_sender_is_for_that_sender(scripted):
    scripted = scripted()
    one, other = scripted.agent(), scripted.agent()
    one.send(event(1, "same"))
    reader = Reader(scripted.listener.accept_link())
    reader.messages(1)
    other.send(event(2, "same"))
    sender, _ = reader.messages(2)[2]
    reader.ack("same", sender=sender)
    other.expect_ack("same")
    reader.ack("same")
    one.expect_ack("same")


def test_an_ack_settles_in_any_order(scripted):
    scripted = scripted()
    one, other = scripted.agent(), scripted.agent()
    one.send(event(1, "a"))
    reader = Reader(scripted.listener.accept_link())
    reader.messages(1)
    other.send(event(2, "b"))
    reader.messages(2)
    reader.ack("b")
    other.expect_ack("b")
    reader.ack("a")
    one.expect_ack("a")


# ---- refused ----

@pytest.mark.parametrize("reason", ["tag_not_allowed", "message_too_long", "upstream_closed"])
def test_a_refused_message_is_dropped_and_its_agent_told(scripted, reason):
    scripted = scripted()
    asking, plain = scripted.agent(), scripted.agent()
    asking.send(event(1, "a"))
    reader = Reader(scripted.listener.accept_link())
    reader.messages(1)
    plain.send(event(2))
    chunk = reader.messages(2)[2][1]
    reader.ack("a", chunk, refused=1, reason=reason)
    raw.assert_reset(asking.sock)
    scripted.client.wait_for_metric("husk_messages_dropped_total", 2, reason=reason)
    plain.send(event(3))
    reader.ack(reader.messages(3)[3][1])
    scripted.client.wait_for_metric("husk_messages_settled_total", 1)
    scripted.expect_no_end()


def test_a_reason_that_the_client_does_not_know_is_a_refusal(scripted):
    scripted = scripted()
    agent = scripted.agent()
    agent.send(event(1))
    reader = Reader(scripted.listener.accept_link())
    reader.ack(reader.message()[2], refused=2**64 - 1, reason="of \x00 tomorrow")
    scripted.client.wait_for_metric("husk_messages_dropped_total", 1)
    assert "\x00" not in "".join(scripted.client.lines)
    agent.send(event(2))
    assert reader.message()[1] == 2
    scripted.expect_no_end()


def test_with_on_refused_reset_an_agent_without_acks_is_reset(scripted):
    scripted = scripted(on_refused="reset")
    agent, other = scripted.agent(), scripted.agent()
    agent.send(event(1))
    reader = Reader(scripted.listener.accept_link())
    reader.ack(reader.message()[2], refused=1, reason="tag_not_allowed")
    raw.assert_reset(agent.sock)
    other.send(event(2))
    assert reader.message()[1] == 2


# ---- waiting ----

@undisturbed
def test_while_the_server_says_that_it_waits_no_timer_runs(scripted):
    scripted = scripted(max_ack_timeouts=1, delivery_timeout="500ms")
    asking, plain = scripted.agent(), scripted.agent()
    asking.send(event(1, "a"))
    reader = Reader(scripted.listener.accept_link())
    reader.messages(1)
    plain.send(event(2))
    chunk = reader.messages(2)[2][1]
    link.keep_waiting(reader.peer, 6 * ACK_TIMEOUT_MS / 1000, text="connect_refused")
    scripted.expect_no_end()
    assert scripted.dropped() == 0
    reader.ack("a", chunk)
    asking.expect_ack("a")
    scripted.client.wait_for_metric("husk_messages_settled_total", 2)


def test_a_server_that_falls_silent_is_left(scripted):
    scripted = scripted()
    scripted.agent().send(event(0))
    reader = Reader(scripted.listener.accept_link())
    reader.ack(reader.message()[2])
    agent = scripted.agent()
    agent.send(event(1))
    reader.messages(1)
    link.keep_waiting(reader.peer, 3 * ACK_TIMEOUT_MS / 1000)
    scripted.client.wait_for_event(side="upstream", reason="ack_timeout")
    assert Reader(scripted.listener.accept_link()).message()[1] == 1
    assert scripted.dropped() == 0


# ---- window ----

def with_closed_window(scripted):
    """One agent has an unsettled message, and the server has closed the window of its sender. Returns the agent, the
    server's reader, and the number of the sender."""
    agent = scripted.agent()
    agent.send(event(1, "1"))
    reader = Reader(scripted.listener.accept_link())
    sender, _, _ = reader.message()
    reader.peer.send({"sender": sender, "window": 0})
    scripted.client.settle()  # it has read the window
    return agent, reader, sender


def test_a_closed_window_holds_the_messages_of_its_sender_alone(scripted):
    scripted = scripted(ack_timeout="20s")
    one, reader, sender = with_closed_window(scripted)
    other = scripted.agent()
    one.send(event(2, "2"), event(3, "3"))
    for number in range(10, 20):
        other.send(event(number, f"{number}"))
        assert reader.message()[1] == number, "the messages of the other agent alone"
        reader.ack(f"{number}")
        other.expect_ack(f"{number}")
    reader.peer.send({"sender": sender, "window": None}, {"ack": "1"})
    assert [reader.message()[:2] for _ in range(2)] == [(sender, 2), (sender, 3)]
    reader.ack("2", "3")
    assert one.read_acks(3) == ["1", "2", "3"]


def test_a_window_may_open_after_the_last_ack_of_its_sender(scripted):
    scripted = scripted(ack_timeout="20s")
    agent, reader, sender = with_closed_window(scripted)
    agent.send(event(2, "2"))
    reader.ack("1")
    agent.expect_ack("1")
    reader.peer.send({"sender": sender, "window": None})
    assert reader.message()[1] == 2


@pytest.mark.parametrize("window", [2, 5, 2**64 - 1, None])
def test_a_window_above_the_unsettled_messages_lets_one_through(scripted, window):
    scripted = scripted(ack_timeout="20s")
    agent, reader, sender = with_closed_window(scripted)
    agent.send(event(2, "2"))
    reader.peer.send({"sender": sender, "window": window})
    assert reader.message()[1] == 2


def test_a_window_ends_with_its_connection(scripted):
    scripted = scripted(ack_timeout="20s")
    agent, reader, sender = with_closed_window(scripted)
    agent.send(event(2, "2"))
    reader.peer.close()
    again = Reader(scripted.listener.accept_link())
    assert again.message()[1] == 1  # alone, because the connection has ended at this message
    again.ack("1")
    assert again.message()[1] == 2


def test_a_window_stays_closed_over_an_ack_of_its_sender(scripted):
    """The server may close the window for a message behind the acked one."""
    scripted = scripted(ack_timeout="20s")
    agent = scripted.agent()
    agent.send(event(1, "1"))
    reader = Reader(scripted.listener.accept_link())
    sender, _, _ = reader.message()
    agent.send(event(2, "2"))
    reader.message()
    reader.peer.send({"sender": sender, "window": 0}, {"ack": "1", "sender": sender})
    agent.expect_ack("1")
    agent.send(event(3, "3"))
    other = scripted.agent()
    other.send(event(10))
    assert reader.message()[1] == 10
    reader.peer.send({"sender": sender, "window": None}, {"ack": "2"})
    assert reader.message()[1] == 3
