"""Every aggregator of docs/aggregators.md: what it does with unusual messages, and that husk delivers to it.

Fluentd runs in three release lines; support/aggregators.py has the others, scripted after their sources. Behind the other
husk is an aggregator that closes some connections."""

import collections
import random
import types
from typing import Any, NamedTuple

import msgpack
import pytest

from support import raw
from support.aggregators import (CLOSE, TAKE, CountingAggregator, EarlierOpenTelemetryCollector, FluentBit,
                                 OpenTelemetryCollector, Vector, VectorWithoutAcknowledgements)
from support.fluentd import VERSIONS, Fluentd, security, source, tls_transport
from support.forward import Agent, Parser, ack, event, event_time, message, pack
from support.process import Programs, eventually
from support.timing import undisturbed

SHARED_KEY = "shared1234"
COUNT = 40
REFUSED_SHARE = 0.3

# What an aggregator does with an event that was sent with a chunk id.
STORED = "stored"            # stored and acknowledged
SKIPPED = "skipped"          # acknowledged, and not stored as it is
UNANSWERED = "unanswered"    # neither; the connection goes on
ENDED = "ended"              # neither; the connection ends


def zstd(data):
    """A zstd frame of one block that is not compressed (RFC 8878). `data`: at most 255 bytes."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + (1 | len(data) << 3).to_bytes(3, "little") + data


def entry(time):
    return [time, {"n": 1}]


PROBES = {
    "metadata": [[entry([event_time(5), {}])]],
    "metadata, packed": [pack(entry([event_time(5), {}]))],
    "float time": [1.5, {"n": 1}],
    "nil time": [[entry(None)]],
    "record nil": [1, None],
    "record text": [1, "text"],
    "zstd": [zstd(pack(entry(1))), "zstd"],
    "gzip named text": [pack(entry(1)), "text"],
}
# In the order of PROBES.
FACTS = {
    "Fluentd 1.18": [ENDED, SKIPPED, STORED, STORED, UNANSWERED, SKIPPED, SKIPPED, STORED],
    "Fluentd 1.19": [SKIPPED, SKIPPED, SKIPPED, SKIPPED, SKIPPED, SKIPPED, STORED, STORED],
    "Fluentd 1.20": [STORED, STORED, SKIPPED, SKIPPED, SKIPPED, SKIPPED, STORED, STORED],
    "Fluent Bit": [STORED, STORED, ENDED, ENDED, ENDED, ENDED, None, STORED],
    "Collector": [ENDED, ENDED, ENDED, ENDED, ENDED, ENDED, ENDED, STORED],
    "Collector before 0.158": [ENDED, ENDED, ENDED, ENDED, ENDED, ENDED, ENDED, STORED],
    "Vector": [UNANSWERED] * 7 + [STORED],
    "Vector without acknowledgements": [UNANSWERED] * 7 + [STORED],
}


class RealFluentd(Fluentd):
    """One release line, with a plain source, one with TLS and a shared key, one with TLS alone, and a store."""

    def __init__(self, version, directory, pki):
        self.address, self.tls_address, self.tls_only_address = raw.free_address(), raw.free_address(), raw.free_address()
        self._path = directory / version
        self._path.touch()
        tls = tls_transport(pki.ca.cert, pki.server)
        super().__init__(f"aggregator {version}", directory, source(self.address) + source(
            self.tls_address, security(SHARED_KEY) + tls) + source(self.tls_only_address, tls) + f"""
            <match **>
              @type store
              path {self._path}
            </match>
        """, version=version)

    def stored(self, tag):
        """number → how often an event with it was stored under this tag. Fluentd 1.18 takes [time, metadata] in a packed
        body for the time: such an event does not count."""
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape")
        unpacker.feed(self._path.read_bytes())
        return collections.Counter(record["n"] for one, time, record in unpacker if one == tag
                                   and not isinstance(time, list) and isinstance(record, dict) and "n" in record)


class Scripted:
    """The same methods for a scripted aggregator. `address`: of a husk in front of it."""

    def __init__(self, aggregator, address=None):
        self.aggregator, self.address = aggregator, address or aggregator.address

    def stored(self, _tag):
        return collections.Counter(self.aggregator.stored)


def by_chance(share):
    """A judge: this share of the messages ends its connection."""
    chance = random.Random(1)
    return lambda _: CLOSE if chance.random() < share else TAKE


class Kind(NamedTuple):
    """`make`: starts a scripted aggregator that refuses this share. `loses`: what it refuses is lost, as its ack has
    been sent. `options`: the settings of husk server that docs/aggregators.md names."""
    make: Any
    loses: bool = False
    options: dict = {}


KINDS = {
    **{f"Fluentd {version}": Kind(None) for version in VERSIONS},
    "Fluent Bit": Kind(lambda share: FluentBit()),
    "Collector": Kind(OpenTelemetryCollector, options={"strip_metadata": True}),
    "Collector before 0.158": Kind(EarlierOpenTelemetryCollector, loses=True, options={"strip_metadata": True}),
    "Vector": Kind(Vector, options={"strip_metadata": True}),
    "Vector without acknowledgements": Kind(VectorWithoutAcknowledgements, loses=True, options={"strip_metadata": True}),
}
KINDS["Fluentd 1.18"] = KINDS["Fluentd 1.19"] = Kind(None, options={"strip_metadata": True})
ANOTHER_HUSK = "another husk"
KINDS[ANOTHER_HUSK] = Kind(lambda share: CountingAggregator(by_chance(share)))


@pytest.fixture(scope="module")
def fluentds(pki, tmp_path_factory):
    programs, directory = Programs(), tmp_path_factory.mktemp("aggregators")
    made = {f"Fluentd {version}": programs.add(RealFluentd(version, directory, pki)) for version in VERSIONS}
    for fluentd in made.values():
        fluentd.wait_started()
    yield made
    programs.stop()


@pytest.fixture
def start(fluentds, husk):
    def start_aggregator(name, share=0.0):
        if name in fluentds:
            return fluentds[name]
        aggregator = KINDS[name].make(share)
        if name != ANOTHER_HUSK:
            return Scripted(aggregator)
        return Scripted(aggregator, husk.client(husk.server(aggregator, max_attempts="off"), max_attempts="off").address)
    return start_aggregator


def outcome_of(aggregator, tag, elements):
    """Sends the message with a chunk id, then a good one with another id, over one connection."""
    body, *compressed = elements if isinstance(elements[0], bytes) else [elements]
    option = {"chunk": "odd", **({"compressed": compressed[0]} if compressed else {})}
    odd = message(tag, body, option) if isinstance(body, bytes) else message(tag, *body, option)
    sock = raw.connect(aggregator.address)
    got = b""
    try:
        sock.sendall(odd + event(2, "good", tag))
        while not got.endswith(ack("good")) and (data := sock.recv(4096)):
            got += data
    except ConnectionError:
        pass
    sock.close()
    is_ended, is_acked = not got.endswith(ack("good")), got.startswith(ack("odd"))
    is_stored = aggregator.stored(tag)[1] == 1
    assert is_ended or aggregator.stored(tag)[2] == 1, "the good event is not stored"
    return {(False, True, True): STORED, (False, True, False): SKIPPED, (False, False, False): UNANSWERED,
            (True, False, False): ENDED}[is_ended, is_acked, is_stored]


@pytest.mark.parametrize("name", FACTS)
def test_an_aggregator_does_with_unusual_messages_what_the_page_says(start, name):
    for (probe, elements), expected in zip(PROBES.items(), FACTS[name]):
        if expected is not None:
            assert outcome_of(start(name), f"probe.{probe}", elements) == expected, probe


class Pair(types.SimpleNamespace):
    """husk client ═ husk server → aggregator"""

    def __init__(self, husk, address, client=(), server=()):
        self.server = husk.server(raw.format_address(address), **dict(server))
        self.client = husk.client(self.server, **dict(client))

    def agent(self):
        return Agent(raw.connect(self.client.address))


@pytest.mark.parametrize("name", KINDS)
def test_every_event_is_stored_through_two_husks(husk, start, name):
    """A scripted aggregator refuses some messages by chance. It loses a refused message only if it has acked the message."""
    aggregator = start(name, REFUSED_SHARE)
    pair = Pair(husk, aggregator.address, {"max_attempts": "off"}, {"max_attempts": "off", "ack_timeout": "1s"})
    agent = pair.agent()
    for number in range(COUNT):
        agent.send(event(number, f"{number}" if number % 2 else None, "through"))
    acked = set(agent.read_acks(COUNT // 2))
    assert acked == {f"{number}" for number in range(1, COUNT, 2)}
    pair.client.wait_for_metric("husk_messages_settled_total", COUNT)
    missing = set(range(COUNT)) - set(aggregator.stored("through"))
    assert bool(missing) == KINDS[name].loses, missing
    assert pair.client.metric("husk_messages_dropped_total") == 0


@pytest.mark.parametrize("name", KINDS)
def test_entries_with_metadata_are_stored_with_the_settings_of_the_page(husk, start, name):
    aggregator = start(name)
    agent = Pair(husk, aggregator.address, server={"max_attempts": 3, **KINDS[name].options}).agent()
    agent.send(message("metadata", [entry([event_time(5), {"k": "v"}])], {"chunk": "c"}))
    agent.expect_ack("c")
    assert aggregator.stored("metadata") == {1: 1}


@pytest.mark.parametrize("name, algorithm", [(name, "gzip") for name in KINDS]
                         + [(name, "zstd") for name, facts in FACTS.items() if facts[6] == STORED])
def test_compressed_bodies_are_stored(husk, start, name, algorithm):
    aggregator = start(name)
    agent = Pair(husk, aggregator.address, {"compress": algorithm}, {"max_attempts": 3}).agent()
    agent.send(message(algorithm, [[1, {"n": number, "text": "x" * 200}] for number in range(COUNT)], {"chunk": "c"}))
    agent.expect_ack("c")
    assert aggregator.stored(algorithm) == {number: 1 for number in range(COUNT)}


@pytest.mark.parametrize("version", VERSIONS)
def test_fluentd_with_tls_and_a_shared_key_acknowledges(husk, fluentds, version):
    fluentd = fluentds[f"Fluentd {version}"]
    client = husk.client(raw.format_address(fluentd.tls_address), shared_key_env="KEY", env={"KEY": SHARED_KEY})
    agent = Agent(raw.connect(client.address))
    agent.send(event(1, "c", "secured"))
    agent.expect_ack("c")
    assert fluentd.stored("secured") == {1: 1} and not client.problems()


@undisturbed
def test_a_sink_slower_than_the_ack_timeout_costs_no_event(husk):
    """While an address has acknowledged nothing, husk still takes a late ack for --linger-timeout. After an ack that is later,
    the aggregator has the message twice."""
    aggregator = Vector(sink_seconds=0.6)
    late = Pair(husk, aggregator.address, server={"ack_timeout": "200ms"})
    late.agent().send(event(1))
    late.server.wait_for_metric("husk_messages_settled_total", 1)
    assert aggregator.stored == {1: 1}
    later = Pair(husk, aggregator.address, server={"ack_timeout": "200ms", "linger_timeout": "100ms"})
    later.agent().send(event(2))
    eventually(lambda: aggregator.stored[2] >= 2, "a copy of the event")
    for pair in (late, later):
        assert pair.server.metric("husk_messages_dropped_total") == pair.client.metric("husk_messages_dropped_total") == 0


def test_a_message_beyond_the_buffer_of_fluent_bit_costs_no_other(husk):
    aggregator = FluentBit(buffer_max_bytes=100_000)
    server = husk.server(raw.format_address(aggregator.address), max_attempts=2)
    agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(message("t", 1, {"n": 1, "text": "x" * 100_000}), event(2))
    aggregator.wait_for_stored(2)
    server.wait_for_metric("husk_messages_dropped_total", 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_fluentds_tls_input_holds_back_acks_beyond_16_kib(fluentds, pki, version):
    """Without husk. Each further message frees 16 KiB of the acks that Fluentd has written into its buffer."""
    sock = raw.connect(fluentds[f"Fluentd {version}"].tls_only_address)
    tls = raw.tls_context(False, pki.ca.cert, pki.client).wrap_socket(sock, server_hostname="localhost")
    agent, count = Agent(tls), 400
    agent.send(*(event(number, f"{number:0600}", "burst") for number in range(count)))
    assert 0 < count_acks(tls) < count
    eventually(lambda: sum(fluentds[f"Fluentd {version}"].stored("burst").values()) == count, "all events are stored")


def count_acks(sock):
    """Reads acks until none comes for a second."""
    sock.settimeout(1)
    parser, count = Parser(), 0
    try:
        while data := sock.recv(65536):
            count += len(list(parser.feed(data)))
    except TimeoutError:
        pass
    return count


def test_a_burst_of_acks_arrives_from_fluentds_tls_input(husk, fluentds):
    client = husk.client(raw.format_address(fluentds["Fluentd 1.20"].tls_only_address))
    agent, count = Agent(raw.connect(client.address)), 400
    agent.send(*(event(number, f"{number:0600}", "husk-burst") for number in range(count)))
    assert len(agent.read_acks(count)) == count
