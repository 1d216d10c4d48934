"""Tests about time on a machine that is slow, or stops for a moment: such a test is repeated before it fails.

A stop of the machine fails one attempt, a fault of husk fails all. The summary of pytest names each attempt that failed: a
fault of husk that strikes now and then is seen there. A test that is repeated makes all that it needs itself: fixtures are
not made anew."""

import functools
import warnings

import pytest

ATTEMPTS = 5


class Late(AssertionError):
    """Something took too long, and nothing else was wrong."""


def expect_within(seconds, took):
    if took > seconds:
        raise Late(f"took {took:.2f} s, which is longer than {seconds} s")


def _repeated(test, failures):
    @functools.wraps(test)
    def attempts(**fixtures):
        for _ in range(ATTEMPTS - 1):
            try:
                return test(**fixtures)
            except failures as failure:
                warnings.warn(f"{test.__name__} is repeated: {str(failure) or type(failure).__name__}", stacklevel=2)
        return test(**fixtures)
    return attempts


def in_time(test):
    """For a test that says with expect_within how long something may take."""
    return _repeated(test, (Late,))


def undisturbed(test):
    """For a test in which the test or husk must act before a timer of husk ends: whatever fails may be a stop."""
    return _repeated(test, (Exception, pytest.fail.Exception))
