"""The first connection of a route: husk proves without a message that the upstream works, or says why it does not."""

import contextlib
import signal

import pytest

from support import link, raw
from support.config_file import route, tls
from support.forward import Agent, Aggregator, Parser, ack, carry_acked, event
from support.process import eventually

PROBED = {"health_interval": "50ms"}
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
REJECTED = (503, "upstream: peer rejected the TLS connection\n")


class OpenSslServer(raw.Server):
    """A TLS server of OpenSSL that keeps each connection, and never sends data."""

    def __init__(self, context):
        self.context, self.kept = context, []
        super().__init__()

    def serve(self, sock):
        try:
            self.kept.append(self.context.wrap_socket(sock, server_side=True))
        except OSError:  # a probe, or a refused client
            sock.close()


class EndingServer(raw.Server):
    """A TLS server that ends each connection when the handshake is over. Once it `works`, it acknowledges each message."""

    def __init__(self, context):
        self.context, self.ends, self.works = context, 0, False
        super().__init__()

    def serve(self, sock):
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as peer:
            parser = Parser()
            while self.works and (data := peer.recv(1 << 16)):
                for _, value in parser.feed(data):
                    peer.sendall(ack(value[-1]["chunk"]))
            self.ends += 1
            peer.unwrap()


@pytest.fixture
def refusing(husk, pki):
    """Makes an upstream that does not admit the certificate of `husk client`."""
    def make(kind, version):
        if kind == "husk":
            return husk.server(raw.Listener(), allow_cn="another", tls_max=version)
        return OpenSslServer(raw.tls_context(True, pki.other_ca.cert, pki.server, version))
    return make


def opened(client):
    return client.metric("husk_connections_opened_total", side="upstream")


def becomes_ready(client):
    eventually(lambda: client.get("/ready") == (200, "ready\n"), f"{client.name} is ready")


def fails(client, reason, count=3):
    """Waits until `count` dials have failed. Returns all answers of /ready meanwhile."""
    answers = set()

    def has_failed():
        answers.add(client.get("/ready"))
        return client.metric("husk_connections_ended_total", side="upstream", reason=reason) >= count
    eventually(has_failed, f"{count} times {reason}")
    return answers | {client.get("/ready")}


@VERSIONS
@pytest.mark.parametrize("kind", ["husk", "openssl"])
def test_a_certificate_that_the_upstream_refuses_is_known_without_a_message(husk, refusing, kind, version):
    client = husk.client(refusing(kind, version), log_burst=0, confirm_timeout="1m", **PROBED)
    answers = fails(client, "tls_rejected")
    assert REJECTED in answers and all(status == 503 for status, _ in answers), answers
    line = client.wait_for_event(reason="tls_rejected", level="warn")
    assert line["hint"].startswith("the server does not admit" if kind == "husk" else "the peer sent the alert in detail")
    assert line["phase"] == ("handshake" if version == "1.2" else "confirm")
    assert not client.events(message="upstream works")


def test_a_server_that_refuses_the_certificate_late_is_dialled_again(husk, refusing):
    """Without --confirm-timeout the connection counts as ready until the alert comes."""
    client = husk.client(refusing("husk", "1.3"), confirm_timeout=0, **PROBED)
    assert REJECTED in fails(client, "tls_rejected")


def test_a_wrong_server_name_is_known_without_a_message(husk):
    client = husk.client(husk.server(raw.Listener()), server_name="another.example", **PROBED)
    answers = fails(client, "certificate_name")
    assert (503, "upstream: certificate does not have the expected name\n") in answers
    assert all(status == 503 for status, _ in answers), answers
    client.wait_for_event(reason="certificate_name", level="warn")


def test_an_upstream_that_comes_later_makes_husk_ready(husk):
    address = raw.format_address(raw.free_address())
    client = husk.client(address, **PROBED)
    assert all(status == 503 for status, _ in fails(client, "connect_refused"))
    husk.server(raw.Listener(), listen=address)
    becomes_ready(client)
    line = client.event(message="upstream works")
    assert line["upstream"] == address and line["tls"] == "TLSv1.3" and line["identity"] == "dns:localhost"
    assert line["level"] == "info"


def test_the_first_message_uses_the_open_connection(husk):
    client = husk.client(husk.server(Aggregator()), workers=1, **PROBED)
    becomes_ready(client)
    carry_acked(Agent(raw.connect(client.address)), 1, "one")
    assert opened(client) == 1


def test_a_server_that_closes_idle_connections_is_not_left_for_its_standby(husk):
    first, second = Aggregator(), Aggregator()
    servers = husk.server(first, idle_timeout="1s"), husk.server(second)
    addresses = [raw.format_address(one.address) for one in servers]
    client = husk.client([addresses[0], addresses[1] + ",standby"], **PROBED)
    becomes_ready(client)
    client.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="closed")
    carry_acked(Agent(raw.connect(client.address)), 1, "one")
    assert first.numbers() == [1] and not client.problems()


@pytest.mark.parametrize("reason", ["distrusted", "expired"])
def test_a_server_that_no_longer_trusts_husk_is_dialled_again(husk, reason):
    """An idle client learns that its certificate is refused now."""
    listener = link.LinkServer(husk.pki)
    client = husk.client(listener, health_interval="1h")

    def accept():
        try:
            return listener.accept_link()
        except OSError:  # a probe
            return None
    first = eventually(accept, "the first connection")
    becomes_ready(client)
    first.send({"goaway": reason})
    assert eventually(accept, "the first connection again") and not client.problems()


def test_one_of_several_workers_opens_the_first_connection(husk):
    server = husk.server(raw.Listener())
    client = husk.client(server, workers=4, **PROBED)
    becomes_ready(client)
    client.event(message="upstream works")
    assert opened(client) == 1


def test_without_probes_the_first_connection_is_the_one_of_the_first_message(husk):
    listener = raw.Listener()
    client = husk.client(listener)
    assert client.get("/ready") == (200, "ready\n")
    client.probe()
    assert not listener.was_dialled() and opened(client) == 0


@pytest.mark.parametrize("made", [
    lambda husk: husk.client(husk.server(raw.Listener(), protocol="tcp"), protocol="tcp", **PROBED),
    lambda husk: husk.server(raw.Listener(), **PROBED)], ids=["a tunnel", "a plaintext upstream"])
def test_a_tunnel_and_a_plaintext_upstream_have_no_first_connection(husk, made):
    one = made(husk)
    becomes_ready(one)
    one.probe()
    assert opened(one) == 0


def test_a_reload_with_a_good_certificate_makes_husk_ready_and_a_bad_one_does_not(husk, pki, mounted):
    server = husk.server(raw.Listener())
    client = husk.client(server, certificate=mounted(pki.unlisted_client), **PROBED)
    assert REJECTED in fails(client, "tls_rejected")
    mounted(pki.client)
    client.signal(signal.SIGHUP)
    becomes_ready(client)
    rejected = client.metric("husk_connections_ended_total", side="upstream", reason="tls_rejected")
    mounted(pki.unlisted_client)
    client.signal(signal.SIGHUP)
    fails(client, "tls_rejected", rejected + 2)
    assert client.get("/ready") == REJECTED


def test_a_reload_that_keeps_the_certificate_opens_no_connection(husk):
    client = husk.client(husk.server(raw.Listener()), workers=1, **PROBED)
    becomes_ready(client)
    client.signal(signal.SIGHUP)
    client.wait_for_metric("husk_reloads_total", 1, result="success")
    client.probe()
    assert opened(client) == 1 and client.get("/ready") == (200, "ready\n")


def test_another_upstream_gets_a_connection_without_a_message(husk, file, pki):
    one, two = (husk.server(raw.Listener()) for _ in range(2))

    def routes(upstream, **settings):
        return route("moved", upstream, tls={"upstream": tls(pki.client, pki.ca)}, health={"interval": "50ms"}, **settings)
    running = file(routes(one))
    client = running.husk
    becomes_ready(client)
    running.change(routes(two))
    line = client.wait_for_event(message="upstream works", upstream=raw.format_address(two.address))
    assert line["route"] == "moved"
    becomes_ready(client)
    running.change(routes(two, delivery={"max_attempts": 7}))
    becomes_ready(client)
    assert opened(client) == 2


def test_a_failed_connection_makes_the_next_one_news(husk):
    address = raw.format_address(raw.free_address())
    client = husk.client(address, **PROBED)
    server = husk.server(raw.Listener(), listen=address)
    client.event(message="upstream works")
    server.signal(signal.SIGKILL)
    server.process.wait()
    Agent(raw.connect(client.address)).send(event(1))
    client.wait_for_event(reason="connect_refused")
    husk.server(Aggregator(), listen=address)
    client.wait_until(lambda _: len(client.events(message="upstream works")) == 2, "the upstream works again")


def test_a_server_that_ends_each_connection_after_the_handshake_does_not_work(husk, pki):
    server = EndingServer(raw.tls_context(True, pki.ca.cert, pki.server))
    client = husk.client(server, log_burst=0, **PROBED)
    agent = Agent(raw.connect(client.address))
    agent.send(event(1, "1"))
    eventually(lambda: server.ends > 4, "connections end")
    assert not client.events(message="upstream works")
    server.works = True
    agent.expect_ack("1")
    client.event(message="upstream works")


def test_a_connection_that_lasts_proves_that_the_upstream_works(husk, pki):
    """Without a message no ack can prove it."""
    client = husk.client(OpenSslServer(raw.tls_context(True, pki.ca.cert, pki.server)), **PROBED)
    client.event(message="upstream works")


def test_a_dead_upstream_is_logged_once_and_then_counted(husk):
    address = raw.format_address(raw.free_address())
    client = husk.client(address, **PROBED)
    fails(client, "connect_refused", 5)
    client.problem()
    husk.server(raw.Listener(), listen=address)
    client.event(message="upstream works")
    first, *counts = client.problems()
    assert first["message"] == "connection ended"
    assert {(one["message"], one["reason"], one["upstream"]) for one in counts} == {("more connections ended", "connect_refused", address)}
    assert client.metric("husk_connections_ended_total", side="upstream", reason="connect_refused") == 1 + sum(
        one["suppressed"] for one in counts)


def test_after_a_reload_a_failure_is_logged_again(husk):
    client = husk.client(raw.format_address(raw.free_address()), **PROBED)
    fails(client, "connect_refused", 2)
    client.signal(signal.SIGHUP)
    client.wait_until(lambda _: len(client.events(message="connection ended", level="warn")) == 2, "the failure again")


@pytest.mark.parametrize("log_burst", [20, "off"])
def test_a_plaintext_upstream_that_works_again_is_logged(husk, log_burst):
    address = raw.free_address()
    server = husk.server(raw.format_address(address), upstream_link="off", log_burst=log_burst)
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(event(1, "1"))
    server.wait_for_event(reason="connect_refused")
    aggregator = Aggregator(address=address)
    agent.expect_ack("1")
    assert server.event(message="upstream works")["upstream"] == raw.format_address(aggregator.address)
