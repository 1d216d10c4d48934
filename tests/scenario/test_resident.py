"""husk's memory while it is idle, and the time of its start."""

import time

import pytest

from support import raw
from support.husk import LIGHT

pytestmark = pytest.mark.skipif(LIGHT, reason="sanitizers need memory and time themselves")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_idle_husk_needs_less_than_4_mib(husk, mode, capsys):
    idle = getattr(husk, mode)(f"{raw.HOST}:1", protocol="tcp", workers=1)
    resident = idle.resident_kib()
    with capsys.disabled():
        print(f" [{mode}: {resident} KiB resident]", end="")
    assert resident < 4096


def test_husk_starts_within_100_ms(husk, capsys):
    def start():
        started = time.monotonic()
        husk.client(f"{raw.HOST}:1", protocol="tcp")
        return (time.monotonic() - started) * 1000

    fastest = min(start() for _ in range(5))
    with capsys.disabled():
        print(f" [listening after {fastest:.1f} ms]", end="")
    assert fastest < 100  # 20 ms on an idle machine; the limit allows for a busy one
