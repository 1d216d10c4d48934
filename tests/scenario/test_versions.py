"""TLS 1.2 only and TLS 1.3 only, on either side and with another TLS library."""

import ssl

import pytest

from support import raw

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def only(version):
    return {"tls_min": version, "tls_max": version}


@BOTH
@pytest.mark.parametrize("client_only, server_only", [(True, False), (False, True), (True, True)])
def test_one_version_only_on_either_side_works(husk, version, client_only, server_only):
    tunnel = husk.tunnel(client=only(version) if client_only else {}, server=only(version) if server_only else {})
    raw.carry_both_ways(*tunnel.open())
    tunnel.server.wait_for_metric("husk_tls_connections_total", 1, version=f"TLSv{version}")


def test_two_husks_without_limits_use_tls_1_3(husk):
    tunnel = husk.tunnel()
    raw.carry_both_ways(*tunnel.open())
    tunnel.client.wait_for_metric("husk_tls_connections_total", 1, version="TLSv1.3")


@pytest.mark.parametrize("client, server", [("1.2", "1.3"), ("1.3", "1.2")])
def test_two_husks_without_a_common_version_log_the_reason(husk, client, server):
    tunnel = husk.tunnel(client=only(client), server=only(server))
    raw.assert_reset(raw.connect(tunnel.client.address))
    tunnel.server.wait_for_event(reason="tls_version", side="downstream", level="warn")
    tunnel.client.wait_for_event(side="upstream", level="warn")
    assert not tunnel.upstream.was_dialled()


@BOTH
def test_another_tls_client_of_one_version_reaches_husk_server(husk, pki, version):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp")
    agent = raw.connect_tls(server.address, pki.ca.cert, pki.client, version)
    assert agent.tls.version() == f"TLSv{version}"
    raw.carry_both_ways(agent, upstream.accept())


@BOTH
def test_husk_client_reaches_another_tls_server_of_one_version(husk, pki, version):
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp")
    agent = raw.connect(client.address)
    aggregator = raw.TlsPeer(listener.accept(), raw.tls_context(True, pki.ca.cert, pki.server, version),
                             server_side=True).handshake()
    assert aggregator.tls.version() == f"TLSv{version}"
    raw.carry_both_ways(agent, aggregator)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused(husk, pki):
    server = husk.server(raw.Listener(), protocol="tcp")
    context = raw.tls_context(False, pki.ca.cert, pki.client)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw.TlsPeer(raw.connect(server.address), context).handshake()
    server.wait_for_event(reason="tls_version", side="downstream")
