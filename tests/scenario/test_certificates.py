"""Several certificates on a side: which one a peer gets."""

import functools
import pathlib
import signal
import ssl

import pytest

from support import raw
from support.config_file import address_of, route
from support.husk import flags, run
from support.pki import LOCAL_NAMES

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
RSA = ("-newkey", "rsa:2048", "-nodes")


class Certificates:
    """Of servers and clients, with keys of several kinds. A certificate is made at its first use."""

    def __init__(self, pki):
        self._pki = pki

    def _issue(self, name, usage, san, new_key=None, authority=None):
        options = {"new_key": new_key} if new_key else {}
        return (authority or self._pki.ca).issue(f"choice-{name}", name, usage, san, **options)

    rsa = functools.cached_property(lambda self: self._issue("rsa", "serverAuth", LOCAL_NAMES, RSA))
    ec = functools.cached_property(lambda self: self._issue("ec", "serverAuth", LOCAL_NAMES))
    one = functools.cached_property(lambda self: self._issue("one", "serverAuth", "DNS:one.example"))
    star = functools.cached_property(lambda self: self._issue("star", "serverAuth", "DNS:*.logs.example"))
    two = functools.cached_property(lambda self: self._issue("two", "serverAuth", "DNS:two.example"))
    four = functools.cached_property(lambda self: self._issue("four", "serverAuth", "DNS:four.logs.example"))
    rsa_client = functools.cached_property(lambda self: self._issue("rsa-client", "clientAuth", "DNS:client", RSA))
    foreign_client = functools.cached_property(
        lambda self: self._issue("their-client", "clientAuth", "DNS:client", authority=self._pki.other_ca))


@pytest.fixture(scope="session")
def made(pki):
    return Certificates(pki)


def further(*certificates):
    return [f"cert={one.cert},key={one.key}" for one in certificates]


def shown(address, pki, version=None, name="localhost", **limits):
    """The common name of the certificate that the server shows to this client. `limits`: of the SSLContext."""
    context = raw.tls_context(False, pki.ca.cert, pki.client, version)
    context.check_hostname = False
    if "ciphers" in limits:
        context.set_ciphers(limits["ciphers"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, False, name)
    with raw.connect(address) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        return dict(pair for [pair] in tls.getpeercert()["subject"])["commonName"]


def serve(husk, first, *more):
    return husk.server(raw.Listener(), protocol="tcp", certificate=first, more_cert=further(*more)).address


# ---- a server: the kind of the key ----

@pytest.mark.parametrize("ciphers, name", [("ECDHE-RSA-AES128-GCM-SHA256", "rsa"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ec")])
def test_a_client_of_tls_1_2_gets_the_certificate_that_its_ciphers_fit(husk, pki, made, ciphers, name):
    for order in ((made.rsa, made.ec), (made.ec, made.rsa)):
        assert shown(serve(husk, *order), pki, "1.2", ciphers=ciphers) == name


@BOTH
def test_a_client_that_verifies_both_kinds_gets_the_first(husk, pki, made, version):
    assert shown(serve(husk, made.rsa, made.ec), pki, version) == "rsa"
    assert shown(serve(husk, made.ec, made.rsa), pki, version) == "ec"


@BOTH
@pytest.mark.parametrize("algorithms, name", [("rsa_pss_rsae_sha256", "rsa"), ("ecdsa_secp256r1_sha256", "ec")])
def test_a_client_gets_the_certificate_that_its_signature_algorithms_fit(husk, pki, made, version, algorithms, name):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", certificate=made.rsa, more_cert=further(made.ec), allow_any=True)
    owner = made.rsa_client if name == "rsa" else pki.client
    client = husk.client(server, protocol="tcp", tls_signature_algorithms=algorithms, tls_max=version, certificate=owner)
    agent = raw.connect(client.address)
    raw.carry_both_ways(agent, upstream.accept())


# ---- a server: the name that the client asks for ----

@BOTH
@pytest.mark.parametrize("asked, name", [
    ("one.example", "one"), ("ONE.example", "one"), ("two.example", "two"), ("three.logs.example", "star"), ("four.logs.example", "four"),
    ("a.b.logs.example", "server"), ("elsewhere", "server"), (None, "server")])
def test_the_name_in_sni_chooses_the_certificate(husk, pki, made, version, asked, name):
    """The exact name counts before the wildcard, in any order, and the first certificate is for all other names."""
    assert shown(serve(husk, pki.server, made.star, made.one, made.two, made.four), pki, version, asked) == name


def test_the_name_counts_only_among_certificates_that_the_client_can_verify(husk, pki, made):
    address = serve(husk, made.rsa, made.one)
    assert shown(address, pki, "1.2", "one.example", ciphers="ECDHE-RSA-AES128-GCM-SHA256") == "rsa"


def test_husk_clients_of_two_names_find_their_certificates(husk, pki, made):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", certificate=made.one, more_cert=further(made.two))
    for name in ("one.example", "two.example"):
        client = husk.client(server, protocol="tcp", server_name=name, workers=1)
        for _ in range(2):  # the second connection resumes the session of the first
            with raw.connect(client.address) as agent:
                raw.carry_both_ways(agent, upstream.accept())
    assert server.metric("husk_handshakes_total", side="downstream", result="resumed") == 2


# ---- a client ----

@BOTH
def test_a_server_gets_the_certificate_of_the_ca_that_it_names(husk, pki, made, version):
    upstream = raw.Listener()
    for authority, name in ((pki.ca, "client"), (pki.other_ca, "their-client")):
        server = husk.server(upstream, protocol="tcp", ca=authority.cert, allow_cn=name)
        for first, more in ((pki.client, made.foreign_client), (made.foreign_client, pki.client)):
            client = husk.client(server, protocol="tcp", certificate=first, more_cert=further(more), tls_max=version)
            with raw.connect(client.address) as agent:
                raw.carry_both_ways(agent, upstream.accept())


def test_a_server_gets_the_certificate_that_its_signature_algorithms_fit(husk, pki, made):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", certificate=made.rsa, tls_signature_algorithms="RSA-PSS+SHA256",
                         allow_cn="rsa-client")
    client = husk.client(server, protocol="tcp", more_cert=further(made.rsa_client))
    with raw.connect(client.address) as agent:
        raw.carry_both_ways(agent, upstream.accept())


# ---- one set ----

def test_all_certificates_are_loaded_again_as_one_set(husk, pki, made, tmp_path):
    files = [tmp_path / name for name in ("more.crt", "more.key")]

    def put(certificate, key):
        files[0].write_text(pathlib.Path(certificate.cert).read_text())
        files[1].write_text(pathlib.Path(key.key).read_text())
        files[1].chmod(0o600)
    put(made.one, made.one)
    server = husk.server(raw.Listener(), protocol="tcp", more_cert=f"cert={files[0]},key={files[1]}")
    assert shown(server.address, pki, None, "one.example") == "one"
    put(made.two, made.one)
    server.signal(signal.SIGHUP)
    assert f"{files[1]}: the private key does not match" in server.wait_for_event(level="error")["message"]
    assert shown(server.address, pki, None, "one.example") == "one"
    put(made.two, made.two)
    server.signal(signal.SIGHUP)
    server.wait_for_event(message="credentials reloaded")
    assert shown(server.address, pki, None, "two.example") == "two"
    assert shown(server.address, pki, None, "one.example") == "server"


def test_an_encrypted_key_has_its_passphrase_beside_it(husk, pki, made, tmp_path):
    locked = pki.locked(made.one, "secret", "pkcs8")
    word = tmp_path / "word"
    word.write_text("secret\n")
    word.chmod(0o600)
    server = husk.server(raw.Listener(), protocol="tcp", more_cert=f"cert={locked.cert},key={locked.key},"
                                                                   f"key-passphrase-file={word}")
    assert shown(server.address, pki, None, "one.example") == "one"


def test_a_file_may_list_all_certificates(file, pki, made):
    listed = [{"cert": one.cert, "key": one.key} for one in (pki.server, made.one)]
    running = file(route("r", raw.Listener(), protocol="tcp", allow={"any": True},
                         tls={"downstream": {"certificates": listed, "ca": pki.ca.cert}}))
    address = address_of(running.husk, "r")
    assert [shown(address, pki, None, name) for name in ("one.example", "other")] == ["one", "server"]


# ---- mistakes ----

def test_the_check_judges_each_certificate(husk, pki, made):
    wrong = f"cert={made.one.cert},key={made.two.key}"
    options = husk.options("127.0.0.1:1", pki.server, allow_cn="client", log_format=None, more_cert=[wrong, *further(made.rsa_client)])
    checked = run("check", "server", *flags(**options))
    problems = [line for line in checked.stdout.splitlines() if line.strip().startswith("problem")]
    assert checked.returncode == 1
    assert any(made.two.key in line and "does not match" in line for line in problems)
    assert any(made.rsa_client.cert in line and "not meant for a TLS server" in line for line in problems)
    started = run("server", *flags(**options))
    assert started.returncode == 1 and f"{made.two.key}: the private key does not match" in started.stderr


@pytest.mark.parametrize("value, words", [
    ("cert=a.pem", "key"), ("key=a.pem", "cert"), ("a.pem", "a.pem"),
    ("cert=a,key=b,key-passphrase-env=A,key-passphrase-file=c", "cannot be combined")])
def test_an_incomplete_certificate_is_a_mistake(husk, pki, value, words):
    options = husk.options("127.0.0.1:1", pki.server, allow_cn="client", log_format=None, more_cert=value)
    ended = run("server", *flags(**options))
    assert ended.returncode == 2 and "--more-cert" in ended.stderr and words in ended.stderr


def test_more_than_eight_certificates_are_a_mistake(husk, pki):
    options = husk.options("127.0.0.1:1", pki.server, allow_cn="client", more_cert=["cert=a,key=b"] * 8, log_format=None)
    ended = run("server", *flags(**options))
    assert ended.returncode == 2 and "--more-cert: given more than 7 times" in ended.stderr


def test_the_metrics_tell_the_expiry_of_each_certificate(husk, pki, made):
    short = pki.ca.issue("choice-short", "short", "serverAuth", "DNS:short.example", validity=("-days", 5))
    server = husk.server(raw.Listener(), protocol="tcp", more_cert=further(short))
    alone = husk.server(raw.Listener(), protocol="tcp", certificate=short)
    first, second, sole = (one.metric("husk_certificate_not_after_seconds", side="downstream", **label) for one, label in (
        (server, {"certificate": "1"}), (server, {"certificate": "2"}), (alone, {})))
    assert first > second == sole
    begin = alone.metric("husk_certificate_not_before_seconds", side="downstream")
    assert 0 <= sole - begin - 5 * 86400 <= 1
    assert 'certificate=' not in alone.get("/metrics")[1]
