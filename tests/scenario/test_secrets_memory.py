"""A husk that runs has no passphrase in its memory: not that of a key, not that of a PKCS#12 file, not the text of a key."""

import pathlib
import signal

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked
from support.husk import LIGHT
from support.pki import openssl
from support.process import eventually

PASSPHRASE, PASSWORD, OLD_KEY = "passphrase-of-the-key-4721", "password-of-the-p12-4722", "shared-key-before-4723"
pytestmark = pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")


@pytest.fixture
def memory(memory_dump, tmp_path):
    """What a running husk has in its memory."""
    path = tmp_path / "memory"

    class Memory:
        env = {"LD_PRELOAD": memory_dump, "MEMORY_FILE": str(path)}

        def of(self, husk):
            path.unlink(missing_ok=True)
            husk.signal(signal.SIGUSR1)
            eventually(path.exists, "the memory is written")
            return path.read_bytes()
    return Memory()


def secret_file(path, text):
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def wide(text):
    """As PKCS#12 writes a password."""
    return text.encode("utf-16-be")


@pytest.mark.parametrize("form", ["pkcs8", "dek-info"])
def test_no_passphrase_of_a_key_stays(husk, pki, memory, tmp_path, form):
    locked = pki.locked(pki.server, PASSPHRASE, form)
    aggregator = Aggregator()
    server = husk.server(aggregator, certificate=locked, env=memory.env,
                         key_passphrase_file=secret_file(tmp_path / "phrase", PASSPHRASE))
    carry_acked(Agent(raw.connect_tls(server.address, pki.ca.cert, pki.client)), 1, "chunk")
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    found = memory.of(server)
    assert str(tmp_path / "phrase").encode() in found  # the test finds what is there
    assert PASSPHRASE.encode() not in found
    text = pathlib.Path(locked.key).read_text().splitlines()[-3]
    assert text.encode() not in found


def test_no_password_of_a_pkcs12_file_stays(husk, pki, memory, tmp_path):
    path = tmp_path / "server.p12"
    openssl("pkcs12", "-export", "-in", pki.server.cert, "-inkey", pki.server.key, "-out", path, "-passout", f"pass:{PASSWORD}")
    options = {"cert": None, "key": None, "keystore": path, "env": memory.env,
               "key_passphrase_file": secret_file(tmp_path / "phrase", PASSWORD)}
    server = husk.server(Aggregator(), **options)
    carry_acked(Agent(raw.connect_tls(server.address, pki.ca.cert, pki.client)), 1, "chunk")
    found = memory.of(server)
    assert PASSWORD.encode() not in found and wide(PASSWORD) not in found


def test_a_failed_load_leaves_no_passphrase(husk, pki, memory, tmp_path, mounted):
    files = mounted(pki.server)
    server = husk.server(raw.Listener(), certificate=files, env=memory.env,
                         key_passphrase_file=secret_file(tmp_path / "phrase", PASSPHRASE))
    pathlib.Path(files.key).write_bytes(pathlib.Path(pki.locked(pki.server, "another", "pkcs8").key).read_bytes())
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="failure")
    assert PASSPHRASE.encode() not in memory.of(server)


def test_a_shared_key_that_was_replaced_does_not_stay(husk, pki, memory, tmp_path):
    """The key in use stays: each handshake needs it."""
    key = secret_file(tmp_path / "key", OLD_KEY)
    server = husk.server(Aggregator(), accept_key_file=key, env=memory.env)
    assert OLD_KEY.encode() in memory.of(server)
    secret_file(key, "shared-key-after-4724")
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: OLD_KEY.encode() not in memory.of(server), "the old key is wiped")
