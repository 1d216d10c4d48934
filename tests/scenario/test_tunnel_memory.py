"""--protocol tcp: bytes that the other side does not take have a memory limit for all connections together."""

import hashlib
import random
import time

import pytest

from support import raw
from support.husk import LIGHT
from support.process import WAIT_SECONDS

MIB = 1 << 20
PIECE = random.Random(5).randbytes(64 << 10)
STUCK = 10 if LIGHT else 24  # each may hold 256 KiB in each direction (--buffer-bytes) and the records of it


def send_until_blocked(socks):
    """Returns how many bytes each connection has taken when none takes any more."""
    sent, quiet = [0] * len(socks), 0
    for sock in socks:
        sock.setblocking(False)
    while quiet < 10:
        quiet += 1
        for i, sock in enumerate(socks):
            try:
                sent[i] += sock.send(PIECE[sent[i] % len(PIECE):])
                quiet = 0
            except BlockingIOError:
                continue
        time.sleep(0.03 if quiet else 0)
    for sock in socks:
        sock.settimeout(WAIT_SECONDS)
    return sent


def digest_of(length):
    whole, rest = divmod(length, len(PIECE))
    return hashlib.blake2b(PIECE * whole + PIECE[:rest]).digest()


def read_digest(sock, length):
    digest = hashlib.blake2b()
    while length:
        data = sock.recv(min(length, 1 << 18))
        assert data, f"the connection ended {length} bytes early"
        digest.update(data)
        length -= len(data)
    return digest.digest()


def carry_much(sender, receiver, length=4 * MIB):
    with raw.Sending(sender, [PIECE] * (length // len(PIECE))):
        assert read_digest(receiver, length) == digest_of(length)


@pytest.fixture
def full(husk):
    """A tunnel of two husks with 1 MiB for all connections, and connections whose aggregators do not read."""
    options = {"retain_bytes": "1MiB", "workers": 1}
    tunnel = husk.tunnel(client=options, server=options)
    before = [half.resident_kib() for half in (tunnel.client, tunnel.server)]
    stuck = [tunnel.open() for _ in range(STUCK)]
    sent = send_until_blocked([agent for agent, _ in stuck])
    return tunnel, stuck, sent, before


def test_peers_that_do_not_read_fill_one_limit_together(full):
    tunnel, stuck, sent, before = full
    for half, kib in zip((tunnel.client, tunnel.server), before):
        # the limit, what one step adds to it, the memory that connections share for records, and for each connection
        # one small read with its records; without the limit it would be 500 KiB for each
        assert LIGHT or half.resident_kib() - kib < 3072 + STUCK * 100


def test_other_connections_go_on_in_both_directions(full):
    tunnel, *_ = full
    agent, aggregator = tunnel.open()
    carry_much(agent, aggregator)
    carry_much(aggregator, agent)


def test_no_byte_is_lost_when_the_peers_read_again(full):
    _, stuck, sent, _ = full
    for (_, aggregator), length in zip(stuck, sent):
        assert read_digest(aggregator, length) == digest_of(length)
    agent, aggregator = stuck[0]
    carry_much(aggregator, agent)
