"""Fixtures: husk with scripted Forward peers around it."""

import shutil
import subprocess

import pytest

from support.aggregators import CountingAggregator
from support.chain import Chain
from support.checks import Checker
from support.forward import Aggregator, Half, Pair
from support.hot_restart import Restarting
from support.husk import ROOT
from support.own_network import pytest_configure  # noqa: F401
from support.reloading import File


@pytest.fixture
def pair(husk):
    """Makes a Pair. `client` and `server` are options of one husk, the other options are given to both."""
    def make(client=(), server=(), acks=True, **both):
        return Pair(husk, Aggregator(acks), {**both, **dict(client)}, {**both, **dict(server)})
    return make


@pytest.fixture
def check(husk):
    """Runs husk check: see Checker."""
    return Checker(husk)


@pytest.fixture
def file(husk, tmp_path):
    """Starts husk with a file of these routes: see File."""
    return lambda *routes, **process: File(husk, tmp_path / "husk.yaml", *routes, **process)


@pytest.fixture
def restarting():
    """Follows the processes of a husk: see Restarting."""
    made = []

    def follow(husk):
        made.append(Restarting(husk))
        return made[-1]
    yield follow
    for one in made:
        one.stop()


@pytest.fixture
def half(husk):
    """Makes a Half with these options of husk server."""
    return lambda acks=True, **options: Half(husk, acks, options)


@pytest.fixture
def chain(husk):
    """Makes a Chain of 1, 2 or 3 husks: see there."""
    made = []

    def make(length, aggregator=None, at=(), links=(), **options):
        made.append(Chain(husk, length, aggregator or CountingAggregator(), options, dict(at), dict(links)))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def mounted(tmp_path):
    """Copies the files of a certificate to one place, where the next call overwrites them."""
    def mount(certificate):
        return type(certificate)(*(shutil.copy(path, str(tmp_path / f"tls{i}.pem"))
                                   for i, path in enumerate(certificate)))
    return mount


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """A library for LD_PRELOAD with which the wall clock jumps; see tests/support/clock_jump.c."""
    library = tmp_path_factory.mktemp("clock") / "clock_jump.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, ROOT / "tests/support/clock_jump.c", "-ldl"], check=True)
    return library


@pytest.fixture(scope="session")
def memory_dump(tmp_path_factory):
    """A library for LD_PRELOAD: see tests/support/memory_dump.c."""
    library = tmp_path_factory.mktemp("memory") / "memory_dump.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-Wl,-z,now", "-o", library,
                    ROOT / "tests/support/memory_dump.c"],
                   check=True)
    return str(library)
