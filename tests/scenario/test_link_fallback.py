"""docs/link.md, negotiation: husk speaks plain Forward to peers that do not speak the link."""

import pytest

from support import link, raw
from support.aggregators import CountingAggregator, resets_at
from support.forward import Agent, carry_acked, event

COUNT = 20


def lines_about_the_link(husk):
    return [one for one in husk.events() if one["level"] in ("info", "warn") and
            "husk-link" in " ".join(str(value) for value in one.values())]


def test_an_older_husk_as_server_gets_plain_forward(husk):
    listener = link.LinkServer(husk.pki, [link.OLD])
    client = husk.client(listener, max_upstream_connections=1)
    for number in range(3):
        agent = Agent(raw.connect(client.address))
        agent.send(event(number, "a"))
        peer = listener.accept_link()
        assert (peer.protocol, peer.read()[2]) == (link.OLD, {"n": number})
        peer.send({"ack": "a"})
        agent.expect_ack("a")
        peer.close()
        client.wait_for_metric("husk_connections_ended_total", number + 1, side="upstream")
    assert len(lines_about_the_link(client)) == 1, "one line for all connections"


def test_an_older_husk_as_client_gets_plain_forward(husk):
    aggregator = CountingAggregator()
    server = husk.server(aggregator, rule="any tags=t")
    for number in range(3):
        peer = link.connect(server, husk.pki, [link.OLD])
        assert peer.protocol == link.OLD
        peer.send(event(number), event(10 + number, "a"))
        assert peer.read() == {"ack": "a"}
        peer.send(event(20, "b", tag="other"))
        peer.expect_end()  # a refusal in plain Forward
    assert len(lines_about_the_link(server)) == 1
    assert sorted(aggregator.stored) == [0, 1, 2, 10, 11, 12]


def test_frames_without_the_link_are_values_that_say_nothing(husk):
    server = husk.server(CountingAggregator())
    peer = link.connect(server, husk.pki, [link.OLD])
    peer.send({"sender": 1}, event(1, "a"))
    assert peer.read() == {"ack": "a"}
    server.wait_for_metric("husk_invalid_events_total", 1, reason="value")


def test_no_agent_of_another_kind_is_a_line_in_the_log(husk):
    """Fluent Bit and others offer no ALPN: husk logs nothing about them."""
    aggregator = CountingAggregator()
    server = husk.server(aggregator)
    peer = link.connect(server, husk.pki, [])
    peer.send(event(1, "a"))
    assert peer.protocol is None and peer.read() == {"ack": "a"}
    assert not lines_about_the_link(server)


# ---- without TLS there is no ALPN ----

HUSKS_ID = "0123456789abcdefghijkl~1"  # as a husk makes chunk ids


def test_without_tls_an_ack_offers_the_link_to_a_husk(husk):
    client = husk.client(husk.server(CountingAggregator()))
    peer = link.LinkPeer(raw.connect(client.address))
    peer.send(event(1, HUSKS_ID))
    assert peer.read()["link"] == 1
    peer.send({"sender": 5, "waiting_every_ms": 1000}, event(2, "a"))
    assert peer.answer("a") == {"ack": "a", "sender": 5}


def test_without_tls_an_agent_gets_plain_acks(husk):
    client = husk.client(husk.server(CountingAggregator()))
    carry_acked(Agent(raw.connect(client.address)), 1, HUSKS_ID[:-1] + "0")


def test_without_tls_the_link_may_begin_with_the_first_byte(husk):
    client = husk.client(husk.server(CountingAggregator()))
    peer = link.LinkPeer(raw.connect(client.address))
    peer.send({"sender": 5}, event(1, "a"))
    assert peer.read() == {"ack": "a", "sender": 5}


@pytest.mark.parametrize("upstream_link", ["on", "off"])
def test_without_tls_upstream_link_says_whether_the_upstream_is_a_husk(husk, upstream_link):
    listener = raw.Listener()
    server = husk.server(listener, upstream_link=upstream_link)
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(event(1))
    aggregator = link.LinkPeer(listener.accept())
    *frames, first = aggregator.read_until(lambda value: isinstance(value, list))
    assert {key for frame in frames for key in frame} == (
        {"sender", "waiting_every_ms"} if upstream_link == "on" else set())
    aggregator.send({"ack": first[3]["chunk"], "link": 1} if upstream_link == "off" else {"ack": first[3]["chunk"]})
    server.wait_for_metric("husk_messages_settled_total", 1)
    agent.send(event(2))
    *frames, _ = aggregator.read_until(lambda value: isinstance(value, list))
    assert upstream_link == "on" or not frames


@pytest.mark.parametrize("offer", [{"link": 1}, {}])
def test_without_tls_frames_are_sent_only_after_an_offer(husk, offer):
    listener = raw.Listener()
    server = husk.server(listener, max_upstream_connections=1)
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(event(1))
    aggregator = link.LinkPeer(listener.accept())
    chunk = aggregator.read()[3]["chunk"]
    assert chunk.endswith("~1") and len(chunk) == len(HUSKS_ID)
    aggregator.send({"ack": chunk, **offer})
    server.wait_for_metric("husk_messages_settled_total", 1)
    agent.send(event(2))
    values = aggregator.read_until(lambda value: isinstance(value, list))
    keys = {key for value in values[:-1] for key in value}
    assert keys == ({"sender", "waiting_every_ms"} if offer else set())


# ---- between two husks ----

def through(kind, husk, server):
    """What stands between the two husks."""
    if kind == "terminator":
        return link.TlsTerminator(server.address, husk.pki)
    return husk.server(husk.client(server, protocol="tcp"), protocol="tcp")


@pytest.mark.parametrize("kind", ["terminator", "tunnel"])
def test_two_husks_with_tls_terminated_between_them_speak_plain_forward(husk, kind):
    poison = 1000
    aggregator = CountingAggregator(resets_at(poison))
    server = husk.server(aggregator, max_attempts=3)
    client = husk.client(through(kind, husk, server), max_attempts=3)
    plain, asking = Agent(raw.connect(client.address)), Agent(raw.connect(client.address))
    for number in range(COUNT):
        plain.send(event(number))
        carry_acked(asking, 100 + number, f"{number}")
    aggregator.wait_for_stored(*range(COUNT), *range(100, 100 + COUNT))
    bad = Agent(raw.connect(client.address))
    bad.send(event(poison))
    server.wait_for_metric("husk_connections_ended_total", 1, side="upstream")
    for number in range(200, 205):
        carry_acked(asking, number, f"{number}")
    assert all(husk.metric("husk_connections_ended_total", reason=reason) == 0
               for husk in (client, server) for reason in ("link_error", "not_forward", "bad_ack", "unknown_ack"))


@pytest.mark.parametrize("length", [2])
def test_two_husks_recognise_each_other(chain, length):
    """The tests of chains rely on this: on the link a refusal is an answer, and the connection goes on."""
    chain = chain(length, at={-1: {"rule": "any tags=t"}})
    agent = chain.agent()
    agent.send(event(1, tag="other"), event(2))
    chain.aggregator.wait_for_stored(2)
    assert chain.drops() == [{"tag_not_allowed": 1}] * 2
    assert not any(lines_about_the_link(husk) for husk in chain.husks)
