"""Revocation lists in the CA file: a peer with a revoked certificate is refused, and no byte of it is delivered."""

import pathlib
import shutil
import signal
import ssl

import pytest

from support import raw
from support.pki import Certificate, NEW_KEY, RevocationLists, openssl

STALE = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20210101000000Z")
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(name="lists")
def _lists(tmp_path, pki):
    return RevocationLists(tmp_path, pki.ca)


def is_admitted(server, pki, upstream, version="1.3", shown=None):
    context = raw.tls_context(False, pki.ca.cert, shown or pki.client, version)
    peer = raw.TlsPeer(raw.connect(server.address), context)
    try:
        peer.handshake()
        peer.sendall(b"x")
        inner = upstream.accept()
        return inner.recv(1) == b"x"
    except (ssl.SSLError, OSError, TimeoutError):
        return False


def assert_refused(server, pki, upstream, version="1.3", shown=None):
    context = raw.tls_context(False, pki.ca.cert, shown or pki.client, version)
    peer = raw.TlsPeer(raw.connect(server.address), context)
    with pytest.raises((ssl.SSLError, ConnectionError)) as refusal:
        peer.handshake()
        peer.sendall(b"an event that must not arrive")
        peer.recv(1)
    server.wait_for_event(reason="certificate_revoked", side="downstream")
    assert not upstream.was_dialled()
    return str(refusal.value)


@VERSIONS
@pytest.mark.parametrize("protocol", ["tcp", "forward"])
def test_server_refuses_a_revoked_client(husk, pki, lists, version, protocol):
    upstream = raw.Listener()
    ca = lists.bundle(lists.make("l", pki.next_server, pki.client))
    server = husk.server(upstream, protocol=protocol, allow_any=True, ca=ca)
    assert "revoked" in assert_refused(server, pki, upstream, version).lower()


@VERSIONS
def test_client_refuses_a_revoked_server(husk, pki, lists, version):
    listener = raw.Listener()
    ca = lists.bundle(lists.make("l", pki.server))
    client = husk.client(f"localhost:{listener.address[1]}", protocol="tcp", ca=ca)
    agent = raw.connect(client.address)
    agent.sendall(b"an event that must not arrive")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        peer = raw.TlsPeer(listener.accept(), raw.tls_context(True, pki.ca.cert, pki.server, version),
                           server_side=True).handshake()
        assert not peer.recv(100)
    client.wait_for_event(reason="certificate_revoked", side="upstream")


def intermediate(directory, authority, name="between"):
    """A CA below `authority`. A second call makes a version of the same CA that another authority signs."""
    key, cert = directory / "between.key", directory / f"{name}.crt"
    if not key.exists():
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
    (directory / "between.ext").write_text("basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n")
    openssl("req", "-new", "-key", key, "-out", directory / "between.csr", "-subj", "/CN=CA between")
    openssl("x509", "-req", "-in", directory / "between.csr", "-CA", authority.cert,
            "-CAkey", pathlib.Path(authority.cert).with_suffix(".key"), "-days", 30,
            "-extfile", directory / "between.ext", "-out", cert)
    return Certificate(str(cert), str(key))


def leaf_below(directory, issuer, *others):
    """A client certificate that `issuer` signs, with a chain of all its issuers."""
    request, extensions, key = (directory / f"leaf.{end}" for end in ("csr", "ext", "key"))
    extensions.write_text("extendedKeyUsage=clientAuth\nsubjectAltName=DNS:client\n")
    openssl("req", "-new", *NEW_KEY, "-keyout", key, "-out", request, "-subj", "/CN=client")
    openssl("x509", "-req", "-in", request, "-CA", issuer.cert, "-CAkey", issuer.key, "-days", 30,
            "-extfile", extensions, "-out", directory / "alone.crt")
    chain = directory / "leaf.crt"
    chain.write_text("".join(pathlib.Path(path).read_text() for path in (
        directory / "alone.crt", issuer.cert, *(other.cert for other in others))))
    return Certificate(str(chain), str(key))


def test_a_revoked_intermediate_is_refused(husk, pki, lists, tmp_path):
    upstream = raw.Listener()
    between = intermediate(tmp_path, pki.ca)
    ca = lists.bundle(lists.make("l", between))
    server = husk.server(upstream, protocol="tcp", allow_any=True, ca=ca)
    assert_refused(server, pki, upstream, shown=leaf_below(tmp_path, between))


def test_a_list_of_an_intermediate_applies(husk, pki, lists, tmp_path):
    upstream = raw.Listener()
    between = intermediate(tmp_path, pki.ca)
    shown = leaf_below(tmp_path, between)
    made = lists.make("l", Certificate(str(tmp_path / "alone.crt"), ""), signer=between)
    server = husk.server(upstream, protocol="tcp", allow_any=True, ca=lists.bundle(made))
    assert_refused(server, pki, upstream, shown=shown)


def test_a_path_without_a_revoked_certificate_is_found(husk, pki, lists, tmp_path):
    """Two CAs signed the intermediate, and only one of them revoked it."""
    upstream = raw.Listener()
    revoked, valid = intermediate(tmp_path, pki.ca), intermediate(tmp_path, pki.other_ca, "cross")
    ca = lists.bundle(lists.make("l", revoked), pathlib.Path(pki.other_ca.cert).read_text())
    server = husk.server(upstream, protocol="tcp", allow_any=True, ca=ca)
    assert is_admitted(server, pki, upstream, shown=leaf_below(tmp_path, revoked, valid))


def test_a_stale_list_applies(husk, pki, lists):
    upstream = raw.Listener()
    stale = lists.make("l", pki.client, options=STALE)
    assert_refused(husk.server(upstream, protocol="tcp", allow_any=True, ca=lists.bundle(stale)), pki, upstream)


def test_each_list_of_an_issuer_applies(husk, pki, lists):
    upstream = raw.Listener()
    ca = lists.bundle(lists.make("a", pki.client), lists.make("b", pki.server), lists.make("c"))
    assert_refused(husk.server(upstream, protocol="tcp", allow_any=True, ca=ca), pki, upstream)


@pytest.mark.parametrize("kind", ["empty", "of others", "of another CA"])
def test_other_lists_revoke_nothing(husk, pki, lists, kind):
    upstream = raw.Listener()
    made = {"empty": lambda: lists.make("l"), "of others": lambda: lists.make("l", pki.next_server),
            "of another CA": lambda: lists.make("l", pki.client, signer=pki.other_ca)}[kind]()
    server = husk.server(upstream, protocol="tcp", allow_any=True, ca=lists.bundle(made))
    assert is_admitted(server, pki, upstream)


def test_a_forged_list_revokes_nothing(husk, pki, lists, tmp_path):
    """The list has the name of the CA, and the signature of another key."""
    upstream = raw.Listener()
    forger = type(pki.ca)(tmp_path / "forger")
    openssl("req", "-x509", "-key", tmp_path / "forger/ca.key", "-out", forger.cert, "-days", 30, "-subj", "/CN=CA ours")
    made = lists.make("l", pki.client, signer=forger)
    assert is_admitted(husk.server(upstream, protocol="tcp", allow_any=True, ca=lists.bundle(made)), pki, upstream)


def test_a_reload_adds_a_list(husk, pki, lists, tmp_path):
    upstream = raw.Listener()
    ca = lists.bundle()
    server = husk.server(upstream, protocol="tcp", allow_any=True, ca=ca, reload_interval=0)
    revoked = lists.make("l", pki.client)
    (tmp_path / "next.pem").write_text(pathlib.Path(ca).read_text() + revoked)
    shutil.move(tmp_path / "next.pem", ca)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_event(message="credentials reloaded")
    assert_refused(server, pki, upstream)


@pytest.mark.parametrize("extensions, words", [
    ("2.5.29.27=critical,DER:020101", "delta"),
    ("1.2.3.4=critical,DER:0500", "unknown critical extension"),
    ("issuingDistributionPoint=critical,@p\n[p]\nindirectCRL=TRUE", "indirect"),
])
def test_a_list_that_cannot_be_applied_is_refused(husk, lists, extensions, words):
    ca = lists.bundle(lists.make("l", extensions=extensions))
    with pytest.raises(Exception) as refusal:
        husk.server(raw.Listener(), protocol="tcp", allow_any=True, ca=ca)
    assert words in str(refusal.value) and "line" in str(refusal.value)
