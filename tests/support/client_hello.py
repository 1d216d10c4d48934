"""Reads what a TLS client offers in its first message (RFC 8446, 4.1.2)."""

import socket
import struct
from typing import NamedTuple

SERVER_NAME, GROUPS, SIGNATURES, SESSION_TICKET, PRE_SHARED_KEY = 0, 10, 13, 35, 41


class ClientHello(NamedTuple):
    ciphers: list
    extensions: dict  # number → content

    @property
    def groups(self):
        return words(self.extensions[GROUPS][2:])

    @property
    def signatures(self):
        return words(self.extensions[SIGNATURES][2:])

    @property
    def server_name(self):
        """The DNS name of the SNI; None: there is no SNI."""
        content = self.extensions.get(SERVER_NAME)
        return content and content[5:].decode()


def words(content):
    return [number for number, in struct.iter_unpack(">H", content)]


def parse(flight):
    """The ClientHello at the begin of these bytes."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + flight[at]  # session id
    length = int.from_bytes(flight[at:at + 2], "big")
    ciphers = words(flight[at + 2:at + 2 + length])
    at += 2 + length
    at += 1 + flight[at] + 2  # compression, length of the extensions
    extensions = {}
    while at < len(flight):
        kind, length = struct.unpack_from(">HH", flight, at)
        extensions[kind] = flight[at + 4:at + 4 + length]
        at += 4 + length
    return ClientHello(ciphers, extensions)


def of(listener):
    """Accepts a connection and reads what its client offers; the connection then ends."""
    with listener.accept() as sock:
        return parse(sock.recv(65536, socket.MSG_PEEK))
