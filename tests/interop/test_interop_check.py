"""husk check --connect against real Fluentd, with the files of SeedPki: certificates with names in the CN only, encrypted
keys, and a passphrase under the name server.key.passphrase, as in a Secret."""

import shutil
import types

import pytest

from support import fluentd
from support.checks import Checker
from support.husk import Launcher
from support.pki import Certificate, SeedPki
from support.process import Programs
from support.raw import format_address, free_address

SHARED_KEY = "shared1234"
ACKED = "Forward: the upstream acknowledges a message without events"


@pytest.fixture(scope="module", params=fluentd.VERSIONS)
def aggregator(request, seed, tmp_path_factory):
    """Fluentd with a plaintext input, an input with TLS, and an input with TLS and a shared key."""
    programs = Programs()
    made = types.SimpleNamespace(plain=free_address(), tls=free_address(), key=free_address())
    transport = fluentd.tls_transport(seed.ca, seed.server, """
        version %s
        private_key_passphrase "#{ENV["TLS_PRIVATE_KEY_PASSPHRASE"]}"
    """)
    security = fluentd.security(SHARED_KEY, "fluentd")
    sources = (fluentd.source(made.plain) + fluentd.source(made.tls, transport % "TLSv1_3")
               + fluentd.source(made.key, security + transport % "TLSv1_2"))
    made.program = programs.add(fluentd.Fluentd(
        "aggregator", tmp_path_factory.mktemp("aggregator"), sources + "<match **>\n@type stdout\n</match>",
        {"TLS_PRIVATE_KEY_PASSPHRASE": SeedPki.PASSPHRASES["server"]}, request.param))
    made.program.wait_started()
    yield made
    programs.stop()


@pytest.fixture
def connect(pki, seed):
    """Runs `husk check client --connect` with the files of SeedPki for this input."""
    def connect(address, **options):
        env = {"PASSPHRASE": SeedPki.PASSPHRASES["client"], "KEY": SHARED_KEY, "OTHER": "fluentd"}
        if "key_passphrase_file" not in options:
            options = {"key_passphrase_env": "PASSPHRASE", **options}
        given = {"certificate": seed.client, "ca": seed.ca, "server_name": "server", "allow_cn_as_name": True,
                 "connect": True, "env": env, **options}
        return Checker(Launcher(pki, None))("client", format_address(address), **given)
    return connect


def test_names_in_the_cn_are_the_only_warning(connect, aggregator):
    checked = connect(aggregator.key, shared_key_env="KEY")
    checked.expect_only("warning", "has its name in the CN only")
    checked.expect("ok", "TLSv1.2", "which is no husk").expect("ok", "the two shared keys are the same")
    checked.expect("ok", ACKED)


def test_shared_keys_that_differ_are_a_problem(connect, aggregator):
    connect(aggregator.key, shared_key_env="OTHER").expect_only(
        "problem", "shared-key handshake: the two shared keys differ", "shared_key mismatch")


def test_fluentd_with_a_shared_key_and_husk_without_one(connect, aggregator):
    connect(aggregator.key).expect_only("problem", "the peer speaks helo", "set --shared-key-env")


def test_fluentd_without_a_shared_key_and_husk_with_one(connect, aggregator):
    connect(aggregator.tls, shared_key_env="KEY", handshake_timeout="3s").expect_only(
        "problem", "shared-key handshake timed out", "remove --shared-key-*")


def test_fluentd_acknowledges_a_message_without_events(connect, aggregator, pki):
    connect(aggregator.tls).expect("ok", "TLSv1.3").expect("ok", ACKED)
    plain = Checker(Launcher(pki, None))("server", format_address(aggregator.plain), connect=True)
    plain.expect_good().expect("ok", ACKED)
    assert not any("husk.check" in line for line in aggregator.program.lines)


@pytest.mark.parametrize("kind, phase", [("tls", "after the TLS handshake"), ("key", "TLS handshake")])
def test_fluentd_does_not_know_the_ca_of_husk(connect, aggregator, pki, kind, phase):
    """Fluentd refuses with TLS 1.3, too, although the handshake of the client succeeds."""
    connect(getattr(aggregator, kind), certificate=pki.client, key_passphrase_env=None).expect_only(
        "problem", f"{phase}: peer rejected the TLS connection", "UNKNOWN_CA")


def test_the_name_in_the_cn_needs_two_settings(connect, aggregator):
    connect(aggregator.tls, allow_cn_as_name=None, server_name="server").expect_only(
        "problem", "certificate has no subjectAltName", '"server"', "--allow-cn-as-name")


def test_the_passphrase_is_in_the_secret_under_another_name(connect, aggregator, seed, tmp_path):
    key = tmp_path / "client.key.pem"
    shutil.copy(seed.client.key, key)
    (tmp_path / "server.key.passphrase").write_text(SeedPki.PASSPHRASES["client"])
    files = Certificate(seed.client.cert, str(key))
    connect(aggregator.tls, certificate=files, key_passphrase_env=None).expect_only(
        "problem", "the private key is encrypted", f"set --key-passphrase-file {tmp_path}/server.key.passphrase")


def test_tls_and_plaintext_are_told_apart(connect, aggregator, pki):
    connect(aggregator.plain, handshake_timeout="2s").expect_only("problem", "TLS handshake: ", "port with TLS")
    Checker(Launcher(pki, None))("server", format_address(aggregator.tls), connect=True).expect_only(
        "problem", "speaks TLS")
