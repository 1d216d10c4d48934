"""Scripted agents: what agents that the tests cannot install write, after their sources, and unusual messages that the
protocol allows. Each function speaks over connections of its own to `target`, a Target. Their events have fixed times."""

import array
import contextlib
import fcntl
import gzip
import json
import pathlib
import socket
import struct
import termios
import time
from typing import NamedTuple

import msgpack

from support import forward, raw
from support.forward import event_time, message, pack
from support.process import WAIT_SECONDS

CAPTURES = pathlib.Path(__file__).with_name("captures")
SECONDS = 1700000000
LOGS = 8  # events of most agents
RECORDS = [{"n": number, "message": "ünïcode " + "x" * 300 * (number % 2)} for number in range(LOGS)]


class Target(NamedTuple):
    """Where an agent sends to, and the tag of its events. `address`: as in support.raw. `arguments`: further arguments of
    a real agent."""
    address: object
    tag: str
    arguments: tuple = ()

    def send(self, *parts):
        """Sends the parts over one connection, with a segment for each part, and ends the connection in order."""
        sock = raw.connect(self.address)
        for part in parts:
            sock.sendall(part)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # Fluentd ends each connection with a reset, even after it has read all
            raw.read_to_end(sock)

    def send_each_acked(self, *messages):
        """Sends each message after the ack of the one before. `messages`: (bytes, chunk id)."""
        agent = forward.Agent(raw.connect(self.address))
        for data, chunk in messages:
            agent.send(data)
            agent.expect_ack(chunk)
        agent.close()


def old_pack(value):
    """MessagePack before str8 and bin: each text and each byte string is fixraw, raw 16 or raw 32."""
    return msgpack.packb(value, use_bin_type=False, unicode_errors="surrogateescape")


# ---- Fluent Bit 5: recorded ----

def fluent_bit(capture):
    def speak(target):
        recorded = (CAPTURES / f"{capture}.c2s").read_bytes()
        target.send(recorded.replace(pack("app.fb"), pack(target.tag)))
    return speak


# ---- loggers ----

def docker_before_options(target):
    """Docker's driver with an old fluent-logger-golang: the option is nil."""
    target.send(*(message(target.tag, SECONDS, record, None) for record in RECORDS))


def java(target):
    """fluent-logger-java: Message mode with msgpack 0.6, which has no bin; bytes that are no UTF-8 are raw too."""
    target.send(*(old_pack([target.tag, SECONDS, {**record, "bytes": b"\xff\xfe\x00"}]) for record in RECORDS))


def fluency(acks):
    """Fluency: PackedForward as str, `size` in bytes, EventTime; with acks one chunk at a time, under a UUID."""
    def speak(target):
        packed = b"".join(pack([event_time(SECONDS, 5), record]) for record in RECORDS).decode("utf-8", "surrogateescape")
        size = len(packed.encode("utf-8", "surrogateescape"))
        if not acks:
            target.send(message(target.tag, packed, {"size": size}))
            return
        ids = [f"0b1c7f5e-8c3d-4c38-9a3b-{number:012d}" for number in range(2)]
        target.send_each_acked(*((message(target.tag, packed, {"size": size, "chunk": one}), one) for one in ids))
    return speak


def perl(target):
    """Fluent::Logger: Message mode, integer times; text of digits becomes an integer; text without a UTF-8 flag is raw."""
    target.send(*(old_pack([target.tag, SECONDS, {"n": number, "latin": b"\xe4\xf6"}]) for number in range(LOGS)))


def perl_event_time(target):
    target.send(*(b"\x93" + old_pack(target.tag) + pack(event_time(SECONDS, 5)) + old_pack(record) for record in RECORDS))


def php(target):
    """fluent-logger-php: a JSON text for each event, without anything between them; "/" and non-ASCII are escaped."""
    target.send(*(json.dumps([target.tag, SECONDS, {**record, "path": "a/b"}], separators=(",", ":")).replace("/", r"\/")
                  .encode() for record in RECORDS))


def php_msgpack(target):
    """The same with its MsgpackPacker."""
    target.send(*(pack([target.tag, SECONDS, record]) for record in RECORDS))


def envoy(target):
    """Envoy's access log: Forward mode without an option; times are plain seconds."""
    target.send(message(target.tag, [[SECONDS, record] for record in RECORDS]),
                message(target.tag, [[SECONDS, {"n": number}] for number in range(LOGS, 20 + LOGS)]))


def wazuh(target):
    """Wazuh's fluent-forward module: Message mode; an option that says nothing; one text of up to 64 KiB."""
    target.send(*(message(target.tag, SECONDS, {"event": "y" * length}, {"option": "optional"})
                  for length in (1, 300, 60000)))


def node_without_acks(target):
    """Node's fluent-logger in PackedForward mode without requireAckResponse: each chunk has an id, and no ack is read.
    The ids are long here, so that few acks fill the buffers of the sockets."""
    sock = socket.socket(raw.family_of(target.address))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(WAIT_SECONDS)
    sock.connect(target.address)
    unread, patience = 0, 100
    for number in range(UNREAD):
        body = pack([SECONDS, {"n": number}])
        sock.sendall(message(target.tag, body, {"chunk": f"{number:04d}" * 150, "size": len(body)}))
        while number % 50 == 0 and patience and unread == waiting_bytes(sock):  # until acks arrive
            time.sleep(0.01)
            patience -= 1
        unread = waiting_bytes(sock)
    return sock  # a close would reset the connection


def waiting_bytes(sock):
    """The bytes that have arrived and are not read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]


UNREAD = 1000  # chunks


# ---- what the protocol allows ----

def float_times(target):
    """Times as float64, among others."""
    target.send(*(message(target.tag, SECONDS + (number % 2) / 2 if number % 2 else SECONDS, {"n": number})
                  for number in range(LOGS)))


def heartbeats(target):
    """Connections without a byte, and nil between messages."""
    target.send()
    target.send(b"\xc0")
    target.send(b"\xc0" + message(target.tag, SECONDS, {"n": 0}), b"\xc0\xc0", message(target.tag, SECONDS, {"n": 1}))


def records_that_are_none(target):
    """Events whose record is nil or text, among others, in Message and Forward mode."""
    target.send(message(target.tag, SECONDS, {"n": 0}), message(target.tag, SECONDS, None),
                message(target.tag, SECONDS, {"n": 1}), message(target.tag, SECONDS, "text"),
                message(target.tag, [[SECONDS, {"n": 2}], [SECONDS, None], [SECONDS, {"n": 3}]]))


def metadata_of_unequal_kinds(target):
    """Entries [[time, metadata], record] beside plain ones, in Forward and PackedForward mode."""
    entries = [[[event_time(SECONDS, 5), {"k": "v"}], RECORDS[0]], [event_time(SECONDS, 6), RECORDS[1]]]
    target.send(message(target.tag, entries), message(target.tag, b"".join(map(pack, entries)), {"size": 2}))


def long_headers(target):
    """array 32, map 32 and str 32 where shorter headers are enough."""
    tag = target.tag.encode()

    def head(kind, length):
        return bytes([kind]) + struct.pack(">I", length)
    record = head(0xdf, 1) + head(0xdb, 1) + b"n" + pack(1)
    entry = head(0xdd, 2) + pack(event_time(SECONDS, 5)) + record
    start = head(0xdd, 3) + head(0xdb, len(tag)) + tag
    target.send(start + head(0xdd, 2) + entry + entry + head(0xdf, 1) + head(0xdb, 4) + b"size" + pack(2),
                start + head(0xdb, 2 * len(entry)) + entry + entry + head(0xdf, 0),
                start + pack(SECONDS) + record)


def bodies(target):
    """PackedForward as bin and as str, plain and as two gzip members; `size` right, wrong and absent."""
    packed = [pack([SECONDS, record]) for record in RECORDS]
    text = b"".join(packed).decode("utf-8", "surrogateescape")
    members = gzip.compress(packed[0]) + gzip.compress(b"".join(packed[1:]))
    target.send(message(target.tag, b"".join(packed)), message(target.tag, text, {"size": LOGS}),
                message(target.tag, b"".join(packed), {"size": 100000}),
                message(target.tag, members, {"compressed": "gzip", "size": LOGS}),
                message(target.tag, b"".join(packed), {"compressed": "text"}))


def ids_of_all_kinds(target):
    """Chunk ids as str, as bin and with a trailing newline; an option whose chunk is nil; an empty option."""
    target.send_each_acked(*((message(target.tag, SECONDS, {"n": 1}, {"chunk": one}), one)
                             for one in ("id", "aWQ=\n", b"\x00\xff", "x" * 100)))
    target.send(message(target.tag, SECONDS, {"n": 2}, {"chunk": None}), message(target.tag, SECONDS, {"n": 3}, {}))


def tags_and_times(target):
    """A tag as bin; times as ext 8, uint 64 and nil, the current time for Fluentd; keys that are no text."""
    ext8 = b"\xc7\x08\x00" + event_time(SECONDS, 5).data
    target.send(message(target.tag.encode(), SECONDS, {"n": 1}), b"\x93" + pack(target.tag) + ext8 + pack({"n": 2}),
                b"\x93" + pack(target.tag) + b"\xcf" + struct.pack(">Q", SECONDS) + pack({1: 2, "nested": {"a": [None]}}))
