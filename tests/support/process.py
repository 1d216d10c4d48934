"""Programs that tests start: collects their output lines and ends them by their pid."""

import os
import signal
import subprocess
import threading
import time

WAIT_SECONDS = 20.0  # longest wait; far more than needed, so that a busy machine fails no test

running = []  # started and not yet stopped; the report of a failing test shows their output


class Program:
    """Owns one process. Every wait is for an event and has a limit. A failure shows the last lines."""

    def __init__(self, argv, name, env=None):
        self.name = name
        self._lines = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            argv, env={**os.environ, **(env or {})}, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self._readers = [threading.Thread(target=self._collect, args=(stream,), daemon=True)
                         for stream in (self.process.stdout, self.process.stderr)]
        for reader in self._readers:
            reader.start()
        running.append(self)

    def _collect(self, stream):
        for line in stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        stream.close()
        with self._changed:
            self._changed.notify_all()

    @property
    def lines(self):
        with self._changed:
            return list(self._lines)

    def tail(self, count=40):
        state = self.process.poll()
        head = f"{self.name} (pid {self.pid}, {'running' if state is None else f'ended with {state}'}):"
        return "\n    ".join([head, *self.lines[-count:]])

    def wait_until(self, found, what, timeout=WAIT_SECONDS):
        """Waits until found(lines) is true and returns the result. `found` is called again at each new line."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = found(self._lines)
                if result:
                    return result
                silent = not any(reader.is_alive() for reader in self._readers)
                if silent or not self._changed.wait(min(0.5, max(0, deadline - time.monotonic()))):
                    if silent or time.monotonic() >= deadline:
                        break
        raise AssertionError(f"{self.name} did not write {what}\n{self.tail()}")

    def wait_for_line(self, matches, what, timeout=WAIT_SECONDS):
        """Waits for a line that matches. Earlier lines count."""
        return self.wait_until(lambda lines: next(filter(matches, lines), None), what, timeout)

    def signal(self, number):
        if self.process.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout=WAIT_SECONDS):
        """Waits for the end of the process and of its output. Returns the exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end\n{self.tail()}") from None
        for reader in self._readers:
            reader.join(WAIT_SECONDS)
        if self in running:
            running.remove(self)
        return status

    def stop(self):
        """Sends SIGTERM. When the process does not end, kills it and fails the test."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.wait()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait()


class Programs:
    """The programs that a test started. stop() stops them, the last one first."""

    def __init__(self):
        self._started = []

    def add(self, program):
        self._started.append(program)
        return program

    def stop(self):
        failures = []
        while self._started:
            try:
                self._started.pop().stop()
            except AssertionError as failure:
                failures.append(str(failure))
        assert not failures, "\n".join(failures)


def eventually(condition, what, timeout=WAIT_SECONDS):
    """Calls `condition` until it returns true, and returns the result. For states without an event."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"did not happen: {what}\n" + "\n".join(p.tail() for p in running)
        time.sleep(0.01)
