"""An ack speaks for what its agent sent before it: the husk that gives one is the aggregator of another husk, whose run
may have come in pieces."""

import socket
import threading

import pytest

from support import forward, raw
from support.forward import message
from support.process import PATIENCE

FILLER = b"y" * 1000
COUNT = 6000  # of about a KiB: more than the sockets on the way to an aggregator that does not read can take


@pytest.fixture
def aggregator():
    listener = raw.Listener()
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    yield listener
    listener.close()


def serve(sock, until=None):
    """Acks whatever asks for it, until `until` has been acked or the connection ends; how many were."""
    parser, count = forward.Parser(), 0
    while data := sock.recv(1 << 18):
        for _, value in parser.feed(data):
            if isinstance(value[-1], dict) and "chunk" in value[-1]:
                count += 1
                sock.sendall(forward.ack(value[-1]["chunk"]))
                if value[-1]["chunk"] == until:
                    return count
    return count


@pytest.mark.parametrize("run_bytes", ["64KiB", "off"])
def test_an_ack_waits_for_what_the_agent_sent_before_without_asking(husk, aggregator, run_bytes):
    server = husk.server(aggregator, protocol="forward", run_bytes=run_bytes, max_outlets=2)
    context = raw.tls_context(False, husk.pki.ca.cert, husk.pki.client)
    agent = forward.Agent(raw.TlsPeer(raw.connect(server.address), context).handshake())
    before = b"".join(message("t", 1, {"n": n, "x": FILLER}) for n in range(COUNT))
    last = message("t", 1, {"n": COUNT}, {"chunk": "last"})
    sending = threading.Thread(target=agent.send, args=(before, last), daemon=True)
    sending.start()
    full, other = aggregator.accept(), aggregator.accept()  # the first is not read: what follows goes by the second
    settled = serve(other, "last")
    sending.join()
    server.wait_for_metric("husk_messages_settled_total", settled)
    agent.sock.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        agent.read_ack()
    agent.sock.sock.settimeout(PATIENCE)
    threading.Thread(target=serve, args=(full,), daemon=True).start()
    agent.expect_ack("last")
