"""An ack speaks for what its agent sent before it: the husk that gives one is the aggregator of another husk, whose run
may have come in pieces."""

import socket
import threading

import pytest

from support import forward, raw
from support.forward import event, message
from support.process import PATIENCE

FILLER = b"y" * 1000
COUNT = 6000  # of about a KiB: more than the sockets on the way to an aggregator that does not read can take


@pytest.fixture
def aggregator():
    listener = raw.Listener()
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    yield listener
    listener.close()


def read_and_ack(sock, until):
    """Acks whatever comes, as a connection that is read does; returns the ids once `until` is among them."""
    parser, ids = forward.Parser(), []
    while until not in ids:
        data = sock.recv(1 << 18)
        assert data, f"ended before {until}"
        for _, value in parser.feed(data):
            if isinstance(value[-1], dict) and "chunk" in value[-1]:
                ids.append(value[-1]["chunk"])
                sock.sendall(forward.ack(ids[-1]))
    return ids


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
    settled = read_and_ack(other, "last")
    sending.join()
    server.wait_for_metric("husk_messages_settled_total", len(settled))
    agent.sock.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        agent.read_ack()
    agent.sock.sock.settimeout(PATIENCE)
    parser, gone = forward.Parser(), threading.Thread(target=agent.expect_ack, args=("last",), daemon=True)
    gone.start()
    while gone.is_alive():
        full.settimeout(0.2)
        try:
            data = full.recv(1 << 18)
        except TimeoutError:
            continue
        for _, value in parser.feed(data):
            if isinstance(value[-1], dict) and "chunk" in value[-1]:
                full.sendall(forward.ack(value[-1]["chunk"]))
