"""What tests of `husk run` with a changing file need: the file, numbered agents without pause, and the counts of reloads."""

import os
import signal
import threading

import pytest

from support import config_file, raw
from support.chain import AckingAgent
from support.forward import Agent, event
from support.husk import BINARY
from support.process import eventually


WORKERS = pytest.mark.parametrize("workers", [1, 3])


def agent_of(husk, name):
    return Agent(raw.connect(config_file.address_of(husk, name)))


def listen(address):
    return raw.format_address(address)


class File:
    """The file of a running husk. `process`: settings of the process; `binary`: its program."""

    def __init__(self, launcher, path, *routes, env=None, binary=BINARY, listeners=None, prefix=(), pass_fds=(), **process):
        self.path, self._process = path, process
        self._write(path, routes)
        self.husk = launcher.run(path, listeners or len(routes), env, binary=binary, prefix=prefix, pass_fds=pass_fds)
        self.husk.wait_for_event(message="admin listening")  # the last line of the start

    def _write(self, path, routes, **process):
        return config_file.write(path, *routes, **{**self._process, **process})

    def replace(self, *routes, **process):
        """Puts another file in the place of the file, as editors do. husk is not told."""
        os.replace(self._write(self.path.with_suffix(".new"), routes, **process), self.path)

    def write_text(self, text):
        self.path.write_text(text)

    def count(self, result="success"):
        return self.husk.metric("husk_config_reloads_total", result=result)

    def hang_up(self, result="success"):
        """Sends SIGHUP, and waits until husk has read the file and all workers have the change."""
        before = self.count(result)
        self.husk.signal(signal.SIGHUP)
        eventually(lambda: self.count(result) > before, f"a reload with {result}")

    def change(self, *routes, **process):
        """Replaces the file. Returns the log line of the reload."""
        before = len(self.husk.events(message="configuration reloaded"))
        self.replace(*routes, **process)
        self.hang_up()
        return self.husk.wait_until(
            lambda _: self.husk.events(message="configuration reloaded")[before:], "that it reloaded")[0]


class Streaming:
    """An agent with acks that sends numbered events until finish()."""

    WINDOW = 20

    def __init__(self, address, first, tag="t"):
        self._agent = AckingAgent(lambda: raw.connect(address), tag)
        self._first = self._next = first
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self):
        while not self._stopped.wait(0.002):
            if self._next - self._first < len(self._agent.acked) + self.WINDOW:
                self._agent.send(self._next)
                self._next += 1

    @property
    def ends(self):
        """How often a connection has ended."""
        return self._agent.ends

    @property
    def acked(self):
        """The numbers of the events that are acknowledged so far."""
        return set(self._agent.acked)

    @property
    def acked_count(self):
        return len(self._agent.acked)

    def finish(self):
        """Waits for all acks. Returns the numbers of all events."""
        self._stopped.set()
        self._thread.join()
        numbers = range(self._first, self._next)
        self._agent.wait_for_acks(*numbers, timeout=60)
        self._agent.close()
        return numbers


class Silent:
    """An agent without acks that sends numbered events, and that must stay connected."""

    def __init__(self, address, first, tag="t"):
        self._agent, self._first, self._next, self._tag = Agent(raw.connect(address)), first, first, tag

    def send(self, count=1):
        for _ in range(count):
            self._agent.send(event(self._next, tag=self._tag))
            self._next += 1

    @property
    def numbers(self):
        return range(self._first, self._next)
