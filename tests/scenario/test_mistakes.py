"""Common mistakes of users: one line says what husk saw and which setting to change, and nothing is lost.

docs/troubleshooting.md has the table."""

import ssl

import pytest

from support import link, raw
from support.forward import Agent, Aggregator, event
from support.husk import Launcher, flags, run
from support.process import Programs
from support.strangers import HELO, HTTP_RESPONSE, SSH, TLS_ALERT, Peer, TlsServer
from support.timing import undisturbed

PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def hello(pki):
    return raw.TlsPeer(None, raw.tls_context(False, pki.ca.cert, pki.client)).first_flight()


def expect_line(husk, *words, **fields):
    """All warnings and errors of husk are the same line, which has these fields and words, and a count of others. Nothing
    was dropped."""
    line = husk.wait_for_event(message="connection ended", **fields)
    assert husk.metric("husk_messages_dropped_total") == 0
    husk.stop()
    expect_words(line, words)
    problems = [one for one in husk.problems()
                if one.get("reason") != "shutdown" and not one["message"].startswith("stopped;")
                and not (one["message"] == "more connections ended" and one["reason"] == line["reason"])]
    assert {(one["reason"], one.get("hint")) for one in problems} == {(line["reason"], line.get("hint"))}, problems


def expect_words(line, words):
    text = f"{line.get('detail', '')} {line.get('hint', '')} {line.get('upstream', '')}"
    assert line["level"] == "warn" and all(word in text for word in words), line


# ---- what comes to --listen ----

@pytest.fixture(scope="module")
def listeners(pki):
    """One husk of each kind for all tests of this section; each test looks at the line of its own peer."""
    programs = Programs()
    launcher, upstream = Launcher(pki, programs), raw.Listener()
    yield {"client": launcher.client(upstream, log_burst="off"),
           "client-key": launcher.client(upstream, log_burst="off", accept_key_env="KEY", env={"KEY": "a key"}),
           "server": launcher.server(upstream, log_burst="off"),
           "server-tcp": launcher.server(upstream, log_burst="off", protocol="tcp")}
    programs.stop()
    upstream.sock.close()


def expect_refused(husk, peer, data, *words, **fields):
    """The peer sends `data`: its connection ends, with one line."""
    address = raw.format_address(peer.getsockname())
    with peer:
        peer.sendall(data)
        raw.assert_closed(peer)
    line = husk.event(peer=address)
    assert fields.items() <= line.items(), line
    expect_words(line, words)


PROXY = "the header of the PROXY protocol"
AT_LISTEN = {
    "http": (HTTP_REQUEST, "http_request", "--admin"),
    "proxy-1": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy", PROXY),
    "proxy-2": (PROXY_V2, "proxy", PROXY),
    "syslog": (b"<34>1 2003-10-11T22:14:15.003Z host app - - - text\n", "syslog", "--protocol tcp"),
    "ssh": (SSH, "ssh", "--protocol tcp"),
    "other": (bytes(8), "other", "--protocol tcp"),
}


@pytest.mark.parametrize("name", AT_LISTEN)
@pytest.mark.parametrize("kind, reason", [("client", "not_forward"), ("client-key", "key_malformed")])
def test_another_protocol_comes_to_husk_client(listeners, kind, reason, name):
    data, speaks, word = AT_LISTEN[name]
    expect_refused(listeners[kind], raw.connect(listeners[kind].address), data, word, reason=reason, speaks=speaks)


@pytest.mark.parametrize("kind, reason", [("client", "not_forward"), ("client-key", "key_malformed")])
def test_an_agent_with_tls_comes_to_husk_client(listeners, pki, kind, reason):
    hello = raw.TlsPeer(None, raw.tls_context(False, pki.ca.cert, pki.client)).first_flight()
    expect_refused(listeners[kind], raw.connect(listeners[kind].address), hello, "turn off TLS at the peer",
                   reason=reason, speaks="tls")


def test_an_agent_with_json_comes_to_husk_client(listeners):
    expect_refused(listeners["client"], raw.connect(listeners["client"].address), b'["t",1,{"n":1}]',
                   "--protocol tcp on each husk between the agent and the aggregator", reason="json", speaks="json")


@pytest.mark.parametrize("data, speaks, word", [
    (event(1), "forward", "turn on TLS with a client certificate"),
    (b"\x93", "forward", "turn on TLS with a client certificate"),  # Fluentd writes this byte alone
    (HTTP_REQUEST, "http_request", "--admin"),
    (PROXY_V2, "proxy", PROXY),
    (b"<34>Oct 11 22:14:15 host su: text", "syslog", "TLS"),
], ids=["forward", "forward-byte", "http", "proxy", "syslog"])
@pytest.mark.parametrize("kind", ["server", "server-tcp"])
def test_plaintext_comes_to_husk_server(listeners, kind, data, speaks, word):
    expect_refused(listeners[kind], raw.connect(listeners[kind].address), data, word, reason="not_tls", speaks=speaks)


def test_a_silent_agent_comes_to_husk_server(husk):
    """An agent without TLS that has a shared key is silent: it waits for a HELO."""
    server = husk.server(raw.Listener(), handshake_timeout="500ms")
    expect_refused(server, raw.connect(server.address), b"", "shared key", "turn on TLS", reason="handshake_timeout", speaks="nothing")


@pytest.mark.parametrize("name", ["http", "proxy-1", "syslog"])
def test_another_protocol_comes_to_husk_server_inside_tls(listeners, pki, name):
    data, speaks, word = AT_LISTEN[name]
    agent = raw.connect_tls(listeners["server"].address, pki.ca.cert, pki.client)
    sealed = agent.seal(data)
    expect_refused(listeners["server"], agent.sock, sealed, word, reason="not_forward", speaks=speaks)


def test_an_agent_without_a_shared_key_comes_to_a_husk_with_one(listeners):
    expect_refused(listeners["client-key"], raw.connect(listeners["client-key"].address), event(1),
                   "remove --accept-key-*", reason="key_malformed", speaks="forward")


def test_a_silent_agent_comes_to_a_husk_with_a_shared_key(husk):
    client = husk.client(raw.Listener(), accept_key_env="KEY", env={"KEY": "a key"}, handshake_timeout="500ms")
    expect_refused(client, raw.connect(client.address), b"", "remove --accept-key-*", reason="key_timeout", speaks="nothing")


def test_an_agent_without_a_certificate_comes_to_husk_server(listeners, pki):
    agent = raw.TlsPeer(raw.connect(listeners["server"].address), raw.tls_context(False, pki.ca.cert, version="1.2"))
    address = raw.format_address(agent.sock.getsockname())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        agent.handshake()
    line = listeners["server"].wait_for_event(peer=address)
    assert line["reason"] == "certificate_missing"
    expect_words(line, ["set certificate and key at the peer"])


def test_a_shared_key_at_the_agent_only_is_information(husk):
    """No warning: an agent that is merely idle looks the same."""
    client = husk.client(raw.Listener(), silence_hint="100ms")
    with raw.connect(client.address):
        client.wait_for_line(lambda line: "set --accept-key-env or --accept-key-file" in line, "the hint")
    assert not client.problems()


@pytest.mark.parametrize("data, speaks", [(event(1), "forward"), (b"\x16\x03\x01\x00\x05hello", "tls")],
                         ids=["forward", "tls"])
def test_an_agent_comes_to_the_admin_port(husk, data, speaks):
    client = husk.client(raw.Listener())
    for _ in range(3):
        with raw.connect(client.admin) as agent:
            agent.sendall(data)
            raw.assert_closed(agent)
    line = client.problem()
    assert line["speaks"] == speaks and "--listen" in line["hint"]


def test_a_scraper_uses_a_name_that_the_admin_port_does_not_know(husk):
    client = husk.client(raw.Listener())
    for _ in range(3):
        status, text = client.get("/metrics", headers={"Host": "husk.logging.svc:9901"})
        assert status == 421 and "--admin-host" in text
    line = client.problem()
    assert line["host"] == "husk.logging.svc:9901" and "--admin-host" in line["hint"]


# ---- what answers at --upstream ----

AT_UPSTREAM = {
    "shared-key": (Peer, {"greets": HELO}, "helo", "set --shared-key-env, --shared-key-file"),
    "tls-alert": (Peer, {"answers": TLS_ALERT}, "tls", "set --upstream to a port without TLS"),
    "http": (Peer, {"answers": HTTP_RESPONSE}, "http_response", "set --upstream to the Forward input"),
    "ssh": (Peer, {"greets": SSH}, "ssh", "no Forward input"),
}


def deliver(husk):
    """An agent without acks sends one event. Returns its connection, which stays open."""
    agent = Agent(raw.connect(husk.address))
    agent.send(event(1))
    return agent


def deliver_tls(husk, pki):
    agent = Agent(raw.connect_tls(husk.address, pki.ca.cert, pki.client))
    agent.send(event(1))
    return agent


@pytest.mark.parametrize("name", AT_UPSTREAM)
def test_an_upstream_of_husk_server_that_answers_otherwise(husk, pki, name):
    make, options, speaks, *words = AT_UPSTREAM[name]
    server = husk.server(make(**options))
    agent = deliver_tls(server, pki)
    expect_line(server, *words, reason="bad_ack", side="upstream", speaks=speaks)
    agent.sock.sock.close()


@pytest.mark.parametrize("options, speaks, word", [
    ({"greets": HELO}, "helo", "set --upstream to a port with TLS"),
    ({"answers": HTTP_RESPONSE}, "http_response", "set --upstream to the Forward input"),
    ({"greets": SSH}, "ssh", "set --upstream to a port with TLS"),
    ({"greets": b'{"ack":"one"}'}, "json", "set --upstream to a port with TLS"),
], ids=["shared-key", "http", "ssh", "json"])
@pytest.mark.parametrize("protocol", ["forward", "tcp"])
def test_an_upstream_of_husk_client_without_tls(husk, options, speaks, word, protocol):
    client = husk.client(Peer(**options), protocol=protocol)
    with deliver(client).sock:
        expect_line(client, word, reason="not_tls", side="upstream", speaks=speaks)


@pytest.mark.parametrize("closes, reason", [(False, "handshake_timeout"), (True, "handshake_closed")])
def test_an_upstream_of_husk_client_that_says_nothing(husk, closes, reason):
    client = husk.client(Peer(closes=closes), handshake_timeout="60s" if closes else "200ms")
    with deliver(client).sock:
        expect_line(client, "if the port of --upstream takes plaintext", reason=reason, side="upstream",
                    speaks="nothing")


def test_an_upstream_of_husk_server_with_tls(husk, pki):
    server = husk.server(TlsServer(pki))
    agent = deliver_tls(server, pki)
    expect_line(server, "if the port of --upstream speaks TLS", reason="reset", side="upstream", speaks="nothing")
    agent.sock.sock.close()


def test_a_reset_of_an_upstream_that_has_answered_is_no_mistake(half):
    half = half()
    agent = half.agent()
    agent.send(event(1, "one"))
    agent.expect_ack("one")
    half.aggregator.acks = lambda _: half.aggregator.REFUSE
    agent.send(event(2))
    lines = half.husk.wait_until(
        lambda _: half.husk.events(side="upstream", level="warn")[1:], "the end of a connection without an answer")
    assert not any("hint" in line or "speaks" in line for line in lines)


@pytest.mark.parametrize("mode", ["client", "server"])
def test_the_admin_port_of_a_husk_as_upstream(husk, pki, mode):
    other = husk.server(raw.Listener())
    address = raw.format_address(other.admin)
    one = husk.client(address) if mode == "client" else husk.server(address)
    agent = deliver(one).sock if mode == "client" else deliver_tls(one, pki).sock.sock
    with agent:
        expect_line(one, "admin port", reason="not_tls" if mode == "client" else "bad_ack", side="upstream",
                    speaks="http_response")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_port_on_which_nobody_listens(husk, pki, mode):
    address = raw.format_address(raw.free_address())
    one = husk.client(address) if mode == "client" else husk.server(address)
    agent = deliver(one).sock if mode == "client" else deliver_tls(one, pki).sock.sock
    with agent:
        expect_line(one, address, "no program listens on the port of --upstream", reason="connect_refused")


# ---- shared keys ----

def with_key(side, value="a key", **options):
    """The options of one husk: `side` is shared (towards the upstream) or accept (towards agents)."""
    return {f"{side}_key_env": "KEY", "env": {"KEY": value}, "self_hostname": side, **options}


def test_a_shared_key_at_the_aggregator_with_tls_and_not_at_husk(husk, pki):
    client = husk.client(TlsServer(pki, HELO))
    with deliver(client).sock:
        expect_line(client, "set --shared-key-env", reason="bad_ack", speaks="helo")


@undisturbed
def test_a_shared_key_at_husk_and_not_at_the_aggregator(husk, pki):
    server = husk.server(Peer(), **with_key("shared", handshake_timeout="200ms"))
    agent = deliver_tls(server, pki)
    expect_line(server, "sends no HELO", "remove --shared-key-*", reason="key_timeout", speaks="nothing")
    agent.sock.sock.close()


@pytest.mark.parametrize("name", ["http", "ssh", "tls-alert"])
def test_a_shared_key_at_husk_and_an_upstream_that_answers_otherwise(husk, pki, name):
    _, options, speaks, *words = AT_UPSTREAM[name]
    greets = options.get("greets") or options["answers"]
    server = husk.server(Peer(greets), **with_key("shared"))
    agent = deliver_tls(server, pki)
    expect_line(server, *words, reason="key_malformed", side="upstream", speaks=speaks)
    agent.sock.sock.close()


def test_a_shared_key_at_husk_and_an_upstream_with_tls(husk, pki):
    class Impatient(TlsServer):
        def talk(self, sock):
            sock.settimeout(0.05)
            super().talk(sock)
    server = husk.server(Impatient(pki), **with_key("shared"))
    agent = deliver_tls(server, pki)
    expect_line(server, "if the port of --upstream speaks TLS", reason="key_rejected", speaks="nothing")
    agent.sock.sock.close()


@undisturbed
def test_two_husks_of_which_only_the_client_has_a_key(husk):
    server = husk.server(Aggregator(), silence_hint="100ms")
    client = husk.client(server, **with_key("shared", handshake_timeout="1s"))
    with deliver(client).sock:
        expect_line(client, "remove --shared-key-*", side="upstream")


def test_two_husks_of_which_only_the_server_has_a_key(husk):
    server = husk.server(Aggregator(), **with_key("accept"))
    client = husk.client(server)
    with deliver(client).sock:
        expect_line(client, "set --shared-key-env", reason="link_error", speaks="helo")
        expect_line(server, "set --shared-key-env or --shared-key-file at the peer", reason="key_malformed", speaks="link")


def test_two_husks_with_different_keys(husk):
    server = husk.server(Aggregator(), **with_key("accept"))
    client = husk.client(server, **with_key("shared", "another key"))
    with deliver(client).sock:
        expect_line(client, "shared_key mismatch", "--shared-key-env", reason="key_rejected", side="upstream")
        expect_line(server, "--accept-key-env", reason="key_wrong", side="downstream")


# ---- husk and husk ----

def test_husk_client_dials_husk_client(husk):
    second = husk.client(raw.Listener())
    first = husk.client(second)
    with deliver(first).sock:
        expect_line(first, "if the port of --upstream takes plaintext", reason="handshake_closed", side="upstream")
        expect_line(second, "let the peer connect to husk server", reason="not_forward", speaks="tls")


def test_husk_server_dials_husk_server(husk, pki):
    second = husk.server(raw.Listener())
    first = husk.server(second)
    agent = deliver_tls(first, pki)
    expect_line(first, "if the port of --upstream speaks TLS", reason="reset", side="upstream")
    expect_line(second, "let the peer send to husk client", reason="not_tls", speaks="forward")
    agent.sock.sock.close()


def test_husk_client_dials_an_old_husk(husk, pki):
    server = link.LinkServer(pki, (link.OLD,))
    client = husk.client(server)
    with deliver(client).sock:
        peer = server.accept_link()
        assert peer.read_message()[2] == {"n": 1}
        client.wait_for_line(lambda line: "does not speak husk-link/1" in line, "the hint")
    assert not client.problems()


def test_a_husk_that_shall_not_speak_the_link_does_not_miss_it(husk, pki):
    """The husk behind cannot know that."""
    server = husk.server(Aggregator())
    client = husk.client(server, upstream_link="off")
    with deliver(client).sock:
        server.wait_for_line(lambda line: "does not speak husk-link/1" in line, "the hint")
        client.wait_for_metric("husk_messages_settled_total", 1)
    assert not any("husk-link" in line for line in client.lines)


@pytest.mark.parametrize("client, server", [("tcp", "forward"), ("forward", "tcp")])
def test_tcp_in_one_half_and_forward_in_the_other_carry_messages(husk, client, server):
    aggregator = Aggregator()
    server = husk.server(aggregator, protocol=server)
    client = husk.client(server, protocol=client)
    agent = Agent(raw.connect(client.address))
    agent.send(event(1, "one"))
    agent.expect_ack("one")
    assert aggregator.numbers() == [1] and not client.problems() + server.problems()


def test_tcp_in_the_client_only_and_an_agent_that_speaks_json(husk):
    server = husk.server(raw.Listener())
    client = husk.client(server, protocol="tcp")
    raw.assert_resets(client.address, b'["t",1,{"n":1}]')
    expect_line(server, "--protocol tcp on each husk between the agent and the aggregator", reason="json")


# ---- certificates ----

def test_a_typo_in_allow_cn_shows_all_names_of_the_peer(husk, pki):
    server = husk.server(raw.Listener(), allow_cn="cleint")
    client = husk.client(server)
    with deliver(client).sock:
        expect_line(client, "the server does not admit the certificate of --cert", "not_allowed", "--allow-*",
                    reason="tls_rejected", side="upstream")
        expect_line(server, "cn:client, dns:client", "--allow-*", reason="not_allowed", side="downstream")


def test_a_wrong_server_name_shows_the_names_of_the_certificate(husk):
    server = husk.server(raw.Listener())
    client = husk.client(server, server_name="logs.example")
    with deliver(client).sock:
        expect_line(client, "logs.example", "localhost, 127.0.0.1", "--server-name", reason="certificate_name")


def test_a_server_certificate_with_a_cn_only(husk, pki):
    server = husk.server(raw.Listener(), certificate=pki.cn_only_server)
    client = husk.client(server)
    with deliver(client).sock:
        expect_line(client, 'its CN is "localhost"', "--allow-cn-as-name", reason="certificate_name")


def test_a_server_certificate_of_another_ca(husk, pki):
    server = husk.server(raw.Listener(), certificate=pki.foreign_server)
    client = husk.client(server)
    with deliver(client).sock:
        expect_line(client, "not in our CA file", "--ca", reason="certificate_unknown_ca", side="upstream")


@pytest.mark.parametrize("side", ["downstream", "upstream"])
def test_a_revocation_list_is_required_and_missing(husk, pki, side):
    required = {"revocation_policy": "require"}
    server = husk.server(raw.Listener(), **(required if side == "downstream" else {}))
    client = husk.client(server, **(required if side == "upstream" else {}))
    with deliver(client).sock:
        line = (server if side == "downstream" else client).wait_for_event(reason="revocation_unknown", side=side)
        expect_words(line, ("no revocation list of its issuer CN=CA ours", "--crl", "--revocation-policy warn"))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_agent_with_an_expired_certificate_comes_to_husk_server(husk, pki, version):
    server = husk.server(raw.Listener())
    with pytest.raises(ssl.SSLError, match="(?i)certificate.expired"):
        raw.connect_tls(server.address, pki.ca.cert, pki.expired_client, version).recv(1)
    expect_line(server, "expired at", "renew the certificate of the peer", "clocks", reason="certificate_expired",
                side="downstream")


def test_an_aggregator_with_an_expired_certificate(husk, pki):
    client = husk.client(TlsServer(pki, certificate=pki.expired_server))
    with deliver(client).sock:
        expect_line(client, "expired at", "renew the certificate of the peer", reason="certificate_expired", side="upstream")


def test_an_aggregator_that_does_not_accept_the_certificate_of_husk(husk, pki):
    client = husk.client(TlsServer(pki, ca=pki.other_ca.cert))
    with deliver(client).sock:
        expect_line(client, "--cert", reason="tls_rejected", side="upstream")


def test_an_alert_that_is_not_about_a_certificate(husk):
    """The hint blames no certificate: here the two ends have no cipher in common."""
    client = husk.client(Peer(answers=b"\x15\x03\x03\x00\x02\x02\x28", closes=True))
    with deliver(client).sock:
        expect_line(client, "HANDSHAKE_FAILURE", "if the alert is about a certificate", reason="tls_rejected",
                    side="upstream")


# ---- addresses ----

def usage_error(husk, mode, certificate, **options):
    given = husk.options(f"{raw.HOST}:1", certificate, log_format=None, **options)
    result = run(mode, *flags(**given, allow_any=True if mode == "server" else None))
    lines = result.stderr.splitlines()
    assert result.returncode == 2 and len(lines) == 1, result
    return lines[0]


@pytest.mark.parametrize("mode", ["client", "server"])
@pytest.mark.parametrize("listen, upstream", [
    ("127.0.0.1:24224", "127.0.0.1:24224"),
    ("127.0.0.1:24224", "localhost:24224"),
    ("localhost:24224", "127.0.0.1:24224,weight=2"),
    ("[::1]:24224", "[::1]:24224"),
    ("unix:/tmp/h", "unix:/tmp/h"),
])
def test_an_upstream_that_is_the_listener_of_husk_itself(husk, pki, mode, listen, upstream):
    server_name = "localhost" if mode == "client" else None
    line = usage_error(husk, mode, getattr(pki, mode), listen=listen, upstream=[upstream], server_name=server_name)
    assert "--upstream" in line and "--listen" in line


@pytest.mark.parametrize("listen", ["0.0.0.0:24224", "[::]:24224", ":24224"])
def test_an_upstream_that_is_the_listener_on_all_addresses(husk, pki, listen):
    line = usage_error(husk, "server", pki.server, listen=listen, upstream="127.0.0.1:24224")
    assert "--upstream" in line and "--listen" in line


@pytest.mark.parametrize("mode", ["client", "server"])
@pytest.mark.parametrize("setting", ["listen", "upstream"])
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:24224", "fluentd://127.0.0.1:24224", "127.0.0.1"])
def test_an_address_in_another_form_is_understood_or_named(husk, pki, mode, setting, address):
    """After husk has understood the address, a missing certificate file stops the start."""
    missing = getattr(pki, mode)._replace(cert="/nowhere.pem")
    given = {**husk.options(f"{raw.HOST}:1", missing, log_format=None), setting: address}
    result = run(mode, *flags(**given, allow_any=True if mode == "server" else None))
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    if result.returncode == 2:
        assert f"--{setting}" in lines[0] and "expected" in lines[0]
    else:
        assert address.startswith("tcp://") and "/nowhere.pem" in lines[0]
