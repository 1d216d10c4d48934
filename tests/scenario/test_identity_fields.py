"""--add-identity: records get a field with a name of the agent's certificate. The tests look at what the aggregator
receives."""

import functools
import gzip
import hashlib
import io
import pathlib
import subprocess

import msgpack
import pytest

from support import raw
from support.bodies import COMPRESS, DECOMPRESS, MARKERS, packed
from support.forward import Agent, Aggregator, Parser, event, event_time, message

CAPTURES = pathlib.Path(__file__).resolve().parents[1] / "support/captures"
URI = "spiffe://td/ns/a"
PEER = ["field=peer,from=cn"]
# What agents may write. The first record claims another identity.
RECORDS = [{"log": "1", "peer": "admin"}, {}, {b"peer": ["x"], "log": "2"}, {str(n): n for n in range(15)}]
ENTRIES = [[event_time(1000 + n, n), record] for n, record in enumerate(RECORDS)]
WITH_METADATA = [[[time, {"peer": "m"}], record] for time, record in ENTRIES]


@pytest.fixture(scope="session")
def agents(pki):
    return {
        "a": pki.ca.issue("identity-a", "agent-a", "clientAuth", f"DNS:Web-1.Example,URI:{URI}"),
        "b": pki.ca.issue("identity-b", "agent-b", "clientAuth"),
    }


class Site:
    """TLS agents → husk server, which adds the identity → aggregator."""

    def __init__(self, husk, agents, fields, options):
        self._ca, self._agents = husk.pki.ca, agents
        self._opened = []
        self.aggregator = Aggregator()
        self.aggregator.WHOLE = True
        self.husk = husk.server(self.aggregator, allow_any=True, add_identity=fields, **options)

    def agent(self, name="a"):
        agent = Agent(raw.connect_tls(self.husk.address, self._ca.cert, self._agents[name]))
        self._opened.append(agent)  # a deleted socket would reset its connection
        return agent

    def carry(self, *elements):
        """Sends a message, waits for its ack and returns it as the aggregator received it."""
        agent = self.agent()
        agent.send(message(*elements))
        agent.expect_ack(elements[-1]["chunk"])
        return self.aggregator.messages[-1]

    def expect_ended(self, agent, reason):
        raw.assert_closed(agent.sock)
        return self.husk.wait_for_event(message="connection ended", reason=reason)


@pytest.fixture
def site(husk, agents):
    return lambda fields=None, **options: Site(husk, agents, fields or PEER, options)


def entries_of(received):
    """[time, record] or [[time, metadata], record] of each event; a record is a list of pairs."""
    unpacked = functools.partial(msgpack.Unpacker, raw=False, strict_map_key=False, object_pairs_hook=list)
    tag, *rest = next(iter(unpacked(io.BytesIO(received.raw))))
    if not isinstance(rest[0], (bytes, str, list)) or isinstance(rest[0], msgpack.ExtType):
        return [rest[:2]]
    if isinstance(rest[0], list):
        return rest[0]
    method = (received.option or {}).get("compressed", "text")
    return list(unpacked(io.BytesIO(DECOMPRESS.get(method, bytes)(received.value[1]))))


def identified(entries, *fields):
    """The same entries with the fields as the last pairs."""
    names = {name for name, _ in fields} | {name.encode() for name, _ in fields}
    return [[time if not isinstance(time, list) else [time[0], list(time[1].items())],
             [(key, value) for key, value in record.items() if key not in names] + list(fields)]
            for time, record in entries]


BODIES = {"forward": ENTRIES, "packed": packed(ENTRIES), "metadata": WITH_METADATA,
          "packed metadata": packed(WITH_METADATA)}


@pytest.mark.parametrize("body, method", [(body, method) for body in BODIES for method in (None, *COMPRESS)
                                          if "packed" in body or not method])
def test_each_record_has_the_identity_once(site, body, method):
    sent, option = BODIES[body], {"size": len(ENTRIES), "chunk": "id", "x": [1]}
    if method:
        sent, option = COMPRESS[method](sent), {**option, "compressed": method}
    site = site()
    received = site.carry("t", sent, option)
    assert entries_of(received) == identified(WITH_METADATA if "metadata" in body else ENTRIES, ("peer", "agent-a"))
    assert received.option == option and list(received.option) == list(option)
    assert site.husk.metric("husk_bodies_rewritten_total", how="identified") == 1


def test_a_record_in_message_mode_has_the_identity(site):
    site = site()
    for record in RECORDS:
        received = site.carry("t", event_time(5, 6), record, {"chunk": "id"})
        assert entries_of(received) == identified([[event_time(5, 6), record]], ("peer", "agent-a"))
        assert received.option == {"chunk": "id"}


@pytest.mark.parametrize("count", [14, 15, 16, 65534, 65535, 65536])
def test_records_of_any_number_of_fields_have_the_identity(site, count):
    site, record = site(), {n: 0 for n in range(count)}
    expected = [*record.items(), ("peer", "agent-a")]
    for elements in ((1, record), ([[1, record]],), (packed([[1, record]]),)):
        received = site.carry("t", *elements, {"chunk": "id"})
        assert entries_of(received) == [[1, expected]]


def test_all_names_of_a_certificate_can_be_fields(site, agents):
    key = subprocess.run(["openssl", "x509", "-in", agents["a"].cert, "-noout", "-pubkey"], capture_output=True, check=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout, capture_output=True, check=True)
    fields = [("cn", "agent-a"), ("uri", URI), ("dns", "web-1.example"), ("spki", hashlib.sha256(der.stdout).hexdigest())]
    site = site([f"field=a.{kind},from={kind}" for kind, _ in fields])
    received = site.carry("t", packed(ENTRIES), {"chunk": "id"})
    assert entries_of(received) == identified(ENTRIES, *((f"a.{kind}", value) for kind, value in fields))


def test_a_certificate_without_the_name_is_not_admitted(site):
    site = site(["field=peer,from=uri"])
    line = site.expect_ended(site.agent("b"), "not_allowed")
    assert line["detail"] == 'the certificate has no name, or too long a name, for the field "peer"'
    site.carry("t", 1, {}, {"chunk": "id"})
    assert len(site.aggregator.messages) == 1


def test_messages_of_one_batch_have_the_identity_of_their_agent(site):
    site, rounds = site(max_upstream_connections=1, batch_delay="1s"), 30
    for name in "ab":
        agent = site.agent(name)
        agent.send(b"".join(event(n) + message("t", WITH_METADATA) + message("t", packed(ENTRIES)) for n in range(rounds)))
    site.husk.wait_for_metric("husk_messages_settled_total", 6 * rounds)
    received = [(entries_of(one), one) for one in site.aggregator.messages]
    assert len(received) < 6 * rounds, "no messages were joined"
    for name in "ab":
        field = ("peer", f"agent-{name}")
        got = [entry for entries, _ in received for entry in entries if entry[1][-1] == field]
        assert got == [entry for n in range(rounds)
                       for entry in identified([[1, {"n": n}], *WITH_METADATA, *ENTRIES], field)]


def test_a_batch_with_the_field_is_no_longer_than_the_limit(site):
    site, count = site(["field=peer,from=uri"], batch_bytes="4KiB", batch_delay="1s"), 500
    site.agent().send(b"".join(message("t", 1, {}) for _ in range(count)))
    site.husk.wait_for_metric("husk_messages_settled_total", count)
    lengths = [len(one.raw) for one in site.aggregator.messages]
    assert 3000 < max(lengths) <= 4096 and len(lengths) < count / 10


@pytest.mark.parametrize("options", [{"strip_metadata": True}, {"compress": "gzip", "compress_min": 64},
                                     {"strip_metadata": True, "compress": "zstd", "compress_min": 64}], ids=str)
@pytest.mark.parametrize("method", [None, *COMPRESS])
def test_the_other_settings_for_bodies_apply_too(site, options, method):
    sent, entries = packed(WITH_METADATA * 20), ENTRIES if "strip_metadata" in options else WITH_METADATA
    site, option = site(**options), {"chunk": "id", "size": 80}
    if method:
        sent, option = COMPRESS[method](sent), {**option, "compressed": method}
    received = site.carry("t", sent, option)
    assert entries_of(received) == identified(entries * 20, ("peer", "agent-a"))
    becomes = method or options.get("compress")
    assert received.option == {**option, **({"compressed": becomes} if becomes else {})}


def test_a_long_message_is_held_and_has_the_identity(site):
    site = site(cut_through_bytes="64KiB", buffer_bytes="64KiB", retain_bytes="1MiB")
    for entries in (ENTRIES * 5000, [[1, {"log": "x" * 500_000}]]):
        for sent in (entries, packed(entries), COMPRESS["gzip"](packed(entries))):
            option = {"chunk": "id", **({"compressed": "gzip"} if sent[:1] == b"\x1f" else {})}
            assert entries_of(site.carry("t", sent, option)) == identified(entries, ("peer", "agent-a"))
    assert site.husk.metric("husk_messages_cut_through_total") == 0


def test_invalid_entries_do_not_carry_a_claim(site):
    site = site()
    body = [["now", {"peer": "admin"}], [1, {"n": 1}], [1, {"peer": "admin"}, {}], {"peer": "admin"}]
    for sent in (packed(body), body, COMPRESS["zstd"](packed(body))):
        option = {"chunk": "id", "size": 4, **({"compressed": "zstd"} if sent[:1] == b"\x28" else {})}
        received = site.carry("t", sent, option)
        assert entries_of(received) == identified([[1, {"n": 1}]], ("peer", "agent-a"))
        assert received.option["size"] == 1
    assert site.husk.metric("husk_invalid_events_total", reason="time") == 3
    agent = site.agent()
    agent.send(message("t", packed(body[:1]), {"chunk": "no event"}), event(1, "next"))
    assert agent.read_acks(2) == ["no event", "next"]
    assert len(site.aggregator.messages) == 4


def test_group_markers_have_the_identity(site):
    received = site().carry("t", packed(MARKERS), {"chunk": "id"})
    assert [record[-1] for _, record in entries_of(received)] == [("peer", "agent-a")] * 2


def test_metrics_pass_unchanged(site):
    session = (CAPTURES / "fluentbit-metrics.c2s").read_bytes()
    site, sent = site(), [value for _, value in Parser().feed(session)]
    site.agent().send(session)
    for received, (tag, body, option) in zip(site.aggregator.wait_for(len(sent)), sent):
        added = {"chunk": received.chunk} if received.chunk else {}
        assert received.value == [tag, body, {**option, **added}]


GOOD = gzip.compress(packed(ENTRIES), mtime=0)
UNREADABLE = {
    "cut": (packed(ENTRIES)[:-1], {}),
    "no msgpack": (packed(ENTRIES) + b"\xc1", {}),
    "cut gzip": (GOOD[:-1], {"compressed": "gzip"}),
    "bytes behind gzip": (GOOD + b"x", {"compressed": "gzip"}),
    "not gzip": (packed(ENTRIES), {"compressed": "gzip"}),
    "unknown compression": (GOOD, {"compressed": "lz4"}),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_body_that_cannot_be_read_ends_its_agents_connection(site, what):
    site, (body, option) = site(), UNREADABLE[what]
    agent = site.agent()
    agent.send(event(1, "1"))
    agent.expect_ack("1")
    agent.send(message("t", body, {**option, "chunk": "2"}))
    site.expect_ended(agent, "identity_not_added")
    assert len(site.aggregator.messages) == 1
    assert site.husk.metric("husk_bodies_unreadable_total") == 1


@pytest.mark.parametrize("what", ["plain", *COMPRESS])
def test_the_limits_apply_to_the_message_with_the_field(site, what):
    site = site(["field=peer,from=uri"], max_message="64KiB", max_inflated="64KiB")
    entries = packed([[1, {}]] * 10_000)
    body = COMPRESS[what](entries) if what != "plain" else entries
    agent = site.agent()
    agent.send(message("t", body, {"chunk": "1", **({"compressed": what} if what != "plain" else {})}))
    site.expect_ended(agent, "message_too_long")
    assert not site.aggregator.messages


# ---- several husks ----

def test_each_husk_of_a_chain_adds_the_identity_of_its_own_peer(husk, chain):
    for length, expected in ((2, [("peer", "client")]), (3, [("first", "client"), ("peer", "client")])):
        at = {-1: {"add_identity": PEER}, **({1: {"add_identity": ["field=first,from=cn"]}} if length == 3 else {})}
        chained = chain(length, Aggregator(), at=at)
        agent = chained.agent()
        agent.send(message("t", packed(ENTRIES), {"chunk": "id"}))
        agent.expect_ack("id")
        assert entries_of(chained.aggregator.messages[-1]) == identified(ENTRIES, *expected)


def test_a_refused_message_costs_no_other_message_of_the_link(husk, chain):
    chained = chain(2, Aggregator(), at={-1: {"add_identity": PEER}})
    agent, other = chained.agent(), chained.agent()
    agent.send(message("t", GOOD[:-1], {"compressed": "gzip", "chunk": "bad"}))
    other.send(event(1, "1"))
    other.expect_ack("1")
    raw.assert_reset(agent.sock)
    assert chained.drops() == [{"identity_not_added": 1}] * 2
    other.send(event(2, "2"))
    other.expect_ack("2")
