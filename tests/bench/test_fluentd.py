"""bench/fluentd.py: Fluentd gets every event, and the CPU time of all programs is measured."""

import argparse
import subprocess

import fluentd
import msgpack
import pytest
from support.fluentd import PEERS
from test_bench import BUILD


@pytest.mark.parametrize("asks_acks", [True, False])
@pytest.mark.parametrize("length", [200, 512])
def test_an_event_has_the_length(length, asks_acks):
    one = fluentd.event(7, length, asks_acks)
    assert len(one) == length and (len(msgpack.unpackb(one)) == 4) == asks_acks


def test_fluentd_gets_every_event(tmp_path):
    subprocess.run([BUILD / "husk", "pki", "init", tmp_path / "pki"], check=True, stdout=subprocess.DEVNULL)
    options = argparse.Namespace(build=BUILD, peers=PEERS, events=50, bytes=200, rate=500)
    figures = fluentd.measure(options, fluentd.CASES[-1], tmp_path, tmp_path / "pki")
    assert figures["fluentd_us_per_event"] > 0 and figures["husks_us_per_event"] > 0
