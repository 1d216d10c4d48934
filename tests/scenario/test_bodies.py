"""--compress and --strip-metadata rewrite bodies. The tests look at what the aggregator receives."""

import io
import pathlib

import msgpack
import pytest

from support import raw
from support.bodies import COMPRESS, DECOMPRESS, GROUP, MARKERS, packed, zstd_compress
from support.forward import Agent, Aggregator, Parser, event, event_time, message

CAPTURES = pathlib.Path(__file__).resolve().parents[1] / "support/captures"
ENTRIES = [[event_time(1000 + n, n), {"log": f"line {n}", "stream": "stdout"}] for n in range(200)]
WITH_METADATA = [[[time, {} if n % 2 else {"k": [n]}], record] for n, (time, record) in enumerate(ENTRIES)]


def entries_of(received):
    body = received.value[1]
    if isinstance(body, list):
        return body
    method = (received.option or {}).get("compressed", "text")
    if isinstance(body, str):
        body = body.encode(errors="surrogateescape")
    return list(msgpack.Unpacker(io.BytesIO(DECOMPRESS.get(method, bytes)(body)), strict_map_key=False))


class Site:
    """agent → husk client, which rewrites, ═ husk server → aggregator"""

    def __init__(self, husk, options):
        self.aggregator = Aggregator()
        self.server = husk.server(self.aggregator)
        self.client = husk.client(self.server, **options)

    def agent(self):
        return Agent(raw.connect(self.client.address))

    def carry(self, *elements):
        """Sends a message, waits for its ack and returns it as the aggregator received it."""
        agent = self.agent()
        agent.send(message(*elements))
        agent.expect_ack(elements[-1]["chunk"])
        agent.expect_nothing_more()
        return self.aggregator.messages[-1]

    def rewritten(self, how):
        return self.client.metric("husk_bodies_rewritten_total", how=how)


@pytest.fixture
def site(husk):
    return lambda **options: Site(husk, options)


BODIES = {"forward": ENTRIES, "bin": packed(ENTRIES), "str": packed(ENTRIES).decode(errors="surrogateescape")}


@pytest.mark.parametrize("method", COMPRESS)
@pytest.mark.parametrize("body", BODIES)
def test_husk_compresses_a_body(site, method, body):
    site, option = site(compress=method), {"size": 200, "chunk": "id", "x": {"y": [1]}}
    received = site.carry("t", BODIES[body], option)
    assert received.value[0] == "t" and isinstance(received.value[1], bytes)
    assert received.option == {**option, "compressed": method}
    assert entries_of(received) == ENTRIES
    assert site.rewritten("compressed") == 1 and site.rewritten("stripped") == 0
    saved = site.client.metric("husk_bodies_saved_bytes_total")
    assert saved == len(message("t", BODIES[body], option)) - len(received.raw) > len(packed(ENTRIES)) / 2


def test_a_message_without_option_gets_one_with_size_and_chunk(site):
    site = site(compress="gzip")
    agent = site.agent()
    agent.send(message("t", ENTRIES))
    received, = site.aggregator.wait_for(1)
    assert entries_of(received) == ENTRIES
    assert list(received.option) == ["size", "compressed", "chunk"]
    assert received.option["size"] == 200 and received.option["compressed"] == "gzip"
    site.client.wait_for_metric("husk_messages_settled_total", 1)


def test_compressed_and_short_bodies_go_up_unchanged(site):
    site = site(compress="gzip", compress_min=len(packed(ENTRIES)))
    for body, more in ((packed(ENTRIES[1:]), {}), (zstd_compress(packed(ENTRIES)), {"compressed": "zstd"})):
        sent = "t", body, {"chunk": "id", **more}
        assert site.carry(*sent).raw == message(*sent)
    assert site.rewritten("compressed") == 0
    site.carry("t", packed(ENTRIES), {"chunk": "id"})
    assert site.rewritten("compressed") == 1


def test_a_fluent_bit_5_session_arrives_without_metadata(site):
    site, session = site(strip_metadata=True), (CAPTURES / "fluentbit-metadata-ack.c2s").read_bytes()
    agent = site.agent()
    agent.send(session)
    before = [value for _, value in Parser().feed(session)]
    assert agent.read_acks(2) == [one[2]["chunk"] for one in before]
    for one, (tag, ((pair, record),), option) in zip(site.aggregator.messages, before):
        assert one.value == [tag, [[pair[0], record]], option]
        assert one.raw in session.replace(b"\x92\xd7\x00", b"\xd7\x00", 2).replace(b"\x80\x82\xa7", b"\x82\xa7", 2)
    assert site.rewritten("stripped") == 2 and site.rewritten("compressed") == 0


@pytest.mark.parametrize("method", [None, *COMPRESS])
@pytest.mark.parametrize("asked", ["off", *COMPRESS])
def test_metadata_is_stripped_from_packed_bodies_too(site, method, asked):
    site, body, option = site(strip_metadata=True, compress=asked), packed(WITH_METADATA), {"chunk": "id", "size": 200}
    if method:
        body, option = COMPRESS[method](body), {**option, "compressed": method}
    received = site.carry("t", body, option)
    assert entries_of(received) == ENTRIES
    becomes = method or (asked if asked != "off" else None)
    assert received.option == {**option, **({"compressed": becomes} if becomes else {})}
    assert site.rewritten("stripped") == 1
    assert site.rewritten("compressed") == (method is None and asked != "off")


def test_metrics_and_traces_are_never_rewritten(site):
    site, session = site(strip_metadata=True, compress="gzip"), (CAPTURES / "fluentbit-metrics.c2s").read_bytes()
    agent, sent = site.agent(), [value for _, value in Parser().feed(session)]
    agent.send(session)
    for received, (tag, body, option) in zip(site.aggregator.wait_for(len(sent)), sent):
        added = {"chunk": received.chunk} if received.chunk else {}
        assert received.value == [tag, body, {**option, **added}]
    for signal in 1, 2:
        sent = "t", packed(WITH_METADATA), {"chunk": "id", "fluent_signal": signal}
        assert site.carry(*sent).raw == message(*sent)
    assert site.rewritten("stripped") == site.rewritten("compressed") == 0


@pytest.mark.parametrize("method", COMPRESS)
def test_a_broken_body_and_one_beyond_max_inflated_pass_unchanged_and_are_counted(site, method):
    site, good = site(strip_metadata=True, max_inflated="64KiB"), COMPRESS[method](packed(WITH_METADATA))
    bomb = COMPRESS[method](packed(WITH_METADATA[:2]) * 100000)
    assert len(bomb) < 65536
    for count, body in enumerate((good[:-1], good + b"x", bomb), 1):
        sent = "t", body, {"chunk": "id", "compressed": method}
        assert site.carry(*sent).raw == message(*sent)
        assert site.client.metric("husk_bodies_unreadable_total") == count
    assert entries_of(site.carry("t", good, {"chunk": "id", "compressed": method})) == ENTRIES
    assert not site.client.problems()


def test_messages_around_a_rewritten_one_stay_unchanged_and_in_order(site):
    site, rounds = site(strip_metadata=True, compress="zstd", max_upstream_connections=1), 50
    agent = site.agent()
    agent.send(b"".join(event(n, f"{n}a") + message("t", WITH_METADATA, {"chunk": f"{n}b"}) for n in range(rounds)))
    assert agent.read_acks(2 * rounds) == [f"{n}{which}" for n in range(rounds) for which in "ab"]
    received = site.aggregator.messages
    assert [one.raw for one in received[::2]] == [event(n, f"{n}a") for n in range(rounds)]
    assert all(entries_of(one) == ENTRIES for one in received[1::2])


@pytest.mark.parametrize("options", [{"strip_metadata": True}, {"compress": "gzip"},
                                     {"strip_metadata": True, "compress": "zstd"}], ids=str)
def test_a_batch_is_rewritten_as_one_message(site, options):
    site, rounds = site(max_upstream_connections=1, **options), 50
    site.aggregator.WHOLE = True
    agent, sent = site.agent(), ENTRIES if "strip_metadata" not in options else WITH_METADATA
    agent.send(b"".join(event(n) + message("t", sent) for n in range(rounds)))
    site.client.wait_for_metric("husk_messages_settled_total", 2 * rounds)
    received = site.aggregator.messages
    assert [entry for one in received for entry in entries_of(one)] == [
        entry for n in range(rounds) for entry in [[1, {"n": n}], *ENTRIES]]
    assert len(received) < 2 * rounds, "no messages were joined"
    if "compress" in options:
        assert {one.option["compressed"] for one in received} == {options["compress"]}


def test_a_cut_through_message_is_not_rewritten(site):
    site, body = site(strip_metadata=True, compress="gzip", cut_through_bytes="64KiB"), packed(WITH_METADATA) * 100
    sent = "t", body, {"chunk": "id"}
    assert site.carry(*sent).raw == message(*sent)
    assert site.rewritten("stripped") == site.rewritten("compressed") == 0


def test_a_rewritten_message_is_sent_again_when_a_connection_ends(husk):
    aggregator = Aggregator(acks=False)
    server = husk.server(aggregator, compress="gzip")
    client = husk.client(server)
    agent = Agent(raw.connect(client.address))
    agent.send(message("t", ENTRIES, {"chunk": "id"}))
    aggregator.wait_for(1)
    aggregator.acks = True
    aggregator.end_connections(by_reset=True)
    agent.expect_ack("id")
    first, second = aggregator.messages
    assert first.raw == second.raw and entries_of(second) == ENTRIES


def test_without_these_options_nothing_is_rewritten(site):
    sent = "t", WITH_METADATA, {"chunk": "id"}
    assert site().carry(*sent).raw == message(*sent)


@pytest.mark.parametrize("is_packed, method", [(False, None), *((True, method) for method in (None, *COMPRESS))])
def test_group_markers_go_with_the_metadata(site, is_packed, method):
    site, option = site(strip_metadata=True), {"size": 9, "chunk": "id", **({"compressed": method} if method else {})}
    body = packed(GROUP * 3) if is_packed else GROUP * 3
    received = site.carry("t", COMPRESS[method](body) if method else body, option)
    assert entries_of(received) == [[event_time(1700000000, 5), {"log": "hello"}]] * 3
    assert received.option == {**option, "size": 3}


@pytest.mark.parametrize("is_packed", [False, True], ids=["forward", "packed"])
def test_a_message_of_markers_settles_without_being_sent(site, is_packed):
    site = site(strip_metadata=True)
    agent, body = site.agent(), packed(MARKERS) if is_packed else MARKERS
    agent.send(event(1, "before"), message("t", body, {"chunk": "id", "size": 2}), message("t", body),
               event(2, "after"))
    assert agent.read_acks(3) == ["before", "id", "after"]
    assert [one.chunk for one in site.aggregator.messages] == ["before", "after"]
    site.client.wait_for_metric("husk_messages_settled_total", 4)


@pytest.mark.parametrize("options", [{"strip_metadata": True}, {"compress": "gzip", "compress_min": 64}], ids=str)
def test_invalid_entries_of_a_packed_body_that_is_rewritten_are_left_out(site, options):
    site, entries = site(**options), [*WITH_METADATA[:50], [1, None], *WITH_METADATA[50:100], 7]
    received = site.carry("t", packed(entries), {"chunk": "id", "size": 102})
    kept = ENTRIES[:100] if "strip_metadata" in options else [
        [[time, metadata], record] for (time, metadata), record in WITH_METADATA[:100]]
    assert entries_of(received) == kept and received.option["size"] == 100
    assert site.client.metric("husk_invalid_events_total", reason="record") == 1
    assert site.client.metric("husk_invalid_events_total", reason="entry") == 1
