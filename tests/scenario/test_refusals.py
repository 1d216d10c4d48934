"""Refused peers: the refusing side logs one line with the reason, no byte is delivered, the agent is reset."""

import ssl

import pytest

from support import raw
from support.forward import Agent, Aggregator, event
from support.husk import flags, run

MESSAGE = b"an event that must not arrive"


def one_problem(husk, **fields):
    """Stops husk. It must have logged one warning or error, with these fields."""
    husk.wait_for_event(reason=fields["reason"])
    husk.stop()
    problems = husk.problems()
    assert len(problems) == 1 and fields.items() <= problems[0].items(), problems
    return problems[0]


# ---- the server decides ----

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@VERSIONS
@pytest.mark.parametrize("shown, reason", [
    ("foreign_client", "certificate_unknown_ca"),
    ("expired_client", "certificate_expired"),
    ("server", "certificate_usage"),
    (None, "certificate_missing"),
])
def test_server_refuses_a_bad_client_certificate(husk, pki, version, shown, reason):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", allow_any=True)
    certificate = getattr(pki, shown) if shown else None
    peer = raw.TlsPeer(raw.connect(server.address), raw.tls_context(False, pki.ca.cert, certificate, version))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        peer.handshake()
        peer.sendall(MESSAGE)
        peer.recv(1)
    one_problem(server, reason=reason, side="downstream", level="warn", message="connection ended")
    assert not upstream.was_dialled()


@VERSIONS
@pytest.mark.parametrize("client, server, reason", [
    ("client", {"allow_cn": "somebody-else"}, "not_allowed"),
    ("foreign_client", {}, "certificate_unknown_ca"),
])
def test_an_agent_is_reset_when_husk_server_refuses_its_client(husk, pki, version, client, server, reason):
    tunnel = husk.tunnel(client={"certificate": getattr(pki, client), "tls_max": version}, server=server)
    raw.assert_resets(tunnel.client.address, MESSAGE)
    one_problem(tunnel.server, reason=reason, side="downstream")
    one_problem(tunnel.client, reason="tls_rejected", side="upstream")
    assert not tunnel.upstream.was_dialled()


@VERSIONS
def test_a_refused_client_retains_its_messages_and_logs_the_reason(husk, version):
    """With --protocol forward no message reaches the aggregator, and none is lost."""
    aggregator = Aggregator()
    server = husk.server(aggregator, allow_cn="somebody-else")
    client = husk.client(server, tls_max=version)
    agent = Agent(raw.connect(client.address))
    agent.send(event(0))
    client.wait_for_event(reason="tls_rejected", side="upstream", level="warn")
    server.wait_for_event(reason="not_allowed", side="downstream", level="warn")
    assert client.metric("husk_messages_retained_bytes") > 0
    assert not aggregator.connections


@pytest.mark.parametrize("rule, value, allowed", [
    ("allow_cn", "client", True),
    ("allow_cn", "cl*", True),
    ("allow_cn", "Client", False),
    ("allow_dns", "CLIENT", True),
    ("allow_dns", "other", False),
    ("allow_uri", "spiffe://client", False),
    ("allow_ou", "client", False),
    ("allow_spki", "00" * 32, False),
    ("allow_o", "client", False),
    ("allow_email", "client@example.org", False),
    ("allow_issuer", "CN=CA *", True),
    ("allow_issuer", "CN=client", False),
    ("allow_cn", ["other", "client"], True),
])
def test_allow_options_decide_who_may_connect(husk, rule, value, allowed):
    tunnel = husk.tunnel(server={rule: value})
    agent = raw.connect(tunnel.client.address)
    if allowed:
        agent.sendall(b"?")
        assert tunnel.upstream.accept().recv(1) == b"?"
    else:
        raw.assert_reset(agent)
        one_problem(tunnel.server, reason="not_allowed", side="downstream")


# ---- the client decides ----

@VERSIONS
@pytest.mark.parametrize("shown, reason", [
    ("foreign_server", "certificate_unknown_ca"),
    ("expired_server", "certificate_expired"),
    ("misnamed_server", "certificate_name"),
    ("cn_only_server", "certificate_name"),
    ("misused_server", "certificate_usage"),
])
def test_client_refuses_a_bad_server_certificate(husk, pki, version, shown, reason):
    listener = raw.Listener()
    client = husk.client(f"localhost:{listener.address[1]}", protocol="tcp")
    agent = raw.connect(client.address)
    agent.sendall(MESSAGE)
    context = raw.tls_context(True, pki.ca.cert, getattr(pki, shown), version)
    received = b""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        peer = raw.TlsPeer(listener.accept(), context, server_side=True).handshake()
        received = peer.recv(100)
    assert not received
    raw.assert_reset(agent)
    one_problem(client, reason=reason, side="upstream", level="warn", message="connection ended")


def serve_once(listener, context):
    """Accepts one connection as a TLS server and reads one byte."""
    return raw.TlsPeer(listener.accept(), context, server_side=True).handshake().recv(1)


def test_a_server_name_only_in_the_cn_is_refused_with_advice(husk, pki):
    tunnel = husk.tunnel(client={"server_name": "localhost"}, server={"certificate": pki.cn_only_server})
    agent = raw.connect(tunnel.client.address)
    raw.assert_reset(agent)
    detail = one_problem(tunnel.client, reason="certificate_name")["detail"]
    assert "--server-name" in detail and "--allow-cn-as-name" in detail


@pytest.mark.parametrize("options", [
    {"server_name": "localhost", "allow_cn_as_name": True},
    {"server_name": "localhost", "allow_cn_as_name": True, "tls_max": "1.2"},
])
def test_a_server_name_only_in_the_cn_is_accepted_with_allow_cn_as_name(husk, pki, options):
    tunnel = husk.tunnel(client=options, server={"certificate": pki.cn_only_server})
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator)


def test_the_cn_is_ignored_in_a_certificate_with_sans(husk, pki):
    tunnel = husk.tunnel(client={"server_name": "localhost", "allow_cn_as_name": True},
                         server={"certificate": pki.misnamed_server})
    raw.assert_reset(raw.connect(tunnel.client.address))
    one_problem(tunnel.client, reason="certificate_name")


def test_server_name_replaces_the_upstreams_name_and_is_sent_as_sni(husk, pki):
    listener, asked = raw.Listener(), []
    context = raw.tls_context(True, pki.ca.cert, pki.misnamed_server)
    context.sni_callback = lambda _, name, __: asked.append(name)
    client = husk.client(listener, protocol="tcp", server_name="elsewhere.example")
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    assert serve_once(listener, context) == b"?"
    assert asked == ["elsewhere.example"]


def test_a_weak_certificate_is_admitted_only_with_allow_weak_certificates(husk, pki):
    upstream = raw.Listener()
    strict = husk.server(upstream, protocol="tcp")
    client = husk.client(strict, protocol="tcp", certificate=pki.weak_client)
    raw.assert_reset(raw.connect(client.address))
    assert "RSA key of 1024 bits" in one_problem(strict, reason="certificate_weak")["detail"]
    assert any("weak-client.crt" in line["message"] for line in client.problems())
    lenient = husk.server(upstream, protocol="tcp", allow_any=True, allow_weak_certificates=True)
    client = husk.client(lenient, protocol="tcp", certificate=pki.weak_client)
    agent = raw.connect(client.address)
    raw.carry(agent, upstream.accept())
    assert any("--allow-weak-certificates" in line["message"] for line in lenient.problems())


def test_a_refused_client_does_not_disturb_others(husk, pki):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp")
    client = husk.client(server, protocol="tcp")
    foreign = husk.client(server, protocol="tcp", certificate=pki.foreign_client)
    agent = raw.connect(client.address)
    aggregator = upstream.accept()
    raw.assert_reset(raw.connect(foreign.address))
    raw.carry(agent, aggregator)


def test_refusals_beyond_log_burst_are_counted_and_not_logged(husk, pki):
    tunnel = husk.tunnel(client={"certificate": pki.foreign_client}, server={"log_burst": 3})
    for _ in range(10):
        raw.assert_reset(raw.connect(tunnel.client.address))
    tunnel.server.wait_for_metric("husk_handshake_failures_total", 10, reason="certificate_unknown_ca")
    tunnel.server.stop()
    *logged, summed_up = tunnel.server.problems()
    assert len(logged) == 3
    assert summed_up["reason"] == "certificate_unknown_ca" and summed_up["suppressed"] == 7


# ---- husk refuses its own files at the start ----

def fails_to_start(husk, certificate, *words, env=None, **options):
    result = run("client", *flags(**husk.options(f"{raw.HOST}:1", certificate, protocol="tcp", log_format=None,
                                              **options)),
                 env=env)
    lines = result.stderr.splitlines()
    assert result.returncode == 1 and len(lines) == 1, result
    for word in words:
        assert word in lines[0]


LOCKED = pytest.mark.parametrize("form", ["pkcs8", "dek-info"])


@LOCKED
@pytest.mark.parametrize("given", ["wrong", None])
def test_a_wrong_or_missing_passphrase_is_one_line_with_the_file_name(husk, pki, form, given):
    locked = pki.locked(pki.client, "right", form)
    fails_to_start(husk, locked, locked.key, "passphrase", env={"SECRET": given} if given else None,
                   key_passphrase_env="SECRET" if given else None)


@LOCKED
def test_a_passphrase_from_the_environment_or_a_file_decrypts_the_key(husk, pki, tmp_path, form):
    (tmp_path / "passphrase").write_text("right\n")
    tunnel = husk.tunnel(
        client={"certificate": pki.locked(pki.client, "right", form), "key_passphrase_env": "SECRET",
                "env": {"SECRET": "right"}},
        server={"certificate": pki.locked(pki.server, "right", form),
                "key_passphrase_file": tmp_path / "passphrase"})
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator)


def test_the_key_of_another_certificate_is_one_line_with_the_file_name(husk, pki):
    fails_to_start(husk, pki.client._replace(key=pki.server.key), pki.server.key, "match")


def test_an_expired_own_certificate_is_one_line_with_the_file_name(husk, pki):
    fails_to_start(husk, pki.expired_client, pki.expired_client.cert, "expired")


def test_a_file_without_a_certificate_is_one_line_with_the_file_name(husk, pki, tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate\n")
    fails_to_start(husk, pki.client._replace(cert=str(junk)), str(junk))


def test_a_key_that_other_users_may_read_is_a_warning(husk, pki, tmp_path):
    key = tmp_path / "key.pem"
    key.write_bytes(open(pki.client.key, "rb").read())
    key.chmod(0o644)
    client = husk.client(f"{raw.HOST}:1", protocol="tcp", certificate=pki.client._replace(key=str(key)))
    client.stop()
    assert len(client.problems()) == 1 and str(key) in str(client.problems()[0])
