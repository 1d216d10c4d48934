"""Starts a program with listening sockets, by the protocol of sd_listen_fds(3)."""

import fcntl
import os
import pathlib
import socket
import sys

SOURCE = """

import os, sys
count, names = int(sys.argv[1]), sys.argv[2]
for at, fd in enumerate(int(word) for word in sys.argv[3:3 + count]):
    os.dup2(fd, 3 + at)  # SD_LISTEN_FDS_START
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execv(sys.argv[3 + count], sys.argv[3 + count:])
"""


class Launch:
    """The options of a husk that gets these sockets. `names`: one for each socket."""

    def __init__(self, *sockets, names=None):
        # Their numbers must not be those that the program gets.
        copies = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in sockets]
        names = ":".join(names or ["husk.socket"] * len(sockets))
        self.options = {"pass_fds": copies,
                        "prefix": (sys.executable, "-c", SOURCE, str(len(sockets)), names, *map(str, copies))}

    def close(self):
        for fd in self.options["pass_fds"]:
            os.close(fd)


def listen(address, reuse=False):
    """A listening socket: `address` is host and port, or a path."""
    is_path = isinstance(address, (str, pathlib.Path))
    sock = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(str(address) if is_path else address)
    sock.listen(1024)
    return sock
