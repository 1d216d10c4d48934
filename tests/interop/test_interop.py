"""Unmodified agents and aggregators around husk: every event arrives once, and acks come back.

The fixture `site` in conftest.py counts all events again after all programs have stopped."""

import pathlib
import sys

import pytest

from support.fluentd import PEERS
from support.husk import ROOT
from support.process import Program
from support.raw import HOST

HERE = pathlib.Path(__file__).parent


def expect(site, tag):
    """Waits for all events sent so far with this tag. Each must arrive exactly once."""
    site.aggregator.wait_for(tag, site.expected[tag])
    assert sorted(site.aggregator.numbers(tag)) == list(range(site.expected[tag]))


def expect_from_fluentd(site, tag):
    """The same for events of the Fluentd agent, which asks for acks with some tags."""
    expect(site, tag)
    if tag.endswith("ack"):
        site.agent.wait_for_acks(tag)


def emit_more(site, tag):
    """The Fluentd agent reads more events."""
    site.expected[tag] += site.count
    site.agent.emit(tag, site.count)


@pytest.mark.parametrize("tag", ["plain", "ack", "gzip", "keepalive", "keepalive-ack"])
def test_fluentd_through_two_husks_delivers_each_event_once(site, tag):
    expect_from_fluentd(site, tag)


def test_fluentd_through_two_husks_with_the_seeds_files_delivers_each_event_once(site):
    expect_from_fluentd(site, "seed-ack")


@pytest.mark.parametrize("tag", ["client-half", "client-half-ack",
                                 "client-half-shared-key", "client-half-shared-key-ack"])
def test_fluentd_delivers_each_event_once_through_husk_client_to_fluentds_tls_input(site, tag):
    expect_from_fluentd(site, tag)


@pytest.mark.parametrize("tag", ["server-half", "server-half-ack", "server-half-tls13-keepalive-ack"])
def test_fluentds_tls_output_delivers_each_event_once_through_husk_server(site, tag):
    expect_from_fluentd(site, tag)


def test_all_chunks_of_an_agent_that_never_reads_its_session_tickets_arrive(site):
    """The agent's close resets the connection. Chunks have no acks, so a lost chunk is never sent again."""
    tag = "server-half-tls13"
    for _ in range(9):
        expect_from_fluentd(site, tag)
        emit_more(site, tag)
    expect_from_fluentd(site, tag)


def test_a_kept_connection_carries_later_chunks_too(site):
    kept = "keepalive", "keepalive-ack", "server-half-tls13-keepalive-ack"
    for tag in kept:
        expect_from_fluentd(site, tag)
        emit_more(site, tag)
    for tag in kept:
        expect_from_fluentd(site, tag)


LOGGERS = {
    "python": [sys.executable, HERE / "agent_python.py"],
    "node": ["node", HERE / "agent_node.js"],
    "node_old": ["node", HERE / "agent_node_old.js"],
    "go": [ROOT / "build/agent_go"],
}


@pytest.mark.parametrize("logger, mode", [
    ("python", ""),
    ("python", "nanoseconds"),
    ("node", "Message"),
    ("node", "Forward"),
    ("node", "PackedForward"),
    ("node", "CompressedPackedForward"),
    ("node_old", "Message"),
    ("node_old", "PackedForward"),
    ("go", "kept"),
    ("go", "kept-ack"),
    ("go", "each"),
    ("go", "each-ack"),
    ("go", "async"),
    ("go", "async-ack"),
])
def test_a_logger_library_through_two_husks_delivers_each_event_once(site, logger, mode):
    """The program ends with status 0 only after all acks that it asked for."""
    tag = f"{logger}-{mode}"
    program = Program([*LOGGERS[logger], HOST, str(site.husks.client.address[1]), tag, str(site.count),
                       *([mode] if mode else [])],
                      tag, {"NODE_PATH": str(PEERS / "node/node_modules")})
    assert program.wait() == 0, program.tail()
    site.expected[tag] = site.count
    expect(site, tag)
