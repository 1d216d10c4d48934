"""--insecure of husk client: the one setting that verifies no server."""

import pytest

from support import raw
from support.config_file import address_of, route, tls
from support.husk import flags, run

WARNING = "no certificate of an upstream is verified: whoever is on the way can read and change all messages"


@pytest.mark.parametrize("kind", ["foreign_server", "misnamed_server", "expired_server", "misused_server"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_every_server_is_accepted(husk, pki, kind, version):
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp", insecure=True, ca=None, workers=1)
    context = raw.tls_context(True, pki.ca.cert, getattr(pki, kind), version)
    for _ in range(2):  # the second connection may resume the first
        with raw.connect(client.address) as agent:
            aggregator = raw.TlsPeer(listener.accept(), context, server_side=True).handshake()
            raw.carry_both_ways(agent, aggregator)


def test_a_server_at_a_unix_socket_needs_no_name(husk, pki, tmp_path):
    listener = raw.Listener(str(tmp_path / "socket"))
    client = husk.client(f"unix:{listener.address}", protocol="tcp", insecure=True, ca=None, workers=1)
    with raw.connect(client.address) as agent:
        context = raw.tls_context(True, pki.ca.cert, pki.server)
        raw.carry_both_ways(agent, raw.TlsPeer(listener.accept(), context, server_side=True).handshake())


def test_it_is_told_in_the_log_the_metrics_and_the_readiness(husk):
    tunnel = husk.tunnel(client={"insecure": True, "ca": None})
    assert tunnel.client.wait_for_event(level="warn", message=f"--insecure: {WARNING}")
    assert tunnel.client.metric("husk_tls_insecure", route="client") == 1
    assert tunnel.server.metric("husk_tls_insecure", route="server") == 0
    raw.carry_both_ways(*tunnel.open())
    assert "upstream: no certificate is verified (--insecure)" in tunnel.client.get("/ready")[1]


def test_a_reload_tells_it_again_and_a_file_takes_it_back(file, pki):
    listener = raw.Listener()
    lax = {"upstream": {"cert": pki.client.cert, "key": pki.client.key, "insecure": True}}
    running = file(route("r", listener, protocol="tcp", tls=lax))

    def told():
        return len(running.husk.events(level="warn", message=f"tls.upstream.insecure: {WARNING}"))
    assert told() == 1
    running.change(route("r", listener, protocol="tcp", tls={"upstream": {**lax["upstream"], "sni": "off"}}))
    assert told() > 1
    running.change(route("r", listener, protocol="tcp", tls={"upstream": tls(pki.client, pki.ca)}))
    assert running.husk.metric("husk_tls_insecure", route="r") == 0
    with raw.connect(address_of(running.husk, "r")) as agent:
        context = raw.tls_context(True, pki.ca.cert, pki.foreign_server)
        with pytest.raises(OSError):
            raw.TlsPeer(listener.accept(), context, server_side=True).handshake()
        raw.assert_reset(agent)


@pytest.mark.parametrize("more", [{}, {"crl": "x"}, {"revocation_policy": "require"}, {"allow_weak_certificates": True},
                                  {"allow_cn_as_name": True}])
def test_it_contradicts_each_setting_that_verifies(husk, pki, more):
    options = husk.options("127.0.0.1:1", pki.client, log_format=None, **({"ca": None} if more else {}), **more)
    ended = run("client", *flags(insecure=True, **options))
    [line] = ended.stderr.splitlines()
    name = next(iter(more), "ca").replace("_", "-")
    assert ended.returncode == 2
    assert f"--{name}: cannot be combined with --insecure, which verifies no certificate" in line


@pytest.mark.parametrize("options", [{"insecure": True, "ca": None}, {"tls_min": "1.3"}])
def test_the_defaults_contradict_nothing(husk, pki, tmp_path, options):
    """The effective configuration has them all, and can be used as a file."""
    effective = run("config", "--effective", "client", *flags(**husk.options("127.0.0.1:1", pki.client, **options)))
    path = tmp_path / "husk.yaml"
    path.write_text(effective.stdout)
    checked = run("check", "--config", path)
    assert "revocation_policy: warn" in effective.stdout and "ciphers: " in effective.stdout
    assert not [line for line in checked.stdout.splitlines() if line.strip().startswith("problem")], checked.stdout


def test_a_server_cannot_be_insecure(husk, pki):
    ended = run("server", *flags(**husk.options("127.0.0.1:1", pki.server, insecure=True, allow_any=True)))
    assert ended.returncode == 2 and "--insecure" in ended.stderr


def test_a_unix_upstream_needs_no_name(husk, pki, tmp_path):
    ended = run("check", "client", *flags(**husk.options(f"unix:{tmp_path}/s", pki.client, insecure=True, ca=None)))
    assert "--server-name" not in ended.stdout + ended.stderr
    assert [line for line in ended.stdout.splitlines() if "warning" in line and "--insecure" in line and WARNING in line]
