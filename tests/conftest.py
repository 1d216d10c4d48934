"""Fixtures of all suites. HUSK names the binary under test (default build/husk)."""

import os

import pytest

from support import husk as husk_support
from support import process, raw
from support.pki import Pki


def pytest_sessionstart(session):
    if not session.config.option.collectonly and not os.access(husk_support.BINARY, os.X_OK):
        pytest.exit(f"no husk to test at {husk_support.BINARY}", 1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        report.sections += [(f"log of {program.name}", program.tail()) for program in process.running]


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def programs():
    """The programs that a test starts. After the test they are stopped, and their exit status is checked."""
    programs = process.Programs()
    yield programs
    programs.stop()


@pytest.fixture(autouse=True)
def listeners_are_closed():
    """Closes the listeners that a test has opened."""
    before = set(raw.open_listeners)
    yield
    for listener in raw.open_listeners - before:
        listener.close()


@pytest.fixture
def husk(pki, programs):
    return husk_support.Launcher(pki, programs)
