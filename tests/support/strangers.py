"""Peers that are not what husk expects at an upstream, and the first bytes of other protocols."""

import contextlib
import ssl
import threading

from support import raw
from support.forward import pack

HELO = pack(["HELO", {"nonce": b"n" * 16, "auth": b"", "keepalive": True}])
HTTP_RESPONSE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"


class Peer(raw.Server):
    """Accepts each connection. `greets`: sent at once; `answers`: sent after the first bytes of husk."""

    def __init__(self, greets=b"", answers=b"", closes=False, address=(raw.HOST, 0)):
        self._greets, self._answers, self._closes = greets, answers, closes
        super().__init__(address)

    def serve(self, sock):
        threading.Thread(target=self._talk_and_close, args=(sock,), daemon=True).start()

    def _talk_and_close(self, sock):
        with contextlib.suppress(OSError), sock:
            self.talk(sock)

    def talk(self, sock):
        sock.sendall(self._greets)
        sock.recv(65536)
        sock.sendall(self._answers)
        while not self._closes and sock.recv(65536):
            pass


class TlsServer(Peer):
    """A TLS server that is no husk."""

    def __init__(self, pki, greets=b"", ca=None, certificate=None, version=None, **talk):
        self._context = raw.tls_context(True, ca or pki.ca.cert, certificate or pki.server, version)
        super().__init__(greets, **talk)

    def talk(self, sock):
        with contextlib.suppress(ssl.SSLError), self._context.wrap_socket(sock, server_side=True) as tls:
            super().talk(tls)
