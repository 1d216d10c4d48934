"""Scripted peers: plain and TLS sockets that a test controls step by step."""

import contextlib
import os
import select
import selectors
import socket
import ssl
import struct
import threading
import time

from support.process import WAIT_SECONDS

HOST = "127.0.0.1"


def parse_address(text):
    """Converts host:port, [v6]:port or unix:PATH to a socket address: a tuple or a path."""
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def format_address(address):
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def family_of(address):
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def connect(address):
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    sock.settimeout(WAIT_SECONDS)
    sock.connect(address)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect_many(addresses):
    """A connection to each address. One that husk resets at once, because it has no descriptor, is left out."""
    peers = []
    for address in addresses:
        with contextlib.suppress(ConnectionResetError):
            peers.append(connect(address))
    return peers


open_listeners = set()  # a fixture closes them after the test, also those that the test holds no longer


class Listener:
    """A listening socket. It accepts only when the test calls accept()."""

    def __init__(self, address=(HOST, 0), backlog=1024):
        self.sock = socket.socket(family_of(address), socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.settimeout(WAIT_SECONDS)
        self.sock.bind(address)
        self.sock.listen(backlog)
        self.address = self.sock.getsockname()
        open_listeners.add(self)

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(WAIT_SECONDS)
        return sock

    def was_dialled(self):
        return bool(select.select([self.sock], [], [], 0)[0])

    def close(self):
        """Closes the socket. A thread that waits in accept() gets an OSError."""
        open_listeners.discard(self)
        with contextlib.suppress(OSError):  # it is closed
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Server(Listener):
    """Accepts each connection and passes it to `serve`, in the thread that accepts."""

    def __init__(self, address=(HOST, 0)):
        super().__init__(address)
        self.sock.settimeout(None)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.serve(sock)

    def stop(self):
        self.close()
        self._acceptor.join()


class ClosingListener(Server):
    """Accepts each connection and closes it at once, like a load balancer without an aggregator behind it."""

    accepted = 0

    def serve(self, sock):
        self.accepted += 1
        sock.close()


class FullListener(Listener):
    """The queue of the listening socket is full: the kernel drops each further SYN until make_room is called."""

    def __init__(self, address=(HOST, 0)):
        super().__init__(address, backlog=0)
        self._fillers = []
        while self._fill():
            pass

    def _fill(self):
        filler = socket.socket()
        filler.settimeout(0.3)
        self._fillers.append(filler)
        try:
            filler.connect(self.address)
        except TimeoutError:
            filler.close()
            return False
        return True

    def make_room(self):
        for _ in self._fillers[:-1]:
            self.accept().close()


def splice(near, far, rate=None):
    """Carries the bytes of both directions in threads; those to `far` at `rate` bytes per second."""
    def carry_all(source, sink, rate):
        try:
            while data := source.recv(rate // 50 if rate else 65536):
                sink.sendall(data)
                time.sleep(len(data) / rate if rate else 0)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    for source, sink, limit in ((near, far, rate), (far, near, None)):
        source.settimeout(None)
        threading.Thread(target=carry_all, args=(source, sink, limit), daemon=True).start()


class SlowLink(Server):
    """Carries each connection to `target`, at so many bytes per second in that direction."""

    def __init__(self, target, bytes_per_second):
        self._target, self._rate = target, bytes_per_second
        super().__init__()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)

    def serve(self, sock):
        splice(sock, connect(self._target), self._rate)


class SniRouter(Server):
    """Carries each TLS connection to the address that `routes` has for the name in its SNI, like an ingress with TLS
    passthrough. Closes a connection with another name. `asked`: the names of all connections."""

    def __init__(self, routes, names, address=(HOST, 0)):
        self.routes, self._names, self.asked = dict(routes), names, []
        super().__init__(address)

    def serve(self, sock):
        sock.settimeout(WAIT_SECONDS)
        head = sock.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL)
        if len(head) < 5:
            sock.close()  # a health probe
            return
        hello = sock.recv(5 + int.from_bytes(head[3:], "big"), socket.MSG_PEEK | socket.MSG_WAITALL)
        name = next((name for name in self._names if name.encode() in hello), None)
        self.asked.append(name)
        if name in self.routes:
            splice(sock, connect(self.routes[name]))
        else:
            sock.close()


class Collector(Listener):
    """Accepts every connection, reads each to its end and keeps the bytes."""

    def __init__(self):
        super().__init__()
        self._received = []
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):  # the listener is closed
            selector.register(self.sock, selectors.EVENT_READ)
            while self.sock.fileno() >= 0:
                for key, _ in selector.select(0.2):
                    if key.fileobj is self.sock:
                        selector.register(self.accept(), selectors.EVENT_READ, bytearray())
                    else:
                        self._read(selector, key)

    def _read(self, selector, key):
        try:
            data = key.fileobj.recv(65536)
        except ConnectionError:
            data = b""
        if data:
            key.data.extend(data)
            return
        selector.unregister(key.fileobj)
        key.fileobj.close()
        with self._changed:
            self._received.append(bytes(key.data))
            self._changed.notify_all()

    def wait_until(self, found):
        """Waits until found(received) is true and returns the result.

        `received`: the bytes of each connection that has ended, in any order."""
        with self._changed:
            answer = self._changed.wait_for(lambda: found(self._received), WAIT_SECONDS)
            assert answer, f"{len(self._received)} connections ended, the last ones with {self._received[-3:]}"
            return answer

    def wait_for(self, count):
        """Waits until `count` connections have ended and returns their bytes."""
        return self.wait_until(lambda received: len(received) >= count and list(received))


def free_address():
    """An address without a listener, outside the range of ports that the kernel assigns."""
    first, last = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
    for step in range(12000):
        port = 20000 + (1009 * os.getpid() + step) % 12000  # test runs in parallel begin at other ports
        if first <= port <= last or port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _taken.add(port)
        return HOST, port
    raise AssertionError("no free port")


_taken = set()


def read_exactly(peer, count):
    data = bytearray()
    while len(data) < count:
        more = peer.recv(min(count - len(data), 1 << 18))
        assert more, f"ended after {len(data)} of {count} bytes"
        data += more
    return bytes(data)


def carry(sender, receiver, data=b"?"):
    """Sends `data` from one end and checks that it arrives at the other end."""
    sender.sendall(data)
    assert read_exactly(receiver, len(data)) == data


def carry_both_ways(agent, aggregator):
    carry(agent, aggregator, b"up")
    carry(aggregator, agent, b"down")


def read_to_end(peer):
    data = bytearray()
    while more := peer.recv(1 << 18):
        data += more
    return bytes(data)


def assert_reset(sock):
    """The peer must reset the connection (RST)."""
    try:
        end = sock.recv(1)
    except ConnectionResetError:
        return
    raise AssertionError(f"expected a reset, got {end!r}")


def assert_resets(address, data=b"?"):
    """The peer must reset a connection (RST) that sends `data`, before that or after it."""
    with contextlib.suppress(ConnectionResetError), connect(address) as sock:
        sock.sendall(data)
        assert_reset(sock)


def is_reset(sock):
    """Waits until the connection is reset, also if bytes or an end came before the reset. False if it stays."""
    poll = select.poll()
    poll.register(sock, 0)  # POLLHUP: both directions have ended, and the test has not ended one
    return bool(poll.poll(WAIT_SECONDS * 1000 // 2))


def is_refused(address):
    """Whether nobody listens there. A reset says no: the connection waited when the socket ended."""
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False
    return False


def assert_closed(sock):
    """The connection must end, with FIN or with RST, after any bytes; TLS with or without close_notify."""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while sock.recv(65536):
            pass


def reset(sock):
    """Closes the connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Sending:
    """Sends in a thread. The end of the with block waits for the thread and raises its failure."""

    def __init__(self, sock, pieces):
        self._sock, self._pieces, self._failure = sock, pieces, None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            for piece in self._pieces:
                self._sock.sendall(piece)
        except OSError as failure:
            self._failure = failure

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._thread.join(WAIT_SECONDS)
            assert not self._thread.is_alive(), "the sender does not end"
            assert self._failure is None, f"the sender failed: {self._failure!r}"


# ---- TLS ----

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(server_side, ca, certificate=None, version=None):
    """Verifies the peer against `ca` and shows `certificate`, if there is one. `version`: the only version allowed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    if certificate:
        context.load_cert_chain(certificate.cert, certificate.key)
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def connect_tls(address, ca, certificate=None, version=None):
    """A TLS client's connection after the handshake."""
    return TlsPeer(connect(address), tls_context(False, ca, certificate, version)).handshake()


def tls_records(flight):
    """The TLS records in these bytes, one by one."""
    while flight:
        end = 5 + int.from_bytes(flight[3:5], "big")
        yield flight[:end]
        flight = flight[end:]


class TlsPeer:
    """TLS over memory buffers on a plain socket. Unlike ssl.SSLSocket it can end one direction alone, or without
    close_notify."""

    def __init__(self, sock, context, server_side=False, session=None):
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side,
                                    None if server_side else "localhost", session)

    def _run(self, step, *arguments):
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            finally:
                self._flush()

    def _flush(self):
        if self._outgoing.pending:
            self.sock.sendall(self._outgoing.read())

    def first_flight(self):
        """The bytes of the ClientHello. They are not sent."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()

    def answer(self):
        """A server: reads the ClientHello, and sends its first flight."""
        while not self._outgoing.pending:
            self._incoming.write(self.sock.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
        self._flush()

    def last_flight(self):
        """Does the handshake up to the client's last flight (certificate to Finished), which is not sent."""
        self.sock.sendall(self.first_flight())
        while True:
            self._incoming.write(self.sock.recv(65536))
            try:
                self.tls.do_handshake()
                return self._outgoing.read()
            except ssl.SSLWantReadError:
                if self._outgoing.pending:  # TLS 1.2: the server answers the flight
                    return self._outgoing.read()

    def seal_end(self):
        """The bytes of close_notify. They are not sent."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def seal(self, data):
        """The TLS records that hold `data`. They are not sent."""
        self.tls.write(data)
        return self._outgoing.read()

    def handshake(self):
        self._run(self.tls.do_handshake)
        return self

    def sendall(self, data):
        self._run(self.tls.write, data)

    def recv(self, count):
        """Returns b"" at close_notify. An end without close_notify raises ssl.SSLEOFError."""
        try:
            return self._run(self.tls.read, count)
        except ssl.SSLZeroReturnError:
            return b""

    def close_write(self):
        """Sends close_notify. The other direction stays open."""
        self.sock.sendall(self.seal_end())

    def close(self):
        self.close_write()
        self.sock.close()

    def end_without_close_notify(self):
        """Sends FIN without close_notify."""
        self.sock.shutdown(socket.SHUT_WR)
