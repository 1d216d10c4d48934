"""Functions that run commands in the repository."""

import pathlib
import re
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
VERSION = re.search(r"^VERSION\s*:= (\S+)$", (REPOSITORY / "Makefile").read_text(), re.M)[1]
TIME = 1_700_000_000  # 2023-11-14T22:13:20Z


def run(*command, **options):
    options = {"capture_output": True, "text": True, "timeout": 600, "cwd": REPOSITORY, **options}
    return subprocess.run([str(word) for word in command], **options)


def succeed(*command, **options):
    done = run(*command, **options)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
