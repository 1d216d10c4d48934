"""Servers with one file of ticket keys resume each other's sessions, and judge each resumed client anew."""

import base64
import os
import signal

import pytest

from support import raw
from support.husk import flags, run
from support.pki import RevocationLists
from support.process import eventually

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def key(length=80):
    return b"\xff" + os.urandom(length - 1)  # no text


def write(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    return str(path)


def exchange(client, upstream):
    agent = raw.connect(client.address)
    aggregator = upstream.accept()
    raw.carry_both_ways(agent, aggregator)
    agent.close()
    assert aggregator.recv(1) == b""
    aggregator.close()


def handshakes(server, result):
    return server.metric("husk_handshakes_total", side="downstream", result=result)


def reload(server):
    before = len(server.events(message="credentials reloaded"))
    server.signal(signal.SIGHUP)
    eventually(lambda: len(server.events(message="credentials reloaded")) > before, "a reload")


@pytest.fixture
def replicas(husk):
    """Starts a husk server for each file, and a husk client whose connections go to all of them."""
    def make(version, *files):
        upstream = raw.Listener()
        servers = [husk.server(upstream, protocol="tcp", ticket_keys=file) for file in files]
        client = husk.client([raw.format_address(server.address) for server in servers], protocol="tcp",
                             tls_max=version, workers=1)
        return client, servers, upstream
    return make


@BOTH
@pytest.mark.parametrize("length", [48, 80])
def test_replicas_resume_each_others_sessions(replicas, tmp_path, version, length):
    file = write(tmp_path / "keys", key(length))
    client, servers, upstream = replicas(version, file, file)

    def both_have_resumed():
        exchange(client, upstream)
        return all(handshakes(server, "resumed") for server in servers)
    eventually(both_have_resumed, "each server resumes a session")
    assert sum(handshakes(server, "full") for server in servers) == 1
    assert not [one for server in servers for one in server.problems()]


@BOTH
def test_servers_with_other_keys_make_full_handshakes(replicas, tmp_path, version):
    client, servers, upstream = replicas(version, *(write(tmp_path / name, key()) for name in "ab"))

    def both_have_connected():
        exchange(client, upstream)
        return all(handshakes(server, "full") for server in servers)
    eventually(both_have_connected, "each server makes a full handshake")


@BOTH
def test_keys_are_rotated_by_a_reload(replicas, tmp_path, version):
    old, new = (base64.b64encode(key(length)) + b"\n" for length in (80, 48))
    file = write(tmp_path / "keys", old)
    client, [server], upstream = replicas(version, file)
    exchange(client, upstream)
    write(tmp_path / "keys", new + old)
    reload(server)
    exchange(client, upstream)  # the ticket has the old key, the new ticket has the new one
    write(tmp_path / "keys", new)
    reload(server)
    exchange(client, upstream)
    assert (handshakes(server, "full"), handshakes(server, "resumed")) == (1, 2)
    write(tmp_path / "keys", old)
    reload(server)
    exchange(client, upstream)
    assert handshakes(server, "full") == 2


def test_a_bad_file_at_a_reload_changes_nothing(replicas, tmp_path):
    file = write(tmp_path / "keys", key())
    client, [server], upstream = replicas("1.3", file)
    exchange(client, upstream)
    write(tmp_path / "keys", b"no key")
    server.signal(signal.SIGHUP)
    assert f"{file}: line 1: is not a ticket key" in server.wait_for_event(level="error")["message"]
    exchange(client, upstream)
    assert handshakes(server, "resumed") == 1


def rejudged(husk, file, version, **options):
    """A client with a session of one server comes to another server with the same keys and these options. Returns the
    second server, which has refused the client."""
    upstream = raw.Listener()
    first = husk.server(upstream, protocol="tcp", ticket_keys=file)
    client = husk.client(first, protocol="tcp", tls_max=version, workers=1)
    exchange(client, upstream)
    first.stop()
    second = husk.server(upstream, protocol="tcp", listen=raw.format_address(first.address), ticket_keys=file, **options)
    raw.assert_reset(raw.connect(client.address))
    assert not upstream.was_dialled()
    return second


@BOTH
def test_a_resumed_client_is_judged_by_the_policy_of_the_replica(husk, tmp_path, version):
    second = rejudged(husk, write(tmp_path / "keys", key()), version, allow_cn="somebody-else")
    second.wait_for_event(reason="not_allowed", side="downstream")


@BOTH
def test_a_resumed_client_is_judged_by_the_revocation_lists_of_the_replica(husk, pki, tmp_path, version):
    revoked = tmp_path / "revoked.pem"
    revoked.write_text(RevocationLists(tmp_path, pki.ca).make("lists", pki.client))
    second = rejudged(husk, write(tmp_path / "keys", key()), version, crl=str(revoked))
    second.wait_for_event(reason="certificate_revoked", side="downstream")


def test_a_file_that_others_can_read_is_warned_of(husk, tmp_path):
    file = write(tmp_path / "keys", key())
    os.chmod(file, 0o644)
    server = husk.server(raw.Listener(), protocol="tcp", ticket_keys=file)
    assert server.events(level="warn", file=file, mode="0644",
                         message="the file of ticket keys can be read by others than its owner")


@pytest.mark.parametrize("content, words", [
    (b"", "has no ticket key"), (bytes(79), "has 79 bytes"), (b"hello", "line 1: is not a ticket key"), (None, "No such file")])
def test_a_bad_file_ends_the_start_and_is_a_problem_of_the_check(husk, pki, tmp_path, content, words):
    file = str(tmp_path / "keys")
    if content is not None:
        write(tmp_path / "keys", content)
    options = husk.options("127.0.0.1:1", pki.server, log_format=None, allow_cn="client", ticket_keys=file)
    started = run("server", *flags(**options))
    assert started.returncode == 1 and file in started.stderr and words in started.stderr
    checked = run("check", "server", *flags(**options))
    assert [line for line in checked.stdout.splitlines() if "problem" in line and "--ticket-keys" in line and words in line]


def test_a_client_has_no_ticket_keys(husk, pki, tmp_path):
    ended = run("client", *flags(**husk.options("127.0.0.1:1", pki.client, ticket_keys="x")))
    assert ended.returncode == 2 and "--ticket-keys" in ended.stderr
