"""Fixtures: husk with scripted Forward peers around it."""

import shutil

import pytest

from support.aggregators import CountingAggregator
from support.chain import Chain
from support.forward import Aggregator, Half, Pair


@pytest.fixture
def pair(husk):
    """Makes a Pair. `client` and `server` are options of one husk, the other options are given to both."""
    def make(client=(), server=(), acks=True, **both):
        return Pair(husk, Aggregator(acks), {**both, **dict(client)}, {**both, **dict(server)})
    return make


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
