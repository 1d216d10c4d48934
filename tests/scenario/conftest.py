"""Fixtures: husk with scripted Forward peers around it."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct

import pytest

from support.aggregators import CountingAggregator
from support.chain import Chain
from support.checks import Checker
from support.forward import Aggregator, Half, Pair

CLONE_NEWNET = 0x40000000  # sched.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # net/if.h, linux/sockios.h


def pytest_configure():
    """Each process of pytest-xdist gets a network of its own, if it may: a port that a test has closed could otherwise be
    the next port of a test in another process, and the husk of the first would send its messages there."""
    if "PYTEST_XDIST_WORKER" in os.environ and ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
        with socket.socket() as sock:
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


@pytest.fixture
def pair(husk):
    """Makes a Pair. `client` and `server` are options of one husk, the other options are given to both."""
    def make(client=(), server=(), acks=True, **both):
        return Pair(husk, Aggregator(acks), {**both, **dict(client)}, {**both, **dict(server)})
    return make


@pytest.fixture
def check(husk):
    """Runs husk check: see Checker."""
    return Checker(husk)


@pytest.fixture
def half(husk):
    """Makes a Half with these options of husk server."""
    return lambda acks=True, **options: Half(husk, acks, options)


@pytest.fixture
def chain(husk):
    """Makes a Chain of 1, 2 or 3 husks: see there."""
    made = []

    def make(length, aggregator=None, at=(), links=(), **options):
        made.append(Chain(husk, length, aggregator or CountingAggregator(), options, dict(at), dict(links)))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def mounted(tmp_path):
    """Copies the files of a certificate to one place, where the next call overwrites them."""
    def mount(certificate):
        return type(certificate)(*(shutil.copy(path, str(tmp_path / f"tls{i}.pem"))
                                   for i, path in enumerate(certificate)))
    return mount
