"""What tests of `husk run` with a changing file need: the file, numbered agents without pause, and the counts of reloads."""

import os
import signal
import threading
import time

from support import config_file, raw
from support.chain import AckingAgent
from support.forward import Agent, event
from support.husk import LIGHT
from support.process import eventually


def free_address():
    """An address that nobody listens on."""
    listener = raw.Listener()
    address = listener.address
    listener.close()
    return address


class File:
    """The file of a running husk. `process`: settings of the process."""

    def __init__(self, launcher, path, *routes, env=None, listeners=None, **process):
        self.path, self._process = path, process
        self._write(path, routes)
        self.husk = launcher.run(path, listeners or len(routes), env)

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
        """Sends SIGHUP, and waits until husk has read the file."""
        before = self.count(result)
        self.husk.signal(signal.SIGHUP)
        eventually(lambda: self.count(result) > before, f"a reload with {result}")

    def change(self, *routes, **process):
        """Replaces the file. Returns the log line of the reload."""
        before = len(self.husk.events(message="configuration reloaded"))
        self.replace(*routes, **process)
        self.hang_up()
        line = self.husk.wait_until(
            lambda _: self.husk.events(message="configuration reloaded")[before:], "that it reloaded")[0]
        time.sleep(0.5 if LIGHT else 0.1)  # the workers take the change after the line is logged
        return line


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
