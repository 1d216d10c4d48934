"""The log names settings as the user writes them: as options, or as the keys of the file that husk runs."""

import pytest

from support import config_file, raw
from support.aggregators import PASS_OVER, CountingAggregator
from support.config_file import route, tls
from support.forward import event
from support.husk import run
from support.strangers import HELO, Peer, TlsServer

HERE = f"{raw.HOST}:1"


@pytest.fixture
def run_file(husk, tmp_path):
    """Runs a file of one route."""
    def run_file(upstream, **settings):
        return husk.run(config_file.write(tmp_path / "husk.yaml", route("one", upstream, **settings)))
    return run_file


def end_of(husk, upstream):
    """The line about the end of the upstream connection that a message of an agent causes."""
    with raw.connect(husk.address) as agent:
        agent.sendall(event(1))
        line = husk.wait_for_event(message="connection ended", side="upstream")
    upstream.close()
    return line


@pytest.mark.parametrize("field, server, option, key", [
    ("hint", lambda pki: TlsServer(pki, certificate=pki.foreign_server), "--ca must have", "tls.upstream.ca must have"),
    ("hint", lambda pki: TlsServer(pki, certificate=pki.misnamed_server), "set --server-name to",
     "set tls.upstream.server_name to"),
    ("detail", lambda pki: TlsServer(pki, certificate=pki.cn_only_server), "--allow-cn-as-name would",
     "tls.upstream.allow_cn_as_name would"),
    ("hint", lambda pki: Peer(greets=HELO), "set --upstream to", "set upstreams to"),
], ids=["ca", "name", "cn", "plaintext"])
def test_a_line_about_an_upstream(husk, pki, run_file, field, server, option, key):
    first, second = server(pki), server(pki)
    assert option in end_of(husk.client(first), first)[field]
    line = end_of(run_file(second, tls={"upstream": tls(pki.client, pki.ca)}), second)[field]
    assert key in line and "--" not in line


def test_a_line_about_a_shared_key(run_file):
    server = Peer(greets=HELO)
    line = end_of(run_file(server), server)
    assert "set authentication.upstream.shared_key_env, authentication.upstream.shared_key_file" in line["hint"]


@pytest.mark.parametrize("is_file", [False, True], ids=["options", "file"])
def test_a_line_about_an_agent_has_the_keys_of_its_side(husk, pki, run_file, is_file):
    running = (run_file(HERE, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True}) if is_file
               else husk.server(HERE))
    stranger = raw.tls_context(False, pki.ca.cert, pki.foreign_client)
    with raw.connect(running.address) as sock:
        sock.sendall(raw.TlsPeer(sock, stranger).last_flight())
        line = running.wait_for_event(message="connection ended", side="downstream")
    assert line["hint"].startswith("tls.downstream.ca must have" if is_file else "--ca must have")


def test_a_line_about_the_admin_port(run_file):
    husk = run_file(HERE)
    with raw.connect(husk.admin) as sock:
        sock.sendall(event(1))
        line = husk.wait_for_event(message="a client of the admin port does not speak HTTP")
    assert line["hint"] == "admin.listen serves HTTP without TLS: agents and husks use the address of listen"
    status, text = husk.get("/live", headers={"Host": "elsewhere.example"})
    assert status == 421 and text.endswith("or set admin.hosts\n")


def test_a_line_about_files_has_the_keys_of_its_side(pki, run_file, tmp_path):
    weak = {"downstream": {**tls(pki.server, pki.ca), "allow_weak_certificates": True}}
    husk = run_file(HERE, tls=weak, allow={"any": True})
    husk.wait_for_event(message="tls.downstream.allow_weak_certificates: peers whose certificates can be forged are accepted")
    locked = {"downstream": tls(pki.locked(pki.server, "1111", "pkcs8"), pki.ca)}
    path = config_file.write(tmp_path / "locked.yaml", route("two", HERE, tls=locked, allow={"any": True}))
    started = run("run", "--config", path)
    assert started.returncode == 1 and "give its passphrase with tls.downstream.key_passphrase_env" in started.stderr


def test_a_line_about_acks_and_readiness(run_file):
    quick = {"eject_time": "50ms", "eject_time_max": "50ms", "linger_timeout": "1s"}
    husk = run_file(CountingAggregator(lambda _: PASS_OVER), connections=quick,
                    delivery={"on_no_acks": "hold", "ack_timeout": "60ms"})
    with raw.connect(husk.address) as agent:
        agent.sendall(event(1))
        husk.wait_for_metric("husk_endpoint_without_acks", 1)
        [line] = husk.wait_until(lambda _: [one for one in husk.events(level="error")
                                            if "never acknowledged" in one["message"]], "that it never acknowledges")
        assert "(delivery.on_no_acks hold)" in line["message"]
        assert "husk keeps its messages (delivery.on_no_acks hold)" in husk.get("/ready")[1]
