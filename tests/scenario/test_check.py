"""husk check without a connection: what is wrong with settings, files, secrets, addresses and names, in words.

docs/certificates.md and docs/check.md describe the command."""

import os
import pathlib
import re
import shutil
import socket

import pytest

from support import raw
from support.checks import SCHEMA
from support.forward import Aggregator
from support.husk import ROOT, flags, run
from support.pki import Certificate, RevocationLists, openssl
from support.strangers import HTTP_RESPONSE, Peer, TlsServer

HERE = f"{raw.HOST}:1"


@pytest.fixture
def lists(tmp_path, pki):
    return RevocationLists(tmp_path, pki.ca)


def written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


# ---- what is good ----

@pytest.mark.parametrize("mode", ["client", "server"])
def test_good_settings_have_no_problem(check, mode):
    checked = check(mode, admin=f"{raw.HOST}:0").expect_good()
    side = "upstream" if mode == "client" else "downstream"
    assert {one["section"] for one in checked.findings} == {"process", f"{mode}, downstream", f"{mode}, upstream"}
    assert {one["section"] for one in checked.findings if one["subject"].startswith("--cert")} == {f"{mode}, {side}"}
    checked.expect("ok", f"certificate CN={mode} may be used for a TLS {mode}")
    checked.expect("ok", "the chain leads to a CA of --ca")
    checked.expect("ok", "the key belongs to the certificate")
    checked.expect("ok", "--listen", "husk can listen there")
    checked.expect("ok", f"--upstream {HERE}", f"the address is {HERE}")


def test_people_read_a_line_for_each_finding_and_a_verdict(check, husk, pki):
    options = check.options("client", HERE, certificate=pki.client._replace(key="/nowhere.pem"))
    result = run("check", "client", *flags(**options))
    assert result.returncode == 1 and not result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "client, downstream" and "client, upstream" in lines
    assert "  problem  --key /nowhere.pem: No such file or directory" in lines
    assert lines[-1] == "verdict: 1 problem, 0 warnings"
    good = run("check", "client", *flags(**check.options("client", HERE)))
    assert good.returncode == 0 and good.stdout.splitlines()[-1] == "verdict: all good"


def test_all_that_is_wrong_is_said_at_once(check, tmp_path, pki):
    taken = raw.Listener()
    key = shutil.copy(pki.server.key, tmp_path)
    pathlib.Path(key).chmod(0o644)
    checked = check("client", certificate=Certificate(pki.expired_client.cert, key), ca="/nowhere.pem",
                    listen=raw.format_address(taken.address), upstream="nowhere.invalid:1")
    checked.expect("problem", "--listen", "in use").expect("problem", "certificate CN=client expired at")
    checked.expect("problem", "--key", "does not match certificate CN=client").expect("problem", "--ca /nowhere.pem")
    checked.expect("warning", "mode 0644").expect("warning", "nowhere.invalid")
    assert checked.report["problems"] == 4


# ---- files ----

@pytest.mark.parametrize("setting", ["cert", "key", "ca"])
def test_a_missing_file_is_a_problem(check, setting):
    check("client", **{setting: "/nowhere.pem"}).expect_only(
        "problem", f"--{setting} /nowhere.pem: No such file or directory")


@pytest.mark.parametrize("setting", ["cert", "key", "ca"])
def test_a_directory_is_a_problem(check, tmp_path, setting):
    check("client", **{setting: str(tmp_path)}).expect_only(
        "problem", f"--{setting} {tmp_path}: it is a directory, not a regular file")


@pytest.mark.parametrize("setting", ["cert", "key", "ca", "key_passphrase_file", "shared_key_file"])
def test_a_pipe_is_a_problem(check, tmp_path, setting):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)  # a pipe holds no secret: no word about its mode
    option = "--" + setting.replace("_", "-")
    checked = check("client", **{setting: str(pipe)}).expect_only(
        "problem", f"{option} {pipe}: it is a device, socket or pipe, not a regular file")
    assert not any("mode" in line for line in checked.of("warning"))


@pytest.mark.parametrize("setting, words", [
    ("cert", "holds no certificate in PEM form"), ("key", "holds no private key in PEM form"),
    ("ca", "holds no certificate in PEM form")])
def test_a_file_in_another_form_is_a_problem(check, tmp_path, setting, words):
    path = written(tmp_path / "text", "hello\n")
    check("client", **{setting: path}).expect_only("problem", f"--{setting} {path}: {words}")


@pytest.mark.parametrize("setting", ["cert", "key", "ca"])
def test_a_damaged_file_is_a_problem(check, tmp_path, pki, setting):
    good = {"cert": pki.client.cert, "key": pki.client.key, "ca": pki.ca.cert}[setting]
    lines = pathlib.Path(good).read_text().splitlines()
    path = written(tmp_path / "cut", "\n".join(lines[:-1]) + "\n")
    check("client", **{setting: path}).expect_only("problem", f"--{setting} {path}: line 1: the block", "no END")


@pytest.mark.parametrize("begin, end, line, words", [
    ("\u2014BEGIN CERTIFICATE\u2014", "\u2014END CERTIFICATE\u2014", 1, "a damaged BEGIN"),
    ("-----begin certificate-----", "-----end certificate-----", 1, "a damaged BEGIN"),
    ("===== BEGIN CERTIFICATE =====", "===== END CERTIFICATE =====", 1, "a damaged BEGIN"),
    ("BEGIN CERTIFICATE", "END CERTIFICATE", 2, "a damaged block"), ("", "", 2, "a damaged block")])
def test_a_second_ca_without_delimiters_is_a_problem(check, tmp_path, pki, begin, end, line, words):
    good = pathlib.Path(pki.ca.cert).read_text()
    second = [begin, *good.splitlines()[1:-1], end]
    path = written(tmp_path / "bundle", good + "\n".join(second) + "\n")
    check("client", ca=path).expect_only("problem", f"--ca {path}: line {len(good.splitlines()) + line}: {words}")


@pytest.mark.parametrize("setting", ["cert", "key", "ca"])
def test_a_file_in_utf16_is_a_problem(check, tmp_path, pki, setting):
    good = {"cert": pki.client.cert, "key": pki.client.key, "ca": pki.ca.cert}[setting]
    path = tmp_path / "utf16"
    path.write_bytes(pathlib.Path(good).read_text().encode("utf-16"))
    check("client", **{setting: path}).expect_only("problem", f"--{setting} {path}: is UTF-16, not ASCII; convert it with: iconv")


def test_a_ca_on_a_curve_that_husk_does_not_know_is_told(check, tmp_path):
    ca = tmp_path / "ca.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-nodes", "-keyout", tmp_path / "ca.key",
            "-subj", "/CN=odd", "-out", ca)
    check("client", ca=ca).expect("warning", "has a key of a kind or curve that husk does not support")


def test_a_key_in_the_ca_file_is_a_problem(check, pki):
    check("client", ca=pki.client.key).expect("problem", "--ca", "does not belong in this file")


# ---- the certificate ----

def test_an_expired_certificate_is_a_problem(check, pki):
    check("server", certificate=pki.expired_server).expect_only(
        "problem", "certificate CN=server expired at", " ago", "renew the certificate")


def test_a_certificate_for_another_use_is_a_problem(check, pki):
    check("server", certificate=pki.misused_server).expect_only(
        "problem", "not meant for a TLS server, its usages are: digitalSignature; clientAuth",
        "extendedKeyUsage=serverAuth")
    check("client", certificate=pki.server).expect_only("problem", "not meant for a TLS client",
                                                        "extendedKeyUsage=clientAuth")


def test_a_server_name_in_the_cn_only_is_a_warning(check, pki):
    check("server", certificate=pki.cn_only_server).expect_only(
        "warning", "its name is in the CN only", "husk client, Go, and Fluent Bit", "subjectAltName=DNS:localhost",
        "--allow-cn-as-name")


def test_a_weak_certificate_is_a_warning(check, pki):
    check("client", certificate=pki.weak_client).expect_only("warning", "an RSA key of 1024 bits, which is weak")


def test_a_certificate_of_another_ca_is_a_warning(check, pki):
    """The two sides may have different CAs."""
    check("client", certificate=pki.foreign_client).expect_only(
        "warning", "the chain leads to no CA of --ca", "issued by CN=CA theirs", "nothing is wrong")


def test_a_ca_as_the_certificate_is_a_warning(check, pki):
    key = pathlib.Path(pki.ca.cert).with_suffix(".key")
    check("client", certificate=Certificate(pki.ca.cert, str(key))).expect(
        "warning", "the first certificate, CN=CA ours, is the certificate of a CA")


def test_a_foreign_certificate_in_the_chain_is_a_problem(check, tmp_path, pki):
    both = pathlib.Path(pki.client.cert).read_text() + pathlib.Path(pki.server.cert).read_text()
    check("client", cert=written(tmp_path / "both.pem", both)).expect_only(
        "problem", "certificate 2 of the file, CN=server, has issued no certificate before it")


# ---- the key ----

def test_a_key_of_another_certificate_is_a_problem(check, pki):
    check("client", key=pki.server.key).expect_only("problem", f"--key {pki.server.key}", "does not match",
                                                     "request a new certificate")


def test_a_key_that_others_can_read_is_a_warning(check, tmp_path, pki):
    path = pathlib.Path(shutil.copy(pki.client.key, tmp_path))
    path.chmod(0o640)
    check("client", key=str(path)).expect_only("warning", "(mode 0640)", "chmod 600")


@pytest.fixture(params=["pkcs8", "dek-info"])
def locked(tmp_path, pki, request):
    """An encrypted key alone in a directory."""
    key = pathlib.Path(shutil.copy(pki.locked(pki.client, "1111", request.param).key, tmp_path))
    key.chmod(0o600)
    return Certificate(pki.client.cert, str(key))


def test_an_encrypted_key_without_a_passphrase_is_a_problem(check, locked):
    check("client", certificate=locked).expect_only("problem", "--key", "the private key is encrypted",
                                                    "with --key-passphrase-env or --key-passphrase-file")


def test_the_passphrase_of_the_secret_is_found_beside_the_key(check, tmp_path, locked):
    """A Secret of Kubernetes has the passphrase of the client's key under the name server.key.passphrase."""
    beside = written(tmp_path / "server.key.passphrase", "1111")
    advice = f"the file {beside} beside the key has its passphrase: set --key-passphrase-file {beside}"
    check("client", certificate=locked).expect_only("problem", "the private key is encrypted", advice)
    wrong = written(tmp_path / "wrong", "1234\n")
    check("client", certificate=locked, key_passphrase_file=wrong).expect_only("problem", "does not decrypt", advice)
    check("client", certificate=locked, key_passphrase_file=str(tmp_path / "none")).expect_only(
        "problem", "--key-passphrase-file", "No such file or directory", advice)
    check("client", certificate=locked, key_passphrase_env="NO_SUCH").expect_only(
        "problem", "--key-passphrase-env NO_SUCH", "is not set", advice + " instead of --key-passphrase-env")
    check("client", certificate=locked, key_passphrase_file=beside).expect_good()


def test_a_passphrase_beside_the_key_that_does_not_open_it_is_named(check, tmp_path, locked):
    beside = written(tmp_path / "server.key.passphrase", "1234")
    check("client", certificate=locked).expect_only("problem", f"the file {beside} beside the key does not open it")


@pytest.mark.parametrize("value, words", [("", "is empty"), ("x" * 1025, "longer than")])
def test_a_passphrase_that_cannot_be_one_is_a_problem(check, locked, value, words):
    check("client", certificate=locked, key_passphrase_env="PASS", env={"PASS": value}).expect_only("problem", words)


def test_a_passphrase_never_reaches_the_output(check, tmp_path, locked):
    secret = "a-secret-that-must-not-be-seen"
    beside = written(tmp_path / "key.pass", secret)
    result = run("check", "client", *flags(**check.options("client", HERE, certificate=locked,
                                                             key_passphrase_file=beside)))
    assert result.returncode == 1 and secret not in result.stdout + result.stderr


def test_a_passphrase_file_that_others_can_read_is_a_warning(check, tmp_path, locked):
    path = written(tmp_path / "phrase", "1111", mode=0o644)
    check("client", certificate=locked, key_passphrase_file=path).expect_only(
        "warning", f"--key-passphrase-file {path}", "(mode 0644)")


def test_a_passphrase_for_a_key_that_is_not_encrypted_is_noted(check, tmp_path):
    path = written(tmp_path / "phrase", "1111")
    check("client", key_passphrase_file=path).expect_good().expect("note", "the key is not encrypted")


# ---- the CAs and their lists ----

def test_a_leaf_in_the_ca_file_is_a_problem(check, pki):
    check("client", ca=pki.server.cert).expect_only("problem", "certificate CN=server is not a CA certificate",
                                                    "the certificate of its issuer, CN=CA ours")


def test_a_list_that_names_our_own_certificate_is_a_problem(check, pki, lists):
    check("client", ca=lists.bundle(lists.make("revoked", pki.client))).expect_only(
        "problem", "certificate CN=client is revoked by its issuer", "new key")


def test_a_list_is_applied(check, lists):
    check("client", ca=lists.bundle(lists.make("fresh"))).expect_good().expect(
        "ok", "husk applies the revocation list of CN=CA ours")


def test_an_old_list_is_a_warning(check, lists):
    old = lists.make("old", options=("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"))
    check("client", ca=lists.bundle(old)).expect_only("warning", "a newer list was due at 2020-02-01T00:00:00Z")


def test_an_old_list_is_noted_if_its_age_is_ignored(check, lists):
    old = lists.make("old", options=("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"))
    check("client", ca=lists.bundle(old), revocation_policy="ignore").expect_good().expect(
        "note", "a newer list was due at 2020-02-01T00:00:00Z", "husk still applies this list")


@pytest.mark.parametrize("kind, value", [("cn", "a*"), ("dns", "*.x"), ("uri", "spiffe://x"), ("email", "a@b"), ("o", "x"),
                                         ("ou", "x"), ("issuer", "CN=x"), ("spki", "0" * 64)])
def test_a_name_that_is_allowed_and_denied_is_a_warning(check, kind, value):
    check("server", **{f"allow_{kind}": value, f"deny_{kind}": value}).expect_only(
        "warning", f"--allow-{kind} {value}", f"denying wins (--deny-{kind})", "remove one of them")


def test_other_names_that_are_denied_are_no_warning(check):
    check("server", allow_cn="x", deny_cn="x*", deny_ou="x").expect_good()


def test_an_option_for_messages_in_a_tunnel_is_a_warning(check):
    check("client", protocol="tcp", ack_timeout="5s", buffer_bytes="64KiB").expect_only(
        "warning", "--ack-timeout: this setting has no effect: with --protocol tcp")


def test_a_name_beside_any_is_a_warning(check):
    check("server", allow_cn=["x", "y"], allow_any=True).expect("warning", "--allow-cn x", "--allow-any admits every") \
        .expect("warning", "--allow-cn y", "remove one of them")


def test_clients_without_a_certificate_beside_any_are_no_second_warning(check):
    check("server", allow_cn=None, allow_any=True, allow_anonymous=True, client_certificate="optional", deny_cn="x") \
        .expect_only("warning", "clients without a certificate are admitted")


def test_a_list_of_another_ca_is_noted(check, pki, lists):
    """An intermediate that peers show may have signed it."""
    check("client", ca=lists.bundle(lists.make("other", signer=pki.other_ca))).expect_good().expect(
        "note", "no CA of --ca has signed the revocation list of CN=CA theirs")


def test_lists_of_crl_files_are_checked(check, lists, tmp_path):
    (tmp_path / "fresh.pem").write_text(lists.make("fresh"))
    (tmp_path / "delta.pem").write_text(lists.make("delta", extensions="2.5.29.27=critical,DER:020101"))
    (tmp_path / "none.pem").write_text("no list\n")
    found = check("client", crl=[tmp_path / "fresh.pem", tmp_path / "delta.pem", tmp_path / "none.pem"])
    found.expect("ok", f"--crl {tmp_path}/fresh.pem", "husk applies the revocation list of CN=CA ours")
    found.expect("problem", f"--crl {tmp_path}/delta.pem", "line 1: the revocation list cannot be used: a delta list")
    found.expect("problem", f"--crl {tmp_path}/none.pem", "holds no revocation list in PEM or DER form")


def test_a_missing_list_is_a_problem_if_lists_are_required(check):
    check("client", revocation_policy="require").expect_only(
        "problem", "there is no revocation list of CA CN=CA ours", "--crl")


def test_an_old_list_is_a_problem_if_lists_are_required(check, lists, tmp_path):
    (tmp_path / "old.pem").write_text(lists.make("old", options=(
        "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z")))
    check("client", crl=tmp_path / "old.pem", revocation_policy="require").expect_only(
        "problem", "a newer list was due at 2020-02-01T00:00:00Z", "refuses")


def test_a_delta_list_is_a_problem(check, lists):
    delta = lists.make("delta", extensions="2.5.29.27=critical,DER:020101")
    check("client", ca=lists.bundle(delta)).expect_only("problem", "a delta list is not supported")


# ---- shared keys ----

@pytest.mark.parametrize("side", ["shared", "accept"])
def test_a_shared_key_that_cannot_be_loaded_is_a_problem(check, tmp_path, side):
    check("client", **{f"{side}_key_env": "NO_SUCH"}).expect_only("problem", f"--{side}-key-env NO_SUCH", "not set")
    check("client", **{f"{side}_key_file": "/nowhere"}).expect_only("problem", f"--{side}-key-file /nowhere", "No such")
    check("client", **{f"{side}_key_file": written(tmp_path / "empty", "\n")}).expect_only("problem", "is empty")


def test_a_shared_key_that_others_can_read_is_a_warning(check, tmp_path):
    path = written(tmp_path / "shared", "a key\n", mode=0o604)
    check("client", shared_key_file=path).expect_only("warning", f"--shared-key-file {path}", "(mode 0604)")


def test_the_password_of_a_user_that_is_not_set_is_a_problem(check):
    check("client", shared_key_env="KEY", username="one", password_env="NO_SUCH", env={"KEY": "k"}).expect_only(
        "problem", "--password-env", "NO_SUCH")
    check("client", accept_key_env="KEY", accept_user="one=NO_SUCH", env={"KEY": "k"}).expect_only(
        "problem", "--accept-user NO_SUCH", "environment variable NO_SUCH is not set")


def test_a_secret_in_the_place_of_the_name_of_a_variable_is_not_shown(check, locked):
    for given in ({"shared_key_env": "hunter2"}, {"accept_key_env": "KEY", "accept_user": "one=hunter2"},
                  {"shared_key_env": "KEY", "username": "one", "password_env": "hunter2"},
                  {"certificate": locked, "key_passphrase_env": "hunter2"}):
        checked = check("client", env={"KEY": "k"}, **given)
        checked.expect_only("problem", "no environment variable has this name")
        assert not any("hunter2" in str(one) for one in checked.findings)


# ---- addresses ----

@pytest.mark.parametrize("setting", ["listen", "upstream", "admin"])
def test_a_password_in_an_address_is_not_shown(check, setting):
    checked = check("client", **{setting: f"bob:hunter2@{HERE}"})
    checked.expect("problem", "--" + setting, "an address has no user and no password")
    assert not any("hunter2" in str(one) for one in checked.findings)


@pytest.mark.parametrize("setting", ["listen", "admin"])
def test_an_address_in_use_is_a_problem(check, setting):
    taken = raw.Listener()
    address = raw.format_address(taken.address)
    check("client", **{setting: address}).expect_only("problem", f"--{setting} {address}", "Address already in use",
                                                      "--running")


@pytest.mark.parametrize("setting", ["listen", "admin"])
def test_an_address_of_another_machine_is_a_problem(check, setting):
    address = "203.0.113.5:24224"  # TEST-NET-3 (RFC 5737), where another machine may answer
    checked = check("server", **{setting: address})
    checked.expect_only("problem", f"--{setting} {address}", "no interface of this machine has this address")
    assert "--running" not in checked.of("problem")[0]


def test_the_addresses_of_a_running_husk_must_accept_connections(check, husk):
    running = husk.client(HERE)
    options = {"listen": raw.format_address(running.address), "admin": raw.format_address(running.admin)}
    check("client", **options).expect("problem", "--listen", "in use").expect("problem", "--admin", "in use")
    checked = check("client", running=True, **options).expect_good()
    checked.expect("ok", "--listen", "a program accepts connections there").expect("ok", "--admin", "accepts")
    checked.expect("note", "--listen", "whether the program that listens there is husk was not tested: without TLS")
    running.stop()
    check("client", running=True, **options).expect("problem", "--listen", "no program accepts connections there",
                                                    "leave --running out")


@pytest.mark.parametrize("program", [{"answers": HTTP_RESPONSE}, {"closes": True}, {"greets": b"220 mail\r\n", "closes": True}],
                         ids=["http", "closes", "greets"])
def test_another_program_at_the_admin_port_is_noticed(check, husk, program):
    running, other = husk.client(HERE), Peer(**program)
    options = {"listen": raw.format_address(running.address), "running": True}
    check("client", admin=raw.format_address(running.admin), **options).expect_good().expect("ok", "--admin", "a husk answers there")
    check("client", admin=raw.format_address(other.address), **options).expect_only(
        "problem", "--admin", "does not answer as the admin port of a husk")


def test_the_admin_port_at_a_unix_socket_is_asked(check, husk, tmp_path):
    admin = f"unix:{tmp_path}/admin"
    running = husk.client(HERE, admin=admin)
    check("client", listen=raw.format_address(running.address), admin=admin, running=True).expect_good().expect(
        "ok", "--admin", "a husk answers there")


def test_a_udp_port_in_use_is_a_warning(check):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((raw.HOST, 0))
        address = raw.format_address(taken.getsockname())
        check("client", listen=address).expect_only("warning", f"--listen {address}", "UDP heartbeats",
                                                    "--udp-heartbeats off")
        check("client", listen=address, udp_heartbeats="off").expect_good()


def test_a_unix_address_is_checked_and_left_as_it_was(check, tmp_path):
    path = tmp_path / "husk.sock"
    check("client", listen=f"unix:{path}").expect_good()
    assert not path.exists()
    check("client", listen=f"unix:{tmp_path}/none/husk.sock").expect_only("problem", "the directory does not exist")
    written(path, "a file")
    checked = check("client", listen=f"unix:{path}")
    checked.expect_only("problem", "a file that is no socket has this name")
    assert "--running" not in checked.of("problem")[0]
    assert path.read_text() == "a file"


# ---- the clients of a listener with TLS ----

def client_of(certificate):
    return {"client_cert": certificate.cert, "client_key": certificate.key}


def test_clients_may_know_other_cas_than_the_listener(check, pki):
    """The clients know the CA of the server, and the server knows the CA of the clients."""
    options = {"certificate": pki.server, "ca": pki.other_ca.cert}
    checked = check("server", **options)
    checked.expect("note", "a client that has the CAs of --ca does not know the CA", "--client-ca")
    checked = check("server", client_ca=pki.ca.cert, **client_of(pki.foreign_client), **options)
    checked.expect("ok", "TLSv1.3: a client that has the CAs of --client-ca accepts").expect(
        "ok", "--client-cert", "TLSv1.3: husk admits this client")
    check("server", client_ca=pki.other_ca.cert).expect_only(
        "problem", "the handshake of a client that asks for localhost fails", "unknown CA", "--client-ca must have the CA")


def test_the_files_of_the_client_are_named_as_options_of_the_check(check, locked, tmp_path):
    checked = check("server", **client_of(locked))
    checked.expect_only("problem", f"--client-cert {locked.cert}", "the private key is encrypted",
                        "with --client-key-passphrase-env or --client-key-passphrase-file")
    good = {"client_key_passphrase_file": written(tmp_path / "phrase", "1111")}
    check("server", **client_of(locked), **good).expect_good().expect("ok", "husk admits this client")
    check("server", **client_of(locked), client_key_passphrase_env="PASS", env={"PASS": "1111"}).expect_good()


def test_a_wildcard_is_tried_with_a_name(check, pki):
    wildcard = pki.ca.issue("wildcard", "server", "serverAuth", "DNS:*.logs.example")
    check("server", certificate=wildcard).expect_good().expect("ok", "accepts the certificate for the name husk.logs.example")


def test_a_name_in_the_cn_is_tried_and_a_certificate_without_a_name_is_not(check, pki):
    check("server", certificate=pki.cn_only_server).expect("ok", "accepts the certificate for the name localhost")
    nameless = pki.ca.issue("nameless", "server", "serverAuth", "URI:spiffe://example.org/server")
    check("server", certificate=nameless).expect("note", "no handshake was tested", "no name that a client can ask for")


def test_only_the_versions_of_the_listener_are_tried(check):
    checked = check("server", tls_min="1.3")
    assert [line for line in checked.of("ok") if "TLSv1." in line] == [
        line for line in checked.of("ok") if "TLSv1.3: a client that" in line]


def running_options(husk, **options):
    return {"listen": raw.format_address(husk.address), "running": True, "connect": True, **options}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_listener_of_a_running_husk_is_called(check, husk, pki, version):
    aggregator = Aggregator()
    server = husk.server(aggregator, tls_max=version)
    options = running_options(server, tls_max=version, **client_of(pki.client))
    checked = check("server", aggregator, **options).expect_good()
    checked.expect("ok", "--listen", "the husk that listens there shows the certificate of --cert")
    checked.expect("ok", "--listen", "admits the client of --client-cert")
    assert not server.problems()


def test_the_listener_of_a_running_husk_is_called_without_a_client(check, husk):
    """With TLS 1.3 the server shows its certificate before it refuses the client."""
    aggregator = Aggregator()
    server = husk.server(aggregator)
    checked = check("server", aggregator, **running_options(server)).expect_good()
    checked.expect("ok", "--listen", "the husk that listens there shows the certificate of --cert")
    checked.expect("note", "whether husk admits a client was not tested")
    assert server.problem()["reason"] == "certificate_usage"


def test_a_refused_client_of_tls_1_2_has_seen_the_server(check, husk):
    """The handshake is not finished: the certificate of the server was accepted, and is not compared."""
    aggregator = Aggregator()
    server = husk.server(aggregator, tls_max="1.2")
    check("server", aggregator, **running_options(server, tls_max="1.2")).expect_good().expect(
        "ok", "--listen", "a client accepts the certificate of the program that listens there")


def test_a_running_husk_with_other_settings_is_noticed(check, husk, pki):
    aggregator = Aggregator()
    server = husk.server(aggregator, certificate=pki.next_server, allow_cn="another")
    checked = check("server", aggregator, **running_options(server, **client_of(pki.client)))
    checked.expect("warning", "shows another certificate: CN=next, valid until", "SIGHUP")
    checked.expect("problem", "refuses the client of --client-cert: peer rejected the TLS connection", "ACCESS_DENIED")


@pytest.mark.parametrize("program, words", [
    (lambda pki: Peer(answers=HTTP_RESPONSE), ("fails: peer does not speak TLS", "the program is no husk")),
    (lambda pki: Peer(closes=True), ("fails: server closed during the TLS handshake",)),
    (lambda pki: TlsServer(pki), ("the program that listens there speaks TLS, but is no husk",)),
    (lambda pki: TlsServer(pki, certificate=pki.foreign_server), ("fails: certificate is from an unknown CA",)),
], ids=["http", "closes", "tls", "another-ca"])
def test_another_program_at_the_address_of_husk_is_noticed(check, pki, program, words):
    aggregator = Aggregator()
    checked = check("server", aggregator, **running_options(program(pki)))
    checked.expect("ok", "--listen", "a program accepts connections there").expect_only("problem", "--listen", *words)


def test_a_husk_that_does_not_run_is_not_called(check, husk):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    options = running_options(server)
    server.stop()
    check("server", aggregator, **options).expect_only("problem", "no program accepts connections there").expect(
        "note", "--listen", "no TLS handshake could be tested: connection refused")


def test_a_silent_program_at_the_address_of_husk_is_noticed(check):
    aggregator, silent = Aggregator(), raw.Listener()
    check("server", aggregator, **running_options(silent, handshake_timeout="300ms")).expect_only("problem", "--listen", "fails: TLS handshake timed out")


@pytest.mark.parametrize("words, expected", [
    (["--client-cert", "a"], "--client-cert and --client-key: the one needs the other"),
    (["--client-key", "a"], "--client-cert and --client-key: the one needs the other"),
    (["--client-key-passphrase-env", "a"], "--client-key-passphrase-env: has an effect only with --client-key"),
    (["--client-key-passphrase-file", "a"], "--client-key-passphrase-file: has an effect only with --client-key"),
    (["--client-cert", "a", "--client-key", "a", "--client-key-passphrase-file", "a", "--client-key-passphrase-env", "b"],
     "--client-key-passphrase-env: cannot be combined with --client-key-passphrase-file"),
    (["--client-ca", "a"], "--client-*: there is no listener with TLS"),
])
def test_settings_of_a_client_without_effect_are_wrong_usage(check, words, expected):
    result = run("check", "client", *flags(**check.options("client", HERE)), *words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"husk check: {expected}\n")


# ---- upstreams ----

def test_a_name_without_an_address_is_a_warning(check):
    checked = check("client", upstream=[HERE, "nowhere.invalid:24224"])
    checked.expect_only("warning", "--upstream nowhere.invalid:24224", "has no address", "--dns-servers")
    checked.expect("ok", f"--upstream {HERE}")


def test_a_name_server_that_does_not_answer_is_a_warning(check):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((raw.HOST, 0))
        check("client", upstream="husk.test:1", dns_servers=raw.format_address(silent.getsockname()),
              connect_timeout="200ms").expect_only("warning", "no answer of a name server came in time")


def test_the_port_of_the_prometheus_input_is_noted(check):
    check("client", upstream=f"{raw.HOST}:24231").expect_good().expect(
        "note", "port 24231 is the default port of Fluentd's prometheus input")


# ---- the output for scripts ----

def test_the_fields_of_the_output_are_those_of_the_schema_and_of_the_page(check):
    """Each run of the check in any test is validated by the schema. Here all fields are there."""
    fields, page = {}, (ROOT / "docs/check.md").read_text()
    for part, where in ((SCHEMA, "report"), (SCHEMA["definitions"]["finding"], "finding")):
        fields[where] = set(part["properties"])
        named = re.findall(rf"^\| {where} \| `(\w+)` \|", page, re.M)
        assert set(named) == fields[where] and len(named) == len(set(named))
    checked = check("client", key="/nowhere.pem", tls_min="1.3")
    assert set(checked.report) == fields["report"]
    assert set().union(*checked.findings) == fields["finding"] - {"line", "column", "advice"}


# ---- settings and usage ----

@pytest.mark.parametrize("options, subject, words", [
    ({"listen": "0.0.0.0:0"}, "--listen", "--unsafe-listen"),
    ({"upstream": "unix:/run/x"}, "--server-name", "is required when the upstream is a Unix socket"),
    ({"tls_min": "1.3", "tls_max": "1.2"}, "--tls-min", "is above --tls-max"),
    ({"username": "one"}, "--username", "requires --shared-key-env"),
    ({"upstream": "127.0.0.1"}, "--upstream", "127.0.0.1"),
])
def test_settings_that_do_not_go_together_are_a_problem(check, options, subject, words):
    checked = check("client", **options).expect_only("problem", f"{subject}: ", words, "nothing else was checked")
    assert [one["section"] for one in checked.findings] == ["settings"]


def test_a_server_that_admits_nobody_is_a_problem(check):
    check("server", allow_cn=None).expect_only("problem", "nobody is allowed to connect")


@pytest.mark.parametrize("words, expected", [
    ([], "expected client or server"),
    (["proxy"], "expected client or server"),
    (["client", "--frobnicate"], "--frobnicate"),
    (["client", "--connect"], "--listen"),
    (["--config", "c", "--ack-timeout", "5s"], "--ack-timeout: unknown option; in the file it is delivery.ack_timeout"),
    (["client", "--shared-key", "hunter2"], "--shared-key-env"),
    (["client", "--json", "--listen", HERE, "--upstream", HERE, "--cert", "c", "--key", "k", "--ca", "c",
      "--tag", "x" * 1025], "--tag"),
])
def test_wrong_usage_has_a_status_of_its_own(words, expected):
    result = run("check", *words)
    assert result.returncode == 2 and not result.stdout and result.stderr.count("\n") == 1 and expected in result.stderr


@pytest.mark.parametrize("words, expected", [
    (["--tag", "a"], "--tag: has an effect only with --connect"),
    (["--answer-timeout", "1s"], "--answer-timeout: has an effect only with --connect"),
    (["--no-message"], "--no-message: has an effect only with --connect"),
])
def test_an_option_without_effect_is_wrong_usage(check, tmp_path, words, expected):
    settings = flags(**check.options("client", HERE))
    for form in (["client", *settings], ["--config", tmp_path / "none.yaml"]):
        result = run("check", *form, *words)
        assert (result.returncode, result.stdout, result.stderr) == (2, "", f"husk check: {expected}\n")


def test_the_help_lists_the_options_of_the_check():
    text = run("help", "check").stdout
    assert all(word in text for word in ("--connect", "--running", "--json", "--no-message", "--tag", "Exit status"))
