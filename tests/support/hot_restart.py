"""A husk whose process is replaced by SIGUSR2, again and again."""

import os
import pathlib
import shutil
import signal
import time

from support.husk import BINARY, SANITIZER_REPORT
from support.process import eventually

STARTS = "hot restart: a new process starts"
FAILED = "hot restart failed, and this process goes on: "
TAKES_OVER = "hot restart: the new process has taken over"


def has_ended(pid):
    """Whether the process is gone, or only its status is left. Its files are closed when its last thread has ended."""
    process = pathlib.Path(f"/proc/{pid}")
    try:
        is_zombie = (process / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        return is_zombie and len(list((process / "task").iterdir())) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True


class Replaceable:
    """The program of a husk, which a test replaces: a copy of the binary under test."""

    def __init__(self, folder):
        self.path = folder / "husk-of-test"
        shutil.copy2(BINARY, self.path)

    def replace(self, script=None):
        """With a program of the shell, or with the binary under test."""
        new = self.path.with_suffix(".new")
        if script is None:
            shutil.copy2(BINARY, new)
        else:
            new.write_text("#!/bin/sh\n" + script)
            new.chmod(0o755)
        os.replace(new, self.path)

    def hold(self):
        """With a program that copies its configuration, writes a line, and waits for go_on. Then it runs with the copy."""
        self.replace('config=$3; cp "$config" "$config.before"; echo copied >&2\n'
                     'while [ ! -e "$config.go" ]; do sleep 0.01; done\n'
                     f'exec {self.path}.real run --config "$config.before"\n')
        shutil.copy2(BINARY, f"{self.path}.real")

    @staticmethod
    def go_on(config):
        """The copy gets the content that `config` has now."""
        shutil.copy2(config, f"{config}.before.new")
        os.replace(f"{config}.before.new", f"{config}.before")
        pathlib.Path(f"{config}.go").touch()


class Restarting:
    """Follows the processes of `husk`, a Husk: all write to its log."""

    def __init__(self, husk):
        self.husk, self.pid = husk, husk.pid
        self.pids = [husk.pid]

    def _count(self, message):
        return len(self.husk.events(message=message))

    def signal(self, number=signal.SIGUSR2):
        os.kill(self.pid, number)

    def start(self):
        """Asks for a new process, and waits until it starts. Returns its process id."""
        before = self._count(STARTS)
        self.signal()
        event = self.husk.wait_until(lambda _: self.husk.events(message=STARTS)[before:], "that a process starts")[0]
        self.pids.append(event["pid"])
        return event["pid"]

    def swap(self):
        """Replaces the process, and waits until the new one has taken over."""
        before = self._count(TAKES_OVER)
        self.start()
        event = self.husk.wait_until(lambda _: self.husk.events(message=TAKES_OVER)[before:], "the takeover")[0]
        self.pid = event["pid"]

    def wait_until_alone(self):
        """Waits until all processes but the newest have ended."""
        eventually(lambda: all(has_ended(pid) for pid in self.pids if pid != self.pid), "the old processes end")

    def _terminate(self):
        left = [pid for pid in self.pids if not has_ended(pid)]
        for pid in left:
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.1 if left else 0)  # two signals at once are one
        return not left

    def stop(self):
        """Ends all processes. A sanitizer report fails the test."""
        eventually(self._terminate, "the processes end")
        report = [line for line in self.husk.lines if SANITIZER_REPORT.search(line)]
        assert not report, self.husk.tail(200)
