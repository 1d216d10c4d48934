"""Stops single threads of a husk."""

import contextlib
import ctypes
import os
import pathlib

import pytest

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17  # sys/ptrace.h
WALL = 0x40000000  # __WALL of sys/wait.h


@contextlib.contextmanager
def stopped_worker(husk):
    """Stops one worker of `husk`, and no other thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    worker = max(int(path.name) for path in pathlib.Path(f"/proc/{husk.pid}/task").iterdir())
    if libc.ptrace(PTRACE_SEIZE, worker, None, None) != 0:
        pytest.skip("this system lets nobody stop a thread")
    assert libc.ptrace(PTRACE_INTERRUPT, worker, None, None) == 0
    os.waitpid(worker, WALL)
    try:
        yield
    finally:
        assert libc.ptrace(PTRACE_DETACH, worker, None, None) == 0
