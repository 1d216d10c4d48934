"""Paths, and functions that run commands."""

import os
import pathlib
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
README = REPOSITORY / "k8s/README.md"
HUSK = REPOSITORY / os.environ.get("HUSK", "build/husk")


def run(*command, **options):
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([str(word) for word in command], **options)


def succeed(*command, **options):
    done = run(*command, **options)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
