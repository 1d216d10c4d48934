"""Deadlines do not depend on the wall clock."""

import pytest

from support import raw
from support.husk import LIGHT


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_jump_neither_shortens_nor_prolongs_a_deadline(husk, shim, tmp_path, seconds):
    jumped = tmp_path / "jumped"
    environment = {"LD_PRELOAD": str(shim), "CLOCK_JUMP_FILE": str(jumped), "CLOCK_JUMP_SECONDS": str(seconds)}
    server = husk.server(raw.Listener(), protocol="tcp", handshake_timeout="1s", env=environment)
    silent = raw.connect(server.address)
    silent.sendall(b"\x16")
    jumped.touch()
    server.get("/live")  # its event loops run one turn
    late = raw.connect(server.address)
    late.sendall(b"\x16")
    for peer in (silent, late):
        raw.assert_closed(peer)
    server.wait_until(lambda _: len(server.events(message="connection ended")) == 2, "two lines")
    ends = server.events(message="connection ended")
    assert [end["reason"] for end in ends] == ["handshake_timeout"] * 2
    assert all(900 <= end["duration_ms"] < 10000 for end in ends), ends
