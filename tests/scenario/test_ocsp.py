"""A client looks at the OCSP response that a server staples."""

import pytest

from support import raw
from support.husk import LIGHT, run
from support.pki import RevocationLists
from support.staples import Responder, StaplingServer

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(name="connect")
def _connect(husk, pki):
    """Starts a server with a response, and a client that dials it. Returns the client."""
    servers = []

    def connect(response, version=None, certificate=None, **options):
        servers.append(StaplingServer(certificate or pki.server, pki.ca.cert, response, version))
        client = husk.client("localhost:%d" % servers[-1].address[1], protocol="tcp", **options)
        raw.connect(client.address).sendall(b"x")
        return client
    yield connect
    for server in servers:
        server.close()


@pytest.fixture(name="responder")
def _responder(tmp_path, pki):
    return Responder(tmp_path / "responder", pki.ca)


@pytest.fixture(name="demanding", scope="module")
def _demanding(pki):
    """A certificate with the TLS feature extension (RFC 7633)."""
    return pki.ca.issue("demanding", "localhost", "serverAuth\ntlsfeature=status_request", "DNS:localhost")


def expect_accepted(client):
    client.wait_for_metric("husk_handshakes_total", 1, side="upstream", result="full")


def expect_refused(client, reason, *words):
    detail = client.wait_for_event(reason=reason, side="upstream")["detail"]
    assert all(word in detail for word in words), detail


@VERSIONS
@pytest.mark.parametrize("policy", ["warn", "require", "ignore"])
def test_a_good_response_is_accepted(connect, responder, pki, version, policy):
    expect_accepted(connect(responder.respond(pki.server), version, revocation_policy=policy))


@VERSIONS
@pytest.mark.parametrize("policy", ["warn", "require", "ignore"])
def test_a_revoked_server_is_refused(connect, responder, pki, version, policy):
    client = connect(responder.respond(pki.server, "R"), version, revocation_policy=policy)
    expect_refused(client, "certificate_revoked", "as the OCSP response of the server says")


def test_a_revoked_server_is_refused_also_if_a_list_is_good(connect, responder, pki, tmp_path):
    (tmp_path / "list").write_text(RevocationLists(tmp_path, pki.ca).make("l"))
    expect_refused(connect(responder.respond(pki.server, "R"), crl=tmp_path / "list"), "certificate_revoked")


def test_a_list_revokes_a_server_also_if_its_response_is_good(connect, responder, pki, tmp_path):
    (tmp_path / "list").write_text(RevocationLists(tmp_path, pki.ca).make("l", pki.server))
    expect_refused(connect(responder.respond(pki.server), crl=tmp_path / "list"), "certificate_revoked")


@pytest.mark.parametrize("kind, words", [
    ("none", "no revocation list of its issuer CN=CA ours speaks for it"),
    ("unknown", "the responder does not know the certificate"),
    ("other certificate", "is not about this certificate"), ("other CA", "is not about this certificate"),
    ("junk", "is not about this certificate")])
@pytest.mark.parametrize("policy", ["warn", "require"])
def test_the_policy_decides_about_other_responses(connect, responder, pki, tmp_path, kind, words, policy):
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x30\x03\x0a\x01\x00")
    other = Responder(tmp_path / "other", pki.ca, signer=pki.foreign_server)
    response = {"none": lambda: None, "unknown": lambda: responder.respond(pki.server, None),
                "other certificate": lambda: responder.respond(pki.next_server),
                "other CA": lambda: other.respond(pki.server), "junk": lambda: junk}[kind]()
    client = connect(response, revocation_policy=policy)
    if policy == "warn":
        expect_accepted(client)
    else:
        expect_refused(client, "revocation_unknown", words)


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("policy", ["warn", "require"])
def test_a_response_becomes_stale(connect, responder, pki, shim, policy):
    """The clock of the client is two days fast."""
    client = connect(responder.respond(pki.server), revocation_policy=policy, env={
        "LD_PRELOAD": str(shim), "CLOCK_JUMP_FILE": "/", "CLOCK_JUMP_SECONDS": "172800"})
    if policy == "warn":
        expect_accepted(client)
    else:
        expect_refused(client, "revocation_unknown", "and the OCSP response of the server is stale")


@pytest.mark.parametrize("policy", ["warn", "require", "ignore"])
def test_a_response_that_shows_nothing_is_told(connect, responder, pki, policy):
    client = connect(responder.respond(pki.server, None), revocation_policy=policy)
    if policy == "warn":
        line = client.wait_for_event(message="the OCSP response of the server shows nothing")
        assert line["detail"] == "says that the responder does not know the certificate" and line["level"] == "warn"
    elif policy == "ignore":
        expect_accepted(client)
        assert not [one for one in client.problems() if "OCSP" in one["message"]]
    else:
        expect_refused(client, "revocation_unknown")


@pytest.mark.parametrize("policy", ["warn", "require", "ignore"])
@pytest.mark.parametrize("kind", ["none", "unknown", "good", "none, but a list"])
def test_a_certificate_that_demands_a_response_gets_one(connect, responder, pki, demanding, tmp_path, policy, kind):
    response = {"unknown": lambda: responder.respond(demanding, None), "good": lambda: responder.respond(demanding)}.get(kind, lambda: None)()
    options = {}
    if kind == "none, but a list":
        (tmp_path / "list").write_text(RevocationLists(tmp_path, pki.ca).make("l"))
        options = {"crl": tmp_path / "list"}
    client = connect(response, certificate=demanding, revocation_policy=policy, **options)
    if kind == "good" or policy == "ignore":
        expect_accepted(client)
    else:
        expect_refused(client, "revocation_unknown", "demands an OCSP response (TLS feature extension), and that of the server ",
                       "does not know" if kind == "unknown" else "is missing")


def test_a_husk_server_whose_certificate_demands_a_response_warns(husk, pki, demanding):
    server = husk.server(raw.Listener(), protocol="tcp", allow_any=True, certificate=demanding)
    assert [one for one in server.problems() if "demands an OCSP response, which husk does not send" in one["message"]]
    done = run("check", "server", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--allow-any", "--cert", demanding.cert,
               "--key", demanding.key, "--ca", pki.ca.cert)
    assert "warning  --cert" in done.stdout and "demands an OCSP response, which husk does not send" in done.stdout


def test_a_weak_response_proves_nothing(connect, responder, pki):
    expect_refused(connect(responder.respond(pki.server, options=("-rmd", "sha1")), revocation_policy="require"), "revocation_unknown",
                   "has a weak signature")
    expect_accepted(connect(responder.respond(pki.server, options=("-rmd", "sha1")), revocation_policy="require",
                            allow_weak_certificates=True))


def test_a_response_may_name_the_key_of_its_signer(connect, responder, pki):
    expect_accepted(connect(responder.respond(pki.server, options=("-resp_key_id",)), revocation_policy="require"))


def test_a_list_proves_what_a_response_does_not(connect, responder, pki, tmp_path):
    (tmp_path / "list").write_text(RevocationLists(tmp_path, pki.ca).make("l"))
    expect_accepted(connect(responder.respond(pki.server, None), crl=tmp_path / "list", revocation_policy="require"))


def test_a_responder_of_the_ca_may_sign(connect, pki, tmp_path):
    signer = pki.ca.issue("responder", "responder", "OCSPSigning")
    expect_accepted(connect(Responder(tmp_path / "r", pki.ca, signer).respond(pki.server), revocation_policy="require"))


def test_another_certificate_of_the_ca_may_not_sign(connect, pki, tmp_path):
    response = Responder(tmp_path / "r", pki.ca, pki.next_server).respond(pki.server)
    expect_refused(connect(response, revocation_policy="require"), "revocation_unknown")
