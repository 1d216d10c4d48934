"""Private keys in PKCS#11 tokens: both sides, TLS 1.2 and 1.3, and tokens that are slow, fail or refuse."""

import contextlib
import json
import pathlib
import re
import signal
import ssl
import subprocess
import threading

import pytest

from support import config_file, raw
from support.husk import flags, run
from support.process import WAIT_SECONDS, eventually
from support.tokens import PIN, Store, Tokens, build_module

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
P384 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes")
RSA = ("-newkey", "rsa:2048", "-nodes")
NAMES = "DNS:localhost,IP:127.0.0.1"
CKM_RSA_PKCS, CKM_RSA_PKCS_PSS = "0x1", "0xd"
CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN = "32", "b3", "101"
CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED = "0x20000", "0x40000"


@pytest.fixture(scope="session")
def module(tmp_path_factory):
    return build_module(tmp_path_factory.mktemp("token_module"))


@pytest.fixture(scope="session")
def rsa(pki):
    return pki.ca.issue("rsa-server", "server", "serverAuth", NAMES, new_key=RSA)


@pytest.fixture(scope="session")
def p384(pki):
    return pki.ca.issue("p384-server", "server", "serverAuth", NAMES, new_key=P384)


@pytest.fixture(scope="session")
def store(tmp_path_factory, pki, rsa, p384):
    """Two tokens. The key `server` is in both."""
    store = Store(tmp_path_factory.mktemp("store")).open()
    store.add("husk", server=pki.server, next=pki.next_server, client=pki.client, rsa=rsa, p384=p384)
    store.add("second", server=pki.server)
    return store


@pytest.fixture
def tokens(tmp_path, store, module, programs):
    return Tokens(tmp_path, store, module, programs)


@pytest.fixture
def server_of(husk, tokens):
    """Starts husk server with this certificate, whose key is in a token."""
    def start(certificate, upstream, **options):
        return husk.server(upstream, certificate=certificate, protocol="tcp", key_passphrase_file=tokens.pin_file,
                           env=tokens.env, **options)
    return start


def connect(server, pki, version=None):
    return raw.connect_tls(server.address, pki.ca.cert, pki.client, version)


def route(upstream, pki, cert, uri, name="r"):
    return config_file.route(name, upstream, protocol="tcp", allow={"cn": "client"},
                             tls={"downstream": {"cert": cert, "key": uri, "ca": pki.ca.cert}})


class Handshakes:
    """TLS clients that connect at the same time, each in a thread of its own."""

    def __init__(self, server, pki, count):
        self._peers, self._threads = [], [threading.Thread(target=self._run, args=(server, pki)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, server, pki):
        self._peers.append(connect(server, pki))

    def finish(self):
        """Waits for the end of the handshakes, which must succeed. Returns the peers."""
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
        assert len(self._peers) == len(self._threads)
        return self._peers


# ---- kinds of keys ----


@BOTH
@pytest.mark.parametrize("kind", ["server", "p384", "rsa"])
def test_a_server_signs_with_its_token(server_of, tokens, pki, rsa, p384, kind, version):
    certificate = {"server": pki.server, "p384": p384, "rsa": rsa}[kind]
    upstream = raw.Listener()
    server = server_of(tokens.of(certificate, kind), upstream)
    raw.carry_both_ways(connect(server, pki, version), upstream.accept())
    assert tokens.calls("sign") == 2  # one when husk has loaded the key
    assert server.metric("husk_token_signature_duration_seconds_count", side="downstream") == 1


@BOTH
def test_a_client_signs_with_its_token(husk, tokens, pki, version):
    tunnel = husk.tunnel(client={"certificate": tokens.of(pki.client, "client"), "env": tokens.env,
                                 "key_passphrase_file": tokens.pin_file, "tls_min": version, "tls_max": version})
    raw.carry_both_ways(*tunnel.open())
    assert tokens.calls("sign") == 2
    assert tunnel.client.metric("husk_token_signature_duration_seconds_count", side="upstream") == 1


@pytest.mark.parametrize("lacks", [CKM_RSA_PKCS_PSS, f"{CKM_RSA_PKCS},{CKM_RSA_PKCS_PSS}"])
@BOTH
def test_husk_pads_where_the_token_cannot(server_of, tokens, pki, rsa, version, lacks):
    upstream = raw.Listener()
    tokens.lacks.write_text(lacks)
    server = server_of(tokens.of(rsa, "rsa"), upstream)
    raw.carry_both_ways(connect(server, pki, version), upstream.accept())


def signature_type(server, pki, algorithms):
    """With which kind of key the server signs for a TLS 1.2 client that knows these signature algorithms."""
    peer = subprocess.run(["openssl", "s_client", "-connect", raw.format_address(server.address), "-tls1_2", "-sigalgs", algorithms,
                           "-cert", pki.client.cert, "-key", pki.client.key, "-CAfile", pki.ca.cert, "-verify_return_error"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    kind = re.search(r"^Peer signature type: (\S+)$", peer.stdout, re.M)[1]
    return {"rsa_pkcs1_sha256": "RSA", "ecdsa_secp256r1_sha256": "ECDSA"}.get(kind, kind)  # OpenSSL 3.5 names the algorithm


@pytest.mark.parametrize("lacks", ["", CKM_RSA_PKCS])
def test_pkcs1_signatures_for_peers_without_pss(server_of, tokens, pki, rsa, lacks):
    tokens.lacks.write_text(lacks)
    server = server_of(tokens.of(rsa, "rsa"), raw.Listener())
    assert signature_type(server, pki, "RSA+SHA256") == "RSA"


@pytest.mark.parametrize("first", ["token", "file"])
def test_a_key_in_a_token_beside_a_key_in_a_file(husk, tokens, pki, rsa, first):
    uri = tokens.uri("rsa", query=f"&pin-source=file:{tokens.pin_file}")
    certificates = [(rsa.cert, uri), (pki.server.cert, pki.server.key)]
    (cert, key), (more_cert, more_key) = certificates if first == "token" else reversed(certificates)
    server = husk.server(raw.Listener(), protocol="tcp", cert=cert, key=key, more_cert=f"cert={more_cert},key={more_key}", env=tokens.env)
    assert signature_type(server, pki, "RSA+SHA256") == "RSA" and tokens.calls("sign") == 2
    assert signature_type(server, pki, "ECDSA+SHA256") == "ECDSA" and tokens.calls("sign") == 2


# ---- the PIN ----


@pytest.mark.parametrize("source", ["file", "env", "uri"])
def test_the_pin_comes_from_a_file_a_variable_or_the_file_of_the_uri(husk, tokens, pki, source):
    uri = tokens.uri("server", query=f"&pin-source=file:{tokens.pin_file}" if source == "uri" else "")
    given = {"file": {"key_passphrase_file": tokens.pin_file}, "env": {"key_passphrase_env": "TOKEN_PIN"}}.get(source, {})
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", key=uri, env={**tokens.env, "TOKEN_PIN": PIN}, **given)
    raw.carry_both_ways(connect(server, pki), upstream.accept())


def test_a_wrong_pin_is_tried_once(husk, tokens, tmp_path):
    (tmp_path / "wrong").write_text("1111\n")
    status, line = start(husk, tokens, tokens.uri("server"), key_passphrase_file=tmp_path / "wrong")
    assert status == 1 and 'token "husk" refuses the PIN' in line
    assert tokens.calls("refused") == 1


@pytest.mark.parametrize("flag, words", [(CKF_USER_PIN_FINAL_TRY, "one more wrong PIN"), (CKF_USER_PIN_LOCKED, "has locked its PIN")])
def test_a_pin_that_could_lock_the_token_is_not_tried(husk, tokens, flag, words):
    tokens.flags.write_text(flag)
    status, line = start(husk, tokens, tokens.uri("server"), key_passphrase_file=tokens.pin_file)
    assert status == 1 and words in line
    assert tokens.calls("login") == tokens.calls("refused") == 0


def test_a_wrong_pin_of_a_reload_waits_for_a_change(husk, tokens, pki, tmp_path):
    """Each try of a wrong PIN brings the token nearer to its lock, so husk does not try it again, even if asked to."""
    upstream = raw.Listener()
    wrong = tmp_path / "wrong"
    wrong.write_text("1111\n")
    path = tmp_path / "husk.yaml"

    def write(uri):
        return config_file.write(path, route(upstream, pki, pki.server.cert, uri))
    husk = husk.run(write(tokens.uri("server", query=f"&pin-source=file:{tokens.pin_file}")), env=tokens.env)
    write(tokens.uri("server", token="second", query=f"&pin-source=file:{wrong}"))
    husk.signal(signal.SIGHUP)
    refused = husk.wait_for_event(level="error")
    assert "refuses the PIN" in refused["message"] and "tries again" not in refused["message"]
    assert husk.metric("husk_config_reload_pending") == 0
    husk.signal(signal.SIGHUP)
    husk.wait_until(lambda _: len(husk.events(level="error")) == 2, "the second refusal")
    assert "has refused this PIN before" in husk.events(level="error")[1]["message"] and tokens.calls("refused") == 1
    wrong.write_text(f"{PIN}\n")
    husk.signal(signal.SIGHUP)
    husk.wait_for_event(message="configuration reloaded")
    raw.carry_both_ways(connect(husk, pki), upstream.accept())


# ---- mistakes ----


def start(husk, tokens, uri, **options):
    """Starts husk server, which must end. Returns its status and its only line."""
    given = husk.options(f"{raw.HOST}:1", husk.pki.server, key=uri, allow_cn="client", **options)
    result = run("server", *flags(**given), env=tokens.env)
    line, = result.stderr.splitlines()
    return result.returncode, json.loads(line)["message"] if line.startswith("{") else line


MISTAKES = {
    "no such key": (lambda t: t.uri("none"), "has no private key that the URI names"),
    "two keys": (lambda t: t.uri(None), "has several private keys that the URI names"),
    "no such token": (lambda t: t.uri("server", token="other"), 'the module has these tokens: "'),
    "two tokens": (lambda t: t.uri("server", token=None), "the URI names 2 tokens"),
    "no module": (lambda t: "pkcs11:token=husk;object=key", "does not name the module"),
    "no such file": (lambda t: "pkcs11:object=key?module-path=/nowhere.so", "the module cannot be loaded"),
    "no PKCS#11 module": (lambda t: "pkcs11:object=key?module-path=/lib/x86_64-linux-gnu/libm.so.6", "module"),
    "the key of another": (lambda t: t.uri("next"), "does not match the certificate"),
    "a key of another kind": (lambda t: t.uri("rsa"), "does not match the certificate"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(husk, check, tokens, mistake):
    make, words = MISTAKES[mistake]
    status, line = start(husk, tokens, make(tokens), key_passphrase_file=tokens.pin_file)
    assert status in (1, 2) and words in line, line
    check("server", env=tokens.env, key=make(tokens), key_passphrase_file=tokens.pin_file).expect("problem", words)


def test_a_token_that_needs_a_pin_says_how_to_give_it(husk, tokens):
    status, line = start(husk, tokens, tokens.uri("server"))
    assert status == 1 and "--key-passphrase-file" in line and "needs its PIN" in line


def test_a_pin_in_the_uri_is_refused_and_not_shown(husk, check, tokens):
    uri = tokens.uri("server", query=f"&pin-value={PIN}")
    status, line = start(husk, tokens, uri)
    assert status != 0 and "pin-value" in line and PIN not in line
    result = run("check", "server", *flags(**husk.options(f"{raw.HOST}:1", husk.pki.server, key=uri, allow_cn="client")))
    assert result.returncode != 0 and PIN not in result.stdout + result.stderr


# ---- husk check ----


def test_check_lets_the_token_sign(check, tokens, pki):
    checked = check("server", certificate=tokens.of(pki.server, "server"), env=tokens.env,
                    key_passphrase_file=tokens.pin_file)
    checked.expect("ok", "the token signs with the key of the certificate")
    assert not checked.of("problem")


def test_check_tries_a_wrong_pin_once(check, tokens, pki, rsa, tmp_path):
    """One login for the whole check, also of several certificates and sides."""
    (tmp_path / "wrong").write_text("1111\n")
    uri = tokens.uri("rsa", query=f"&pin-source=file:{tmp_path / 'wrong'}")
    checked = check("server", certificate=tokens.of(pki.server, "server"), more_cert=f"cert={rsa.cert},key={uri}",
                    env=tokens.env, key_passphrase_file=tmp_path / "wrong")
    checked.expect("problem", "refuses the PIN")
    checked.expect("problem", "has refused this PIN before")
    assert tokens.calls("refused") == 1


def test_check_tries_a_wrong_pin_of_several_routes_once(tokens, pki, tmp_path):
    (tmp_path / "wrong").write_text("1111\n")
    uri = tokens.uri("server", query=f"&pin-source=file:{tmp_path / 'wrong'}")
    routes = [route("127.0.0.1:9", pki, pki.server.cert, uri, name) for name in ("first", "second", "third")]
    checked = run("check", "--config", config_file.write(tmp_path / "husk.yaml", *routes), env=tokens.env)
    assert checked.returncode == 1 and "refuses the PIN" in checked.stdout and tokens.calls("refused") == 1


# ---- slow and failing tokens ----


def test_other_connections_go_on_while_the_token_signs(server_of, tokens, pki):
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream, workers=1)
    agent, aggregator = connect(server, pki), upstream.accept()
    tokens.gate.touch()
    handshakes = Handshakes(server, pki, 1)
    eventually(lambda: tokens.calls("sign") == 3, "the token is asked")
    raw.carry_both_ways(agent, aggregator)
    tokens.gate.unlink()
    raw.carry_both_ways(*handshakes.finish(), upstream.accept())


def test_many_handshakes_at_the_same_time(server_of, tokens, pki):
    server = server_of(tokens.of(pki.server, "server"), raw.Listener(), workers=2, key_sessions=3)
    tokens.gate.touch()
    handshakes = Handshakes(server, pki, 20)
    eventually(lambda: tokens.calls("sign") == 1 + (3 if tokens.is_parallel else 1), "all sessions sign")
    tokens.gate.unlink()
    handshakes.finish()
    assert server.metric("husk_token_signature_duration_seconds_count", side="downstream") == 20
    assert tokens.calls("sign") == 1 + 20


def begin(server, pki, upstream=None):
    """A client that waits for the signature of the server. Returns the peer and its socket."""
    sock = raw.connect(server.address)
    peer = raw.TlsPeer(sock, raw.tls_context(False, pki.ca.cert, pki.client))
    sock.sendall(peer.first_flight())
    return peer, sock


def leave(sock, how):
    raw.reset(sock) if how == "reset" else sock.close()


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_while_the_token_signs_makes_place(server_of, tokens, pki, how):
    """A place for one connection: the second client is accepted because husk has noticed that the first has left."""
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream, workers=1, max_connections=1, handshake_timeout="5m")
    tokens.gate.touch()
    _, sock = begin(server, pki)
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    leave(sock, how)
    server.wait_for_metric("husk_connections_ended_total", 1, reason="handshake_left", side="downstream")
    tokens.gate.unlink()
    raw.carry_both_ways(connect(server, pki), upstream.accept())


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_server_that_leaves_while_the_token_signs_is_noticed(husk, tokens, pki, how):
    upstream = raw.Listener()
    client = husk.client(upstream, certificate=tokens.of(pki.client, "client"), protocol="tcp", env=tokens.env,
                         key_passphrase_file=tokens.pin_file, handshake_timeout="5m")
    tokens.gate.touch()
    agent = raw.connect(client.address)
    sock = upstream.accept()
    raw.TlsPeer(sock, raw.tls_context(True, pki.ca.cert, pki.server), server_side=True).answer()
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    leave(sock, how)
    raw.assert_reset(agent)
    client.wait_for_event(reason="handshake_closed", side="upstream")
    tokens.gate.unlink()


def test_what_a_client_sends_while_the_token_signs_is_kept(server_of, tokens, pki):
    """A record that TLS 1.3 allows at any time of the handshake (RFC 8446, 5)."""
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream)
    tokens.gate.touch()
    peer, sock = begin(server, pki)
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    sock.sendall(bytes.fromhex("140303000101"))
    tokens.gate.unlink()
    raw.carry_both_ways(peer.handshake(), upstream.accept())


def test_a_client_that_sends_much_while_the_token_signs_is_not_read(server_of, tokens, pki):
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream, workers=1)
    before = server.resident_kib()
    tokens.gate.touch()
    _, sock = begin(server, pki)
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    sock.settimeout(1)
    with contextlib.suppress(TimeoutError):
        sock.sendall(bytes(64 * 1024 * 1024))
        pytest.fail("husk has read all of it")
    assert server.resident_kib() - before < 8 * 1024
    tokens.gate.unlink()
    server.wait_for_event(reason="not_tls", side="downstream")


def test_connections_that_end_while_the_token_signs(server_of, tokens, pki):
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream, workers=1, key_sessions=1, handshake_timeout="2s")
    tokens.gate.touch()
    agents = [begin(server, pki)[1] for _ in range(3)]
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    raw.reset(agents.pop())
    server.wait_for_metric("husk_handshake_failures_total", 2, reason="token_failed", side="downstream")
    tokens.gate.unlink()
    raw.carry_both_ways(connect(server, pki), upstream.accept())


def test_husk_ends_while_the_token_hangs(server_of, tokens, pki):
    server = server_of(tokens.of(pki.server, "server"), raw.Listener(), drain_timeout="50ms")
    tokens.gate.touch()
    _, sock = begin(server, pki)
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    assert server.stop() == 0
    sock.close()
    assert server.events(message="a PKCS#11 token does not answer: husk ends without closing it")


def test_a_start_does_not_wait_for_a_token_that_hangs(husk, check, tokens):
    tokens.gate.touch()
    status, line = start(husk, tokens, tokens.uri("server"), key_passphrase_file=tokens.pin_file, token_timeout="200ms")
    assert status == 1 and "the token does not answer" in line
    check("server", env=tokens.env, key=tokens.uri("server"), key_passphrase_file=tokens.pin_file,
          token_timeout="200ms").expect("problem", "the token does not answer")


@pytest.mark.parametrize("code", [CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN])
def test_a_token_that_was_away_signs_again(server_of, tokens, pki, code):
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream)
    tokens.fail_once.write_text(code)
    raw.carry_both_ways(connect(server, pki), upstream.accept())
    assert not tokens.fail_once.exists()


def test_a_token_that_fails_ends_the_handshake_and_is_asked_again_by_the_next(server_of, tokens, pki):
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream)
    tokens.fail.write_text(CKR_DEVICE_REMOVED)
    with pytest.raises((ssl.SSLError, OSError)):
        connect(server, pki)
    event = server.wait_for_event(reason="token_failed", side="downstream")
    assert "the token does not sign" in event["detail"]
    tokens.fail.unlink()
    raw.carry_both_ways(connect(server, pki), upstream.accept())


def test_a_session_that_the_token_has_closed_is_opened_again(server_of, tokens, pki):
    """The token has forgotten the login, too."""
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream, key_sessions=1)
    raw.carry_both_ways(connect(server, pki), upstream.accept())
    tokens.lose_once.touch()
    raw.carry_both_ways(connect(server, pki), upstream.accept())
    assert not tokens.lose_once.exists() and tokens.calls("login") == 2


def test_a_token_can_be_taken_out_and_put_back(server_of, tokens, pki):
    if not tokens.is_parallel:
        pytest.skip("p11-kit server goes on listing a token that has been taken out")
    upstream = raw.Listener()
    server = server_of(tokens.of(pki.server, "server"), upstream, key_sessions=1)
    tokens.absent.touch()
    with pytest.raises((ssl.SSLError, OSError)):
        connect(server, pki)
    assert "the token is not there" in server.wait_for_event(reason="token_failed", side="downstream")["detail"]
    tokens.absent.unlink()
    raw.carry_both_ways(connect(server, pki), upstream.accept())
    assert tokens.calls("login") == 2


def test_routes_and_workers_share_the_key_of_a_token(husk, tokens, pki, tmp_path):
    """Each route has sessions of its own with the token, which all come back after the token has closed them."""
    upstreams = {name: raw.Listener() for name in ("first", "second")}
    uri = tokens.uri("server", query=f"&pin-source=file:{tokens.pin_file}")
    routes = [route(upstream, pki, pki.server.cert, uri, name) for name, upstream in upstreams.items()]
    server = husk.run(config_file.write(tmp_path / "husk.yaml", *routes, workers=2), 2, tokens.env)

    def carry():
        for name, upstream in upstreams.items():
            for _ in range(4):
                peer = raw.connect_tls(config_file.address_of(server, name), pki.ca.cert, pki.client)
                raw.carry_both_ways(peer, upstream.accept())
    carry()
    assert tokens.calls("login") == 1
    tokens.lose_once.touch()
    carry()
    assert tokens.calls("login") == 2 and not server.events(reason="token_failed")


def test_an_upstream_is_not_to_blame_for_the_token_of_the_client(husk, tokens, pki):
    tunnel = husk.tunnel(client={"certificate": tokens.of(pki.client, "client"), "env": tokens.env,
                                 "key_passphrase_file": tokens.pin_file})
    tokens.fail.write_text(CKR_DEVICE_REMOVED)
    raw.assert_reset(raw.connect(tunnel.client.address))
    tunnel.client.wait_for_event(reason="token_failed", side="upstream")
    tokens.fail.unlink()
    raw.carry_both_ways(*tunnel.open())


# ---- reload ----


def test_a_new_key_and_certificate_are_used_after_a_reload(husk, tokens, pki, tmp_path):
    upstream = raw.Listener()
    path = tmp_path / "husk.yaml"

    def write(certificate, label):
        uri = tokens.uri(label, query=f"&pin-source=file:{tokens.pin_file}")
        return config_file.write(path, route(upstream, pki, certificate.cert, uri))
    server = husk.run(write(pki.server, "server"), env=tokens.env)
    write(pki.next_server, "next")
    server.signal(signal.SIGHUP)
    server.wait_for_event(message="configuration reloaded")
    agent = connect(server, pki)
    assert agent.tls.getpeercert(True) == ssl.PEM_cert_to_DER_cert(pathlib.Path(pki.next_server.cert).read_text())
    raw.carry_both_ways(agent, upstream.accept())


@pytest.fixture
def two_routes(husk, tokens, pki, tmp_path):
    """Runs a route whose key is in the token, and a route whose key is in a file."""
    uri = tokens.uri("server", query=f"&pin-source=file:{tokens.pin_file}")
    routes = [route("127.0.0.1:9", pki, pki.server.cert, uri, "token"),
              route("127.0.0.1:9", pki, pki.server.cert, pki.server.key, "file")]
    path = config_file.write(tmp_path / "husk.yaml", *routes, token={"timeout": "2s"},
                             reload={"interval": "off", "retry_max": "100ms"})
    return husk.run(path, 2, tokens.env)


def test_a_token_that_hangs_at_a_reload_delays_no_other_route(two_routes, tokens):
    """Retries ask the token no more before it answers, and say nothing new."""
    tokens.gate.touch()
    two_routes.signal(signal.SIGHUP)
    assert "the token does not answer" in two_routes.wait_for_event(level="error", route="token")["message"]
    two_routes.wait_for_event(message="credentials reloaded", route="file")
    for count in (2, 3, 4):
        two_routes.signal(signal.SIGHUP)
        two_routes.wait_until(lambda _: len(two_routes.events(message="credentials reloaded", route="file")) == count, "a reload")
    assert tokens.calls("sign") == 2  # one at the start
    assert not two_routes.events(message="credentials reloaded", route="token")
    tokens.gate.unlink()
    two_routes.wait_for_event(message="credentials reloaded", route="token")


def test_retries_of_a_reload_wait_for_a_token_that_hangs(two_routes, tokens):
    tokens.gate.touch()
    two_routes.signal(signal.SIGHUP)
    two_routes.wait_for_event(level="error", route="token")
    two_routes.wait_for_metric("husk_reloads_total", 1, result="failure")
    tokens.gate.unlink()
    two_routes.wait_for_event(message="credentials reloaded", route="token")
    assert len(two_routes.events(level="error")) == 1


def test_husk_ends_while_a_reload_waits_for_a_token_that_hangs(two_routes, tokens):
    tokens.gate.touch()
    two_routes.signal(signal.SIGHUP)
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    assert two_routes.stop() == 0


def test_a_key_whose_token_hangs_is_replaced(husk, tokens, pki, tmp_path):
    """The worker goes on without the answer of the token."""
    upstream = raw.Listener()
    path = tmp_path / "husk.yaml"
    uri = tokens.uri("server", query=f"&pin-source=file:{tokens.pin_file}")
    server = husk.run(config_file.write(path, route(upstream, pki, pki.server.cert, uri)), env=tokens.env)
    tokens.gate.touch()
    _, sock = begin(server, pki)
    eventually(lambda: tokens.calls("sign") == 2, "the token is asked")
    config_file.write(path, route(upstream, pki, pki.server.cert, pki.server.key))
    server.signal(signal.SIGHUP)
    server.wait_for_event(message="configuration reloaded")
    raw.reset(sock)
    server.wait_for_metric("husk_connections_ended_total", 1, reason="handshake_left", side="downstream")
    raw.carry_both_ways(connect(server, pki), upstream.accept())
    tokens.gate.unlink()
