"""--client-certificate and --allow-anonymous: clients of husk server that show no certificate. --cert none: husk client is one."""

import signal
import ssl

import pytest

from support import raw
from support.config_file import route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import flags, run

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
ANONYMOUS = {"client_certificate": "optional", "allow_anonymous": True}


def agent_of(husk, certificate=None, version=None):
    return Agent(raw.connect_tls(husk.address, husk.ca, certificate, version))


@pytest.fixture
def server(husk, pki):
    def start(aggregator=None, **options):
        one = husk.server(aggregator or Aggregator(), **options)
        one.ca = pki.ca.cert
        return one
    return start


@BOTH
@pytest.mark.parametrize("mode", ["optional", "none"])
def test_a_client_without_certificate_is_admitted_where_it_is_said(server, version, mode):
    aggregator = Aggregator()
    husk = server(aggregator, client_certificate=mode, allow_anonymous=True)
    carry_acked(agent_of(husk, version=version), 1, "one")
    assert aggregator.numbers() == [1]
    assert husk.wait_for_event(level="warn", message="--client-certificate: clients without a certificate are admitted")


@BOTH
def test_without_the_word_a_certificate_is_required(server, version):
    husk = server(allow_any=True)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        agent_of(husk, version=version).expect_ack("never")
    husk.wait_for_event(message="connection ended", reason="certificate_missing")


@BOTH
def test_a_certificate_that_is_shown_is_judged_as_ever(server, pki, version):
    aggregator = Aggregator()
    husk = server(aggregator, **ANONYMOUS, allow_cn="client")
    carry_acked(agent_of(husk, pki.client, version), 1, "one")
    for certificate, reason in ((pki.server, "certificate_usage"),
                                (pki.ca.issue(f"other-{version}", "other", "clientAuth"), "not_allowed")):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            agent_of(husk, certificate, version).expect_ack("never")
        husk.wait_for_event(message="connection ended", reason=reason)
    carry_acked(agent_of(husk, version=version), 2, "two")
    assert aggregator.numbers() == [1, 2]


def test_any_admits_certificates_alone(server, pki):
    husk = server(client_certificate="optional", allow_anonymous=True, allow_any=True, rule=["cn=client tags=t", "any tags=other"])
    carry_acked(agent_of(husk, pki.client), 1, "one")
    agent_of(husk).send(event(2))
    line = husk.wait_for_event(message="connection ended", reason="tag_not_allowed")
    assert line["identity"] == "anonymous" and "rule 2 (any tags=other)" in line["detail"]


@BOTH
def test_the_session_of_a_client_without_certificate_is_judged_again(server, version):
    husk = server(**ANONYMOUS)
    context = raw.tls_context(False, husk.ca, None, version)
    first = raw.TlsPeer(raw.connect(husk.address), context).handshake()
    carry_acked(Agent(first), 1, "one")
    second = raw.TlsPeer(raw.connect(husk.address), context, session=first.tls.session).handshake()
    carry_acked(Agent(second), 2, "two")
    assert husk.metric("husk_handshakes_total", side="downstream", result="resumed") == 1


def test_a_not_is_never_true_of_a_client_without_certificate(file, pki):
    aggregator = Aggregator()

    def at(mode="optional", **settings):
        return route("r", aggregator, tls={"downstream": {**tls(pki.server, pki.ca), "client_certificate": mode}}, **settings)

    def agent():
        agent = Agent(raw.connect_tls(address, pki.ca.cert))
        agent.send(event(9))
        return agent
    admits = {"anonymous": True, "not": {"ou": "x"}}
    running = file(at(allow=admits, rules=[{"not": {"ou": "x"}, "tags": "t"}, {"any": True, "tags": "u"}]))
    address = raw.parse_address(running.husk.wait_for_event(message="listening", route="r")["address"])
    agent()
    detail = running.husk.wait_for_event(reason="tag_not_allowed")["detail"]
    assert detail.startswith("no rule matches this identity")
    running.change(at(allow=admits))
    stays = agent()
    aggregator.wait_for(1)
    running.change(at(allow=admits, deny={"not": {"o": "x"}}))  # the denial cannot be judged
    assert raw.read_to_end(stays.sock) == b""
    running.husk.wait_for_event(reason="distrusted")
    agent()
    running.husk.wait_for_event(reason="certificate_missing")
    running.change(at(allow=admits))
    stays = agent()
    aggregator.wait_for(2)
    running.change(at("require", allow={"any": True}))
    assert raw.read_to_end(stays.sock) == b""


@pytest.mark.parametrize("options, words", [
    ({"client_certificate": "optional", "allow_any": True}, "--client-certificate: optional and none require --allow-anonymous"),
    ({"allow_anonymous": True}, "--allow-anonymous: requires --client-certificate optional or none"),
    ({"client_certificate": "none", "allow_anonymous": True, "allow_cn": "x"},
     "--allow-cn: cannot be combined with --client-certificate none: clients show no certificate"),
    ({"client_certificate": "none", "allow_anonymous": True, "deny_cn": "x"}, "--deny-cn: cannot be combined with"),
    ({"client_certificate": "none", "allow_anonymous": True, "rule": "cn=x"},
     '--rule: "cn=x": agents show no certificate: only "any" can match them'),
    ({"client_certificate": "none", "allow_anonymous": True, "add_identity": "field=x"},
     "--add-identity: cannot be combined with --client-certificate none"),
    ({"client_certificate": "maybe", "allow_any": True}, "--client-certificate"),
])
def test_a_contradiction_is_told(pki, options, words):
    given = {"listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "cert": pki.server.cert, "key": pki.server.key,
             "ca": pki.ca.cert, "admin": "off"}
    result = run("server", *flags(**given, **options))
    assert result.returncode == 2 and words in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr


NOTHING = {"cert": "none", "key": None}


@BOTH
def test_husk_client_shows_no_certificate_where_it_is_said(husk, version):
    aggregator = Aggregator()
    server = husk.server(aggregator, **ANONYMOUS)
    client = husk.client(server, tls_max=version, **NOTHING)
    carry_acked(Agent(raw.connect(client.address)), 1, "one")
    assert "husk_certificate_not_after_seconds{" not in client.get("/metrics")[1]
    assert client.metric("husk_certificate_ca_not_after_seconds")
    client.signal(signal.SIGHUP)
    client.wait_for_event(message="credentials reloaded")
    carry_acked(Agent(raw.connect(client.address)), 2, "two")
    assert aggregator.numbers() == [1, 2] and not client.problems()


@BOTH
def test_a_server_that_wants_a_certificate_refuses_husk_client_without(husk, version):
    server = husk.server(Aggregator())
    client = husk.client(server, tls_max=version, **NOTHING)
    agent = Agent(raw.connect(client.address))
    agent.send(event(1))
    client.wait_for_event(message="connection ended", side="upstream", reason="tls_rejected")
    server.wait_for_event(message="connection ended", reason="certificate_missing")


@pytest.mark.parametrize("mode, options, words", [
    ("client", {"key": None}, "--key: is required"),
    ("client", {"cert": None}, "--cert"),
    ("client", {"cert": "none"}, "--key: cannot be combined with --cert none"),
    ("client", {**NOTHING, "key_passphrase_env": "X"}, "--key-passphrase-env: cannot be combined with --cert none"),
    ("server", {**NOTHING, "allow_any": True}, "--cert: none is for clients: a server needs a certificate"),
])
def test_no_certificate_must_be_said_and_nothing_else(pki, mode, options, words):
    certificate = getattr(pki, mode)
    given = {"listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "cert": certificate.cert, "key": certificate.key,
             "ca": pki.ca.cert, "admin": "off", **options}
    result = run(mode, *flags(**given))
    assert result.returncode == 2 and words in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr


def test_check_knows_a_client_without_certificate(check, husk):
    server = husk.server(Aggregator(), **ANONYMOUS)
    checked = check("client", server, connect=True, **NOTHING).expect_good()
    checked.expect("note", "--cert none", "husk shows no certificate to servers")
    checked.expect("ok", "the server accepts husk without a certificate")


def test_check_warns_of_clients_without_certificate(check):
    checked = check("server", Aggregator(), **ANONYMOUS)
    checked.expect("warning", "--client-certificate", "clients without a certificate are admitted")
