"""Fluent Bit's `empty_shared_key`: the handshake with users, passwords and an empty shared key."""

import hashlib

import pytest

from support import raw
from support.forward import Agent, Aggregator, Parser, event, pack

SALT = b"\x00\xffagent's salt..."


def digest(*pieces):
    return hashlib.sha512(b"".join(one.encode() if isinstance(one, str) else one for one in pieces)).hexdigest()


def read_message(peer):
    parser = Parser()
    while True:
        data = peer.recv(1 << 16)
        assert data, "the connection ended"
        for _, value in parser.feed(data):
            return value


def pack_str(value):
    """A str of any bytes, as Fluent Bit writes them."""
    return b"\xd9" + bytes([len(value)]) + value


# ---- husk is the accepting end ----

ACCEPTING = {"accept_key_empty": True, "accept_user": "bob=PASSWORD", "env": {"PASSWORD": "secret"}}


def ping(helo, password, key=""):
    nonce, auth = helo[1]["nonce"], helo[1]["auth"]
    return pack(["PING", "agent.test", SALT, digest(SALT, "agent.test", nonce, key), "bob",
                 digest(auth, "bob", password)])


@pytest.fixture
def accepting(husk):
    """An aggregator and a husk client before it that checks users and has an empty key."""
    class Accepting:
        aggregator = Aggregator()
        client = husk.client(husk.server(aggregator), **ACCEPTING)

        def greet(self, password, key=""):
            """Returns a new agent and the PONG for it."""
            agent = Agent(raw.connect(self.client.address))
            helo = read_message(agent.sock)
            agent.send(ping(helo, password, key))
            return agent, helo, read_message(agent.sock)
    return Accepting()


def test_an_agent_with_an_empty_key_and_the_right_password_is_accepted(accepting):
    agent, helo, pong = accepting.greet("secret")
    assert pong == ["PONG", True, "", "husk", digest(SALT, "husk", helo[1]["nonce"])]
    agent.send(event(1))
    assert accepting.aggregator.wait_for(1)[0].number == 1


@pytest.mark.parametrize("password, key, why, reason", [
    ("wrong", "", "username/password mismatch", "key_user"),
    ("secret", "key", "shared_key mismatch", "key_wrong"),
], ids=["password", "key"])
def test_an_agent_with_a_wrong_password_or_with_a_key_is_refused(accepting, password, key, why, reason):
    agent, _, pong = accepting.greet(password, key)
    assert pong[:3] == ["PONG", False, why]
    raw.assert_closed(agent.sock)
    accepting.client.wait_for_event(level="warn", reason=reason)
    assert not accepting.aggregator.messages


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_refused_agent_that_sends_events_with_its_ping_reads_the_pong_and_is_reset(accepting, count):
    agent = Agent(raw.connect(accepting.client.address))
    helo = read_message(agent.sock)
    agent.send(ping(helo, "wrong") + count * event(1))
    assert read_message(agent.sock)[:2] == ["PONG", False]
    assert raw.is_reset(agent.sock)
    accepting.client.wait_for_event(level="warn", reason="key_user")
    assert not accepting.aggregator.messages


# ---- husk is the dialling end ----

class FluentBitInput(raw.Listener):
    """Fluent Bit's input: nonce and auth are str that are not UTF-8, and the HELO says nothing of keepalive."""

    NONCE, AUTH = bytes(range(240, 256)), bytes(range(200, 216))

    def greet(self, password):
        """Accepts a connection, does the handshake, and returns the connection and whether the agent was right."""
        peer = self.accept()
        peer.sendall(b"\x92\xa4HELO\x82\xa5nonce" + pack_str(self.NONCE) + b"\xa4auth" + pack_str(self.AUTH))
        _, hostname, salt, key_digest, username, password_digest = read_message(peer)
        assert (hostname, username) == ("husk", "bob")
        assert key_digest == digest(salt, hostname, self.NONCE)
        is_right = password_digest == digest(self.AUTH, username, password)
        peer.sendall(pack(["PONG", is_right, "" if is_right else "username/password mismatch", "fluent-bit",
                           digest(salt, "fluent-bit", self.NONCE)]))
        return peer, is_right


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_husk_authenticates_itself_to_an_input_with_an_empty_key(husk, password):
    upstream = FluentBitInput()
    server = husk.server(upstream, shared_key_empty=True, username="bob", password_env="PASSWORD",
                         env={"PASSWORD": password})
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(event(1))
    peer, is_right = upstream.greet("secret")
    assert is_right == (password == "secret")
    if is_right:
        assert read_message(peer)[:2] == ["t", 1]
    else:
        server.wait_for_event(level="warn", reason="key_rejected")


def test_two_husks_with_an_empty_key_check_the_user(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator, **ACCEPTING)
    client = husk.client(server, shared_key_empty=True, username="bob", password_env="PASSWORD",
                         self_hostname="other-husk", env={"PASSWORD": "secret"})
    Agent(raw.connect(client.address)).send(event(1))
    assert aggregator.wait_for(1)[0].number == 1
