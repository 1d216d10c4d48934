"""Later connections to the same upstream resume the TLS session of an earlier one."""

import pytest

from support import raw

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def exchange(agent, aggregator):
    agent.sendall(b"?")
    assert aggregator.recv(1) == b"?"
    aggregator.sendall(b"!")
    assert agent.recv(1) == b"!"
    agent.close()
    assert aggregator.recv(1) == b""


@BOTH
def test_second_connection_is_resumed(husk, version):
    tunnel = husk.tunnel(client={"tls_max": version, "workers": 1}, server={"workers": 2})
    for _ in range(4):
        exchange(*tunnel.open())
    for one, side in ((tunnel.client, "upstream"), (tunnel.server, "downstream")):
        assert one.metric("husk_handshakes_total", side=side, result="full") == 1
        assert one.metric("husk_handshakes_total", side=side, result="resumed") == 3


@BOTH
def test_sessions_do_not_outlive_the_server_that_gave_them(husk, pki, version):
    """A new server process, new ticket keys: a full handshake, and its policy is asked."""
    upstream = raw.Listener()
    server = husk.server(upstream)
    address = raw.format_address(server.address)
    client = husk.client(server, tls_max=version, workers=1)
    agent = raw.connect(client.address)
    exchange(agent, upstream.accept())
    server.stop()
    husk.server(upstream, listen=address, allow_cn="somebody-else")
    raw.assert_reset(raw.connect(client.address))
    assert not upstream.was_dialled()
