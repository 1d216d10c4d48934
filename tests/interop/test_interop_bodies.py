"""A real Fluentd reads bodies that husk has rewritten: gzip, the identity of the agent, and entries of Fluent Bit 5,
which it cannot read unchanged."""

import gzip
import json
import pathlib

import pytest

from support import forward, raw
from support.fluentd import Aggregator, source
from support.forward import event_time, message, pack
from support.process import Programs
from support.raw import free_address

CAPTURE = pathlib.Path(__file__).resolve().parents[1] / "support/captures/fluentbit-metadata-ack.c2s"
COUNT = 200


@pytest.fixture(scope="module")
def fluentd(tmp_path_factory):
    programs, address = Programs(), free_address()
    aggregator = programs.add(Aggregator(tmp_path_factory.mktemp("bodies"), source(address)))
    aggregator.address = address
    aggregator.wait_started()
    yield aggregator
    programs.stop()


@pytest.fixture
def client_with(husk, fluentd):
    """Starts husk server in front of Fluentd and husk client with these options. Each tries a message once."""
    def start(**options):
        server = husk.server(fluentd, max_attempts=1)
        return husk.client(server, max_attempts=1, **options)
    return start


def agent_of(client):
    return forward.Agent(raw.connect(client.address))


def entries(first=0, metadata=False):
    times = (event_time(1000 + n, n) for n in range(COUNT))
    return [[[time, {}] if metadata else time, {"n": first + n, "log": "a line"}] for n, time in enumerate(times)]


@pytest.mark.parametrize("metadata", [False, True], ids=["plain", "metadata"])
def test_fluentd_reads_bodies_that_husk_has_compressed(client_with, fluentd, metadata):
    client, tag = client_with(compress="gzip", strip_metadata=metadata or None), f"gzip-{metadata}"
    agent = agent_of(client)
    packed = b"".join(map(pack, entries(COUNT, metadata)))
    bodies = [entries(0, metadata), packed]
    for number, body in enumerate(bodies):
        agent.send(message(tag, body, {"chunk": f"{number}"}))
        agent.expect_ack(f"{number}")
    fluentd.wait_for(tag, 2 * COUNT)
    assert sorted(fluentd.numbers(tag)) == list(range(2 * COUNT))
    assert client.metric("husk_bodies_rewritten_total", how="compressed") == 2
    assert client.metric("husk_bodies_rewritten_total", how="stripped") == (2 if metadata else 0)


def test_fluentd_sees_who_the_agent_is_whatever_the_agent_claims(husk, fluentd):
    server = husk.server(fluentd, max_attempts=1, add_identity=["field=peer,from=cn"])
    client, tag = husk.client(server, max_attempts=1), "identity"
    agent = agent_of(client)
    records = [{"n": 0, "peer": "admin"}, {"n": 1, b"peer": "admin"}, {"n": 2, "peer": ["admin"], **dict.fromkeys("abcdefghijklmop", 0)}]
    entries = [[event_time(1000 + n, n), record] for n, record in enumerate(records)]
    packed = b"".join(map(pack, entries))
    agent.send(*(message(tag, *entry, {"chunk": f"{n}"}) for n, entry in enumerate(entries)),
               message(tag, entries, {"chunk": "3"}), message(tag, packed, {"chunk": "4"}),
               message(tag, gzip.compress(packed), {"chunk": "5", "compressed": "gzip"}),
               message(tag, b"".join(map(pack, [["now", {"n": 9, "peer": "admin"}], *entries])), {"chunk": "6"}),
               message(tag, packed))
    assert agent.read_acks(7) == [str(n) for n in range(7)]
    fluentd.wait_for(tag, 6 * len(records))
    events = [event for event in (json.loads(line) for line in fluentd.lines if line.startswith("{")) if event["tag"] == tag]
    assert [event.pop("peer") for event in events] == ["client"] * 6 * len(records)
    assert sorted(event["n"] for event in events) == sorted([0, 1, 2] * 6)


def messages_of(fluentd):
    """The events of Fluent Bit's session that Fluentd has printed."""
    return [event for event in (json.loads(line) for line in fluentd.lines if line.startswith("{"))
            if event["tag"] == "app.fb"]


def test_fluentd_cannot_read_unchanged_entries_of_fluent_bit_5(client_with, fluentd):
    client = client_with()
    agent = agent_of(client)
    agent.send(CAPTURE.read_bytes())
    raw.assert_reset(agent.sock)
    assert client.metric("husk_messages_dropped_total") >= 1
    assert not messages_of(fluentd)


def test_fluentd_reads_entries_of_fluent_bit_5_without_metadata(client_with, fluentd):
    before, client = len(messages_of(fluentd)), client_with(strip_metadata=True)
    agent = agent_of(client)
    agent.send(CAPTURE.read_bytes())
    assert agent.read_acks(2) == ["u3n3/5j09mo9TZvXEE5fFg==", "w19DuOuUT1kcTXe2Pb7XJA=="]
    fluentd.wait_until(lambda _: len(messages_of(fluentd)) >= before + 2, "Fluent Bit's events")
    assert messages_of(fluentd)[before:] == [{"message": "hello from fluent-bit", "k": 1, "tag": "app.fb"}] * 2
    assert not client.problems()
