"""husk with scripted Forward peers around it."""

import pytest

from support.forward import Aggregator, Half, Route


@pytest.fixture
def route(husk):
    """Makes one; `client` and `server`: options of the halves, others: of both."""
    def make(client=(), server=(), acks=True, **both):
        return Route(husk, Aggregator(acks), {**both, **dict(client)}, {**both, **dict(server)})
    return make


@pytest.fixture
def half(husk):
    return lambda acks=True, **options: Half(husk, acks, options)
