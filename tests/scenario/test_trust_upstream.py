"""husk's connections to servers, and tunnels, do not outlive the trust that admitted the peer. A reload that concerns no
peer and not husk's own certificate ends none of them."""

import time

import pytest

from support import link, raw
from support.forward import Agent, Aggregator, carry_acked, event
from support.pki import RevocationLists
from support.process import eventually
from support.trust import Bundle, ended, reload, renewed, wait_for_end


@pytest.fixture(name="bundle")
def _bundle(tmp_path, pki):
    """Has both CAs."""
    return Bundle(tmp_path / "bundle.pem", pki.ca.cert, pki.other_ca.cert)


class Site:
    """Agent → husk client → a scripted server, whose certificate is of the other CA at first."""

    def __init__(self, husk, bundle, protocols=(), **options):
        self.pki, self.listener, self._protocols = husk.pki, raw.Listener(), list(protocols)
        self.show(husk.pki.foreign_server)
        upstream = f"localhost:{self.listener.address[1]}"
        self.client = husk.client(upstream, ca=bundle, eject_time="20ms", eject_time_max="50ms", workers=1,
                                  **{"confirm_timeout": "20ms", **options})
        self.agent = Agent(raw.connect(self.client.address))

    def show(self, certificate):
        """The certificate of connections from now on."""
        self._certificate = certificate

    def accept(self):
        context = raw.tls_context(True, self.pki.ca.cert, self._certificate)
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        return link.LinkPeer(raw.TlsPeer(self.listener.accept(), context, server_side=True).handshake())

    def carry(self, server, number):
        self.agent.send(event(number, f"{number}"))
        server.send({"ack": server.read_message()[-1]["chunk"]})
        self.agent.expect_ack(f"{number}")


@pytest.fixture(name="site")
def _site(husk, bundle):
    return lambda *arguments, **options: Site(husk, bundle, *arguments, **options)


def begin(site):
    """The first message opens the connection. Returns the server's end."""
    site.agent.send(event(1, "1"))
    server = site.accept()
    server.send({"ack": server.read_message()[-1]["chunk"]})
    site.agent.expect_ack("1")
    return server


# ---- Forward ----

@pytest.mark.parametrize("protocols", [[], [link.LINK]], ids=["forward", "link"])
def test_a_connection_to_a_server_that_is_not_trusted_is_drained_and_replaced(site, pki, bundle, protocols):
    site = site(protocols)
    server = begin(site)
    site.agent.send(event(2, "2"))
    second = server.read_message()
    bundle.write(pki.ca.cert)
    site.show(pki.server)
    reload(site.client)
    site.agent.send(event(3, "3"))
    replacement = site.accept()
    third = replacement.read_message()
    assert third[2]["n"] == 3 and ended(site.client, "upstream") == 0, "the ack of 2 is waited for"
    server.send({"ack": second[-1]["chunk"]})
    site.agent.expect_ack("2")
    server.expect_end()
    replacement.send({"ack": third[-1]["chunk"]})
    site.agent.expect_ack("3")
    wait_for_end(site.client, "upstream")
    line = site.client.problem()
    assert line["reason"] == "distrusted" and line["side"] == "upstream" and line["upstream"]
    assert "CA theirs, which is not in our CA file" in line["detail"]
    site.carry(replacement, 4)


def test_an_idle_connection_to_a_server_that_is_not_trusted_ends_and_nothing_is_sent_there(site, pki, bundle):
    site = site()
    server = begin(site)
    bundle.write(pki.ca.cert)
    reload(site.client)
    server.expect_end()
    site.agent.send(event(2, "2"))
    with pytest.raises((ConnectionError, raw.ssl.SSLError)):
        site.accept().read()  # husk refuses the server
    site.show(pki.server)
    server = accept_good(site)
    message = server.read_message()
    assert message[2]["n"] == 2
    server.send({"ack": message[-1]["chunk"]})
    site.agent.expect_ack("2")


def read_data(peer):
    data = b""
    try:
        while more := peer.recv(65536):
            data += more
    except (ConnectionError, raw.ssl.SSLError):
        pass
    return data


def accept_good(site):
    """Dials that began before the server has the other certificate fail."""
    while True:
        try:
            return site.accept()
        except (ConnectionError, raw.ssl.SSLError):
            pass


def test_unacked_messages_go_elsewhere_after_the_drain_timeout(site, pki, bundle):
    site = site([link.LINK], drain_timeout="100ms")
    server = begin(site)
    site.agent.send(event(2, "2"))
    server.read_message()
    bundle.write(pki.ca.cert)
    site.show(pki.server)
    reload(site.client)
    server.send({"waiting": "busy"})  # silence is not the reason
    replacement = site.accept()
    again = replacement.read_message()
    assert again[2]["n"] == 2
    replacement.send({"ack": again[-1]["chunk"]})
    site.agent.expect_ack("2")
    server.expect_end()
    assert site.client.metric("husk_messages_dropped_total") == 0


def test_a_message_that_is_cut_through_goes_up_whole(site, pki, bundle):
    site = site(cut_through_bytes="64KiB")
    large = link.pack(["t", 1, {"n": 1, "filler": "x" * 400_000}, {"chunk": "large"}])
    site.agent.send(large[:200_000])
    server = site.accept()
    site.client.wait_for_metric("husk_bytes_total", 100_000, side="upstream", direction="sent")
    bundle.write(pki.ca.cert)
    reload(site.client)
    site.agent.send(large[200_000:])
    message = server.read_message()
    assert len(message[2]["filler"]) == 400_000
    server.send({"ack": message[-1]["chunk"]})
    site.agent.expect_ack("large")
    server.expect_end()
    wait_for_end(site.client, "upstream")


@pytest.mark.parametrize("change", ["nothing", "another ca", "a list", "renewed ca", "same certificate"])
def test_a_connection_stays_if_the_server_passes_and_our_certificate_is_the_same(site, pki, bundle, mounted, tmp_path,
                                                                                 change):
    site = site(certificate=mounted(pki.client))
    server = begin(site)
    lists = RevocationLists(tmp_path, pki.other_ca).make("l", pki.foreign_client)
    bundle.write(*{"another ca": [pki.other_ca.cert], "a list": [pki.other_ca.cert, lists],
                   "renewed ca": [renewed(pki.other_ca, tmp_path / "renewed.pem")]}.get(
                       change, [pki.ca.cert, pki.other_ca.cert]))
    if change == "same certificate":
        mounted(pki.client)  # the same bytes in new files
    reload(site.client)
    site.carry(server, 2)
    assert not site.listener.was_dialled() and not site.client.problems()
    assert site.client.metric("husk_connections_ended_total", side="upstream") == 0


def test_a_server_whose_certificate_is_revoked_is_replaced(site, pki, bundle, tmp_path):
    site = site()
    server = begin(site)
    bundle.write(pki.ca.cert, pki.other_ca.cert, RevocationLists(tmp_path, pki.other_ca).make("l", pki.foreign_server))
    site.show(pki.server)
    reload(site.client)
    server.expect_end()
    site.agent.send(event(2, "2"))
    server = site.accept()
    server.send({"ack": server.read_message()[-1]["chunk"]})
    site.agent.expect_ack("2")


def test_our_new_certificate_replaces_the_connection_between_two_messages(site, pki, mounted):
    site = site(certificate=mounted(pki.client))
    server = begin(site)
    site.agent.send(event(2, "2"))
    second = server.read_message()
    mounted(pki.unlisted_client)
    reload(site.client)
    site.agent.send(event(3, "3"))
    replacement = site.accept()
    third = replacement.read_message()
    assert third[2]["n"] == 3
    shown = replacement.tls.tls.getpeercert()["subject"]
    assert shown == ((("commonName", "unlisted"),),)
    server.send({"ack": second[-1]["chunk"]})
    site.agent.expect_ack("2")
    server.expect_end()
    replacement.send({"ack": third[-1]["chunk"]})
    site.agent.expect_ack("3")
    wait_for_end(site.client, "upstream", reason="retired")
    assert ended(site.client, "upstream") == 0 and not site.client.problems()


def test_a_failed_reload_ends_no_connection(site, pki, bundle):
    site = site(reload_retry_max="50ms")
    server = begin(site)
    bundle.write("junk\n")
    reload(site.client, "failure")
    site.carry(server, 2)
    assert site.client.metric("husk_connections_ended_total", side="upstream") == 0


@pytest.mark.parametrize("stays_trusted", [True, False])
def test_a_handshake_that_began_before_the_reload_is_begun_again(site, pki, bundle, stays_trusted):
    site = site()
    site.agent.send(event(1, "1"))
    sock = site.listener.accept()
    context = raw.tls_context(True, pki.ca.cert, pki.foreign_server)
    if not stays_trusted:
        bundle.write(pki.ca.cert)
        site.show(pki.server)
    reload(site.client)
    early = raw.TlsPeer(sock, context, server_side=True)
    early.handshake()
    server = accept_good(site)
    assert read_data(early) == b"", "no message goes there"
    message = server.read_message()
    assert message[2]["n"] == 1
    server.send({"ack": message[-1]["chunk"]})
    site.agent.expect_ack("1")


# ---- both halves of husk ----

def test_under_load_nothing_is_lost_while_the_server_is_distrusted(husk, pki, bundle):
    aggregator = Aggregator()
    server = husk.server(aggregator, certificate=pki.foreign_server)
    client = husk.client(server, ca=bundle, eject_time="20ms", eject_time_max="50ms")
    agents = [Agent(raw.connect(client.address)) for _ in range(4)]
    count, acked = 300, 0
    for at, agent in enumerate(agents):
        carry_acked(agent, 10_000 + at, f"{at}")
        agent.send(*(event(count * at + number, f"{number}") for number in range(count // 2)))
    bundle.write(pki.ca.cert)
    reload(client)
    wait_for_end(client, "upstream")
    for at, agent in enumerate(agents):
        agent.send(*(event(count * at + number, f"{number}") for number in range(count // 2, count)))
    bundle.write(pki.ca.cert, pki.other_ca.cert)
    reload(client)
    for agent in agents:
        acked += len(agent.read_acks(count))
    numbers = [number for number in aggregator.numbers() if number < 10_000]
    assert acked == len(numbers) and sorted(numbers) == list(range(count * len(agents))), "each is delivered once"
    assert client.metric("husk_messages_dropped_total") == 0


# ---- tunnels ----

def test_a_tunnel_ends_when_the_agent_is_not_trusted(husk, pki, bundle):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", workers=1, ca=bundle)
    ends = []
    for certificate in (pki.client, pki.foreign_client):
        agent = raw.connect_tls(server.address, pki.ca.cert, certificate)
        agent.sendall(b"?")
        ends.append((agent, upstream.accept()))
        assert ends[-1][1].recv(1) == b"?"
    bundle.write(pki.ca.cert)
    reload(server)
    agent, aggregator = ends[1]
    assert agent.recv(1) == aggregator.recv(1) == b"", "both ends see an end in order"
    raw.carry_both_ways(*ends[0])
    line = server.problem()
    assert line["reason"] == "distrusted" and line["side"] == "downstream" and line["identity"]
    assert "not in our CA file" in line["detail"]
    assert ended(server, "upstream", "other_side") == 1


def test_a_tunnel_ends_when_the_server_is_not_trusted(husk, pki, bundle):
    upstream = raw.Listener()
    tunnel = husk.tunnel(client={"ca": bundle}, server={"certificate": pki.foreign_server}, upstream=upstream)
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    time.sleep(0.6)  # husk looks at a new tunnel once more after half a second, and not again for a long time
    bundle.write(pki.ca.cert)
    reload(tunnel.client)
    assert agent.recv(1) == aggregator.recv(1) == b""
    line = tunnel.client.problem()
    assert line["reason"] == "distrusted" and line["side"] == "upstream" and line["upstream"]
    assert ended(tunnel.client, "downstream", "other_side") == 1


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_tunnel_stays_when_the_reload_concerns_no_peer(husk, pki, bundle, mounted, side):
    certificate = mounted(pki.client if side == "client" else pki.server)
    tunnel = husk.tunnel(**{side: {"certificate": certificate, "ca": bundle}})
    ends = tunnel.open()
    raw.carry_both_ways(*ends)
    bundle.write(pki.ca.cert)
    mounted(pki.unlisted_client if side == "client" else pki.next_server)
    reload(getattr(tunnel, side))
    raw.carry_both_ways(*ends)
    assert not getattr(tunnel, side).problems()


def test_a_tunnel_that_ends_delivers_what_was_read(husk, pki, bundle):
    """The aggregator takes nothing before the reload. The agent, which has sent more than husk has read, is reset."""
    upstream = raw.Listener()
    upstream.sock.setsockopt(raw.socket.SOL_SOCKET, raw.socket.SO_RCVBUF, 4096)
    server = husk.server(upstream, protocol="tcp", ca=bundle, workers=1, buffer_bytes="64KiB", linger_timeout="20s")
    agent = raw.connect_tls(server.address, pki.ca.cert, pki.foreign_client)
    agent.sendall(b"x" * 10_000)
    aggregator = upstream.accept()
    sent = agent.seal(b"x" * 20_000_000)
    agent.sock.setblocking(False)
    eventually(lambda: is_stuck(agent.sock, sent), "nobody reads the agent")
    bundle.write(pki.ca.cert)
    reload(server)
    received = server.metric("husk_bytes_total", side="downstream", direction="received")
    got = 0
    try:
        while data := aggregator.recv(1 << 16):
            got += len(data)
    except ConnectionResetError:
        pass
    assert got == received >= 64 * 1024
    wait_for_end(server, "downstream")
    assert raw.is_reset(agent.sock)


def is_stuck(sock, data):
    """Whether the socket has taken nothing for a while."""
    sent = 0
    while raw.select.select([], [sock], [], 0.2)[1]:
        sent += sock.send(data[sent:sent + 65536])
    return True


def test_a_tunnel_whose_last_bytes_nobody_takes_ends_after_the_linger_timeout(husk, pki, bundle):
    upstream = raw.Listener()
    upstream.sock.setsockopt(raw.socket.SOL_SOCKET, raw.socket.SO_RCVBUF, 4096)
    server = husk.server(upstream, protocol="tcp", ca=bundle, workers=1, buffer_bytes="64KiB", linger_timeout="100ms")
    agent = raw.connect_tls(server.address, pki.ca.cert, pki.foreign_client)
    sent = agent.seal(b"x" * 20_000_000)
    agent.sock.setblocking(False)
    is_stuck(agent.sock, sent)
    bundle.write(pki.ca.cert)
    reload(server)
    wait_for_end(server, "downstream")
    assert raw.is_reset(agent.sock)


def test_a_tunnel_that_is_not_connected_yet_ends_at_once(husk, pki, bundle):
    upstream = raw.FullListener()
    server = husk.server(upstream, protocol="tcp", workers=1, ca=bundle, connect_timeout="20s")
    agent = raw.connect_tls(server.address, pki.ca.cert, pki.foreign_client)
    agent.sendall(b"never delivered")
    server.wait_for_metric("husk_connections_active", 1, side="upstream")
    bundle.write(pki.ca.cert)
    reload(server)
    wait_for_end(server, "downstream")
    raw.assert_closed(agent)
