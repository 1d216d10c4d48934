"""Start, reload and end of the process, with --protocol tcp."""

import select
import shutil
import signal
import ssl

import pytest

from support import raw
from support.process import eventually

NOWHERE = f"{raw.HOST}:1"


# ---- end ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_husk_without_connections_ends_at_once_with_status_0(husk, number):
    client = husk.client(NOWHERE, protocol="tcp")
    client.signal(number)
    assert client.wait() == 0
    assert not client.problems()


@pytest.mark.parametrize("which", ["client", "server"])
def test_husk_serves_open_connections_during_the_drain_and_ends_with_status_0(husk, which):
    tunnel = husk.tunnel(**{which: {"drain_quiet": "2s", "drain_timeout": "20s"}})
    agent, aggregator = tunnel.open()
    draining = getattr(tunnel, which)
    draining.signal(signal.SIGTERM)
    eventually(lambda: draining.get("/ready")[0] == 503, "husk is not ready while it drains")
    raw.carry_both_ways(agent, aggregator)
    assert draining.get("/live")[0] == 200
    agent.close()
    aggregator.close()
    assert draining.wait() == 0


def test_the_drain_ends_quiet_connections_with_status_0(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "200ms"})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    tunnel.client.signal(signal.SIGTERM)
    assert tunnel.client.wait() == 0
    raw.assert_closed(agent)
    raw.assert_closed(aggregator)


def test_an_agent_that_connects_during_the_drain_is_served(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "2s", "drain_timeout": "20s"})
    start_draining(tunnel.client)
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    agent.close()
    aggregator.close()
    assert tunnel.client.wait() == 0


def start_draining(husk):
    husk.signal(signal.SIGTERM)
    eventually(lambda: husk.metric("husk_draining") == 1, "draining")


def test_a_second_sigterm_ends_the_drain_at_once(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "1h", "drain_timeout": "1h"})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    start_draining(tunnel.client)
    tunnel.client.signal(signal.SIGTERM)
    assert tunnel.client.wait() == 0
    raw.assert_closed(agent)


def test_undelivered_bytes_end_the_drain_with_status_1(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "1h", "drain_timeout": "200ms", "linger_timeout": "200ms"})
    agent, _unread = tunnel.open()
    agent.setblocking(False)
    while select.select([], [agent], [], 0.2)[1]:
        agent.send(bytes(1 << 20))
    tunnel.client.signal(signal.SIGTERM)
    assert tunnel.client.wait() == 1
    agent.settimeout(20)
    raw.assert_reset(agent)
    assert len(tunnel.client.problems()) == 1


def test_bytes_that_were_not_read_yet_count_as_undelivered(husk):
    silent = raw.Listener()  # accepts and never answers the handshake, so husk does not read the agent
    client = husk.client(silent, protocol="tcp", drain_quiet="1h", drain_timeout="1h", handshake_timeout="1m")
    agent = raw.connect(client.address)
    agent.sendall(b"unread")
    _held = silent.accept()
    start_draining(client)
    client.signal(signal.SIGTERM)
    assert client.wait() == 1
    raw.assert_reset(agent)


def test_sighup_during_a_drain_is_ignored(husk):
    tunnel = husk.tunnel(client={"drain_quiet": "2s", "drain_timeout": "20s"})
    agent, aggregator = tunnel.open()
    start_draining(tunnel.client)
    tunnel.client.signal(signal.SIGHUP)
    raw.carry_both_ways(agent, aggregator)
    assert tunnel.client.metric("husk_draining") == 1
    agent.close()
    aggregator.close()
    assert tunnel.client.wait() == 0


def test_sigpipe_does_not_end_husk(husk):
    client = husk.client(NOWHERE, protocol="tcp")
    client.signal(signal.SIGPIPE)
    assert client.get("/live")[0] == 200


# ---- reload ----

def shown_certificate(server, pki):
    peer = raw.connect_tls(server.address, pki.ca.cert, pki.client)
    return peer.tls.getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(open(certificate.cert).read())


def test_sighup_replaces_the_certificate_and_keeps_connections_open(husk, pki, mounted):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", certificate=mounted(pki.server))
    agent = raw.connect_tls(server.address, pki.ca.cert, pki.client)
    aggregator = upstream.accept()
    mounted(pki.next_server)
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    raw.carry_both_ways(agent, aggregator)
    assert not server.problems()


def test_sighup_replaces_the_certificate_of_husk_client_too(husk, pki, mounted):
    tunnel = husk.tunnel(client={"certificate": mounted(pki.foreign_client)})
    raw.assert_reset(raw.connect(tunnel.client.address))
    mounted(pki.client)
    tunnel.client.signal(signal.SIGHUP)
    tunnel.client.wait_for_metric("husk_reloads_total", 1, result="success")
    raw.carry_both_ways(*tunnel.open())


def test_a_replaced_secret_is_noticed_and_loaded_as_a_whole(husk, pki, tmp_path):
    """kubelet makes each file a link through ..data and replaces ..data with one rename."""
    for name, certificate in (("old", pki.server), ("new", pki.next_server)):
        (tmp_path / name).mkdir()
        for i, path in enumerate(certificate):
            shutil.copy(path, tmp_path / name / f"tls{i}.pem")
    (tmp_path / "..data").symlink_to("old")
    links = [tmp_path / f"tls{i}.pem" for i in range(len(pki.server))]
    for link in links:
        link.symlink_to(f"..data/{link.name}")
    server = husk.server(raw.Listener(), protocol="tcp", certificate=type(pki.server)(*map(str, links)),
                         reload_interval="50ms")
    assert shown_certificate(server, pki) == der(pki.server)
    (tmp_path / "..next").symlink_to("new")
    (tmp_path / "..next").rename(tmp_path / "..data")
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    assert not server.problems()


@pytest.mark.parametrize("fault", ["junk", "expired", "key of another", "missing"])
def test_a_failed_reload_keeps_the_old_credentials_and_logs_one_line(husk, pki, mounted, fault):
    certificate = mounted(pki.server)
    server = husk.server(raw.Listener(), protocol="tcp", certificate=certificate)
    if fault == "junk":
        open(certificate.cert, "w").write("junk\n")
    elif fault == "expired":
        mounted(pki.expired_server)
    elif fault == "key of another":
        shutil.copy(pki.next_server.key, certificate.key)
    else:
        shutil.move(certificate.key, certificate.key + ".gone")
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="failure")
    assert shown_certificate(server, pki) == der(pki.server)
    server.stop()
    assert len(server.problems()) == 1
    assert any(path in str(server.problems()[0]) for path in certificate)


# ---- start ----

@pytest.mark.parametrize("mode", ["client", "server"])
def test_husk_starts_without_upstream(husk, mode):
    assert getattr(husk, mode)(NOWHERE, protocol="tcp").get("/live")[0] == 200


def test_husk_starts_without_dns_and_logs_it(husk):
    client = husk.client("aggregator.invalid:24224", protocol="tcp", dns_servers=f"{raw.HOST}:1",
                         connect_timeout="500ms")
    assert client.get("/live")[0] == 200
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    raw.assert_reset(agent)
    client.wait_for_event(reason="unresolved", side="upstream", level="warn")
    client.wait_until(lambda _: [e for e in client.problems() if e["message"].startswith("cannot resolve")],
                      "a line about the name")
    status, reasons = client.get("/ready")
    assert status == 503 and "aggregator.invalid" in reasons


def test_an_aggregator_that_comes_back_is_used_again(husk):
    upstream = raw.Listener()
    tunnel = husk.tunnel(upstream=upstream)
    raw.carry_both_ways(*tunnel.open())
    upstream.close()
    agent = raw.connect(tunnel.client.address)
    agent.sendall(b"?")
    raw.assert_reset(agent)
    tunnel.upstream = raw.Listener(upstream.address)
    raw.carry_both_ways(*tunnel.open())
