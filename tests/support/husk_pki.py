"""Runs `husk pki`, and openssl beside it."""

import os
import subprocess

from support.husk import BINARY


def husk_pki(*arguments, env=None, cwd=None, prefix=()):
    """The finished process. It has no terminal."""
    return subprocess.run([*prefix, BINARY, "pki", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, start_new_session=True)


def succeed(*arguments, **options):
    """What the command prints."""
    result = husk_pki(*arguments, **options)
    assert result.returncode == 0 and not result.stderr, result
    return result.stdout


def refuse(*arguments, status=1, **options):
    """The one line that the command prints for an error."""
    result = husk_pki(*arguments, **options)
    assert result.returncode == status and not result.stdout, result
    assert result.stderr.startswith("husk pki: ") and result.stderr.count("\n") == 1, result
    return result.stderr.removeprefix("husk pki: ").rstrip("\n")


def openssl_says(*arguments, cwd=None, env=None):
    """What openssl prints."""
    return subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL).stdout
