"""A DNS server whose names a test can change at any time."""

import socket
import struct
import threading
import time

from support import raw
from support.process import WAIT_SECONDS

A, SRV = 1, 33
NO_SUCH_NAME = 3


class NameServer:
    """`hosts`: name → IPv4 addresses. `services`: name → list of (priority, weight, port, target)."""

    def __init__(self, hosts=None, services=None, ttl=3600, address=(raw.HOST, 0)):
        self.hosts, self.services, self._ttl = dict(hosts or {}), dict(services or {}), ttl
        self.answering = threading.Event()  # while it is cleared, no answer is sent
        self.answering.set()
        self._asked = []  # (name, time) of each question
        self._changed = threading.Condition()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(address)
        self.text = raw.format_address(self._sock.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, peer = self._sock.recvfrom(4096)
            name, kind, end = self._question(query)
            known = name in self.hosts or name in self.services
            answers = self._answers(name, kind)
            if kind in (A, SRV):
                with self._changed:
                    self._asked.append((name, time.monotonic()))
                    self._changed.notify_all()
            head = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else NO_SUCH_NAME), 1, len(answers), 0, 0)
            records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self._ttl, len(data)) + data
                               for data in answers)
            self.answering.wait(WAIT_SECONDS)
            self._sock.sendto(head + query[12:end] + records, peer)

    def _answers(self, name, kind):
        if kind == A:
            return [socket.inet_aton(address) for address in self.hosts.get(name, ())]
        if kind == SRV:
            return [struct.pack(">HHH", *numbers) + self._labels(target)
                    for *numbers, target in self.services.get(name, ())]
        return []

    @staticmethod
    def _labels(name):
        return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"

    @staticmethod
    def _question(query):
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1:at + 1 + length].decode().lower())
            at += 1 + length
        return ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0], at + 5

    def gaps(self, name, count):
        """The first `count` intervals between two questions for `name`, in seconds."""
        def asked_at():
            return [when for what, when in self._asked if what == name]
        with self._changed:
            assert self._changed.wait_for(lambda: len(asked_at()) > count, WAIT_SECONDS), self._asked
            return [later - sooner for sooner, later in zip(asked_at(), asked_at()[1:])][:count]
