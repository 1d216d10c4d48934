"""A scripted service manager: reads what a program tells it by the protocol of sd_notify(3)."""

import array
import socket
import struct
import threading
from typing import NamedTuple

from support.process import WAIT_SECONDS

DESCRIPTORS_MAX = 253  # SCM_MAX_FD


class Message(NamedTuple):
    pid: int       # of the sender
    fields: dict   # NAME: value
    descriptors: tuple


class ServiceManager:
    """Binds `address`: a path, or @NAME for an abstract name."""

    def __init__(self, address):
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self.env = {"NOTIFY_SOCKET": address}
        self._messages = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                text, ancillary, _, _ = self._sock.recvmsg(
                    65536, socket.CMSG_SPACE(struct.calcsize("3i")) + socket.CMSG_SPACE(4 * DESCRIPTORS_MAX))
            except OSError:
                return
            if not text:
                return
            pid, descriptors = 0, array.array("i")
            for _level, kind, data in ancillary:
                if kind == socket.SCM_CREDENTIALS:
                    pid = struct.unpack("3i", data)[0]
                elif kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(data)
            fields = dict(line.split("=", 1) for line in text.decode().split("\n"))
            with self._changed:
                self._messages.append(Message(pid, fields, tuple(descriptors)))
                self._changed.notify_all()

    def messages(self, name):
        """The messages that have a field of this name."""
        with self._changed:
            return [message for message in self._messages if name in message.fields]

    def all(self):
        with self._changed:
            return list(self._messages)

    def wait_for(self, name, found=lambda message: True, count=1):
        """Waits until there are `count` messages with this field for which `found` is true. Returns the last of them."""
        def matching():
            return [message for message in self._messages if name in message.fields and found(message)]
        with self._changed:
            assert self._changed.wait_for(lambda: len(matching()) >= count, WAIT_SECONDS), (name, self._messages)
            return matching()[count - 1]

    def wait_for_status(self, text):
        """Waits until the newest status has this text."""
        def newest():
            return next((m.fields["STATUS"] for m in reversed(self._messages) if "STATUS" in m.fields), "")
        with self._changed:
            assert self._changed.wait_for(lambda: text in newest(), WAIT_SECONDS), (text, self._messages)

    def close(self):
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
