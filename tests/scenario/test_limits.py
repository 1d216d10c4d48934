"""Limits and deadlines of --protocol tcp: no connection hangs, and husk recovers when resources are free again."""

import time

import pytest

from support import raw
from support.process import eventually
from support.timing import undisturbed


@pytest.mark.parametrize("mode", ["client", "server"])
def test_running_out_of_descriptors_pauses_accepting_and_recovers_by_itself(husk, mode):
    """Only one husk is limited, so that it is the first one without descriptors."""
    tunnel = husk.tunnel(**{mode: {"prefix": ("prlimit", "--nofile=64")}}, upstream=raw.Collector())
    limited = getattr(tunnel, mode)
    descriptors = limited.descriptors_at_rest()
    agents = raw.connect_many([tunnel.client.address] * 100)
    limited.wait_for_event(level="warn", message="accepting paused: Too many open files")

    spent = limited.cpu_seconds()
    time.sleep(0.5)
    assert limited.cpu_seconds() - spent < 0.25, "husk uses the CPU while accepting is paused"

    for agent in agents:
        agent.close()
    eventually(lambda: limited.descriptors() <= descriptors, "the descriptors are closed")
    assert limited.metric("husk_accept_errors_total") >= 1
    agent = raw.connect(tunnel.client.address)
    agent.sendall(b"served again")
    agent.close()
    assert tunnel.upstream.wait_until(lambda received: b"served again" in received)


def test_a_silent_upstream_ends_at_the_handshake_timeout_and_resets_the_agent(husk):
    silent = raw.Listener()
    client = husk.client(silent, protocol="tcp", handshake_timeout="300ms")
    agent = raw.connect(client.address)
    raw.assert_reset(agent)
    client.wait_for_event(reason="handshake_timeout", side="upstream", level="warn")
    raw.assert_closed(silent.accept())


def test_a_silent_peer_ends_at_the_handshake_timeout(husk):
    server = husk.server(raw.Listener(), protocol="tcp", handshake_timeout="300ms")
    raw.assert_closed(raw.connect(server.address))
    server.wait_for_metric("husk_connections_ended_total", 1, reason="handshake_timeout", side="downstream")


def test_single_bytes_do_not_extend_the_handshake_timeout(husk, pki):
    server = husk.server(raw.Listener(), protocol="tcp", handshake_timeout="500ms")
    hello = raw.TlsPeer(None, raw.tls_context(False, pki.ca.cert, pki.client)).first_flight()
    peer = raw.connect(server.address)
    peer.settimeout(0.05)
    for i in range(len(hello)):  # 0.05 s for each byte, more than 10 s in all
        try:
            peer.sendall(hello[i:i + 1])
            if peer.recv(1) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    else:
        raise AssertionError("husk never closes the connection")
    server.wait_for_metric("husk_connections_ended_total", 1, reason="handshake_timeout")


def test_handshakes_that_wait_do_not_stop_others(husk):
    tunnel = husk.tunnel(server={"handshake_timeout": "10s", "workers": 1})
    silent = [raw.connect(tunnel.server.address) for _ in range(20)]
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator)
    assert len(silent) == 20


def test_connections_beyond_the_limit_wait_until_one_ends(husk):
    tunnel = husk.tunnel(client={"max_connections": 2, "workers": 1})
    first, first_end = tunnel.open()
    second, second_end = tunnel.open()
    third = raw.connect(tunnel.client.address)  # only the kernel accepts it
    third.sendall(b"3")
    tunnel.client.wait_for_metric("husk_accept_limited_total", 1)
    second.sendall(b"2")
    assert second_end.recv(1) == b"2"
    assert not tunnel.upstream.was_dialled()
    first.close()
    first_end.close()
    assert tunnel.upstream.accept().recv(1) == b"3"


@undisturbed
def test_handshakes_beyond_the_limit_wait_until_one_ends(husk, pki):
    server = husk.server(raw.Listener(), protocol="tcp", max_handshakes=2, workers=1, handshake_timeout="500ms")
    silent = [raw.connect(server.address) for _ in range(2)]
    raw.connect_tls(server.address, pki.ca.cert, pki.client)
    for peer in silent:
        raw.assert_closed(peer)
    assert server.metric("husk_accept_limited_total") >= 1


def test_a_connect_without_an_answer_ends_at_the_connect_timeout(husk):
    full = raw.FullListener()
    client = husk.client(full, protocol="tcp", connect_timeout="300ms")
    raw.assert_resets(client.address)
    client.wait_for_event(reason="connect_timeout", side="upstream", level="warn")


@undisturbed
def test_an_idle_connection_ends_at_the_idle_timeout_without_a_line(husk):
    tunnel = husk.tunnel(client={"idle_timeout": "300ms"})
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator)
    raw.assert_closed(agent)
    raw.assert_closed(aggregator)
    tunnel.client.wait_for_metric("husk_connections_ended_total", 1, reason="idle")
    assert not tunnel.client.problems()


@undisturbed
def test_traffic_in_one_direction_keeps_a_connection_from_being_idle(husk):
    options = {"idle_timeout": "1500ms"}
    agent, aggregator = husk.tunnel(client=options, server=options).open()
    for _ in range(12):
        time.sleep(0.2)  # 2.4 s in all, each pause well below the timeout of 1.5 s
        raw.carry(agent, aggregator)
    raw.carry(aggregator, agent)


def test_a_connection_has_no_idle_timeout_by_default(husk):
    agent, aggregator = husk.tunnel().open()
    time.sleep(0.5)
    raw.carry(agent, aggregator)


def test_an_upstream_that_never_confirms_the_handshake_is_used_after_the_confirm_timeout(husk, pki):
    """TLS 1.3 without session tickets: no byte confirms that the client certificate was accepted."""
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp")
    agent = raw.connect(client.address)
    context = raw.tls_context(True, pki.ca.cert, pki.server, "1.3")
    context.num_tickets = 0
    agent.sendall(b"?")
    aggregator = raw.TlsPeer(listener.accept(), context, server_side=True).handshake()
    assert aggregator.recv(1) == b"?"
    assert client.metric("husk_upstream_unconfirmed_total") == 1
