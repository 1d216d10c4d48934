"""husk check --connect: one connection to each endpoint, with a verdict in words, against husk, aggregators and
strangers.

docs/check.md describes the command."""

import os
import struct
import time

import pytest

from support import raw
from support.forward import Aggregator
from support.husk import flags, run
from support.strangers import HELO, HTTP_RESPONSE, SSH, TLS_ALERT, Peer, TlsServer

KEY = {"env": {"KEY": "a key"}}
ACKED = "Forward: the upstream acknowledges a message without events"


@pytest.fixture
def connect(check):
    """Runs `husk check --connect`. The limits are long: a test whose peer is silent sets a short one."""
    def connect(mode, upstream, **options):
        return check(mode, upstream, connect=True, **{"answer_timeout": "10s", "confirm_timeout": "10s", **options})
    return connect


# ---- what is good ----

def test_husk_client_finds_husk_server_and_the_aggregator_behind_it(connect, husk):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    checked = connect("client", server).expect_good()
    checked.expect("ok", "TLS handshake: TLSv1.3 with X25519", "husk trusts the server CN=server, which is a husk")
    checked.expect("ok", "certificate CN=server is valid until", "days more")
    checked.expect("ok", "the server accepts the certificate of husk").expect("ok", ACKED)
    assert all(message.value[:2] == ["husk.check", []] for message in aggregator.messages)
    assert not server.problems()


def test_husk_server_finds_its_aggregator(connect):
    aggregator = Aggregator()
    checked = connect("server", aggregator).expect_good()
    checked.expect("ok", "the upstream accepts a connection").expect("ok", ACKED)
    [message] = aggregator.messages
    assert message.value == ["husk.check", [], {"chunk": message.chunk}] and message.chunk.startswith("husk-check-")


def test_each_endpoint_is_tried(connect):
    first, second = Aggregator(), raw.format_address(raw.free_address())
    checked = connect("server", [raw.format_address(first.address), second])
    checked.expect("ok", raw.format_address(first.address), ACKED)
    checked.expect_only("problem", f"{second}: connect: connection refused", "no program listens")


def test_an_aggregator_with_tls_1_2_is_found(connect, pki):
    checked = connect("client", TlsServer(pki, version="1.2", answers=b"\x81\xa3ack\xa3abc"))
    checked.expect("ok", "TLSv1.2", "which is no husk")
    checked.expect("problem", "aggregator acknowledged an unknown message")


def test_a_unix_socket_is_found(connect, tmp_path):
    connect("server", Aggregator(address=str(tmp_path / "aggregator"))).expect_good().expect("ok", ACKED)


def test_the_end_of_the_check_is_orderly(connect, husk):
    server = husk.server(Aggregator(), log_level="debug")
    connect("client", server).expect_good()
    server.wait_for_event(side="downstream", reason="closed")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_nothing_but_a_connection_is_made_with_protocol_tcp(connect, pki, mode):
    upstream = TlsServer(pki) if mode == "client" else Peer()
    checked = connect(mode, upstream, protocol="tcp").expect_good()
    assert not any("Forward" in line for line in checked.of("ok") + checked.of("note"))


@pytest.mark.parametrize("options, why", [
    ({"no_message": True}, "--no-message"), ({"delivery": "passthrough"}, "--delivery passthrough")])
def test_no_message_is_sent_where_none_is_wanted(connect, options, why):
    aggregator = Aggregator()
    connect("server", aggregator, **options).expect_good().expect("note", "no message was sent", why)
    assert not aggregator.messages


def test_nothing_is_dialled_while_the_files_are_wrong(connect):
    listener = raw.Listener()
    checked = connect("client", listener, key="/nowhere.pem")
    checked.expect_only("problem", "--key").expect("note", "husk connects to nothing until its files are right")
    assert not listener.was_dialled()


def test_nothing_is_dialled_without_connect(check):
    listener = raw.Listener()
    check("client", listener).expect_good()
    assert not listener.was_dialled()


def test_a_name_without_an_address_is_a_problem(connect):
    connect("client", "nowhere.invalid:24224").expect_only("problem", "the name has no address")


# ---- other protocols ----

@pytest.mark.parametrize("options, words", [
    ({"greets": HELO}, ("the peer speaks helo", "takes plaintext and asks for a shared key")),
    ({"answers": HTTP_RESPONSE}, ("the peer speaks http_response", "perhaps an admin port")),
    ({"greets": SSH}, ("the peer speaks ssh", "set --upstream to a port with TLS")),
    ({"closes": True}, ("server closed during the TLS handshake", "if the port of --upstream takes plaintext")),
    ({"waits": "300ms"}, ("TLS handshake timed out", "if the port of --upstream takes plaintext")),
], ids=["shared-key", "http", "ssh", "closes", "silent"])
def test_a_peer_of_husk_client_without_tls(connect, options, words):
    talk = {name: value for name, value in options.items() if name != "waits"}
    connect("client", Peer(**talk), handshake_timeout=options.get("waits", "10s")).expect_only("problem", *words)


@pytest.mark.parametrize("options, words", [
    ({"greets": HELO}, ("the peer speaks helo", "set --shared-key-env, --shared-key-file")),
    ({"answers": TLS_ALERT}, ("the peer speaks tls", "set --upstream to a port without TLS")),
    ({"answers": HTTP_RESPONSE}, ("the peer speaks http_response", "perhaps an admin port")),
    ({"greets": SSH}, ("the peer speaks ssh", "no Forward input")),
    ({"closes": True}, ("closed with messages unacknowledged", "if the port of --upstream speaks TLS")),
], ids=["shared-key", "tls", "http", "ssh", "closes"])
def test_a_peer_of_husk_server_that_is_no_forward_input(connect, options, words):
    connect("server", Peer(**options)).expect_only("problem", *words)


def test_a_shared_key_is_missed_without_a_message_too(connect):
    connect("server", Peer(greets=HELO), no_message=True).expect_only("problem", "set --shared-key-env")


def test_the_bytes_of_a_helo_may_come_one_by_one(connect):
    class Slow(Peer):
        def talk(self, sock):
            for byte in HELO:
                sock.sendall(bytes([byte]))
                time.sleep(0.01)  # so that husk reads each byte alone; the verdict is the same if it does not
            sock.recv(65536)
            sock.recv(65536)
    connect("server", Slow()).expect_only("problem", "the peer speaks helo")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_the_port_of_the_prometheus_input_is_known(connect, mode):
    """The port is a fact of the world; the address is of this test run alone."""
    pid = os.getpid()
    address = f"127.{pid >> 16 & 127 | 64}.{pid >> 8 & 255}.{pid & 255}"
    peer = Peer(answers=HTTP_RESPONSE, address=(address, 24231))
    connect(mode, peer).expect_only("problem", "the peer speaks http_response",
                                    "port 24231 is the default port of Fluentd's prometheus input", "24224")


def test_the_tls_port_of_a_husk_is_not_for_husk_server(connect, husk):
    connect("server", husk.server(raw.Listener())).expect_only("problem", "if the port of --upstream speaks TLS")


# ---- certificates of the other side ----

@pytest.mark.parametrize("certificate, options, words", [
    ("foreign_server", {}, ("certificate is from an unknown CA", "issued by CN=CA theirs, which is not in our CA file")),
    ("misnamed_server", {}, ("certificate does not have the expected name", "but for: elsewhere.example",
                             "--server-name")),
    ("server", {"server_name": "logs.example"}, ("is not for logs.example, but for: localhost, 127.0.0.1",)),
    ("cn_only_server", {}, ("certificate has no subjectAltName", 'its CN is "localhost"', "--allow-cn-as-name")),
    ("expired_server", {}, ("certificate is expired or not yet valid", "certificate CN=server expired at")),
    ("misused_server", {}, ("certificate is not meant for this use", "certificate CN=server is not meant for a TLS server")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_server_that_husk_does_not_trust(connect, pki, certificate, options, words):
    server = TlsServer(pki, certificate=getattr(pki, certificate))
    connect("client", server, **options).expect_only("problem", "TLS handshake: ", *words)


def test_a_server_name_in_the_cn_only_is_a_warning_even_if_it_is_accepted(connect, pki):
    checked = connect("client", TlsServer(pki, certificate=pki.cn_only_server), server_name="localhost",
                      allow_cn_as_name=True, no_message=True)
    checked.expect_only("warning", "has its name in the CN only")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_that_does_not_trust_husk(connect, pki, version):
    """With TLS 1.3 the handshake of the client succeeds, and the server refuses afterwards."""
    server = TlsServer(pki, ca=pki.other_ca.cert, version=version)
    phase = "TLS handshake" if version == "1.2" else "after the TLS handshake"
    connect("client", server).expect_only(
        "problem", f"{phase}: peer rejected the TLS connection", "UNKNOWN_CA", "must admit the certificate of --cert")


def test_a_client_that_husk_server_does_not_admit(connect, husk):
    server = husk.server(Aggregator(), allow_cn="another")
    connect("client", server).expect_only("problem", "peer rejected the TLS connection", "ACCESS_DENIED",
                                          "an --allow-* setting must name the certificate")


def test_no_common_version_of_tls(connect, pki):
    connect("client", TlsServer(pki, version="1.2"), tls_min="1.3").expect_only("problem", "TLS handshake: ")


def test_a_server_that_proves_nothing_is_noted(connect, pki):
    """It sends neither session tickets nor data."""
    class Silent(TlsServer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self._context.num_tickets = 0
    checked = connect("client", Silent(pki, version="1.3"), answer_timeout="200ms", confirm_timeout="200ms")
    checked.expect("note", "nothing that proves that it accepts the certificate")
    checked.expect_only("warning", "no ack of a message without events came in time")


# ---- shared keys ----

def key_peer(husk, value="a key", **options):
    return husk.server(Aggregator(), accept_key_env="KEY", env={"KEY": value, "PASS": "word"}, self_hostname="peer",
                       **options)


def test_the_same_shared_key_on_both_sides(connect, husk):
    connect("client", key_peer(husk), shared_key_env="KEY", **KEY).expect_good().expect(
        "ok", "the two shared keys are the same").expect("ok", ACKED)


def test_two_shared_keys_that_differ(connect, husk):
    connect("client", key_peer(husk, "another key"), shared_key_env="KEY", **KEY).expect_only(
        "problem", "shared-key handshake: the two shared keys differ", "shared_key mismatch", "--shared-key-file")


def test_a_shared_key_at_the_other_side_alone(connect, husk):
    connect("client", key_peer(husk)).expect_only("problem", "the peer speaks helo", "husk has none")


def test_a_shared_key_at_this_side_alone(connect, husk):
    connect("client", husk.server(Aggregator()), shared_key_env="KEY", handshake_timeout="2s", **KEY).expect_only(
        "problem", "the aggregator does not ask for a shared key", "remove --shared-key-*")


def test_a_wrong_user(connect, husk):
    server = key_peer(husk, accept_user="one=PASS")
    env = {"KEY": "a key", "RIGHT": "word", "WRONG": "sword"}
    good = {"shared_key_env": "KEY", "username": "one", "env": env}
    connect("client", server, password_env="RIGHT", **good).expect_good()
    connect("client", server, password_env="WRONG", **good).expect_only(
        "problem", "the user name or the password is wrong", "--username and --password-env")


def test_the_same_host_name_on_both_sides(connect, husk):
    connect("client", key_peer(husk), shared_key_env="KEY", self_hostname="peer", **KEY).expect_only(
        "problem", "aggregator has our own host name")


def test_an_aggregator_that_closes_in_the_shared_key_handshake(connect):
    """Fluent Bit closes without a word when the keys differ."""
    connect("server", Peer(greets=HELO, closes=True), shared_key_env="KEY", **KEY).expect_only(
        "problem", "the two shared keys may differ")


# ---- messages ----

def test_an_aggregator_that_does_not_acknowledge_is_a_warning(connect):
    connect("server", Aggregator(acks=False), answer_timeout="200ms").expect_only(
        "warning", "no ack of a message without events came in time", "--no-message")


def test_an_aggregator_that_refuses_is_a_warning(connect):
    connect("server", Peer(answers=b"\x80")).expect_only("warning", "refuses a message without events: {}")


def test_an_aggregator_that_closes_is_a_problem(connect, pki):
    connect("client", TlsServer(pki, closes=True)).expect_only("problem", "Forward: ", "husk.check", "--tag")


def test_an_aggregator_that_resets_is_a_problem(connect):
    class Resetting(Peer):
        def talk(self, sock):
            sock.setsockopt(raw.socket.SOL_SOCKET, raw.socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.recv(1)
    connect("server", Resetting()).expect_only("problem", "Forward: connection reset by peer")


def test_a_tag_that_a_rule_of_the_other_husk_does_not_allow(connect, husk):
    server = husk.server(Aggregator(), rule="cn=client tags=app.**")
    connect("client", server).expect_only("problem", "Forward: ", "--rule", "husk.check")
    connect("client", server, tag="app.check").expect_good().expect("ok", ACKED)


def test_the_output_for_people_names_the_endpoint(check, husk):
    server = husk.server(Aggregator())
    options = check.options("client", server, connect=True, server_name="localhost")
    result = run("check", "client", *flags(**options))
    assert result.returncode == 0 and result.stdout.endswith("verdict: all good\n")
    assert f"  ok       {raw.format_address(server.address)} (localhost): {ACKED}\n" in result.stdout
