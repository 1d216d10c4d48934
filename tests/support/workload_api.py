"""A scripted SPIFFE Workload API: gRPC over HTTP/2, X.509-SVIDs made with openssl, and answers encoded by hand."""

import contextlib
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from support import raw
from support.pki import Authority
from support.process import eventually

BOTH = "serverAuth,clientAuth"
PERMISSION_DENIED, UNAVAILABLE = 7, 14


# ---- the message (SPIFFE Workload API, 5.1) ----

def _varint(number):
    more = bytes([number & 0x7f | (0x80 if number > 0x7f else 0)])
    return more + _varint(number >> 7) if number > 0x7f else more


def field(number, data):
    """A field of the wire type LEN of protobuf."""
    data = data.encode() if isinstance(data, str) else data
    return _varint(number << 3 | 2) + _varint(len(data)) + data


class Svid(NamedTuple):
    """An X509SVID of an answer."""
    spiffe_id: str
    chain: bytes
    key: bytes
    bundle: bytes
    hint: str = ""

    def encode(self):
        return b"".join(field(number, value) for number, value in enumerate(self, 1) if value)


def answer(*svids, crls=(), federated=()):
    """An X509SVIDResponse. `federated`: pairs of the name of a trust domain and its CAs."""
    return b"".join([*(field(1, svid.encode()) for svid in svids), *(field(2, crl) for crl in crls),
                     *(field(3, field(1, name) + field(2, cas)) for name, cas in federated)])


def der(path):
    return ssl.PEM_cert_to_DER_cert(pathlib.Path(path).read_text())


class TrustDomain:
    """A trust domain with its CA."""

    def __init__(self, directory, name):
        self.name, self.id = name, f"spiffe://{name}"
        pathlib.Path(directory).mkdir(exist_ok=True)
        self.ca = Authority(pathlib.Path(directory) / name)

    @property
    def bundle(self):
        return der(self.ca.cert)

    @property
    def federated(self):
        return self.id, self.bundle

    def svid(self, path, hint="", *, san=None, **options):
        """A new X.509-SVID. `san`: other names than its SPIFFE ID."""
        spiffe_id = f"{self.id}/{path}"
        made = self.ca.issue(path.replace("/", "-"), path.replace("/", "-"), BOTH, san or f"URI:{spiffe_id}", **options)
        key = subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", made.key, "-outform", "DER"],
                             check=True, capture_output=True).stdout
        return Svid(spiffe_id, der(made.cert), key, self.bundle, hint)


# ---- the server ----

def frame(message, flag=0):
    """The message behind its prefix (gRPC over HTTP/2)."""
    return struct.pack(">BI", flag, len(message)) + message


class Call:
    """One connection of a client, and its stream."""

    def __init__(self, sock):
        self._sock, self._lock = sock, threading.Lock()
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.stream, self.headers, self.request = None, {}, b""
        self._has_answered = False

    def serve(self, on_request):
        self._do(self._http.initiate_connection)
        while data := self._sock.recv(65536):
            with self._lock:
                events = self._http.receive_data(data)
                self._sock.sendall(self._http.data_to_send())
            for event in events:
                if isinstance(event, h2.events.RequestReceived):
                    self.stream, self.headers = event.stream_id, dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    self.request += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    on_request(self)

    def _do(self, step, *arguments, **named):
        with self._lock:
            step(*arguments, **named)
            self._sock.sendall(self._http.data_to_send())

    def _begin(self):
        if not self._has_answered:
            self._has_answered = True
            self._do(self._http.send_headers, self.stream,
                     [(":status", "200"), ("content-type", "application/grpc")])

    def send(self, data, piece=16384):
        """Sends bytes in DATA frames of `piece` bytes, as far as the client takes them."""
        self._begin()
        for at in range(0, len(data), piece):
            part = data[at:at + piece]
            eventually(lambda part=part: self._window() >= len(part), "the client takes more bytes")
            self._do(self._http.send_data, self.stream, part)

    def _window(self):
        with self._lock:
            return self._http.local_flow_control_window(self.stream)

    def end(self, status, message=""):
        """Ends the stream; before an answer with trailers alone."""
        trailers = [("grpc-status", str(status)), ("grpc-message", message)]
        if not self._has_answered:
            trailers = [(":status", "200"), ("content-type", "application/grpc"), *trailers]
        self._do(self._http.send_headers, self.stream, trailers, end_stream=True)

    def refuse(self, status, body):
        """Ends the stream as a server of another protocol does."""
        self._do(self._http.send_headers, self.stream, [(":status", str(status)), ("content-type", "text/html")])
        self._do(self._http.send_data, self.stream, body, end_stream=True)

    def go_away(self):
        self._do(self._http.close_connection)

    def reset(self):
        self._do(self._http.reset_stream, self.stream, 2)

    def raw(self, data):
        self._sock.sendall(data)

    def close(self):
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class WorkloadApi(raw.Listener):
    """`answer`: what each new stream gets; a function of the Call instead does what it wants. None: nothing."""

    def __init__(self, address, first=None):
        super().__init__(str(address) if not isinstance(address, tuple) else address)
        self.sock.settimeout(None)
        self.answer, self.calls = first, []
        self.dials = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def name(self):
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        return f"tcp://{raw.format_address(self.address)}"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                self.dials += 1
                threading.Thread(target=self._serve, args=[Call(sock)], daemon=True).start()

    def _serve(self, call):
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError, AssertionError):
            # The thread of the connection reads: it learns when the client takes more bytes.
            call.serve(lambda call: threading.Thread(target=self._answer, args=[call], daemon=True).start())
        call.close()
        with contextlib.suppress(ValueError):
            self.calls.remove(call)

    def _answer(self, call):
        now = self.answer
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            if callable(now):
                now(call)
            elif now is not None:
                call.send(frame(now))
        self.calls.append(call)

    def push(self, message):
        """The new answer, also to the streams that are open."""
        self.answer = message
        for call in list(self.calls):
            call.send(frame(message))

    def call(self):
        """The stream of the only client."""
        return eventually(lambda: self.calls[-1:], "a stream")[0]
