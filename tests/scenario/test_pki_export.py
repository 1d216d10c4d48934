"""husk pki secret and export-p12."""

import base64
import stat
import subprocess

import pytest
import yaml

from support.husk_pki import husk_pki, openssl_says, refuse, succeed

SECRETS = {"CA": "1000", "KEY": "1234", "SHARED": "shared1234", "P12": "ä öffnen", "WRONG": "wrong"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "made"
    succeed("init", directory)
    succeed("issue", "client", "locked", "--dir", directory, "--key-passphrase-env", "KEY", env=SECRETS)
    return directory


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export-seed") / "made"
    succeed("init", directory, "--profile", "seed", "--ca-passphrase-env", "CA", "--key-passphrase-env", "KEY",
            env=SECRETS)
    return directory


def secret(*arguments):
    document = yaml.safe_load(succeed("secret", *arguments, env=SECRETS))
    assert document["apiVersion"] == "v1" and document["kind"] == "Secret"
    return document, {key: base64.b64decode(value, validate=True) for key, value in document["data"].items()}


@pytest.mark.parametrize("role, name", [("server", "fluentd-tls"), ("client", "fluentbit-tls")])
def test_the_secret_of_the_seed_is_what_kubectl_would_make(seed, role, name):
    """kubectl create secret generic NAME --from-file=… --from-literal 'server.key.passphrase=…' …"""
    document, data = secret(role, "--dir", seed, "--key-passphrase-env", "KEY", "--shared-key-env", "SHARED")
    assert document["metadata"] == {"name": name} and document["type"] == "Opaque"
    assert data == {"ca.crt.pem": (seed / "certs/ca.crt.pem").read_bytes(),
                    f"{role}.crt.pem": (seed / f"certs/{role}.crt.pem").read_bytes(),
                    f"{role}.key.pem": (seed / f"private/{role}.key.pem").read_bytes(),
                    "server.key.passphrase": b"1234", "fluent.shared.key": b"shared1234"}


def test_a_secret_without_passphrase_and_shared_key(made):
    document, data = secret("server", "--dir", made, "--secret-name", "a.b-c", "--namespace", "logging")
    assert document["metadata"] == {"name": "a.b-c", "namespace": "logging"}
    assert set(data) == {"ca.crt.pem", "server.crt.pem", "server.key.pem"}


def test_a_secret_of_type_tls(made):
    document, data = secret("client", "--dir", made, "--layout", "tls")
    assert document["type"] == "kubernetes.io/tls"
    assert data == {"ca.crt": (made / "ca.crt.pem").read_bytes(), "tls.crt": (made / "client.crt.pem").read_bytes(),
                    "tls.key": (made / "client.key.pem").read_bytes()}


def test_a_secret_of_type_tls_has_the_key_in_the_clear(made, tmp_path):
    assert "is encrypted, and kubernetes.io/tls has no place for a passphrase: give" in refuse(
        "secret", "locked", "--dir", made, "--layout", "tls")
    _, data = secret("locked", "--dir", made, "--layout", "tls", "--key-passphrase-env", "KEY")
    (tmp_path / "key").write_bytes(data["tls.key"])
    assert data["tls.key"].startswith(b"-----BEGIN PRIVATE KEY-----")
    assert openssl_says("pkey", "-pubout", "-in", tmp_path / "key") == openssl_says(
        "x509", "-noout", "-pubkey", "-in", made / "locked.crt.pem")


@pytest.mark.parametrize("words, expected", [
    (("none",), "none.crt.pem: there is no certificate \"none\": give"),
    (("locked", "--key-passphrase-env", "WRONG"), "locked.key.pem: the passphrase does not decrypt the private key"),
    (("locked", "--layout", "tls", "--key-passphrase-env", "WRONG"), "does not decrypt the private key"),
    (("server", "--secret-name", "A b"), '--secret-name "A b": expected small letters'),
    (("server", "--namespace", "-a"), '--namespace "-a": expected small letters'),
    (("server", "--shared-key-env", "NO_VARIABLE"), "--shared-key: environment variable NO_VARIABLE is not set"),
])
def test_a_secret_that_cannot_be_made_prints_nothing(made, words, expected):
    assert expected in refuse("secret", *words, "--dir", made, env=SECRETS)


# ---- PKCS#12 -----------------------------------------------------------------------------------------------

def p12_parts(path, passphrase="P12"):
    """The certificates and the public key of the private key, as openssl reads them."""
    text = openssl_says("pkcs12", "-in", path, "-passin", f"env:{passphrase}", "-nodes", env=SECRETS)
    key = subprocess.run(["openssl", "pkey", "-pubout"], input=text, capture_output=True, text=True, check=True).stdout
    return text.count("BEGIN CERTIFICATE"), key, text


@pytest.mark.parametrize("name, options", [("server", ()), ("locked", ("--key-passphrase-env", "KEY"))])
def test_a_p12_has_key_and_chain(made, tmp_path, name, options):
    out = tmp_path / "made.p12"
    assert succeed("export-p12", name, "--dir", made, "--out", out, "--p12-passphrase-env", "P12", *options,
                   env=SECRETS) == f"{out}\n"
    count, key, text = p12_parts(out)
    assert count == 3 and f"friendlyName: {name}" in text
    assert key == openssl_says("x509", "-noout", "-pubkey", "-in", made / f"{name}.crt.pem")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(subprocess.CalledProcessError):
        p12_parts(out, "WRONG")


def test_a_p12_of_the_seed_has_its_ca(seed):
    succeed("export-p12", "client", "--dir", seed, "--key-passphrase-env", "KEY", "--p12-passphrase-env", "P12",
            env=SECRETS)
    assert p12_parts(seed / "client.p12")[0] == 2


@pytest.mark.parametrize("words, expected", [
    (("none",), "none.crt.pem: there is no certificate \"none\": give"),
    (("server",), "server.p12: needs a passphrase: give it with --p12-passphrase-env or --p12-passphrase-file"),
    (("locked", "--p12-passphrase-env", "P12"), "locked.key.pem: needs a passphrase: give it with --key-passphrase-env"),
    (("server", "--p12-passphrase-env", "P12", "--out", "/none/a.p12"), "/none/a.p12: No such file or directory"),
])
def test_a_p12_that_cannot_be_made_is_named(made, words, expected):
    assert expected in refuse("export-p12", *words, "--dir", made, env=SECRETS)
    assert not list(made.glob("*.p12"))


def test_a_p12_is_not_overwritten(made, tmp_path):
    (tmp_path / "a.p12").write_text("precious")
    result = husk_pki("export-p12", "server", "--dir", made, "--out", tmp_path / "a.p12", "--p12-passphrase-env", "P12",
                      env=SECRETS)
    assert result.returncode == 1 and "a.p12: File exists" in result.stderr
    assert (tmp_path / "a.p12").read_text() == "precious"
