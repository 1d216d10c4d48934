"""--allow-server-* and --ignore-server-name: which servers husk client accepts, beside or instead of those with a name."""

import hashlib
import json
import subprocess

import pytest

from support import raw
from support.config_file import address_of, route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import flags, run
from support.process import eventually
from support.reloading import agent_of
from support.strangers import TlsServer

ID = "spiffe://td/ns/logs/sa/aggregator"


@pytest.fixture(scope="session")
def spiffe(pki):
    """A server without DNS name, as SPIFFE servers are."""
    return pki.ca.issue("pinned", "pinned", "serverAuth", f"URI:{ID}")


def spki(certificate):
    key = subprocess.run(["openssl", "x509", "-in", certificate.cert, "-pubkey", "-noout"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


def refused(client, reason):
    """An agent waits; the first server is refused."""
    Agent(raw.connect(client.address)).send(event(1))
    return client.wait_for_event(message="connection ended", side="upstream", reason=reason)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_without_dns_name_is_accepted_by_its_uri_alone(husk, spiffe, version):
    aggregator = Aggregator()
    server = husk.server(aggregator, certificate=spiffe, tls_max=version)
    client = husk.client(server, allow_server_uri="spiffe://td/**/aggregator", ignore_server_name=True)
    carry_acked(Agent(raw.connect(client.address)), 1, "one")
    assert aggregator.numbers() == [1] and not client.problems()


def test_the_name_is_compared_unless_it_is_ignored(husk, spiffe):
    client = husk.client(husk.server(Aggregator(), certificate=spiffe), allow_server_uri=ID)
    detail = refused(client, "certificate_name")["detail"]
    assert f"--allow-server-uri {ID} together with --ignore-server-name would accept it" in detail


@pytest.mark.parametrize("kind, value, accepted", [
    ("uri", ID, False), ("cn", "server", True), ("dns", "local*", True), ("issuer", "CN=CA ours", True), ("ou", "x", False),
    ("spki", None, True), ("spki", "0" * 64, False), ("email", "*@*", False), ("o", "*", False),
])
def test_each_kind_of_name_is_judged_after_the_server_name(husk, pki, kind, value, accepted):
    value = value or ["1" * 64, spki(pki.server)]  # of the next key and of this one
    server = husk.server(Aggregator())
    client = husk.client(server, **{f"allow_server_{kind}": value})
    if accepted:
        carry_acked(Agent(raw.connect(client.address)), 1, "one")
        return
    line = refused(client, "not_allowed")
    assert "no --allow-server-* setting admits a name of the certificate: cn:server" in line["detail"]
    assert "ACCESS_DENIED" in server.wait_for_event(message="connection ended", reason="tls_rejected")["detail"]
    client.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="not_allowed")
    eventually(lambda: client.get("/ready")[0] == 503, "a server that is refused is not healthy")


def test_a_file_says_which_servers_are_not_accepted(file, husk, pki):
    """`not` beside the server name: what --deny-… is at a server."""
    server = husk.server(Aggregator())

    def start(*keys):
        sides = {"upstream": {**tls(pki.client, pki.ca), "allow": {"not": {"spki": list(keys)}}}}
        return file(route("pinned", server, tls=sides)).husk

    carry_acked(Agent(raw.connect(address_of(start("0" * 64), "pinned"))), 1, "one")
    other = start("0" * 64, spki(pki.server))
    Agent(raw.connect(address_of(other, "pinned"))).send(event(1))
    other.wait_for_event(message="connection ended", side="upstream", reason="not_allowed")


def test_a_session_is_not_resumed_past_a_changed_pin(file, husk, pki):
    server = husk.server(Aggregator())

    def at(**allow):
        return route("r", server, tls={"upstream": {**tls(pki.client, pki.ca), "allow": allow}})
    running = file(at(cn="server"))
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "one")
    running.change(at(all_of=[{"cn": "server"}, {"not": {"dns": "localhost"}}]))
    running.husk.wait_for_event(reason="distrusted", side="upstream")
    agent.send(event(2, "two"))
    line = running.husk.wait_for_event(reason="not_allowed", side="upstream")
    assert "no tls.upstream.allow.* setting admits a name of the certificate: cn:server" in line["detail"]
    running.change(at(spki=spki(pki.server)))
    agent.expect_ack("two")


def test_check_connect_says_why_a_server_is_refused(check, pki):
    checked = check("client", TlsServer(pki), connect=True, allow_server_ou="logs", no_message=True)
    checked.expect_only("problem", "TLS handshake: ", "no --allow-server-* setting admits", "cn:server")
    check("client", TlsServer(pki), connect=True, allow_server_cn="server", no_message=True).expect(
        "ok", "TLS handshake: TLSv1.3")


@pytest.mark.parametrize("allow, ignores, status, finding", [
    ({"uri": "spiffe://td/**"}, True, 0, ("ok", f"admits the certificate: it is the first setting that matches, and matches {ID}")),
    ({"cn": "x"}, False, 1, ("warning", "is not admitted: no setting that admits servers matches one of its names; there are 1")),
    ({"all_of": [{"cn": "*"}, {"not": {"uri": ID}}]}, False, 1, ("note", f"does not match: uri:{ID}")),
])
def test_the_verdict_about_a_server_is_explained(husk, pki, spiffe, tmp_path, allow, ignores, status, finding):
    file = tmp_path / "husk.json"
    file.write_text(json.dumps({"admin": {"listen": "off"}, "routes": [route("r", "127.0.0.1:1", tls={"upstream": {
        **tls(pki.client, pki.ca), "allow": allow, "ignore_server_name": ignores}})]}))
    result = run("check", "--config", file, "--json", "--explain", spiffe.cert)
    texts = [(one["level"], one["text"]) for one in json.loads(result.stdout)["findings"] if one["section"] == "r, upstream"]
    assert finding in texts and ("ok", "is issued by a CA of the route") in texts
    assert (("note", "husk compares the server name, too, when it connects") in texts) != ignores
    assert result.returncode == status


@pytest.mark.parametrize("options, words", [
    ({"ignore_server_name": True}, "--ignore-server-name: requires --allow-server-uri"),
    ({"ignore_server_name": True, "allow_cn_as_name": True, "allow_server_cn": "x"},
     "--ignore-server-name: cannot be combined with --allow-cn-as-name"),
    ({"insecure": True, "allow_server_cn": "x"}, "--allow-server-cn: cannot be combined with --insecure"),
    ({"allow_server_spki": "12"}, '--allow-server-spki: "12" is not a SHA-256 hash'),
    ({"allow_server_uri": ""}, "--allow-server-uri"),
])
def test_a_contradiction_is_told(pki, options, words):
    given = {"listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "cert": pki.client.cert, "key": pki.client.key,
             "ca": None if "insecure" in options else pki.ca.cert, "admin": "off"}
    result = run("client", *flags(**given, **options))
    assert result.returncode == 2 and words in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_unix_upstream_needs_no_name_if_the_name_is_ignored(husk, spiffe, tmp_path):
    husk.server(Aggregator(), certificate=spiffe, listen=f"unix:{tmp_path}/s")
    client = husk.client(f"unix:{tmp_path}/s", allow_server_uri=ID, ignore_server_name=True)
    for number in range(2):
        carry_acked(Agent(raw.connect(client.address)), number, f"{number}")
