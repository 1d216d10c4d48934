"""docs/link.md, goaway: a husk server that ends a connection of the link says so first, and this costs no message an attempt."""

import signal

import pytest

from support import link, raw
from support.aggregators import CountingAggregator
from support.config_file import address_of, route
from support.forward import Agent, Aggregator, event, message
from support.husk import LIGHT
from support.process import eventually
from support.reloading import File, Streaming, listen
from support.trust import ended, wait_for_end

ENDS = 5 if LIGHT else 20  # of connections between the husks, under load
ONE_ATTEMPT = {"max_attempts": 1}
GOAWAY = "the husk upstream takes no more messages on a connection: another one takes its place"


def expect_no_failure(client):
    """No message was given up, no attempt was counted, no address was blamed, and nobody was warned."""
    assert client.metric("husk_messages_dropped_total") == 0
    assert client.metric("husk_endpoint_ejected") == 0
    reasons = ("upstream_closed", "reset", "truncated", "unknown_ack")
    assert [reason for reason in reasons if ended(client, "upstream", reason)] == []
    assert client.problems() == []


def carry(aggregator, address, goes_on):
    """Agents stream events, with and without acks, while `goes_on` runs. Each event is stored."""
    agents = [Streaming(address, 1_000_000 * n) for n in range(1, 4)]
    silent = Agent(raw.connect(address))
    silent.send(event(1))
    goes_on(agents)
    silent.send(event(2))
    aggregator.wait_for_stored(1, 2, *(number for agent in agents for number in agent.finish()))
    assert [agent.ends for agent in agents] == [0] * 3


# ---- under load ----

@pytest.mark.parametrize("workers", [1, 2])
def test_the_age_of_connections_costs_no_attempt(husk, workers):
    aggregator = CountingAggregator()
    server = husk.server(aggregator, max_downstream_age="100ms", workers=workers)
    client = husk.client(server, workers=workers, **ONE_ATTEMPT)
    carry(aggregator, client.address, lambda _: wait_for_end(server, "downstream", ENDS, "retired"))
    expect_no_failure(client)
    assert ended(client, "upstream", "retired") >= ENDS and not server.problems()


def test_in_a_chain_each_connection_ends_on_its_own(chain):
    """Also on the plaintext connection in the middle."""
    site = chain(3, max_downstream_age="150ms", at={0: {"max_downstream_age": "off"}}, **ONE_ATTEMPT)
    carry(site.aggregator, site.first.address,
          lambda _: [wait_for_end(one, "upstream", ENDS, "retired") for one in site.husks[:-1]])
    for one in site.husks[:-1]:
        expect_no_failure(one)


@pytest.fixture
def front(husk, tmp_path):
    """Makes a husk whose route `front` speaks the link without TLS, to this address."""
    return lambda address: File(husk, tmp_path / "front.yaml", route(
        "front", raw.format_address(address), delivery={"upstream_link": "on", **ONE_ATTEMPT})).husk


@pytest.mark.parametrize("tls", [True, False])
def test_a_hot_restart_of_the_server_costs_no_attempt(husk, file, front, restarting, tls):
    aggregator = CountingAggregator()
    server = husk.server(aggregator) if tls else file(route("one", aggregator)).husk
    client = husk.client(server, **ONE_ATTEMPT) if tls else front(address_of(server, "one"))
    husks = restarting(server)

    def swap(agents):
        for _ in range(3 if LIGHT else 10):
            acked = agents[0].acked_count
            husks.swap()
            eventually(lambda before=acked: agents[0].acked_count > before, "messages go on")
    carry(aggregator, client.address, swap)
    husks.wait_until_alone()
    expect_no_failure(client)


def test_a_reload_that_replaces_the_route_costs_no_attempt(file, front):
    aggregator = CountingAggregator()
    place = listen(raw.free_address())
    running = file(route("r0", aggregator, listen=place))
    client = front(raw.parse_address(place))

    def rename(agents):
        for number in range(1, 4 if LIGHT else 10):
            acked = agents[0].acked_count
            running.change(route(f"r{number}", aggregator, listen=place))
            eventually(lambda before=acked: agents[0].acked_count > before, "messages go on")
    carry(aggregator, address_of(client, "front"), rename)
    expect_no_failure(client)


def test_a_server_that_drains_is_left_for_another_one(husk):
    """The server ends although messages never pause."""
    aggregator = CountingAggregator()
    servers = [husk.server(aggregator, listen=listen(raw.free_address()), drain_timeout="1h", drain_quiet="50ms", when_unhealthy="accept")
               for _ in range(2)]
    client = husk.client([listen(one.address) for one in servers], **ONE_ATTEMPT)

    def drain(agents):
        eventually(lambda: any(one.metric("husk_connections_active", side="downstream") for one in servers), "one is used")
        used = next(one for one in servers if one.metric("husk_connections_active", side="downstream"))
        acked = agents[0].acked_count
        used.signal(signal.SIGTERM)
        assert used.wait() == 0
        eventually(lambda: agents[0].acked_count > acked, "messages go on")
    carry(aggregator, client.address, drain)
    assert client.metric("husk_messages_dropped_total") == 0
    assert not client.problems()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_drains_is_left_for_its_standby(husk, workers):
    """The standby gets all messages although the address of the server still takes connections."""
    aggregator = CountingAggregator()
    first, standby = (husk.server(aggregator, drain_timeout="1h", drain_quiet="500ms", when_unhealthy="accept") for _ in range(2))
    client = husk.client([listen(first.address), listen(standby.address) + ",standby"], workers=workers, **ONE_ATTEMPT)

    def drain(agents):
        eventually(lambda: all(one.acked_count for one in agents), "messages are acknowledged")
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
        acked = agents[0].acked_count
        eventually(lambda: agents[0].acked_count > acked, "messages go on")
    carry(aggregator, client.address, drain)
    assert set(aggregator.stored.values()) == {1}, "no message came twice"
    expect_no_failure(client)
    assert not standby.problems()


# ---- husk server, and a scripted client ----

def with_acks(peer, *chunks):
    """Reads until these are acked. Returns the texts of the other frames with goaway."""
    texts, left = [], set(chunks)
    while left:
        frame = peer.read()
        left.discard(frame.get("ack"))
        texts += [frame["goaway"]] if "goaway" in frame else []
    return texts


def test_what_the_client_has_sent_before_it_knows_is_settled(husk):
    aggregator = CountingAggregator()
    server = husk.server(aggregator, max_downstream_age="100ms", linger_timeout="1m", drain_timeout="1m")
    peer = link.connect(server, husk.pki)
    peer.send({"sender": 1}, event(1, "a"))
    assert peer.read_until(lambda frame: "goaway" in frame)[-1] == {"goaway": "retired"}
    peer.send(event(2, "b"), {"sender": 2}, event(3, "c"))
    assert with_acks(peer, "b", "c") == [], "it is said once"
    assert ended(server, "downstream", "retired") == 0, "the client ends the connection"
    peer.tls.close_write()
    peer.expect_end()
    wait_for_end(server, "downstream", reason="retired")
    assert not server.problems()


def test_a_client_that_does_not_know_the_key_is_settled_and_left(husk):
    aggregator = Aggregator(acks=False)
    server = husk.server(aggregator, max_downstream_age="100ms", linger_timeout="2s", drain_timeout="1m")
    peer = link.connect(server, husk.pki)
    peer.send({"sender": 1}, event(1, "a"))
    assert peer.read() == {"goaway": "retired"}
    peer.send(event(2, "b"))
    sent = aggregator.wait_for(2)
    assert ended(server, "downstream", "retired") == 0, "the acks are waited for"
    aggregator.ack(*sent)
    assert with_acks(peer, "a", "b") == []
    peer.expect_end()
    wait_for_end(server, "downstream", reason="retired")
    assert aggregator.numbers() == [1, 2] and not server.problems()


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_that_drains_says_so_at_once_and_serves_those_that_stay(husk, tls):
    aggregator = Aggregator(acks=False)
    server = husk.server(aggregator, drain_timeout="1m")
    if not tls:
        server = husk.client(server, drain_timeout="1m")
    peer = link.connect(server, husk.pki) if tls else link.LinkPeer(raw.connect(server.address))
    peer.send({"sender": 1}, event(1, "a"))
    aggregator.wait_for(1)
    server.signal(signal.SIGTERM)
    assert peer.read() == {"goaway": "shutdown"}
    peer.send(event(2, "b"))
    aggregator.ack(*aggregator.wait_for(2))
    assert with_acks(peer, "a", "b") == []
    assert server.wait() == 0
    peer.expect_end()


def test_after_a_hot_restart_the_address_lives_on(husk, restarting):
    server = husk.server(Aggregator())
    peer = link.connect(server, husk.pki)
    peer.send({"sender": 1}, event(1, "a"))
    assert peer.read()["ack"] == "a"
    restarting(server).swap()
    assert peer.read() == {"goaway": "retired"}


def test_after_a_reload_that_replaces_the_route_the_address_lives_on(file):
    aggregator, place = Aggregator(), listen(raw.free_address())
    running = file(route("old", aggregator, listen=place))
    peer = link.LinkPeer(raw.connect(raw.parse_address(place)))
    peer.send({"sender": 1}, event(1, "a"))
    assert peer.read()["ack"] == "a"
    running.change(route("new", aggregator, listen=place))
    assert peer.read() == {"goaway": "retired"}


def test_a_client_that_came_during_the_drain_is_told_at_its_end(husk):
    """The message is not settled: the client sends it again."""
    aggregator = Aggregator(acks=False)
    server = husk.server(aggregator, drain_timeout="1h")
    first = link.connect(server, husk.pki)
    first.send({"sender": 1}, event(1, "a"))
    aggregator.wait_for(1)
    server.signal(signal.SIGTERM)
    assert first.read() == {"goaway": "shutdown"}
    second = link.connect(server, husk.pki)
    second.send({"sender": 1}, event(2, "b"))
    aggregator.wait_for(2)
    server.signal(signal.SIGTERM)
    assert second.read() == {"goaway": "shutdown"}
    second.expect_end()
    assert server.wait() == 1


# ---- husk client, and a scripted server ----

@pytest.fixture
def scripted(husk):
    """Makes (husk client, an agent of it, the scripted server)."""
    def make(**options):
        listener = link.LinkServer(husk.pki)
        client = husk.client(listener, workers=1, log_level="debug", **{**ONE_ATTEMPT, **options})
        return client, Agent(raw.connect(client.address)), listener
    return make


def test_the_client_waits_for_acks_there_and_sends_elsewhere(scripted):
    client, agent, listener = scripted()
    agent.send(event(1, "1"))
    old = listener.accept_link()
    old.read_message()
    old.send({"goaway": "retired"})
    client.wait_for_event(level="debug", message=GOAWAY, reason="retired")
    agent.send(event(2, "2"))
    new = listener.accept_link()
    assert new.read_message()[3] == {"chunk": "2"}
    assert ended(client, "upstream", "retired") == 0
    old.send({"ack": "1"})
    agent.expect_ack("1")
    old.expect_end()
    wait_for_end(client, "upstream", reason="retired")
    new.send({"ack": "2"})
    agent.expect_ack("2")
    assert client.metric("husk_messages_retried_total") == 0
    expect_no_failure(client)


def test_an_idle_connection_ends_at_once(scripted):
    client, agent, listener = scripted()
    agent.send(event(1, "1"))
    peer = listener.accept_link()
    peer.read_message()
    peer.send({"ack": "1", "goaway": "some new cause"})
    agent.expect_ack("1")
    peer.expect_end()
    assert "reason" not in client.wait_for_event(level="debug", message=GOAWAY)
    wait_for_end(client, "upstream", reason="retired")
    expect_no_failure(client)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_messages_that_the_server_leaves_are_sent_again_without_an_attempt(scripted, how):
    """More often than --max-attempts allows."""
    client, agent, listener = scripted()
    agent.send(event(1, "1"))
    for _ in range(4):
        peer = listener.accept_link()
        assert peer.read_message()[3] == {"chunk": "1"}
        peer.send({"goaway": "shutdown"})
        if how == "close":
            peer.tls.close_write()
        else:
            peer.close()
    peer = listener.accept_link()
    assert peer.read_message()[3] == {"chunk": "1"}
    peer.send({"ack": "1"})
    agent.expect_ack("1")
    wait_for_end(client, "upstream", 4, "retired")
    expect_no_failure(client)


def test_a_message_that_is_cut_through_goes_on_where_it_began(scripted):
    client, agent, listener = scripted(cut_through_bytes="64KiB")
    large = message("t", 1, {"n": 1, "x": b"x" * 300_000}, {"chunk": "1"})
    agent.send(large[:150_000])
    peer = listener.accept_link()
    peer.read_until(lambda frame: "sender" in frame)  # the message has begun
    peer.send({"goaway": "retired"})
    client.wait_for_event(level="debug", message=GOAWAY)
    agent.send(large[150_000:])
    assert peer.read_message()[3] == {"chunk": "1"}
    peer.send({"ack": "1"})
    agent.expect_ack("1")
    peer.expect_end()
    wait_for_end(client, "upstream", reason="retired")
    expect_no_failure(client)


def test_without_the_frame_an_end_is_an_attempt(scripted):
    client, agent, listener = scripted()
    agent.send(event(1, "1"))
    peer = listener.accept_link()
    peer.read_message()
    peer.tls.close_write()
    client.wait_for_event(level="warn", reason="upstream_closed")
