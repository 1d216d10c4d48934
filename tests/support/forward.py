"""Scripted Forward peers: messages, an agent, an aggregator that acks when a test wants it."""

import socket
import struct
import threading
from typing import Any, NamedTuple

import msgpack

from support import raw
from support.process import WAIT_SECONDS

# ---- bytes ----


def pack(value):
    return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")


def event_time(seconds, nanoseconds=0):
    return msgpack.ExtType(0, struct.pack(">II", seconds, nanoseconds))


def message(tag, *elements):
    return pack([tag, *elements])


def event(number, chunk=None, tag="t"):
    """One numbered event in Message mode. With `chunk` the message asks for an ack."""
    return message(tag, 1, {"n": number}, *([] if chunk is None else [{"chunk": chunk}]))


def ack(chunk):
    """`chunk`: an id, or an Encoded that holds the bytes of the id."""
    return b"\x81\xa3ack" + (chunk.data if isinstance(chunk, Encoded) else pack(chunk))


class Encoded(NamedTuple):
    """The MessagePack bytes of a value, for headers that the msgpack module would write shorter."""
    data: bytes


class Message(NamedTuple):
    """A message that an aggregator received. In a str, bytes that are not UTF-8 are surrogates; a bin is bytes."""
    raw: bytes
    value: Any
    connection: Any

    @property
    def option(self):
        """None: the message has no option, or the option is nil."""
        last = self.value[-1]
        is_message_mode = not isinstance(self.value[1], (str, bytes, list))
        return last if len(self.value) > (3 if is_message_mode else 2) else None

    @property
    def chunk(self):
        return (self.option or {}).get("chunk")

    @property
    def number(self):
        return self.value[2]["n"]

    @property
    def is_batch(self):
        """husk has joined several messages: the chunk id is the first pair of the option."""
        return (isinstance(self.value[1], bytes) and list(self.option or ()) == ["chunk", "size"]
                and str(self.chunk).endswith("~1"))

    def events(self):
        """The events of a batch as single messages. Only the last one of these has the chunk id of the batch."""
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape")
        unpacker.feed(self.value[1])
        values = [[self.value[0], *entry] for entry in unpacker]
        assert self.option["size"] == len(values), self.value
        values[-1].append({"chunk": self.chunk})
        return [Message(self.raw, value, self.connection) for value in values]


class Parser:
    """Finds the messages in a stream of bytes."""

    def __init__(self):
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape",
                                          max_buffer_size=1 << 28)
        self._bytes, self._start = bytearray(), 0

    def feed(self, data):
        """Yields each message that is now complete, as (bytes, value)."""
        self._unpacker.feed(data)
        self._bytes += data
        for value in self._unpacker:
            end = self._unpacker.tell()
            yield bytes(self._bytes[:end - self._start]), value
            del self._bytes[:end - self._start]
            self._start = end


# ---- peers ----

class Agent:
    """Sends messages and reads acks. `sock`: a socket or a TlsPeer."""

    def __init__(self, sock):
        self.sock = sock

    def send(self, *messages):
        self.sock.sendall(b"".join(messages))

    def read_ack(self):
        """The bytes of one recv."""
        return self.sock.recv(1 << 20)

    def expect_ack(self, chunk):
        """The ack must be the only bytes of one recv."""
        got = self.read_ack()
        assert got == ack(chunk), got

    def read_acks(self, count):
        """The ids of `count` acks. The end of a recv must not cut an ack."""
        ids = []
        while len(ids) < count:
            data, parser = self.read_ack(), Parser()
            assert data, f"the connection ended after {len(ids)} of {count} acks"
            whole = list(parser.feed(data))
            assert sum(len(one) for one, _ in whole) == len(data), f"the end of a recv cut an ack: {data[-40:]}"
            ids += [value["ack"] for _, value in whole]
        assert len(ids) == count, f"{len(ids) - count} acks too many"
        return ids

    def expect_nothing_more(self):
        """Ends its direction of the connection and checks that no further byte arrives."""
        self.sock.shutdown(socket.SHUT_WR)
        assert raw.read_to_end(self.sock) == b""

    def close(self):
        self.sock.close()

    def reset(self):
        raw.reset(self.sock)


def carry_acked(agent, number, chunk):
    """Sends one event with a chunk id and waits for its ack."""
    agent.send(event(number, chunk))
    agent.expect_ack(chunk)


class Connection:
    """One connection of the aggregator. Only the reader thread closes the socket."""

    def __init__(self, sock, number):
        self.sock, self.number, self.ended = sock, number, False

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # the test has ended the connection

    def end(self, by_reset=False):
        try:
            if by_reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.shutdown(socket.SHUT_RD if by_reset else socket.SHUT_RDWR)
        except OSError:
            pass


class Aggregator:
    """Records every message of every connection, in order of arrival.

    `acks`: True, or a function that returns true for a message: the message is acked at once. Otherwise the test
    calls ack(). The events of a batch count as messages, unless WHOLE. A function may return REFUSE: the message gets no ack, and its connection ends at once, with all that
    is behind the message. The OpenTelemetry Collector does so when its pipeline refuses a message."""

    REFUSE = "refuse"
    WHOLE = False

    def __init__(self, acks=True, address=(raw.HOST, 0)):
        self.acks = acks
        self._changed = threading.Condition()
        self._messages, self._connections = [], []
        self._listener = raw.Listener(address)
        self.address = self._listener.address
        self._listen()

    def _listen(self):
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def _accept(self, listener):
        listener.sock.settimeout(None)
        while True:
            try:
                sock, _ = listener.sock.accept()
            except OSError:
                break
            sock.settimeout(None)
            with self._changed:
                connection = Connection(sock, len(self._connections))
                self._connections.append(connection)
                self._changed.notify_all()
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        parser = Parser()
        while True:
            try:
                data = connection.sock.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                break
            for received in self._found(parser.feed(data), connection):
                # Decide before the message is recorded and ack afterwards: an acked message is always recorded.
                is_acked = self.acks(received) if callable(self.acks) else self.acks
                with self._changed:
                    self._messages.append(received)
                    self._changed.notify_all()
                if is_acked == self.REFUSE:
                    data = b""
                    break
                if is_acked:
                    self.ack(received)
            if not data:
                break
        connection.sock.close()
        with self._changed:
            connection.ended = True
            self._changed.notify_all()

    def _found(self, parsed, connection):
        for one, value in parsed:
            received = Message(one, value, connection)
            if received.is_batch and not self.WHOLE:
                yield from received.events()
            else:
                yield received

    def ack(self, *messages):
        for one in messages:
            if one.chunk is not None:
                one.connection.send(ack(one.chunk))

    @property
    def messages(self):
        with self._changed:
            return list(self._messages)

    @property
    def connections(self):
        with self._changed:
            return list(self._connections)

    def wait_until(self, found, what, timeout=WAIT_SECONDS):
        """Waits until found(messages) is true and returns the result."""
        with self._changed:
            answer = self._changed.wait_for(lambda: found(self._messages), timeout)
            assert answer, f"did not happen: {what}; {len(self._messages)} messages, the last {self._messages[-3:]}"
            return answer

    def wait_for(self, count):
        """Waits for `count` messages and returns all messages."""
        return self.wait_until(lambda messages: len(messages) >= count and list(messages), f"{count} messages")

    def wait_for_connections(self, count):
        self.wait_until(lambda _: len(self._connections) >= count, f"{count} connections")

    def numbers(self):
        return [one.number for one in self.messages]

    def end_connections(self, by_reset=False):
        """Ends all connections and waits until they have ended."""
        ending = self.connections
        for connection in ending:
            connection.end(by_reset)
        self.wait_until(lambda _: all(one.ended for one in ending), "the connections end")

    def kill(self, by_reset=True):
        """Closes the listener and ends all connections."""
        self.stop_listening()
        self.end_connections(by_reset)

    def stop_listening(self):
        self._listener.close()
        self._acceptor.join(WAIT_SECONDS)

    def revive(self):
        self._listener = raw.Listener(self.address)
        self._listen()


# ---- husk between them ----

class Pair:
    """agents → husk client ═ husk server → aggregator"""

    def __init__(self, husk, aggregator, client, server):
        self.aggregator = aggregator
        self.server = husk.server(aggregator, **server)
        self.client = husk.client(self.server, **client)

    def agent(self):
        return Agent(raw.connect(self.client.address))


class Half:
    """TLS agents → husk server → aggregator."""

    def __init__(self, husk, acks, options):
        self._pki = husk.pki
        self.aggregator = Aggregator(acks)
        self.husk = husk.server(self.aggregator, **options)

    def agent(self):
        return Agent(raw.connect_tls(self.husk.address, self._pki.ca.cert, self._pki.client))
