"""Fixtures: husk with scripted Forward peers around it."""

import shutil

import pytest

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
def mounted(tmp_path):
    """Copies the files of a certificate to one place, where the next call overwrites them."""
    def mount(certificate):
        return type(certificate)(*(shutil.copy(path, str(tmp_path / f"tls{i}.pem"))
                                   for i, path in enumerate(certificate)))
    return mount
