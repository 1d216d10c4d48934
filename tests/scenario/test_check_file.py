"""husk check --config: what is wrong with a file, in the words of the file, with line and column.

docs/check.md describes the command."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import textwrap
import threading

import pytest

from support import raw
from support.checks import Checked
from support.forward import Aggregator
from support.husk import BINARY, flags, run
from support.pki import Certificate
from support.strangers import HELO, Peer, TlsServer

HERE = f"{raw.HOST}:1"

# A route with all that the check looks at. A test replaces the values in braces; the lines stay.
ROUTE = """\
admin: {{listen: "{admin}"}}
routes:
  - name: agents
    listen:
      - "{listen}"
    upstreams:
      - "{upstream}"
    tls:
      {side}:
        cert: {cert}
        key: {key}
        ca: {ca}
        {tls}
    {more}
"""
LINES = {"admin": 1, "listen": 5, "upstreams": 7, "cert": 10, "key": 11, "ca": 12, "tls": 13, "more": 14}


class FileChecker:
    """Runs `husk check --config` with a file of one route that is good; a test gives the values that it is about."""

    def __init__(self, directory, pki):
        self._path, self._pki = directory / "husk.yaml", pki

    def write(self, side="upstream", certificate=None, more="", **values):
        mode = "client" if side == "upstream" else "server"
        certificate = certificate or getattr(self._pki, mode)
        more = more or ("allow: {any: true}" if side == "downstream" else "")
        values = {"admin": "off", "listen": f"{raw.HOST}:0", "upstream": HERE, "ca": self._pki.ca.cert,
                  "cert": certificate.cert, "key": certificate.key, "tls": "", "side": side, "more": more, **values}
        self._path.write_text(ROUTE.format(**values))
        return self._path

    def text(self, text):
        self._path.write_text(textwrap.dedent(text))
        return self._path

    def run(self, path, *arguments, env=None):
        return Checked(run("check", "--config", path, "--json", *arguments, env=env))

    def __call__(self, *arguments, env=None, **values):
        return self.run(self.write(**values), *arguments, env=env)


@pytest.fixture
def check_file(tmp_path, pki):
    return FileChecker(tmp_path, pki)


def finding(checked, level, setting):
    """The only finding of this level about this setting."""
    one, = [one for one in checked.findings if one["level"] == level and one.get("setting") == setting]
    return one


def place(one):
    return one["line"], one["column"]


# ---- names and places ----

@pytest.mark.parametrize("side", ["upstream", "downstream"])
def test_a_good_file_has_no_problem_and_no_option(check_file, side):
    checked = check_file(side=side, admin=f"{raw.HOST}:0").expect_good()
    assert [one["section"] for one in checked.findings if one["subject"].startswith("routes[0].listen")] == [
        "agents, downstream"]
    assert finding(checked, "ok", "admin.listen")["line"] == LINES["admin"]
    assert finding(checked, "ok", "routes[0].upstreams[0]")["subject"] == f"routes[0].upstreams[0] {HERE}"
    checked.expect("ok", f"the chain leads to a CA of tls.{side}.ca")
    assert not any("--" in text for one in checked.findings for text in (one["subject"], one["text"]))


@pytest.mark.parametrize("side", ["upstream", "downstream"])
@pytest.mark.parametrize("setting", ["cert", "key", "ca"])
def test_a_missing_file_has_its_key_and_its_place(check_file, side, setting):
    checked = check_file(side=side, **{setting: "/nowhere.pem"})
    one = finding(checked, "problem", f"routes[0].tls.{side}.{setting}")
    assert one["subject"] == f"routes[0].tls.{side}.{setting} /nowhere.pem" and one["section"] == f"agents, {side}"
    assert place(one) == (LINES[setting], 9) and "No such file" in one["text"]


def test_people_read_the_place_of_what_is_wrong(check_file):
    path = check_file.write(key="/nowhere.pem")
    result = run("check", "--config", path)
    lines = result.stdout.splitlines()
    assert result.returncode == 1 and not result.stderr
    assert (f"  problem  routes[0].tls.upstream.key /nowhere.pem (line {LINES['key']}, column 9): "
            "No such file or directory") in lines
    assert f"  ok       routes[0].upstreams[0] {HERE}: the address is {HERE}" in lines


def test_a_setting_of_the_defaults_has_its_place_there(check_file, pki):
    path = check_file.text(f"""\
        admin: {{listen: "off"}}
        defaults:
          tls:
            upstream:
              cert: {pki.client.cert}
              key: {pki.client.key}
              ca: /nowhere.pem
        routes:
          - {{name: one, listen: "{raw.HOST}:0", upstreams: "{HERE}"}}
          - {{name: two, listen: "{raw.HOST}:0", upstreams: "{HERE}"}}
        """)
    checked = check_file.run(path)
    one = finding(checked, "problem", "routes[0].tls.upstream.ca")
    assert one["line"] == 7 and one["section"] == "one, upstream"
    assert len(checked.of("problem")) == 1  # and no second time for the other route


def test_an_item_of_a_list_has_its_index_and_its_place(check_file):
    taken, missing = raw.Listener(), "nowhere.invalid:24224"
    path = check_file.text(f"""\
        admin: {{listen: "off"}}
        routes:
          - name: one
            listen: ["{raw.HOST}:0"]
            upstreams: ["{HERE}"]
          - name: two
            listen:
              - "{raw.HOST}:0"
              - address: "{raw.format_address(taken.address)}"
            upstreams:
              - "{HERE}"
              - "{missing}"
        """)
    checked = check_file.run(path)
    assert place(finding(checked, "problem", "routes[1].listen[1]")) == (9, 9)
    assert place(finding(checked, "warning", "routes[1].upstreams[1]")) == (12, 9)


# ---- advice ----

def test_a_rule_after_one_for_any_agent_is_named(check_file):
    last = "{cn: x, tags: a}, {any: true, tag_prefix: b.}"
    rules = "allow: {any: true}\n    rules: [%s]"
    check_file(side="downstream", more=rules % last).expect_good()
    checked = check_file(side="downstream", more=rules % f"{last}, {{cn: two}}, {{cn: three}}")
    dead = finding(checked, "warning", "routes[0].rules[2]")
    assert dead["line"] == LINES["more"] + 1
    assert "the rule before it matches every agent" in dead["text"] and len(checked.of("warning")) == 1


def test_the_passphrase_beside_the_key_is_advised_as_a_key(check_file, tmp_path, pki):
    key = shutil.copy(pki.locked(pki.client, "1111", "pkcs8").key, tmp_path)
    beside = tmp_path / "client.key.passphrase"
    beside.write_text("1111")
    beside.chmod(0o600)
    locked = Certificate(pki.client.cert, str(key))
    advice = f"set tls.upstream.key_passphrase_file {beside}"
    check_file(certificate=locked).expect("problem", "routes[0].tls.upstream.key ", "the private key is encrypted",
                                          "with tls.upstream.key_passphrase_env or tls.upstream.key_passphrase_file")
    checked = check_file(certificate=locked, tls="key_passphrase_env: NO_SUCH")
    checked.expect("problem", "routes[0].tls.upstream.key_passphrase_env NO_SUCH", "is not set", advice,
                   "instead of tls.upstream.key_passphrase_env")
    assert place(finding(checked, "problem", "routes[0].tls.upstream.key_passphrase_env")) == (LINES["tls"], 9)


@pytest.mark.parametrize("side", ["upstream", "downstream"])
def test_a_shared_key_that_is_not_set_has_its_key(check_file, side):
    checked = check_file(more=f"authentication: {{{side}: {{shared_key_env: NO_SUCH}}}}")
    one = finding(checked, "problem", f"routes[0].authentication.{side}.shared_key_env")
    assert one["line"] == LINES["more"] and one["text"] == "environment variable NO_SUCH is not set"
    assert one["section"] == f"agents, {side}"


def test_the_password_of_a_user_that_is_not_set_has_its_key(check_file):
    users = "[{name: a, password_env: KEY}, {name: b, password_env: NO_SUCH}]"
    checked = check_file(more=f"authentication: {{downstream: {{shared_key_env: KEY, users: {users}}}}}", env={"KEY": "k"})
    one = finding(checked, "problem", "routes[0].authentication.downstream.users[1].password_env")
    assert one["line"] == LINES["more"] and one["text"] == "environment variable NO_SUCH is not set"
    checked = check_file(more="authentication: {downstream: {shared_key_env: KEY, users: {name: a, password_env: hunter2}}}",
                         env={"KEY": "k"})
    checked.expect_only("problem", "routes[0].authentication.downstream.users[0].password_env: ",
                        "no environment variable has this name: write the name of a variable, not its value")


def test_a_name_without_an_address_is_advised_the_name_servers_of_the_file(check_file):
    check_file(upstream="nowhere.invalid:1").expect_only("warning", "routes[0].upstreams[0] nowhere.invalid:1",
                                                         "has no address", "and dns.servers")


def test_a_udp_port_in_use_is_advised_the_key(check_file):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((raw.HOST, 0))
        check_file(listen=raw.format_address(taken.getsockname())).expect_only(
            "warning", "routes[0].listen[0]", "heartbeats.per_second off")


def test_a_weak_setting_is_a_warning_at_its_place(check_file):
    checked = check_file(tls="allow_weak_certificates: true")
    assert finding(checked, "warning", "routes[0].tls.upstream.allow_weak_certificates")["line"] == LINES["tls"]


# ---- connections ----

@pytest.mark.parametrize("upstream, words", [
    (lambda pki: TlsServer(pki, certificate=pki.misnamed_server), "set tls.upstream.server_name to a name"),
    (lambda pki: TlsServer(pki, certificate=pki.cn_only_server), "tls.upstream.allow_cn_as_name would accept it"),
    (lambda pki: TlsServer(pki, certificate=pki.foreign_server), "tls.upstream.ca must have the CA"),
    (lambda pki: TlsServer(pki, ca=pki.other_ca.cert, version="1.2"), "an allow.* setting of husk server"),
    (lambda pki: Peer(greets=HELO), "set upstreams to a port with TLS"),
], ids=["name", "cn", "ca", "refused", "plaintext"])
def test_a_hint_names_the_keys_of_the_file(check_file, pki, upstream, words):
    server = upstream(pki)
    checked = check_file("--connect", upstream=raw.format_address(server.address))
    checked.expect("problem", f"{raw.format_address(server.address)} (", words)
    assert len(checked.of("problem")) == 1


def test_the_whole_chain_of_the_server_is_judged(check_file, tmp_path, pki):
    """An expired certificate behind that of the server does no harm to husk, and may do harm to others."""
    both = tmp_path / "both.pem"
    both.write_text("".join(pathlib.Path(one.cert).read_text() for one in (pki.server, pki.expired_client)))
    server = TlsServer(pki, certificate=Certificate(str(both), pki.server.key), answers=b"\x80")
    checked = check_file("--connect", upstream=raw.format_address(server.address))
    checked.expect("ok", "certificate CN=server is valid until").expect("warning", "certificate CN=client expired at")
    checked.expect("note", "certificate 2 of the server, CN=client, is no CA")
    assert not checked.of("problem")


def test_a_listener_with_tls_is_tested_in_the_words_of_the_file(check_file, pki):
    client = ["--client-cert", pki.client.cert, "--client-key", pki.client.key]
    checked = check_file(*client, side="downstream").expect_good()
    one, = [one for one in checked.findings if "TLSv1.3: a client that" in one["text"]]
    assert one["setting"] == "routes[0].tls.downstream.cert" and one["line"] == LINES["cert"]
    assert "has the CAs of tls.downstream.ca accepts" in one["text"]
    checked.expect("ok", f"--client-cert {pki.client.cert}: TLSv1.3: husk admits this client")
    checked = check_file("--client-cert", pki.foreign_client.cert, "--client-key", pki.foreign_client.key, side="downstream")
    checked.expect_only("problem", "--client-cert", "husk refuses this client", "tls.downstream.ca must have the CA")
    checked = check_file("--client-ca", pki.other_ca.cert, side="downstream")
    checked.expect_only("problem", "routes[0].tls.downstream.cert", "--client-ca must have the CA",
                        "put it into the file of tls.downstream.cert")


def test_a_file_without_a_listener_with_tls_has_no_use_for_a_client(check_file, pki):
    result = run("check", "--config", check_file.write(), "--client-ca", pki.ca.cert)
    assert result.returncode == 2 and result.stderr == "husk check: --client-*: there is no listener with TLS\n"


def upstreams(addresses):
    lines = "".join(f'\n      - "{raw.format_address(address)}"' for address in addresses)
    return f'admin: {{listen: "off"}}\nroutes:\n  - name: a\n    listen: "{raw.HOST}:0"\n    upstreams:{lines}\n'


def test_all_addresses_are_tried_at_the_same_time(check_file):
    """Each peer waits until all have a connection: a check of one address after the other would find them closed."""
    together = threading.Barrier(8)

    class Waiting(Peer):
        def talk(self, sock):
            together.wait(timeout=20)
            super().talk(sock)
    peers = [Waiting(greets=HELO) for _ in range(together.parties)]
    checked = check_file.run(check_file.text(upstreams(peer.address for peer in peers)), "--connect",
                             "--answer-timeout", "30s")
    names = [raw.format_address(peer.address) for peer in peers]
    assert [one["subject"] for one in checked.findings if "the peer speaks helo" in one["text"]] == names


def test_as_many_addresses_as_husk_uses_are_tried(check_file):
    items = [(f"127.0.1.{number}", raw.free_address()[1]) for number in range(1, 65)]
    checked = check_file.run(check_file.text(upstreams(items)), "--connect", "--answer-timeout", "100ms")
    tried = {one["subject"] for one in checked.findings if one["subject"].startswith("127.0.1.")}
    assert tried == {raw.format_address(item) for item in items}


# ---- Unix sockets and ports ----

def test_a_unix_upstream_that_is_missing_is_a_warning(check_file, tmp_path):
    check_file(upstream=f"unix:{tmp_path}/none", tls="server_name: localhost").expect_only(
        "warning", f"routes[0].upstreams[0] unix:{tmp_path}/none", "there is no file with this name")


def test_a_unix_upstream_that_is_no_socket_is_a_problem(check_file, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    check_file(upstream=f"unix:{path}", tls="server_name: localhost").expect_only("problem", "the file is no socket")


def test_a_unix_upstream_that_is_there_is_good(check_file, tmp_path):
    aggregator = Aggregator(address=str(tmp_path / "aggregator"))
    check_file(upstream=f"unix:{aggregator.address}", tls="server_name: localhost").expect_good().expect(
        "ok", "the socket is there")


def test_a_socket_in_a_closed_directory_is_noted(check_file, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    checked = check_file(listen=f"unix:{closed}/husk.sock").expect_good()
    checked.expect("note", "routes[0].listen[0]", "only users who may enter the directory")
    mode = f'{{address: "unix:{closed}/husk.sock", mode: "0660"}}'
    path = check_file.write()
    path.write_text(path.read_text().replace(f'"{raw.HOST}:0"', mode))
    assert not any("enter the directory" in line for line in check_file.run(path).of("note"))


def test_a_port_that_needs_a_right_is_a_problem_that_says_so(check_file):
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    setpriv = shutil.which("setpriv")
    if first <= 1 or (os.getuid() == 0 and not setpriv):
        pytest.skip("every process may listen on every port here")
    without = [setpriv, "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"] if os.getuid() == 0 else []
    result = run_with(without, check_file.write(listen=f"{raw.HOST}:1", upstream=f"{raw.HOST}:2"))
    assert "CAP_NET_BIND_SERVICE" in result.stdout and result.returncode == 1, result


def run_with(prefix, path):
    """husk check by another program, which takes a right away."""
    return subprocess.run([*prefix, BINARY, "check", "--config", path], text=True, capture_output=True, check=False)


def test_a_setting_for_messages_in_a_tunnel_is_a_warning(check_file):
    checked = check_file.run(check_file.text("""\
        defaults: {delivery: {ack_timeout: 5s, max_age: 1h}, limits: {retain_bytes: 1MiB}}
        routes:
          - {name: a, listen: "127.0.0.1:0", upstreams: "127.0.0.1:1", delivery: {ack_timeout: 6s}}
          - name: b
            protocol: tcp
            listen: 127.0.0.1:0
            upstreams: 127.0.0.1:1
            delivery: {max_age: 2h}
            limits: {retain_bytes: 2MiB, max_connections: 7}
        """))
    one = finding(checked, "warning", "routes[1].delivery.max_age")
    assert place(one) == (8, 16) and one["text"].endswith("with protocol tcp husk knows no messages")
    assert len(checked.of("warning")) == 1


def test_the_effective_configuration_of_a_tunnel_is_good(check_file):
    """It has all settings for messages, with their defaults."""
    text = run("config", "--effective", "--config", check_file.text("""\
        routes: [{name: a, protocol: tcp, listen: "127.0.0.1:0", upstreams: "127.0.0.1:1"}]
        admin: {listen: off}
        """)).stdout
    assert "ack_timeout" in text
    check_file.run(check_file.text(text)).expect_good()


# ---- mistakes of the file ----

MISTAKES = """\
routes:
  - name: agents
    listen: [127.0.0.1]
    upstreams: [127.0.0.1:1]
    frobnicate: 1
    connections:
      idle_timeout: 5 parsecs
  - name: two
    upstreams: ["127.0.0.1"]
    tls: {upstream: {cert: a}}
"""


def test_all_mistakes_are_told_with_their_places(check_file):
    checked = check_file.run(check_file.text(MISTAKES))
    assert [(one["setting"], *place(one)) for one in checked.findings] == [
        ("routes[0].listen[0]", 3, 14), ("routes[0].frobnicate", 5, 5), ("routes[0].connections.idle_timeout", 7, 21),
        ("routes[1].listen", 8, 5), ("routes[1].upstreams[0]", 9, 17), ("routes[1].tls.upstream.key", 10, 11),
        ("routes[1].tls.upstream.ca", 10, 11)]
    assert {one["section"] for one in checked.findings} == {"settings"} and checked.status == 1
    assert checked.findings[-1]["advice"] == "nothing else was checked"


def test_people_read_all_mistakes(check_file):
    result = run("check", "--config", check_file.text(MISTAKES))
    assert result.returncode == 1 and not result.stderr
    assert result.stdout.count("  problem  ") == 7 and result.stdout.endswith("verdict: 7 problems, 0 warnings\n")
    assert "  problem  routes[1].upstreams[0] (line 9, column 17): no port in \"127.0.0.1\"" in result.stdout


@pytest.mark.parametrize("text, line, words", [
    ("a: [\n", 2, "the text ends inside"), ("routes:\n\t- name: a\n", 2, "tab"), ("", 0, ""),
], ids=["unclosed", "tab", "empty"])
def test_a_file_that_is_no_yaml_is_a_problem_with_its_name(check_file, text, line, words):
    path = check_file.text(text)
    checked = check_file.run(path)
    assert checked.status == 1 and words in checked.findings[0]["text"]
    assert not line or (checked.findings[0]["subject"], checked.findings[0]["line"]) == (str(path), line)


def test_a_file_that_is_missing_is_a_problem(check_file, tmp_path):
    checked = check_file.run(tmp_path / "none.yaml")
    checked.expect_only("problem", f"{tmp_path}/none.yaml: cannot be read: No such file or directory")


def test_the_words_of_options_stay_for_options(check_file, husk, check):
    """The same check of husk client names options."""
    options = check.options("client", HERE, key="/nowhere.pem")
    result = run("check", "client", *flags(**options))
    assert "  problem  --key /nowhere.pem: No such file or directory" in result.stdout.splitlines()


@pytest.mark.parametrize("setting, tls", [("key_passphrase_file", True), ("shared_key_file", False)])
@pytest.mark.parametrize("secret", ["hunter2-secret", "abc/def+ghi=", "secret.word"])
def test_a_secret_in_the_place_of_a_path_is_not_shown(check_file, pki, setting, tls, secret):
    side = {"cert": pki.client.cert, "key": pki.client.key, "ca": pki.ca.cert, setting: secret} if tls else {setting: secret}
    path = check_file.text(json.dumps({"admin": {"listen": "off"}, "routes": [{
        "name": "a", "listen": f"{raw.HOST}:0", "upstreams": HERE, "tls" if tls else "authentication": {"upstream": side}}]}))
    checked = check_file.run(path)
    one = finding(checked, "problem", f"routes[0].{'tls' if tls else 'authentication'}.upstream.{setting}")
    assert one["text"] == "no file has this name: write the path of a file with the secret, not the secret"
    started = run("run", "--config", path)
    assert started.returncode != 0 and one["text"] in started.stderr
    assert secret not in str(checked.findings) + started.stderr + started.stdout


@pytest.mark.parametrize("missing", ["/nowhere/secret", "{}/missing"])
def test_a_path_without_a_file_is_shown(check_file, tmp_path, missing):
    missing = missing.format(tmp_path)
    path = check_file.text(json.dumps({"admin": {"listen": "off"}, "routes": [{
        "name": "a", "listen": f"{raw.HOST}:0", "upstreams": HERE, "authentication": {"upstream": {"shared_key_file": missing}}}]}))
    one = finding(check_file.run(path), "problem", "routes[0].authentication.upstream.shared_key_file")
    assert missing in one["subject"] and one["text"] == "No such file or directory"
