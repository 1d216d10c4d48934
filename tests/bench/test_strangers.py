"""bench/strangers.py: it times agents during a flood, and strangers make as many attempts as they report."""

import argparse
import resource
import socket
import subprocess

import programs
import pytest
import strangers
from test_bench import BUILD


def test_agents_are_timed_beside_strangers(tmp_path):
    subprocess.run([BUILD / "husk", "pki", "init", tmp_path / "pki"], check=True, stdout=subprocess.DEVNULL)
    options = argparse.Namespace(build=BUILD, seconds=1, rate=200, messages=200, workers=1)
    (tmp_path / "round").mkdir()
    found = strangers.measure_all(options, tmp_path / "round")
    assert list(found) == list(strangers.CASES)
    for case, figures in found.items():
        assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"]
        assert figures["resident_mib"] > 0
        assert ("attempts_per_s" in figures) == bool(case.flooded)
        if case.flooded:
            assert figures["connected"] and not figures["refused"]
            assert figures["closed"]  # husk ends those that send garbage


@pytest.fixture
def flood(tmp_path):
    started = []

    def start(*arguments):
        started.append(programs.Program([BUILD / "bench/load/strangers", *arguments], tmp_path / "strangers.log"))
        return started[-1]

    yield start
    for program in started:
        program.stop()


def report_of(program):
    assert program.read_line() == "ready 40"
    program.say("go")
    return program.read_json()


def first_byte(peer):
    with peer:
        try:
            return peer.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


def test_each_kind_of_stranger_comes_in_turn(flood):
    """40 strangers, of which 4 may be open: each stranger ends the previous one of the same kind."""
    with socket.create_server((programs.HOST, 0), backlog=64) as server:
        report = report_of(flood(server.getsockname()[1], 40, 1, 4))
        assert (report["attempts"], report["connected"], report["refused"], report["closed"]) == (40, 40, 0, 0)
        assert report["left"] == 40 - 3  # the last of three kinds have not left
        peers = [server.accept() for _ in range(40)]
    assert [first_byte(peer) for peer, _ in peers] == [b"", b"\x16", b"\x16", b"\xff"] * 10
    assert len({source for _, (source, _) in peers}) == 40


def test_refused_strangers_are_counted(flood):
    report = report_of(flood(programs.free_port(), 40, 1, 4))
    assert (report["attempts"], report["connected"], report["refused"]) == (40, 0, 40)


def test_too_few_descriptors_are_an_error(flood):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(programs.Failed, match="limit of descriptors"):
        flood(9, 40, 1, hard).read_line()
