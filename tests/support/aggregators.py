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
LOSE = "lose"            # acked and not stored
PASS_OVER = "pass over"  # read and forgotten, without an ack; the connection goes on
CLOSE = "close"          # no ack, and the connection is closed
RESET = "reset"          # the same, with RST
EMPTY = "empty"          # an empty map instead of the ack, and the connection is closed


def entries_of(value):
    """The entries of a message, in any mode."""
    entries = value[1]
    if not isinstance(entries, (str, bytes, list)):
        return [[value[1], value[2]]]
    if not isinstance(entries, list):
        packed = entries.encode("utf-8", "surrogateescape") if isinstance(entries, str) else entries
        if len(value) > 2 and (value[2] or {}).get("compressed") == "gzip":
            packed = zlib.decompress(packed, 31)
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        unpacker.feed(packed)
        entries = list(unpacker)
    return entries


def records_of(value):
    return [record for _, record in entries_of(value)]


def numbers_of(value):
    """The numbers of the events of a message. What is no event has none."""
    return [entry[1]["n"] for entry in entries_of(value)
            if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict)]


def is_plain(value, metadata=False):
    """Has the message a tag of type str, times that are integers or EventTime, records that are maps, an option that is
    a map, and no compression but gzip? `metadata`: entries [[time, metadata], record] are plain too."""
    tag, entries, *rest = value
    is_message_mode = not isinstance(entries, (str, bytes, list))
    option = rest[is_message_mode] if len(rest) > is_message_mode else {}
    if not isinstance(tag, str) or not isinstance(option, dict) or option.get("compressed") not in (None, "text", "gzip"):
        return False

    def is_time(time):
        if isinstance(time, list):
            return metadata and len(time) == 2 and is_time(time[0]) and isinstance(time[1], dict)
        return isinstance(time, (int, msgpack.ExtType))
    return all(isinstance(entry, list) and len(entry) == 2 and is_time(entry[0]) and isinstance(entry[1], dict)
               for entry in entries_of(value))


class CountingAggregator(Aggregator):
    """Counts by the number of an event (`offered`, `stored`).

    `judge`: a function that says what the aggregator does with a message with these numbers; default: TAKE."""

    WHOLE = True  # an aggregator takes or refuses a batch whole
    EMPTY_ANSWER = b"\x80"
    OUTAGES = ("refused", "closes", "silent")

    def __init__(self, judge=lambda numbers: TAKE, address=(raw.HOST, 0)):
        self.offered, self.stored = collections.Counter(), collections.Counter()
        self.calls = 0  # messages judged
        self.order = []  # the numbers of stored events as they arrived, with repetitions
        self._judge, self._lock = judge, threading.Lock()
        self._awake, self._closing = threading.Event(), None
        self._awake.set()
        super().__init__(self._receive, address)

    def judge(self, received, numbers):
        return self._judge(numbers)

    def _receive(self, received):
        self._awake.wait()
        numbers = numbers_of(received.value)
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
        return verdict in (TAKE, LOSE) if verdict in (TAKE, LOSE, PASS_OVER) else self.REFUSE

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
        if not is_plain(received.value):
            return CLOSE
        if not self._is_refused():
            return TAKE
        return CLOSE if isinstance(received.chunk, str) else PASS_OVER

    def ack(self, *messages):
        super().ack(*(one for one in messages if isinstance(one.chunk, str)))


class EarlierOpenTelemetryCollector(OpenTelemetryCollector):
    """The same before 0.158: an ack as soon as the message has entered a queue in memory. What the pipeline behind the
    queue refuses is lost."""

    def judge(self, received, numbers):
        if not is_plain(received.value):
            return CLOSE
        return LOSE if self._is_refused() else TAKE


class Vector(_RefusingAggregator):
    """`fluent` source with acknowledgements: a refused message is answered with an empty map, once, and the connection
    is closed. A message that Vector cannot decode gets no answer, and the connection goes on.

    `sink_seconds`: the ack comes so late, and until then nothing more is read from the connection."""

    def __init__(self, refused_share=0.0, seed=1, sink_seconds=0.0):
        self._sink_seconds = sink_seconds
        super().__init__(refused_share, seed)

    def judge(self, received, numbers):
        if not is_plain(received.value):
            return PASS_OVER
        if not self._is_refused():
            return TAKE
        return PASS_OVER if received.chunk is None else EMPTY

    def _receive(self, received):
        time.sleep(self._sink_seconds)
        return super()._receive(received)


class VectorWithoutAcknowledgements(Vector):
    """The same without acknowledgements, its default: an ack as soon as the events are queued. What a sink refuses is
    lost."""

    def judge(self, received, numbers):
        if not is_plain(received.value):
            return PASS_OVER
        return LOSE if self._is_refused() else TAKE


class FluentBit(CountingAggregator):
    """`forward` input: reads entries with metadata; closes the connection at an event of another kind and at an id of
    type bin, and resets it when a message is longer than buffer_max_size."""

    def __init__(self, buffer_max_bytes=6_144_000):
        self._buffer_max_bytes = buffer_max_bytes
        super().__init__()

    def judge(self, received, numbers):
        if len(received.raw) > self._buffer_max_bytes:
            return RESET
        return TAKE if is_plain(received.value, metadata=True) and not isinstance(received.chunk, bytes) else CLOSE


def resets_at(*poison):
    """A judge: the aggregator resets the connection at a message that holds one of these events."""
    return lambda numbers: RESET if any(number in poison for number in numbers) else TAKE
