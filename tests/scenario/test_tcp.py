"""--protocol tcp: all bytes arrive in order in both directions, and the end of one side reaches the other side."""

import contextlib
import hashlib
import random
import select
import socket
import time

import pytest

from support import raw
from support.husk import LIGHT
from support.process import eventually
from support.timing import expect_within, in_time, undisturbed

MIB = 1 << 20
PATTERN = random.Random(2).randbytes(MIB + 7)  # the length is no multiple of a buffer size


def pattern(length):
    """Yields `length` bytes in pieces."""
    for at in range(0, length, len(PATTERN)):
        yield PATTERN[:length - at]


def pattern_digest(length):
    digest = hashlib.blake2b()
    for piece in pattern(length):
        digest.update(piece)
    return digest.digest()


def assert_pattern(peer, length):
    digest, left = hashlib.blake2b(), length
    while left:
        data = peer.recv(min(left, 1 << 18))
        assert data, f"the connection ended {left} bytes early"
        digest.update(data)
        left -= len(data)
    assert digest.digest() == pattern_digest(length)


def tls_agent(husk, **context):
    """Returns husk server, a TLS agent connected to it, and the plain aggregator's socket."""
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp")
    agent = raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client, **context)
    return server, agent, upstream.accept()


def tls_aggregator(husk, **context):
    """Returns husk client, a plain agent connected to it, and the TLS aggregator's end."""
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp")
    agent = raw.connect(client.address)
    aggregator = raw.TlsPeer(listener.accept(), raw.tls_context(True, husk.pki.ca.cert, husk.pki.server, **context),
                             server_side=True).handshake()
    return client, agent, aggregator


# ---- every byte ----

def test_both_directions_at_once_are_byte_exact(husk):
    agent, aggregator = husk.tunnel().open()
    with raw.Sending(agent, pattern(3 * MIB)), raw.Sending(aggregator, pattern(4 * MIB)):
        assert_pattern(aggregator, 3 * MIB)
        assert_pattern(agent, 4 * MIB)


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_200_mib_pass_64_kib_of_buffer_byte_exact(husk, tls):
    length = (20 if LIGHT else 200) * MIB
    options = {"buffer_bytes": "64KiB", "tls_max": tls}
    tunnel = husk.tunnel(client=options, server=options)
    agent, aggregator = tunnel.open()
    with raw.Sending(agent, pattern(length)):
        assert_pattern(aggregator, length)
    assert tunnel.client.metric("husk_bytes_total", side="downstream", direction="received") == length
    assert tunnel.server.metric("husk_bytes_total", side="upstream", direction="sent") == length


def test_one_byte_writes_arrive_in_order(husk):
    data = PATTERN[:500]
    agent, aggregator = husk.tunnel().open()
    with raw.Sending(agent, [data[i:i + 1] for i in range(len(data))]):
        assert raw.read_exactly(aggregator, len(data)) == data


def test_tls_records_of_one_byte_arrive_in_order(husk):
    data = PATTERN[:500]
    _, agent, aggregator = tls_agent(husk)
    with raw.Sending(agent, [data[i:i + 1] for i in range(len(data))]):
        assert raw.read_exactly(aggregator, len(data)) == data


def test_a_tls_record_that_arrives_byte_by_byte_is_read(husk):
    _, agent, aggregator = tls_agent(husk)
    record = agent.seal(b"trickle")
    with raw.Sending(agent.sock, [record[i:i + 1] for i in range(len(record))]):
        assert raw.read_exactly(aggregator, 7) == b"trickle"


def test_the_aggregator_may_send_first(husk):
    agent, aggregator = husk.tunnel().open()
    raw.carry(aggregator, agent, b"HELO")


def test_a_slow_reader_stops_its_sender_and_costs_no_memory(husk):
    tunnel = husk.tunnel(client={"buffer_bytes": "64KiB"}, server={"buffer_bytes": "64KiB"})
    agent, aggregator = tunnel.open()
    resident = tunnel.client.resident_kib(), tunnel.server.resident_kib()
    sent, limit = 0, 256 * MIB  # each socket buffer of the kernel on the way holds some MiB
    agent.setblocking(False)
    while select.select([], [agent], [], 0.5)[1]:
        sent += agent.send(PATTERN[sent % MIB:])
        assert sent < limit, "the agent can send without limit"
    if not LIGHT:
        assert tunnel.client.resident_kib() < resident[0] + 2048
        assert tunnel.server.resident_kib() < resident[1] + 2048
    agent.settimeout(20)
    agent.shutdown(socket.SHUT_WR)
    assert len(raw.read_to_end(aggregator)) == sent


def test_a_connection_that_nobody_reads_does_not_stop_others(husk):
    tunnel = husk.tunnel(client={"workers": 1}, server={"workers": 1})
    stuck, _unread = tunnel.open()
    stuck.setblocking(False)
    while select.select([], [stuck], [], 0.2)[1]:
        stuck.send(PATTERN)
    agent, aggregator = tunnel.open()
    with raw.Sending(agent, pattern(MIB)):
        assert_pattern(aggregator, MIB)


def test_unix_sockets_work_on_both_ends(husk, tmp_path):
    upstream = raw.Listener(str(tmp_path / "aggregator.sock"))
    server = husk.server(upstream, protocol="tcp")
    client = husk.client(server, protocol="tcp", listen=f"unix:{tmp_path / 'agent.sock'}")
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    assert upstream.accept().recv(1) == b"?"


def test_ipv6_works_on_every_leg(husk):
    upstream = raw.Listener(("::1", 0))
    server = husk.server(upstream, protocol="tcp", listen="[::1]:0")
    client = husk.client(server, protocol="tcp", listen="[::1]:0")
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    assert upstream.accept().recv(1) == b"?"


def test_bytes_sent_right_before_the_agents_end_arrive(husk):
    """Fluentd connects, sends a chunk and closes within a millisecond."""
    tunnel = husk.tunnel()
    agent = raw.connect(tunnel.client.address)
    agent.sendall(PATTERN[:1000])
    agent.close()
    assert raw.read_to_end(tunnel.upstream.accept()) == PATTERN[:1000]


@pytest.mark.parametrize("workers", [1, 2])
def test_many_short_connections_in_a_row_all_arrive(husk, workers):
    count = 100 if LIGHT else 500
    tunnel = husk.tunnel(client={"workers": workers}, server={"workers": workers}, upstream=raw.Collector())

    def send(numbers):
        for number in numbers:
            agent = raw.connect(tunnel.client.address)
            agent.sendall(b"%d" % number)
            agent.close()
        assert sorted(map(int, tunnel.upstream.wait_for(numbers.stop))) == list(range(numbers.stop))
        for one in (tunnel.client, tunnel.server):
            eventually(lambda: one.metric("husk_connections_active") == 0, "all connections have ended")

    send(range(count // 2))
    descriptors = tunnel.client.descriptors(), tunnel.server.descriptors()
    send(range(count // 2, count))
    for one, before in zip((tunnel.client, tunnel.server), descriptors):
        eventually(lambda: one.descriptors() <= before, "the descriptors are closed")
    assert not tunnel.client.problems() and not tunnel.server.problems()


def test_many_connections_at_once_all_arrive(husk):
    tunnel = husk.tunnel(client={"workers": 2}, server={"workers": 2}, upstream=raw.Collector())
    agents = [raw.connect(tunnel.client.address) for _ in range(60)]
    for number, agent in enumerate(agents):
        agent.sendall(b"%d" % number)
    for agent in agents:
        agent.close()
    assert sorted(map(int, tunnel.upstream.wait_for(60))) == list(range(60))


# ---- one direction ends, the other stays open ----

def test_the_end_of_the_agents_direction_leaves_the_other_direction_open(husk):
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    agent.sendall(b"the last bytes")
    agent.shutdown(socket.SHUT_WR)
    assert raw.read_to_end(aggregator) == b"the last bytes"
    with raw.Sending(aggregator, pattern(2 * MIB)):
        assert_pattern(agent, 2 * MIB)
    aggregator.close()
    assert agent.recv(1) == b""
    tunnel.client.wait_for_metric("husk_connections_ended_total", 2, reason="closed")
    assert not tunnel.client.problems() and not tunnel.server.problems()


def test_the_end_of_the_aggregators_direction_leaves_the_other_direction_open(husk):
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    aggregator.sendall(b"the last bytes")
    aggregator.shutdown(socket.SHUT_WR)
    assert raw.read_to_end(agent) == b"the last bytes"
    with raw.Sending(agent, pattern(2 * MIB)):
        assert_pattern(aggregator, 2 * MIB)
    agent.close()
    assert aggregator.recv(1) == b""
    assert not tunnel.client.problems() and not tunnel.server.problems()


@undisturbed
def test_a_half_closed_connection_with_progress_outlives_its_timeout(husk):
    options = {"half_close_timeout": "1500ms"}
    agent, aggregator = husk.tunnel(client=options, server=options).open()
    agent.shutdown(socket.SHUT_WR)
    assert aggregator.recv(1) == b""
    for number in range(12):
        time.sleep(0.2)  # 2.4 s in all, each pause well below the timeout of 1.5 s
        raw.carry(aggregator, agent, b"%02d" % number)
    aggregator.close()
    assert agent.recv(1) == b""


def test_a_half_closed_connection_without_progress_ends(husk):
    tunnel = husk.tunnel(client={"half_close_timeout": "300ms"})
    agent, aggregator = tunnel.open()
    agent.shutdown(socket.SHUT_WR)
    assert aggregator.recv(1) == b""
    raw.assert_closed(agent)
    tunnel.client.wait_for_metric("husk_connections_ended_total", 1, reason="idle")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_close_notify_of_the_agent_is_a_half_close(husk, version):
    _, agent, aggregator = tls_agent(husk, version=version)
    agent.sendall(b"the last bytes")
    agent.close_write()
    assert raw.read_to_end(aggregator) == b"the last bytes"
    aggregator.sendall(b"answer")
    aggregator.close()
    assert raw.read_to_end(agent) == b"answer"  # the end is a close_notify


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_close_notify_of_the_aggregator_is_a_half_close(husk, version):
    _, agent, aggregator = tls_aggregator(husk, version=version)
    aggregator.sendall(b"the last bytes")
    aggregator.close_write()
    assert raw.read_to_end(agent) == b"the last bytes"
    agent.sendall(b"answer")
    agent.close()
    assert raw.read_to_end(aggregator) == b"answer"


# ---- a connection fails ----

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_aggregators_end_without_close_notify_resets_the_agent(husk, version):
    client, agent, aggregator = tls_aggregator(husk, version=version)
    raw.carry(aggregator, agent, b"cut")
    aggregator.end_without_close_notify()
    raw.assert_reset(agent)
    client.wait_for_event(reason="truncated", side="upstream", level="warn")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_agents_end_without_close_notify_resets_the_aggregator(husk, version):
    server, agent, aggregator = tls_agent(husk, version=version)
    raw.carry(agent, aggregator, b"cut")
    agent.end_without_close_notify()
    raw.assert_reset(aggregator)
    server.wait_for_event(reason="truncated", side="downstream", level="warn")


def test_an_agents_reset_resets_the_aggregator(husk):
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator, b"cut")
    raw.reset(agent)
    raw.assert_reset(aggregator)
    tunnel.client.wait_for_event(reason="reset", side="downstream")


def test_an_aggregators_reset_resets_the_agent(husk):
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator, b"cut")
    raw.reset(aggregator)
    raw.assert_reset(agent)
    tunnel.server.wait_for_event(reason="reset", side="upstream")


def test_an_aggregators_reset_after_the_agents_end_writes_no_line(husk):
    """Fluentd closes every connection this way."""
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    agent.sendall(b"message")
    agent.close()
    assert raw.read_to_end(aggregator) == b"message"
    raw.reset(aggregator)
    for one in (tunnel.client, tunnel.server):
        one.wait_for_metric("husk_connections_ended_total", 2)
        assert not one.problems()


@in_time
def test_the_aggregators_end_reaches_the_agent_at_once(husk):
    agent, aggregator = husk.tunnel().open()
    raw.carry(agent, aggregator)
    aggregator.close()
    started = time.monotonic()
    assert agent.recv(1) == b""
    expect_within(2, time.monotonic() - started)


@in_time
def test_the_kill_of_husk_server_resets_the_agent_at_once(husk):
    tunnel = husk.tunnel()
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator, b"cut")
    tunnel.server.kill()
    started = time.monotonic()
    raw.assert_reset(agent)
    expect_within(2, time.monotonic() - started)


def test_an_upstream_that_refuses_connections_resets_the_agent(husk):
    client = husk.client(raw.format_address(raw.free_address()), protocol="tcp")
    raw.assert_resets(client.address)
    client.wait_for_event(reason="connect_refused", side="upstream", level="warn")


def test_the_second_address_is_tried_when_the_first_refuses(husk):
    """With IPv6 localhost has two addresses, and only one of them has a listener."""
    upstream = raw.Listener()
    server = husk.server(f"localhost:{upstream.address[1]}", protocol="tcp")
    client = husk.client(server, protocol="tcp")
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    assert upstream.accept().recv(1) == b"?"


# ---- agents that close their connection ----

def test_an_agent_that_closes_without_bytes_cancels_its_dial_at_once(husk):
    silent = raw.Listener()
    client = husk.client(silent, protocol="tcp", connect_timeout="1m", handshake_timeout="1m")
    rounds = 30  # the agent closes at any moment of the dial
    for _ in range(rounds):
        agent = raw.connect(client.address)
        upstream = silent.accept()  # it never answers the handshake
        agent.close()
        raw.assert_closed(upstream)
    client.wait_for_metric("husk_connections_ended_total", rounds, side="downstream", reason="left")
    assert not client.problems()


def test_an_agent_that_closes_after_its_bytes_does_not_cancel_the_dial(husk):
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp")
    agent = raw.connect(client.address)
    agent.sendall(b"message")
    upstream = listener.accept()
    agent.close()
    aggregator = raw.TlsPeer(upstream, raw.tls_context(True, husk.pki.ca.cert, husk.pki.server), server_side=True)
    assert raw.read_to_end(aggregator.handshake()) == b"message"


def test_probes_leave_no_descriptors_and_write_no_line(husk):
    tunnel = husk.tunnel()
    probed = tunnel.client, tunnel.server
    for one in probed:
        descriptors = one.descriptors_at_rest()
        before = one.metric("husk_connections_ended_total", side="downstream")
        for _ in range(200):
            raw.connect(one.address).close()
        one.wait_for_metric("husk_connections_ended_total", before + 200, side="downstream")
        eventually(lambda: one.descriptors() <= descriptors, "the descriptors are closed")
    agent = raw.connect(tunnel.client.address)
    agent.sendall(b"m")

    def arrives():
        """A slow husk may have dialled for a probe."""
        with contextlib.suppress(ConnectionError):
            return tunnel.upstream.accept().recv(1) == b"m"
    eventually(arrives, "the message arrives")
    assert not any(one.problems() for one in probed)


def test_descriptors_and_memory_return_after_a_burst(husk):
    tunnel = husk.tunnel(client={"dial_delay": "0ms"}, server={"dial_delay": "0ms"})

    def burst():
        pairs = [tunnel.open() for _ in range(20 if LIGHT else 50)]
        for agent, aggregator in pairs:
            with raw.Sending(agent, [PATTERN[:100_000]]):
                raw.read_exactly(aggregator, 100_000)
        for pair in pairs:
            for end in pair:
                end.close()

    for end in tunnel.open():
        end.close()
    eventually(lambda: not tunnel.client.metric("husk_connections_active", side="upstream"), "husk is at rest")
    descriptors = tunnel.client.descriptors()
    burst()
    eventually(lambda: tunnel.client.descriptors() <= descriptors, "the descriptors are closed")
    after_one = tunnel.client.resident_kib()
    for _ in range(3):
        burst()
    eventually(lambda: tunnel.client.descriptors() <= descriptors, "the descriptors are closed")
    assert LIGHT or tunnel.client.resident_kib() <= after_one + 1024
