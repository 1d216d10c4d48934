"""Aggregators that count the events they got and the events they stored, and that fail as real ones do."""

import collections
import random
import socket
import struct
import threading
import time
import zlib

import msgpack

from support import raw
from support.forward import Aggregator
from support.process import WAIT_SECONDS

TAKE = "take"            # stored and acked
PASS_OVER = "pass over"  # read and forgotten, without an ack; the connection goes on
CLOSE = "close"          # no ack, and the connection is closed
RESET = "reset"          # the same, with RST
EMPTY = "empty"          # an empty map instead of the ack, and the connection is closed


def records_of(value):
    """The records of a message, in any mode."""
    entries = value[1]
    if not isinstance(entries, (str, bytes, list)):
        return [value[2]]
    if not isinstance(entries, list):
        packed = entries.encode("utf-8", "surrogateescape") if isinstance(entries, str) else entries
        if len(value) > 2 and (value[2] or {}).get("compressed") == "gzip":
            packed = zlib.decompress(packed, 31)
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        unpacker.feed(packed)
        entries = list(unpacker)
    return [record for _, record in entries]


class CountingAggregator(Aggregator):
    """Counts by the number of an event (`offered`, `stored`).

    `judge`: a function that says what the aggregator does with a message with these numbers; default: TAKE."""

    WHOLE = True  # an aggregator takes or refuses a batch whole
    EMPTY_ANSWER = b"\x80"
    OUTAGES = ("refused", "closes", "silent")

    def __init__(self, judge=lambda numbers: TAKE):
        self.offered, self.stored = collections.Counter(), collections.Counter()
        self.calls = 0  # messages judged
        self.order = []  # the numbers of stored events as they arrived, with repetitions
        self._judge, self._lock = judge, threading.Lock()
        self._awake, self._closing = threading.Event(), None
        self._awake.set()
        super().__init__(self._receive)

    def judge(self, received, numbers):
        return self._judge(numbers)

    def _receive(self, received):
        self._awake.wait()
        numbers = [record["n"] for record in records_of(received.value)]
        with self._lock:
            verdict = self.judge(received, numbers)
            self.calls += 1
            self.offered.update(numbers)
            if verdict == TAKE:
                self.stored.update(numbers)
                self.order += numbers
        if verdict == EMPTY:
            received.connection.send(self.EMPTY_ANSWER)
        if verdict == RESET:
            received.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return verdict == TAKE if verdict in (TAKE, PASS_OVER) else self.REFUSE

    # ---- what arrived ----

    def missing(self, numbers):
        with self._lock:
            return [number for number in numbers if not self.stored[number]]

    def wait_for_stored(self, *numbers, timeout=WAIT_SECONDS):
        """Waits until each of these events is stored. Returns the seconds that this took."""
        started = time.monotonic()
        while missing := self.missing(numbers):
            assert time.monotonic() < started + timeout, f"{len(missing)} of {len(numbers)} are missing: {missing[:20]}"
            time.sleep(0.01)
        return time.monotonic() - started

    def forget(self):
        """Counts from zero."""
        with self._lock:
            self.offered.clear()
            self.stored.clear()
            self.order.clear()
            self.calls = 0

    def duplicates(self):
        with self._lock:
            return sum(self.stored.values()) - len(self.stored)

    # ---- outages ----

    def leave(self, how):
        """`how`: "refused": nobody listens; "closes": connections are closed at once; "silent": nothing is taken."""
        if how == "silent":
            self._awake.clear()
            return
        self.kill()
        if how == "closes":
            self._closing = raw.ClosingListener(self.address)

    def come_back(self):
        if not self._awake.is_set():
            self._awake.set()
            return
        if self._closing:
            self._closing.stop()
        self.revive()


class _RefusingAggregator(CountingAggregator):
    """The pipeline behind the input refuses this share of the calls, by chance (seeded)."""

    def __init__(self, refused_share, seed=1):
        self._share, self._chance = refused_share, random.Random(seed)
        super().__init__()

    def _is_refused(self):
        return self._chance.random() < self._share


class OpenTelemetryCollector(_RefusingAggregator):
    """fluentforward receiver since 0.158: one message at a time on a connection; an ack after the pipeline has taken
    the message. A refused message with a chunk id ends its connection without an ack. A refused message without one
    is lost, and the connection goes on. An id of type bin counts as no id."""

    def judge(self, received, numbers):
        if not self._is_refused():
            return TAKE
        return CLOSE if isinstance(received.chunk, str) else PASS_OVER

    def ack(self, *messages):
        super().ack(*(one for one in messages if isinstance(one.chunk, str)))


class Vector(_RefusingAggregator):
    """`fluent` source with acknowledgements: a refused message is answered with an empty map, once, and the connection
    is closed."""

    def judge(self, received, numbers):
        if not self._is_refused():
            return TAKE
        return PASS_OVER if received.chunk is None else EMPTY


def resets_at(*poison):
    """A judge: the aggregator resets the connection at a message that holds one of these events."""
    return lambda numbers: RESET if any(number in poison for number in numbers) else TAKE
