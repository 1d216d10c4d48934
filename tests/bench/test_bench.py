"""The benchmark suite works: generators reach the sink through two proxies, and verdicts follow from the figures."""

import pathlib
import socket
import subprocess

import candidates
import checks
import msgpack
import programs
import pytest
import scenarios
from medians import summarize
from support import husk as husk_support
from support.process import eventually

BUILD = pathlib.Path(husk_support.BINARY).parent


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bench")
    subprocess.run([BUILD / "husk", "pki", "init", directory / "pki"], check=True, stdout=subprocess.DEVNULL)
    return scenarios.Bench(BUILD, directory / "pki", directory)


def candidate(name):
    return next(one for one in candidates.ALL if one.name == name)


@pytest.mark.parametrize("kind", ["single", "events", "packed"])
@pytest.mark.parametrize("name", ["floor", "husk", "husk-tcp"])
def test_streams_arrive(bench, name, kind):
    figures = scenarios.Stream(kind, 4096, 16384, 2_000_000).measure(bench, candidate(name))
    assert figures["gb_per_s"] > 0
    assert figures["both_cpu_s_per_gb"] == pytest.approx(
        figures["client_cpu_s_per_gb"] + figures["server_cpu_s_per_gb"])


@pytest.fixture
def sink(bench):
    port = programs.free_port()
    program = programs.Program([BUILD / "bench/load/sink", port], bench.directory / "sink.log")
    program.read_line()
    with socket.create_connection((programs.HOST, port)) as agent:
        yield program, agent
    program.stop()


def test_the_sink_acks_a_chunk_id_that_a_read_cuts(sink):
    program, agent = sink
    sent = 0

    def has_read_all():
        program.say("")
        return program.read_json()["bytes"] == sent

    for cut in range(1, 40):
        chunk = f"{cut:024}"
        message = msgpack.packb(["tag", 0, {"key": "value"}, {"chunk": chunk}])
        for piece in (message[:-cut], message[-cut:]):
            agent.sendall(piece)
            sent += len(piece)
            eventually(has_read_all, "read all")
        ack = msgpack.packb({"ack": chunk})
        assert agent.recv(len(ack), socket.MSG_WAITALL) == ack


@pytest.mark.parametrize("name", ["husk", "husk-passthrough", "husk-tcp"])
def test_every_short_connection_delivers_its_chunk(bench, name):
    assert scenarios.Short(20, rate=200).measure(bench, candidate(name))["both_cpu_ms_per_chunk"] > 0


@pytest.mark.parametrize("rate", [None, 5000])
def test_round_trips_are_timed(bench, rate, monkeypatch):
    monkeypatch.setattr(scenarios.RoundTrip, "CAPACITY_MESSAGES", 500)
    figures = scenarios.RoundTrip(0.1, rate).measure(bench, candidate("husk"))
    assert ("p50_us" in figures) == (rate is not None)
    assert not rate or 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"]


def test_handshakes_are_resumed_only_in_mode_resumed(bench):
    shares = {mode: scenarios.Handshakes(10, mode).measure(bench, candidate("husk-tcp"))["resumed_share"]
              for mode in ("full", "resumed")}
    assert shares == {"full": 0, "resumed": 1}


def test_the_memory_of_idle_connections_is_measured(bench):
    assert scenarios.Idle(10, first=1).measure(bench, candidate("husk"))["client_rest_mib"] > 0


def test_paced_messages_go_over_all_connections(bench):
    assert scenarios.Spread(20, 100, 2000).measure(bench, candidate("husk"))["both_cpu_us_per_message"] > 0


def test_a_program_that_cannot_start_fails_with_its_reason(bench):
    broken = candidates.Candidate("broken", "peer", candidate("husk").client,
                                  lambda site: [site.build / "husk", "server", "--nonsense"])
    with pytest.raises(scenarios.Failed, match="does not start: .*nonsense"):
        scenarios.Idle(1).measure(bench, broken)


def test_summaries_hold_median_and_range():
    summary = summarize([{"a": 3.0}, {"a": 1.0}, {"failed": "why"}, {"a": 2.0}])
    assert summary == {"rounds": 3, "a": {"median": 2.0, "min": 1.0, "max": 3.0}, "failed": "why"}
    assert summarize([{"a": 1.0}, {"a": 2.0}])["a"]["median"] == 1.5
    assert summarize([{"failed": "why"}]) == {"rounds": 0, "failed": "why"}


@pytest.mark.parametrize("ours, verdict", [(0.75, "holds"), (0.76, "**falls short**"), (None, "not measured")])
def test_verdicts_follow_from_the_medians(ours, verdict):
    figures = {"p": 1.0, "q": 1.2, "husk": ours}
    found = {name: {"client_cpu_s_per_gb": {"median": value}} for name, value in figures.items() if value}
    results = {"scenarios": {"bulk": {"title": "", "candidates": found}},
               "candidates": {name: {"kind": "husk" if name == "husk" else "peer"} for name in figures}}
    bulk = next(checks.judge(results))
    assert (bulk.verdict, bulk.against) == (verdict, "p")
