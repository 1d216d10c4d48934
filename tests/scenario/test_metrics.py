"""/metrics: messages and upstream addresses, with scripted peers."""

import re
import time

import pytest

from support import raw
from support.forward import event, message, pack
from support.name_server import NameServer
from support.process import eventually

NAME = "aggregator.test"
STATES = "connecting", "securing", "confirming", "ready"
ENTRY = pack([1, {"n": 1}])


def becomes(husk, name, value, **labels):
    eventually(lambda: husk.metric(name, **labels) == value, f"{husk.name} {name}{labels} == {value}")


def messages(husk, **figures):
    """Waits until husk_messages_received_total, husk_messages_unacked, … have these values."""
    for name, value in figures.items():
        becomes(husk, f"husk_messages_{name}", value)


def states(husk, endpoint):
    """The connections to the endpoint by state, without states that have none."""
    counts = {state: husk.metric("husk_upstream_connections", endpoint=endpoint, state=state) for state in STATES}
    return {state: count for state, count in counts.items() if count}


def has_series(husk, name, endpoint):
    return re.search(rf'^{name}{{[^}}]*endpoint="{re.escape(endpoint)}"', husk.get("/metrics")[1], re.M) is not None


def listed(husk, endpoint):
    return has_series(husk, "husk_endpoint_ejected", endpoint)


# ---- messages ----

@pytest.mark.parametrize("sent, events", [
    ([event(1)], 1),
    ([message("t", [[1, {}], [2, {}], [3, {}]])], 3),
    ([message("t", ENTRY * 7, {"size": 7})], 7),
    ([message("t", ENTRY * 7)], 0),
    ([event(1), message("t", [[1, {}]] * 4), message("t", ENTRY, {"size": 1}), event(2, "mine")], 7),
], ids=["message", "forward", "packed", "packed without size", "several at once"])
def test_events_are_counted_when_they_arrive_and_when_they_are_settled(half, sent, events):
    half = half(acks=False)
    agent = half.agent()
    for time_sent in (1, 2):
        agent.send(*sent)
        arrived = half.aggregator.wait_for(time_sent * len(sent))
        messages(half.husk, received_total=time_sent * len(sent), settled_total=(time_sent - 1) * len(sent))
        assert half.husk.metric("husk_events_received_total") == time_sent * events
        assert half.husk.metric("husk_events_settled_total") == (time_sent - 1) * events
        half.aggregator.ack(*arrived[-len(sent):])
        messages(half.husk, settled_total=time_sent * len(sent))
        assert half.husk.metric("husk_events_settled_total") == time_sent * events


def test_events_of_a_cut_through_message_are_counted_when_it_is_whole(half):
    half = half(cut_through_bytes="64KiB")
    sent = message("t", b"x" * (1 << 20), {"size": 9})
    agent = half.agent()
    agent.send(sent[:-1])
    half.husk.wait_for_metric("husk_bytes_total", 1 << 19, side="upstream", direction="sent")
    assert half.husk.metric("husk_events_received_total") == 0
    agent.send(sent[-1:])
    messages(half.husk, cut_through_total=1, settled_total=1, unacked=0)
    assert half.husk.metric("husk_events_received_total") == 9
    assert half.husk.metric("husk_events_settled_total") == 9


def test_messages_are_unacked_from_their_sending_to_their_ack(half):
    half = half(acks=False)
    agent = half.agent()
    for number in range(3):
        agent.send(event(number, f"chunk {number}"))
    arrived = half.aggregator.wait_for(3)
    messages(half.husk, unacked=3, waiting=0)
    half.aggregator.ack(arrived[0])
    messages(half.husk, unacked=2)
    half.aggregator.ack(*arrived[1:])
    messages(half.husk, unacked=0, settled_total=3)


def test_each_message_of_a_batch_counts_as_unacked(half):
    half = half(acks=False)
    half.agent().send(*map(event, range(10)))
    arrived = half.aggregator.wait_for(10)
    messages(half.husk, unacked=10)
    half.aggregator.ack(*arrived)
    messages(half.husk, unacked=0, settled_total=10)


def test_messages_without_acks_are_unacked_until_the_socket_has_them(half):
    half = half(acks=False, delivery="passthrough")
    half.agent().send(*map(event, range(10)))
    half.aggregator.wait_for(10)
    messages(half.husk, unacked=0, settled_total=10)
    assert half.husk.metric("husk_ack_latency_seconds_count") == 0


def test_messages_wait_while_there_is_no_connection(half):
    half = half(acks=False)
    agent = half.agent()
    agent.send(event(0), event(1))
    half.aggregator.wait_for(2)
    messages(half.husk, unacked=2, waiting=0)
    half.aggregator.kill()
    messages(half.husk, unacked=0, waiting=2)
    agent.send(event(2))
    messages(half.husk, unacked=0, waiting=3)
    half.aggregator.acks = True
    half.aggregator.revive()
    messages(half.husk, unacked=0, waiting=0, settled_total=3)


def test_messages_of_an_agent_that_closed_do_not_wait(half):
    half = half()
    half.aggregator.kill()
    agent, other = half.agent(), half.agent()
    agent.send(event(0, "mine"))
    other.send(event(1))
    messages(half.husk, waiting=2)
    agent.sock.sock.close()
    messages(half.husk, waiting=1)


LARGE = message("t", b"x" * (1 << 20), {"chunk": "mine"})


def test_cut_through_messages_wait_for_an_exclusive_connection(half):
    half = half(cut_through_bytes="64KiB", max_exclusive_connections=1, workers=1)
    half.aggregator.kill()
    agents = [half.agent() for _ in range(3)]
    for count, agent in enumerate(agents, 1):
        agent.send(LARGE[:100000])
        becomes(half.husk, "husk_cut_through_waiting", count)
    messages(half.husk, waiting=0)
    half.aggregator.revive()
    becomes(half.husk, "husk_cut_through_waiting", 2)
    for agent, left in zip(agents, (1, 0, 0)):
        agent.send(LARGE[100000:])
        agent.expect_ack("mine")
        becomes(half.husk, "husk_cut_through_waiting", left)


def test_a_cut_through_message_that_lost_its_connection_waits_again(half):
    half = half(cut_through_bytes="64KiB")
    agent = half.agent()
    agent.send(LARGE[:100000])
    half.aggregator.wait_for_connections(1)
    becomes(half.husk, "husk_cut_through_waiting", 0)
    half.aggregator.kill()
    becomes(half.husk, "husk_cut_through_waiting", 1)
    half.aggregator.revive()
    becomes(half.husk, "husk_cut_through_waiting", 0)
    agent.send(LARGE[100000:])
    agent.expect_ack("mine")


def test_a_dropped_cut_through_message_does_not_wait(half):
    half = half(cut_through_bytes="64KiB", delivery="passthrough")
    agent = half.agent()
    agent.send(LARGE[:100000])
    half.husk.wait_for_metric("husk_bytes_total", 1, side="upstream", direction="sent")
    half.aggregator.kill()
    half.husk.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="undelivered")
    assert half.husk.metric("husk_cut_through_waiting") == 0


def test_ack_latency_is_measured_from_sending_to_the_ack(half):
    half = half(acks=False)
    agent, began = half.agent(), time.monotonic()
    agent.send(event(1, "quick"))
    half.aggregator.ack(*half.aggregator.wait_for(1))
    agent.expect_ack("quick")
    quick = time.monotonic() - began
    agent.send(event(2, "slow"))
    arrived = half.aggregator.wait_for(2)[1]
    time.sleep(0.1)  # adds to the ack latency
    half.aggregator.ack(arrived)
    agent.expect_ack("slow")
    latency = half.husk.metric
    assert latency("husk_ack_latency_seconds_count") == 2
    assert 0.1 <= latency("husk_ack_latency_seconds_sum") <= time.monotonic() - began
    assert quick > 0.1 or latency("husk_ack_latency_seconds_bucket", le="0.1") == 1
    assert latency("husk_ack_latency_seconds_bucket", le="60") == 2


def test_an_ack_of_a_batch_is_one_latency(half):
    half = half()
    half.agent().send(*map(event, range(10)))
    messages(half.husk, settled_total=10)
    assert half.husk.metric("husk_ack_latency_seconds_count") == len(
        [one for one in half.aggregator.messages if one.chunk])


# ---- upstream addresses ----

def test_connections_are_counted_by_address_and_state(husk):
    alive, dead = raw.Listener(), raw.format_address(raw.free_address())
    first = raw.format_address(alive.address)
    server = husk.server([dead, first], protocol="tcp", eject_time="1m")
    client = husk.client(server, protocol="tcp")
    agents = []
    for _ in range(4):
        agent = raw.connect(client.address)
        agent.sendall(b"?")
        agents.append((agent, alive.accept()))
    eventually(lambda: states(server, first) == {"ready": 4}, "all are ready")
    assert states(client, raw.format_address(server.address)) == {"ready": 4}
    assert states(server, dead) == {}
    assert server.metric("husk_endpoint_ejected", endpoint=dead) == 1
    assert server.metric("husk_endpoint_ejected", endpoint=first) == 0
    for agent, aggregator in agents:
        agent.close()
        aggregator.close()
    eventually(lambda: states(server, first) == {}, "no connection is left")
    assert listed(server, first) and listed(server, dead)


def test_connections_of_forward_are_counted_by_address_and_state(pair):
    pair = pair()
    agent = pair.agent()
    agent.send(event(1, "mine"))
    agent.expect_ack("mine")
    text = raw.format_address(pair.aggregator.address)
    assert states(pair.server, text) == {"ready": 1}
    assert states(pair.client, raw.format_address(pair.server.address)) == {"ready": 1}
    pair.aggregator.kill()
    eventually(lambda: states(pair.server, text).get("ready") is None, "the connection is gone")
    agent.send(event(2))
    becomes(pair.server, "husk_endpoint_ejected", 1, endpoint=text)
    pair.aggregator.revive()
    becomes(pair.server, "husk_endpoint_ejected", 0, endpoint=text)
    eventually(lambda: states(pair.server, text) == {"ready": 1}, "there is a connection again")


def test_a_handshake_that_makes_no_progress_is_counted(husk):
    silent = raw.Listener()
    client = husk.client(silent, protocol="tcp", handshake_timeout="1m")
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    text = raw.format_address(silent.address)
    eventually(lambda: states(client, text) == {"securing": 1}, "the handshake is under way")
    raw.reset(silent.accept())
    raw.assert_reset(agent)
    eventually(lambda: states(client, text) == {}, "the connection has ended")
    assert client.metric("husk_endpoint_ejected", endpoint=text) == 1


def test_an_address_removed_from_dns_is_listed_until_its_last_connection_ends(husk):
    first = raw.Listener(("127.0.0.2", raw.free_address()[1]))
    port = first.address[1]
    names = NameServer(hosts={NAME: ["127.0.0.2"]}, ttl=0)
    server = husk.server(f"{NAME}:{port}", protocol="tcp", dns_servers=names.text, dns_min_ttl="50ms")
    agent = raw.connect(husk.client(server, protocol="tcp").address)
    agent.sendall(b"?")
    aggregator = first.accept()
    old, new = f"127.0.0.2:{port}", f"127.0.0.3:{port}"
    eventually(lambda: states(server, old) == {"ready": 1}, "the connection is ready")
    names.hosts[NAME] = ["127.0.0.3"]
    eventually(lambda: listed(server, new), "the new address is listed")
    assert states(server, old) == {"ready": 1} and not listed(server, old)
    assert states(server, new) == {}
    agent.close()
    aggregator.close()
    eventually(lambda: not has_series(server, "husk_upstream_connections", old), "the old address is forgotten")

    names.hosts[NAME] = ["127.0.0.2"]
    eventually(lambda: listed(server, old) and not listed(server, new), "the old address is listed again")
    assert states(server, old) == {}
