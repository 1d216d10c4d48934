"""Revocation lists: a peer with a revoked certificate is refused, and no byte of it is delivered."""

import datetime
import os
import pathlib
import shutil
import signal
import ssl
import subprocess

import pytest

from support import raw
from support.husk import LIGHT
from support.process import eventually
from support.pki import Certificate, NEW_KEY, RevocationLists, openssl

STALE = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20210101000000Z")
EARLY = ("-crl_lastupdate", "20900101000000Z", "-crl_nextupdate", "20990101000000Z")


def dated(days):
    """A list that is fresh, and was made some days ago."""
    made = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return "-crl_lastupdate", made.strftime("%Y%m%d%H%M%SZ"), "-crl_nextupdate", "20990101000000Z"


VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(name="lists")
def _lists(tmp_path, pki):
    return RevocationLists(tmp_path, pki.ca)


def is_admitted(server, pki, upstream, version="1.2", shown=None):
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


@pytest.mark.parametrize("is_revoked_now", [True, False])
def test_the_newest_list_of_an_issuer_applies(husk, pki, lists, is_revoked_now):
    upstream = raw.Listener()
    revoked, free = lists.make("a", pki.client, options=dated(-2 if is_revoked_now else -3)), lists.make("b", options=dated(
        -3 if is_revoked_now else -2))
    server = husk.server(upstream, protocol="tcp", allow_any=True, ca=lists.bundle(free, revoked))
    if is_revoked_now:
        assert_refused(server, pki, upstream)
    else:
        assert is_admitted(server, pki, upstream)


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


# ---- --crl ----

def der(text):
    return subprocess.run(["openssl", "crl", "-outform", "DER"], input=text.encode(), check=True, capture_output=True).stdout


@pytest.fixture(name="crls")
def _crls(tmp_path):
    folder = tmp_path / "crls"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", ["PEM", "DER", "directory", "two options"])
def test_lists_come_from_files_and_directories(husk, pki, lists, crls, form):
    upstream = raw.Listener()
    revoked, other = lists.make("l", pki.client), lists.make("o", signer=pki.other_ca)
    (crls / "a.crl").write_bytes(der(other) if form == "directory" else other.encode())
    (crls / "b.crl").write_bytes(der(revoked) if form == "DER" else (other + revoked).encode())
    paths = {"directory": [crls], "two options": [crls / "a.crl", crls / "b.crl"]}.get(form, [crls / "b.crl"])
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=paths)
    assert_refused(server, pki, upstream)


def test_a_client_reads_lists_too(husk, pki, lists, crls):
    listener = raw.Listener()
    (crls / "list").write_text(lists.make("l", pki.server))
    client = husk.client(f"localhost:{listener.address[1]}", protocol="tcp", crl=crls)
    agent = raw.connect(client.address)
    agent.sendall(b"an event that must not arrive")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw.TlsPeer(listener.accept(), raw.tls_context(True, pki.ca.cert, pki.server), server_side=True).handshake().recv(1)
    client.wait_for_event(reason="certificate_revoked", side="upstream")


def swap(folder, name, text):
    """Replaces a file in one moment, as programs that fetch lists do."""
    (folder / ".next").write_text(text)
    (folder / ".next").rename(folder / name)


@pytest.mark.parametrize("how", ["a new file", "a new version", "..data"])
def test_a_changed_directory_is_read_again(husk, pki, lists, crls, how):
    """Without a signal: husk looks at the files."""
    upstream = raw.Listener()
    if how == "..data":  # a ConfigMap of Kubernetes
        for day in ("1", "2"):
            (crls / f"..{day}").mkdir()
        (crls / "..1/list").write_text(lists.make("old", options=dated(-3)))
        (crls / "..2/list").write_text(lists.make("new", pki.client))
        (crls / "..data").symlink_to("..1")
        (crls / "list").symlink_to("..data/list")
    else:
        (crls / "list").write_text(lists.make("old", options=dated(-3)))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, reload_interval="50ms")
    assert is_admitted(server, pki, upstream)
    if how == "..data":
        (crls / "..next").symlink_to("..2")
        os.rename(crls / "..next", crls / "..data")
    else:
        swap(crls, "list" if how == "a new version" else "more", lists.make("new", pki.client))
    server.wait_for_event(message="credentials reloaded")
    context = raw.tls_context(False, pki.ca.cert, pki.client)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw.TlsPeer(raw.connect(server.address), context).handshake().recv(1)
    server.wait_for_event(reason="certificate_revoked", side="downstream")


def test_a_damaged_list_changes_nothing(husk, pki, lists, crls):
    upstream = raw.Listener()
    swap(crls, "list", lists.make("old"))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, reload_interval="50ms", reload_retry_max="50ms")
    swap(crls, "list", lists.make("new", pki.client)[:200])
    assert "list" in server.wait_for_event(level="error")["message"]
    assert is_admitted(server, pki, upstream)
    swap(crls, "list", lists.make("next", pki.client))
    server.wait_for_event(message="credentials reloaded")
    assert not is_admitted(server, pki, upstream)


# ---- --revocation-policy ----

def policy_lists(lists, pki, kind):
    return {"fresh": lambda: lists.make("l"), "stale": lambda: lists.make("l", options=STALE),
            "early": lambda: lists.make("l", options=EARLY),
            "missing": lambda: lists.make("l", signer=pki.other_ca)}[kind]()


@pytest.mark.parametrize("policy", ["require", "warn", "ignore"])
@pytest.mark.parametrize("kind, words", [("fresh", ""), ("stale", "CN=CA ours is stale"), ("early", "CN=CA ours is not valid yet"),
                                         ("missing", "no revocation list of its issuer CN=CA ours")])
def test_the_policy_decides_about_lists_that_are_not_fresh(husk, pki, lists, crls, policy, kind, words):
    upstream = raw.Listener()
    (crls / "list").write_text(policy_lists(lists, pki, kind))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, revocation_policy=policy)
    is_good = policy != "require" or kind == "fresh"
    assert is_admitted(server, pki, upstream) == is_good
    if not is_good:
        assert words in server.wait_for_event(reason="revocation_unknown", side="downstream")["detail"]


def test_a_client_requires_a_list(husk, pki, lists, crls):
    (crls / "list").write_text(lists.make("l", signer=pki.other_ca))
    listener = raw.Listener()
    client = husk.client(f"localhost:{listener.address[1]}", protocol="tcp", crl=crls, revocation_policy="require")
    raw.connect(client.address).sendall(b"x")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw.TlsPeer(listener.accept(), raw.tls_context(True, pki.ca.cert, pki.server), server_side=True).handshake().recv(1)
    client.wait_for_event(reason="revocation_unknown", side="upstream")


# ---- what husk tells about the lists ----

@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("policy", ["require", "warn", "ignore"])
def test_a_list_becomes_stale_and_is_replaced(husk, pki, lists, crls, shim, tmp_path, policy):
    """The clock jumps by two days."""
    upstream, jumped = raw.Listener(), tmp_path / "jumped"
    swap(crls, "list", lists.make("old", options=("-crldays", 1)))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, revocation_policy=policy, reload_interval="50ms",
                         env={"LD_PRELOAD": str(shim), "CLOCK_JUMP_FILE": str(jumped), "CLOCK_JUMP_SECONDS": "172800"})
    assert server.metric("husk_crl_next_update_seconds", side="downstream", issuer="CN=CA ours") > 0
    assert server.get("/ready")[0] == 200
    jumped.touch()
    if policy == "ignore":
        assert is_admitted(server, pki, upstream)
    else:
        eventually(lambda: "CN=CA ours is stale since" in server.get("/ready")[1], "/ready tells it")
        assert server.get("/ready")[0] == (503 if policy == "require" else 200)
        server.wait_until(lambda _: [one for one in server.problems() if "is stale since" in one["message"]], "a line")
        assert is_admitted(server, pki, upstream) == (policy == "warn")
    swap(crls, "list", lists.make("new", options=dated(-1)))
    if policy != "ignore":
        server.wait_for_event(message="all revocation lists are fresh")
    else:
        server.wait_for_event(message="credentials reloaded")
    assert is_admitted(server, pki, upstream)
    assert len([one for one in server.problems() if "is stale since" in one["message"]]) == (policy != "ignore")


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("policy", ["require", "warn"])
def test_a_list_that_becomes_stale_ends_open_connections(husk, pki, lists, crls, shim, tmp_path, policy):
    """Nothing is reloaded: the clock jumps by two days."""
    upstream, jumped = raw.Listener(), tmp_path / "jumped"
    (crls / "list").write_text(lists.make("old", options=("-crldays", 1)))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, revocation_policy=policy, reload_interval=0,
                         env={"LD_PRELOAD": str(shim), "CLOCK_JUMP_FILE": str(jumped), "CLOCK_JUMP_SECONDS": "172800"})
    peer = raw.TlsPeer(raw.connect(server.address), raw.tls_context(False, pki.ca.cert, pki.client, "1.2")).handshake()
    peer.sendall(b"x")
    inner = upstream.accept()
    assert inner.recv(1) == b"x"
    jumped.touch()
    server.wait_until(lambda _: [one for one in server.problems() if "is stale since" in one["message"]], "a line")
    if policy == "require":
        detail = server.wait_for_event(reason="distrusted", side="downstream")["detail"]
        assert "the revocation list of its issuer CN=CA ours is stale" in detail
    else:
        peer.sendall(b"y")
        assert inner.recv(1) == b"y"


def test_a_list_with_a_weak_signature_is_refused(husk, pki, lists, crls):
    upstream = raw.Listener()
    weak = lists.make("weak", pki.client, options=("-crldays", 30, "-md", "sha1"))
    swap(crls, "list", lists.make("old"))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, reload_interval="50ms", reload_retry_max="50ms")
    swap(crls, "list", weak)
    line = server.wait_for_event(level="error")["message"]
    assert f"{crls}/list: line 1: the revocation list cannot be used: the list is signed with " in line and "SHA1" in line
    assert is_admitted(server, pki, upstream)
    tolerant = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, allow_weak_certificates=True)
    assert not is_admitted(tolerant, pki, upstream)


def test_a_ca_without_a_list_is_told(husk, pki, lists, crls, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(pathlib.Path(pki.ca.cert).read_text() + pathlib.Path(pki.other_ca.cert).read_text())
    swap(crls, "list", lists.make("l"))
    server = husk.server(raw.Listener(), protocol="tcp", allow_any=True, crl=crls, ca=both)
    server.wait_until(lambda _: [one for one in server.problems() if "no revocation list is there of CN=CA theirs" in one["message"]],
                      "a line")
    assert server.get("/ready")[0] == 200


# ---- the same verdicts as openssl ----

def openssl_accepts(ca, lists, shown):
    """`openssl verify` with a list for each certificate of the chain."""
    leaf = pathlib.Path(shown.cert).parent / "alone.crt"
    done = subprocess.run(["openssl", "verify", "-crl_check_all", "-extended_crl", "-purpose", "sslclient", "-CAfile", ca,
                           "-CRLfile", lists, "-untrusted", shown.cert, leaf], capture_output=True, timeout=30)
    return done.returncode == 0


IN_SCOPE = "issuingDistributionPoint=critical,@p\n[p]\n"
MATRIX = {
    "good": lambda make, leaf, between: [make("a"), make("b", by="between")],
    "leaf": lambda make, leaf, between: [make("a"), make("b", leaf, by="between")],
    "intermediate": lambda make, leaf, between: [make("a", between), make("b", by="between")],
    "others": lambda make, leaf, between: [make("a", leaf), make("b", between, by="between")],
    "no list of the root": lambda make, leaf, between: [make("b", by="between")],
    "no list of the intermediate": lambda make, leaf, between: [make("a")],
    "stale root": lambda make, leaf, between: [make("a", options=STALE), make("b", by="between")],
    "stale intermediate": lambda make, leaf, between: [make("a"), make("b", by="between", options=STALE)],
    "stale and revoked": lambda make, leaf, between: [make("a"), make("b", leaf, by="between", options=STALE)],
    "early": lambda make, leaf, between: [make("a"), make("b", by="between", options=EARLY)],
    "early beside fresh": lambda make, leaf, between: [make("a"), make("b", by="between"),
                                                       make("c", leaf, by="between", options=EARLY)],
    "stale beside fresh": lambda make, leaf, between: [make("a"), make("c", leaf, by="between", options=STALE),
                                                       make("b", by="between")],
    "newer revokes": lambda make, leaf, between: [make("a"), make("b", leaf, by="between", options=dated(-1)),
                                                  make("c", by="between", options=dated(-2))],
    "newer does not revoke": lambda make, leaf, between: [make("a"), make("b", leaf, by="between", options=dated(-2)),
                                                          make("c", by="between", options=dated(-1))],
    "for users": lambda make, leaf, between: [make("a"), make("b", by="between", extensions=IN_SCOPE + "onlyuser=TRUE")],
    "for users, revoked": lambda make, leaf, between: [
        make("a"), make("b", leaf, by="between", extensions=IN_SCOPE + "onlyuser=TRUE")],
    "for CAs": lambda make, leaf, between: [make("a"), make("b", by="between", extensions=IN_SCOPE + "onlyCA=TRUE")],
    "for CAs, of the root": lambda make, leaf, between: [
        make("a", extensions=IN_SCOPE + "onlyCA=TRUE"), make("b", by="between")],
    "for attributes": lambda make, leaf, between: [make("a"), make("b", by="between", extensions=IN_SCOPE + "onlyAA=TRUE")],
    "for some reasons": lambda make, leaf, between: [
        make("a"), make("b", by="between", extensions=IN_SCOPE + "onlysomereasons=keyCompromise")],
    "other distribution point": lambda make, leaf, between: [
        make("a"), make("b", by="between", extensions=IN_SCOPE + "fullname=URI:http://a.test/1")],
    "with key identifiers": lambda make, leaf, between: [
        make("a", extensions="authorityKeyIdentifier=keyid"), make("b", leaf, by="between", extensions="authorityKeyIdentifier=keyid")],
}


@pytest.mark.parametrize("case", MATRIX)
def test_husk_and_openssl_give_the_same_verdict(husk, pki, lists, crls, tmp_path, case):
    upstream = raw.Listener()
    between = intermediate(tmp_path, pki.ca)
    shown = leaf_below(tmp_path, between)

    def make(name, *revoked, by="root", **how):
        return lists.make(name, *revoked, signer=between if by == "between" else None, **how)
    made = MATRIX[case](make, Certificate(str(tmp_path / "alone.crt"), ""), between)
    (crls / "lists.pem").write_text("".join(made))
    server = husk.server(upstream, protocol="tcp", allow_any=True, crl=crls, revocation_policy="require")
    wanted = openssl_accepts(pki.ca.cert, crls / "lists.pem", shown)
    assert is_admitted(server, pki, upstream, shown=shown) == wanted
    assert wanted == (case in ("good", "others", "early beside fresh", "stale beside fresh", "newer does not revoke", "for users",
                               "for CAs, of the root"))
