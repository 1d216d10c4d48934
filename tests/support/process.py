"""Programs that tests start: collects their output lines and ends them by their pid."""

import codecs
import os
import pathlib
import select
import signal
import subprocess
import threading
import time

WAIT_SECONDS = 60.0  # longest wait; far more than needed, so that a busy machine fails no test
SETTLE_SECONDS = 5.0  # longest wait for a program that may be busy all the time

running = []  # started and not yet stopped; the report of a failing test shows their output


class Output:
    """The lines of one output of a process. Its reader closes it."""

    def __init__(self, stream):
        self.stream, self.ended = stream, False
        self._text, self._rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
        self._poll = select.poll()
        self._poll.register(stream, select.POLLIN)
        os.set_blocking(stream.fileno(), False)

    def wait(self):
        """Waits for bytes, or for the end."""
        self._poll.poll()

    def take(self):
        """Reads what is there, without waiting. Returns the lines that are complete now."""
        while not self.ended:
            try:
                data = os.read(self.stream.fileno(), 1 << 16)
            except BlockingIOError:
                break
            self.ended = not data
            self._rest += self._text.decode(data, final=self.ended)
        if self.ended and self._rest:
            self._rest += "\n"
        *lines, self._rest = self._rest.split("\n")
        return lines


class Program:
    """Owns one process. Every wait is for an event and has a limit. A failure shows the last lines."""

    def __init__(self, argv, name, env=None, pass_fds=()):
        self.name = name
        self._lines = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            argv, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, pass_fds=pass_fds)
        self.pid = self.process.pid
        self._outputs = [Output(self.process.stdout), Output(self.process.stderr)]
        self._readers = [threading.Thread(target=self._collect, args=(output,), daemon=True) for output in self._outputs]
        for reader in self._readers:
            reader.start()
        running.append(self)

    def _collect(self, output):
        while not output.ended:
            output.wait()
            self._take(output)
        output.stream.close()
        with self._changed:
            self._changed.notify_all()

    def _take(self, output):
        with self._changed:
            lines = output.take()
            if lines:
                self._lines += lines
                self._changed.notify_all()

    @property
    def lines(self):
        """All lines that the process has written so far."""
        with self._changed:
            for output in self._outputs:
                self._take(output)
            return list(self._lines)

    def settle(self):
        """Waits until the program has done what it was doing. What a peer has seen of it is counted and logged then.

        Each thread has to be asleep once, and once more, because a thread may have given work to another one."""
        deadline = time.monotonic() + SETTLE_SECONDS
        for _ in range(2):
            busy = self._awake()
            while busy and time.monotonic() < deadline:
                time.sleep(0.001)
                busy &= self._awake()

    def _awake(self):
        """The threads that run, or would run if they had a CPU. A thread that the test has stopped does not."""
        awake = set()
        for task in pathlib.Path(f"/proc/{self.pid}/task").glob("*"):
            try:
                state = (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue  # the thread has ended
            if state not in "SZXTt":
                awake.add(task.name)
        return awake

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
