"""What husk costs at rest, and how fast it is there."""

import time

import pytest

from support import raw
from support.husk import LIGHT

pytestmark = pytest.mark.skipif(LIGHT, reason="a sanitizer's own costs would be measured")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_at_rest_it_takes_less_than_4_mib(husk, mode, capsys):
    resting = getattr(husk, mode)(f"{raw.HOST}:1", protocol="tcp", workers=1)
    resident = resting.resident_kib()
    with capsys.disabled():
        print(f" [{mode}: {resident} KiB resident]", end="")
    assert resident < 4096


def test_starts_in_less_than_20_ms(husk, capsys):
    def start():
        started = time.monotonic()
        husk.client(f"{raw.HOST}:1", protocol="tcp")
        return (time.monotonic() - started) * 1000

    fastest = min(start() for _ in range(5))
    with capsys.disabled():
        print(f" [listening after {fastest:.1f} ms]", end="")
    assert fastest < 100  # 20 ms on a machine with nothing else to do; generous for a busy one
