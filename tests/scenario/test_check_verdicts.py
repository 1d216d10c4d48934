"""husk check --connect and a real connection of husk say the same about each peer: neither accepts what the other refuses,
and both give the same reason."""

import contextlib
import pathlib
import ssl

import pytest

from support import config_file, raw
from support.forward import Agent, Aggregator, Parser, ack, event
from support.pki import Certificate, RevocationLists, openssl
from support.process import eventually
from support.strangers import HELO, HTTP_RESPONSE, SSH, Peer
from support.trust import Intermediate

FUTURE = ("-startdate", "20990101000000Z", "-enddate", "21000101000000Z")


class TlsAggregator(Peer):
    """An aggregator with TLS: it acknowledges each message. Shows certificates that other servers would not show."""

    def __init__(self, pki, certificate, ca=None, version=None):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        self._context.load_verify_locations(ca or pki.ca.cert)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(*certificate)
        if version:
            self._context.minimum_version = self._context.maximum_version = raw.VERSIONS[version]
        super().__init__()

    def talk(self, sock):
        parser = Parser()
        with self._context.wrap_socket(sock, server_side=True) as tls:
            while data := tls.recv(65536):
                for _, value in parser.feed(data):
                    tls.sendall(ack(value[-1]["chunk"]))


# ---- certificates of a peer: of a server, or of a client ----

NAMES = {"server": "IP:127.0.0.1", "client": "DNS:client"}


def chained(directory, pki, cn, sends_intermediate):
    between = Intermediate(directory / "between", pki.ca)
    leaf = between.issue(cn, cn, f"{cn}Auth", NAMES[cn])
    if not sends_intermediate:
        return leaf
    both = directory / "both.pem"
    both.write_text(pathlib.Path(leaf.cert).read_text() + pathlib.Path(between.cert).read_text())
    return Certificate(str(both), leaf.key)


def self_signed(directory, cn):
    made = Certificate(str(directory / "self.crt"), str(directory / "self.key"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", made.key, "-out",
            made.cert, "-days", 30, "-subj", f"/CN={cn}", "-addext", f"subjectAltName={NAMES[cn]}")
    return made


def weak(pki, cn):
    return pki.ca.issue(f"weak-{cn}", cn, f"{cn}Auth", NAMES[cn], new_key=("-newkey", "rsa:1024", "-nodes"))


def sha1(directory, pki, cn):
    made = Certificate(str(directory / "sha1.crt"), getattr(pki, cn).key)
    (directory / "sha1.ext").write_text(f"extendedKeyUsage={cn}Auth\nsubjectAltName={NAMES[cn]}\n")
    openssl("req", "-new", "-key", made.key, "-subj", f"/CN={cn}", "-out", directory / "sha1.csr")
    openssl("x509", "-req", "-sha1", "-in", directory / "sha1.csr", "-CA", pki.ca.cert,
            "-CAkey", pathlib.Path(pki.ca.cert).with_suffix(".key"), "-days", 30, "-extfile", directory / "sha1.ext",
            "-out", made.cert)
    return made


def future(directory, pki, cn):
    """Some releases of `openssl x509` cannot set the first day; `openssl ca` can."""
    made = Certificate(str(directory / "future.crt"), getattr(pki, cn).key)
    (directory / "index").touch()
    (directory / "future.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index\nnew_certs_dir={directory}\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
        f"[x]\nextendedKeyUsage={cn}Auth\nsubjectAltName={NAMES[cn]}\n")
    openssl("req", "-new", "-key", made.key, "-subj", f"/CN={cn}", "-out", directory / "future.csr")
    openssl("ca", "-batch", "-config", directory / "future.cnf", "-cert", pki.ca.cert,
            "-keyfile", pathlib.Path(pki.ca.cert).with_suffix(".key"), "-in", directory / "future.csr", *FUTURE,
            "-notext", "-out", made.cert)
    return made


KINDS = {
    "good": lambda directory, pki, cn: getattr(pki, cn),
    "another CA": lambda directory, pki, cn: getattr(pki, f"foreign_{cn}"),
    "self-signed": lambda directory, pki, cn: self_signed(directory, cn),
    "missing intermediate": lambda directory, pki, cn: chained(directory, pki, cn, False),
    "intermediate": lambda directory, pki, cn: chained(directory, pki, cn, True),
    "expired": lambda directory, pki, cn: getattr(pki, f"expired_{cn}"),
    "not yet valid": future,
    "weak key": lambda directory, pki, cn: weak(pki, cn),
    "weak signature": sha1,
}
SERVERS = {
    **KINDS,
    "wrong usage": lambda directory, pki, cn: pki.misused_server,
    "wrong name": lambda directory, pki, cn: pki.misnamed_server,
    "CN only": lambda directory, pki, cn: pki.cn_only_server,
}
CLIENTS = {
    **KINDS,
    "wrong usage": lambda directory, pki, cn: pki.server,
    "not allowed": lambda directory, pki, cn: pki.unlisted_client,
}
GOOD = {"good", "intermediate"}


def problem_of(checked):
    problems = checked.of("problem")
    assert len(problems) <= 1, problems
    return problems[0] if problems else None


def failure_of(client):
    """The line of the failed connection that a message causes; None: the message is acknowledged."""
    agent = Agent(raw.connect(client.address))
    agent.send(event(1, "chunk"))
    agent.sock.settimeout(0.05)
    ends = []

    def is_decided():
        ends[:] = client.events(message="connection ended", side="upstream")
        try:
            return ends or agent.read_ack() == ack("chunk")
        except TimeoutError:
            return False
    eventually(is_decided, "an ack, or an end")
    agent.close()
    return ends[0] if ends else None


@pytest.fixture
def agree(check, husk):
    """Check and connection agree about this upstream. Returns the finding and the line; None: both are good."""
    def agree(upstream, **options):
        options = {"confirm_timeout": "10s", **options}
        checked = check("client", upstream, connect=True, answer_timeout="10s", **options)
        line = failure_of(husk.client(upstream, **options))
        problem = problem_of(checked)
        assert (problem is None) == (line is None), (checked.findings, line)
        if not line:
            checked.expect("ok", "acknowledges a message without events")
            return None
        if line["reason"] == "unresolved":  # the check looks names up before any connection, and has words of its own
            return problem, line
        assert line["what"] in problem, (problem, line)
        assert line.get("detail", "") in problem and line.get("hint", "") in problem, (problem, line)
        return problem, line
    return agree


# ---- servers with TLS ----

@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", SERVERS)
def test_the_certificate_of_the_server(agree, tmp_path, pki, kind, version):
    failed = agree(TlsAggregator(pki, SERVERS[kind](tmp_path, pki, "server"), version=version))
    assert (failed is None) == (kind in GOOD)
    if failed:
        assert failed[1]["reason"].startswith("certificate_")
        assert ("if this CA is an intermediate, it is missing" in failed[0]) == (kind in ("missing intermediate", "another CA"))


@pytest.mark.parametrize("kind, options, words", [
    ("CN only", {"server_name": "localhost", "allow_cn_as_name": True}, "its name in the CN only"),
    ("weak key", {"allow_weak_certificates": True}, "has an RSA key of 1024 bits, which is weak"),
    ("weak signature", {"allow_weak_certificates": True}, "is signed with ecdsa-with-SHA1, which is weak"),
])
def test_what_a_setting_accepts_is_a_warning(agree, check, tmp_path, pki, kind, options, words):
    upstream = TlsAggregator(pki, SERVERS[kind](tmp_path, pki, "server"), version="1.3")
    assert agree(upstream, **options) is None
    check("client", upstream, connect=True, **options).expect("warning", words)


def test_a_revoked_certificate(agree, tmp_path, pki):
    lists = RevocationLists(tmp_path, pki.ca)
    upstream = TlsAggregator(pki, pki.server)
    assert agree(upstream, ca=lists.bundle(lists.make("fresh"))) is None
    _, line = agree(upstream, ca=lists.bundle(lists.make("revoked", pki.server)))
    assert line["reason"] == "certificate_revoked"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_certificate_of_husk(agree, pki, version):
    _, line = agree(TlsAggregator(pki, pki.server, ca=pki.other_ca.cert, version=version))
    assert line["reason"] == "tls_rejected" and "UNKNOWN_CA" in line["detail"]


@pytest.mark.parametrize("version, options", [("1.2", {"tls_min": "1.3"}), ("1.3", {"tls_max": "1.2"})])
def test_no_common_version_of_tls(agree, pki, version, options):
    agree(TlsAggregator(pki, pki.server, version=version), **options)


# ---- clients of a listener with TLS ----

def admission_of(server, pki, certificate, version):
    """The line of the refused client; None: its message is acknowledged."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_verify_locations(pki.ca.cert)
    context.load_cert_chain(*certificate)
    context.minimum_version = context.maximum_version = raw.VERSIONS[version]
    with contextlib.suppress(OSError):
        agent = Agent(raw.TlsPeer(raw.connect(server.address), context).handshake())
        agent.send(event(1, "chunk"))
        if agent.read_ack() == ack("chunk"):
            return None
    return server.wait_for_event(message="connection ended", side="downstream")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", CLIENTS)
def test_the_certificate_of_a_client(check, husk, tmp_path, pki, kind, version):
    certificate = CLIENTS[kind](tmp_path, pki, "client")
    options = {"tls_min": version, "tls_max": version}
    line = admission_of(husk.server(Aggregator(), **options), pki, certificate, version)
    checked = check("server", client_cert=certificate.cert, client_key=certificate.key, **options)
    problem = problem_of(checked)
    assert (line is None) == (problem is None) == (kind in GOOD), (line, checked.findings)
    if kind in GOOD:
        checked.expect("ok", f"--client-cert {certificate.cert}: TLSv{version}: husk admits this client")
    elif kind in ("expired", "not yet valid"):  # husk client does not start with this certificate
        assert "--client-cert" in problem and ("expired at" in problem or "not valid before" in problem)
    else:
        checked.expect("ok", f"TLSv{version}: a client that has the CAs of --ca accepts the certificate for the name localhost")
        assert f"TLSv{version}: husk refuses this client: {line['what']}: {line['detail']}" in problem
        assert line.get("hint", "") in problem


def test_a_revoked_client(check, husk, tmp_path, pki):
    lists = RevocationLists(tmp_path, pki.ca)
    ca = lists.bundle(lists.make("revoked", pki.client))
    line = admission_of(husk.server(Aggregator(), ca=ca), pki, pki.client, "1.3")
    problem = problem_of(check("server", ca=ca, client_cert=pki.client.cert, client_key=pki.client.key))
    assert line["reason"] == "certificate_revoked" and line["what"] in problem and line["detail"] in problem


def test_without_a_client_husk_says_what_was_not_tested(check):
    checked = check("server").expect_good()
    checked.expect("ok", "TLSv1.2: a client that").expect("ok", "TLSv1.3: a client that")
    checked.expect("note", "whether husk admits a client was not tested", "--client-cert and --client-key")


# ---- other peers ----

@pytest.mark.parametrize("talk", [{"greets": HELO}, {"answers": HTTP_RESPONSE}, {"greets": SSH}, {"closes": True}, {}],
                         ids=["plaintext", "http", "ssh", "closes", "silent"])
def test_a_peer_without_tls(agree, talk):
    assert agree(Peer(**talk), handshake_timeout="10s" if talk else "500ms")


class Forward(Peer):
    """An aggregator that acknowledges messages. A map, which is no message, is skipped, or ends the connection."""

    def __init__(self, skips):
        self._skips = skips
        super().__init__()

    def talk(self, sock):
        parser = Parser()
        while data := sock.recv(65536):
            for _, value in parser.feed(data):
                if isinstance(value, list):
                    sock.sendall(ack(value[-1]["chunk"]))
                elif not self._skips:
                    return


@pytest.mark.parametrize("kind", ["husk", "skips", "refuses"])
def test_the_link_from_the_first_byte(check, husk, tmp_path, kind):
    """Without TLS, --upstream-link on: the check, too, begins with a frame."""
    upstream = Forward(kind == "skips")
    if kind == "husk":
        upstream = husk.run(config_file.write(tmp_path / "behind.yaml", config_file.route("behind", Aggregator())))
    checked = check("server", upstream, connect=True, upstream_link="on")
    server = husk.server(upstream, upstream_link="on")
    agent = raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client)
    agent.sendall(event(1, "chunk"))
    if kind == "refuses":
        line = server.wait_for_event(message="connection ended", side="upstream")
        checked.expect_only("problem", "Forward: ", line["what"])
    else:
        assert agent.recv(1000) == ack("chunk")
        checked.expect_good().expect("ok", "acknowledges a message without events")


def test_a_rule_of_a_husk_is_noticed_on_the_link(check, husk, tmp_path):
    rules = [{"any": True, "tags": ["app.**"]}]
    behind = husk.run(config_file.write(tmp_path / "behind.yaml", config_file.route("behind", Aggregator(), rules=rules)))
    options = {"connect": True, "upstream_link": "on"}
    check("server", behind, **options).expect_only("problem", "refuses a message without events: tag_not_allowed", "--tag")
    check("server", behind, tag="app.check", **options).expect_good()


def test_a_port_on_which_nobody_listens(agree):
    assert agree(raw.format_address(raw.free_address()))


def test_a_name_without_an_address(agree):
    problem, _ = agree("nowhere.invalid:24224", connect_timeout="500ms")
    assert "the name has no address" in problem


def test_a_key_that_does_not_fit(check, husk, pki):
    """husk does not start."""
    mismatched = Certificate(pki.client.cert, pki.server.key)
    check("client", certificate=mismatched).expect_only("problem", "--key", "does not match")
    with pytest.raises(AssertionError, match="cannot start: .*does not match"):
        husk.client(f"{raw.HOST}:1", certificate=mismatched)
