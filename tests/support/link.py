"""Scripted peers of the link between two husks (docs/link.md)."""

import contextlib
import select
import threading
import time

from support import raw
from support.forward import Parser, pack
from support.process import WAIT_SECONDS

LINK, OLD = "husk-link/1", "husk"  # ALPN names


def context(server_side, pki, protocols):
    made = raw.tls_context(server_side, pki.ca.cert, pki.server if server_side else pki.client)
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


class LinkPeer:
    """One end of a connection. `tls`: a TlsPeer, or a socket where there is no TLS."""

    def __init__(self, tls):
        self.tls, self._parser, self._ready = tls, Parser(), []

    @property
    def protocol(self):
        return self.tls.tls.selected_alpn_protocol()

    def send(self, *items):
        """Messages and frames: bytes, or the pairs of a frame as a dict."""
        self.tls.sendall(b"".join(pack(item) if isinstance(item, dict) else item for item in items))

    def read(self):
        """The next frame or message. EOFError: the connection has ended."""
        while not self._ready:
            try:
                data = self.tls.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            self._ready += [value for _, value in self._parser.feed(data)]
        return self._ready.pop(0)

    def read_until(self, found):
        """Reads frames and messages up to the first for which found() is true. Returns all of them."""
        values = [self.read()]
        while not found(values[-1]):
            values.append(self.read())
        return values

    def read_message(self):
        """The next message. The frames before it are skipped."""
        return self.read_until(lambda value: isinstance(value, list))[-1]

    def answer(self, chunk):
        """The answer to this chunk id. The frames before this answer are skipped."""
        return self.read_until(lambda value: value.get("ack") == chunk)[-1]

    def is_silent_for(self, seconds):
        """Whether nothing arrives in this time."""
        if self._ready:
            return False
        self.tls.sock.settimeout(seconds)
        try:
            self._ready += [value for _, value in self._parser.feed(self.tls.recv(65536))]
        except TimeoutError:
            return True
        finally:
            self.tls.sock.settimeout(WAIT_SECONDS)
        return not self._ready

    def expect_end(self):
        """The connection must end, after any bytes."""
        try:
            while True:
                self.read()
        except EOFError:
            pass

    def close(self):
        raw.reset(self.tls.sock)


def connect(husk, pki, protocols=(LINK, OLD)):
    """A link client's connection to husk server."""
    return LinkPeer(raw.TlsPeer(raw.connect(husk.address), context(False, pki, protocols)).handshake())


class LinkServer(raw.Listener):
    """Accepts husk client's connections when the test asks for them."""

    def __init__(self, pki, protocols=(LINK, OLD)):
        super().__init__()
        self._context = context(True, pki, protocols)

    def accept_link(self):
        return LinkPeer(raw.TlsPeer(self.accept(), self._context, server_side=True).handshake())


def keep_waiting(peer, seconds, every=0.1, text="busy"):
    """Says "waiting" for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        peer.send({"waiting": text})
        time.sleep(every)


class TlsTerminator(raw.Server):
    """Ends each TLS connection and begins another one to `target`, without ALPN, like a load balancer."""

    def __init__(self, target, pki):
        self._target, self._pki = target, pki
        super().__init__()

    def serve(self, sock):
        threading.Thread(target=self._carry, args=(sock,), daemon=True).start()

    def _carry(self, sock):
        with contextlib.suppress(OSError, EOFError), \
                context(True, self._pki, ()).wrap_socket(sock, server_side=True) as near, \
                context(False, self._pki, ()).wrap_socket(
                    raw.connect(self._target), server_hostname="localhost") as far:
            while True:
                pending = [one for one in (near, far) if one.pending()]
                for source in pending or select.select([near, far], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    (far if source is near else near).sendall(data)
