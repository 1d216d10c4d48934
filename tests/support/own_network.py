"""A conftest.py that imports pytest_configure gives each process of pytest-xdist a network of its own."""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000  # sched.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # net/if.h, linux/sockios.h


def pytest_configure():
    """If the process may: a port that a test has closed could otherwise be the next port of a test in another process,
    and the husk of the first would send its messages there."""
    if "PYTEST_XDIST_WORKER" in os.environ and ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
        with socket.socket() as sock:
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
