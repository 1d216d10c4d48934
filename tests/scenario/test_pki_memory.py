"""husk pki wipes passphrases and keys: at its end its memory has none of them."""

import base64
import re

import pytest

from support.husk import LIGHT
from support.husk_pki import openssl_says, succeed

CA, KEY, P12 = "passphrase-of-the-ca-4711", "passphrase-of-the-key-4712", "passphrase-of-the-p12-4713"


@pytest.fixture
def passphrases(tmp_path):
    """The options with the passphrases in files: the environment of a process stays as it was given."""
    for name, passphrase in (("ca", CA), ("key", KEY), ("p12", P12)):
        (tmp_path / name).write_text(passphrase + "\n")
    return {name: (f"--{name}-passphrase-file", tmp_path / name) for name in ("ca", "key", "p12")}


def secrets_of(path, passphrase):
    """The bytes of a private key that must not stay: the secret number of ECDSA, the primes of RSA, DER in the clear
    and PEM in the clear."""
    text = openssl_says("pkey", "-in", path, "-passin", f"pass:{passphrase}", "-text")
    numbers = re.findall(r"(?:priv|prime1|prime2|privateExponent):\n((?:    [0-9a-f:]+\n)+)", text)
    assert numbers
    pem = re.search(r"-----BEGIN PRIVATE KEY-----\n(.*?)\n-----END", text, re.S)[1]
    for number in numbers:
        value = bytes.fromhex(re.sub(r"[\s:]", "", number)).lstrip(b"\0")
        yield value
        yield value[::-1]  # as a number in memory
    yield base64.b64decode(pem)[-48:]
    yield pem.splitlines()[-2].encode()


def found_in(memory, secrets):
    return [secret[:16] for secret in secrets if any(
        secret[at:at + 16] in memory for at in range(0, max(1, len(secret) - 15), 16))]


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
def test_the_test_finds_what_is_not_wiped(memory_dump, tmp_path):
    """The name of the directory is no secret."""
    memory = tmp_path / "memory"
    succeed("init", tmp_path / "named-4714", "--ca-only", env={"LD_PRELOAD": memory_dump, "MEMORY_FILE": str(memory)})
    assert found_in(memory.read_bytes(), [b"named-4714"]) == [b"named-4714"]


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("profile", ["modern", "seed"])
def test_no_secret_stays_in_memory(memory_dump, tmp_path, profile, passphrases):
    directory, memory = tmp_path / "made", tmp_path / "memory"
    name = "server" if profile == "seed" else "localhost"
    ca_key = directory / ("private/ca.key.pem" if profile == "seed" else "intermediate.key.pem")
    leaf_key = directory / (f"private/{name}.key.pem" if profile == "seed" else f"{name}.key.pem")
    steps = [
        ("init", directory, "--ca-only", "--profile", profile, *passphrases["ca"]),
        ("issue", "server", name, "--dir", directory, *passphrases["ca"], *passphrases["key"]),
        ("renew", name, "--dir", directory, *passphrases["ca"], *passphrases["key"]),
        ("crl", "--dir", directory, *passphrases["ca"]),
        ("secret", name, "--dir", directory, "--layout", "tls", *passphrases["key"]),
        ("export-p12", name, "--dir", directory, *passphrases["key"], *passphrases["p12"]),
    ]
    for step in steps:
        succeed(*step, env={"LD_PRELOAD": memory_dump, "MEMORY_FILE": str(memory)})
        secrets = [CA.encode(), KEY.encode(), P12.encode(), *secrets_of(ca_key, CA)]
        if leaf_key.exists():
            secrets += secrets_of(leaf_key, KEY)
        assert not found_in(memory.read_bytes(), secrets), step
