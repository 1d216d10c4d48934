"""Batches at a real Fluentd: a message that Fluentd refuses or ignores affects no other message."""

import pytest

from support import forward, raw
from support.fluentd import Fluentd, source
from support.forward import event, message, pack
from support.process import Programs, eventually

COUNT = 8
ODD = (3, 5)  # the positions of the odd messages in a batch

BROKEN = pack([1, {"n": 3}]) + b"\xc1\xc1"
CUT = pack([1, {"n": 3}]) + pack([1, {"n": 5, "text": "longer"}])[:-4]


def odd(*elements):
    """Returns a function that makes a message with this body."""
    return lambda _: message("odd", *elements)


def event_with(tag, **more):
    return lambda number: message(tag, 1, {"n": number, **more})


def buffered(limits):
    return f"""
        <match odd>
          @type recorder
          path %s.odd
          <buffer>
            @type memory
            flush_mode interval
            flush_interval 1h
            flush_thread_count 0
            flush_at_shutdown false
            {limits}
          </buffer>
        </match>
    """


REFUSING = """
    <match odd>
      @type recorder
      path %s.odd
      refuse true
    </match>
"""
FAILING = """
    <filter odd>
      @type failing
    </filter>
"""
SINGLE = event_with("odd")

# name: (text for <source>, text for <label>, maker of the odd messages)
CASES = {
    "output that raises": ("", REFUSING, SINGLE),
    "filter that raises": ("", FAILING, SINGLE),
    "buffer overflow, throw_exception": (
        "", buffered("total_limit_size 1\noverflow_action throw_exception"), SINGLE),
    "buffer overflow, drop_oldest_chunk, none to drop": (
        "", buffered("total_limit_size 1\noverflow_action drop_oldest_chunk"), SINGLE),
    "buffer overflow, drop_oldest_chunk, one to drop": (
        "", buffered("total_limit_size 1\nchunk_limit_size 6\noverflow_action drop_oldest_chunk"), SINGLE),
    "event beyond chunk_limit_size": ("", buffered("chunk_limit_size 4"), SINGLE),
    "body that is broken": ("", "", odd(BROKEN)),
    "body that is cut": ("", "", odd(CUT)),
    "body that is no gzip": ("", "", odd(b"\x1f\x8b\x08 it is not", {"compressed": "gzip"})),
    "record that is nil": ("", "", odd(1, None)),
    "record that is no map, skip_invalid_event": ("skip_invalid_event true", "", odd(1, "text")),
    "tag that nothing matches": ("", None, SINGLE),
}
# Configurations in which Fluentd drops what it reads, or ends connections.
LIMITED = {
    "chunk_size_limit below what is read at once": ("chunk_size_limit 2000", "", event_with("t", text="y" * 1000)),
    "deny_keepalive": ("deny_keepalive true", "", event_with("t")),
}


class Aggregator(Fluentd):
    """A Fluentd with its own source, label and recorder file for each case."""

    def __init__(self, directory):
        self._directory, self._taken = directory, {}
        self.addresses = {name: raw.free_address() for name in (*CASES, *LIMITED)}
        super().__init__("aggregator", directory, "".join(
            self._path(name, *case[:2]) for name, case in {**CASES, **LIMITED}.items()))
        self.wait_started()

    def _record(self, name):
        return self._directory / str(list(self.addresses).index(name))

    def _path(self, name, source, label):
        host, port = self.addresses[name]
        record = self._record(name)
        return f"""
            <source>
              @type forward
              @label @{record.name}
              bind {host}
              port {port}
              {source}
            </source>
            <label @{record.name}>
              {label.replace("%s", str(record)) if label else ""}
              <match {"t" if label is None else "**"}>
                @type recorder
                path {record}
              </match>
            </label>
        """

    def taken(self, name):
        """The sorted numbers of the events recorded since the last call. Events without a number are ignored."""
        words = [line.split(" ") for line in self._record(name).read_text().splitlines()]
        first = self._taken.get(name, 0)
        self._taken[name] = len(words)
        return sorted(int(number) for _, number in words[first:] if number)


@pytest.fixture(scope="module")
def fluentd(tmp_path_factory):
    programs = Programs()
    yield programs.add(Aggregator(tmp_path_factory.mktemp("batches")))
    programs.stop()


def settle_a_batch(server, husk, messages, **expected):
    """Sends the messages together and waits until all are settled or dropped."""
    agent = forward.Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(b"".join(messages))
    for what, count in expected.items():
        server.wait_for_metric(f"husk_messages_{what}_total", count)
    assert server.metric("husk_messages_received_total") == sum(expected.values())


@pytest.mark.parametrize("name", LIMITED)
def test_no_message_is_lost_at_a_fluentd_that_limits_what_it_reads(husk, fluentd, name):
    """chunk_size_limit is compared with the bytes of one read: what it drops has no ack, and is sent again."""
    make = LIMITED[name][2]
    fluentd.taken(name)
    server = husk.server(raw.format_address(fluentd.addresses[name]), ack_timeout="1s", max_attempts="off")
    settle_a_batch(server, husk, map(make, range(COUNT)), settled=COUNT)
    assert set(fluentd.taken(name)) == set(range(COUNT))


def expect_no_other_is_lost(husk, fluentd, name, **options):
    make = CASES[name][2]
    fluentd.taken(name)
    server = husk.server(raw.format_address(fluentd.addresses[name]), max_attempts=3, ack_timeout="1s", **options)
    agent = forward.Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(b"".join((make if number in ODD else event)(number) for number in range(COUNT)))
    good = set(range(COUNT)) - set(ODD)
    eventually(lambda: server.metric("husk_messages_settled_total") >= len(good), "the good ones are settled", 30)
    assert good <= set(fluentd.taken(name))
    return server


@pytest.mark.parametrize("name", CASES)
def test_a_message_that_fluentd_refuses_costs_no_other(husk, fluentd, name):
    """A message that Fluentd acks without taking it counts as settled. husk leaves invalid events out."""
    server = expect_no_other_is_lost(husk, fluentd, name)
    invalid = len(ODD) if name.startswith("record that is n") else 0
    assert server.metric("husk_invalid_events_total", reason="record") == invalid


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("record that is n")])
def test_an_invalid_event_that_is_passed_to_fluentd_costs_no_other(husk, fluentd, name):
    """Fluentd ignores the event. It acks an event that its skip_invalid_event finds, and acks no nil."""
    server = expect_no_other_is_lost(husk, fluentd, name, invalid_events="pass")
    assert server.metric("husk_invalid_events_total", reason="record") == len(ODD)


@pytest.mark.parametrize("overflow_action", ["throw_exception", "block"])
def test_no_message_of_a_batch_is_lost_when_fluentd_sometimes_refuses(husk, programs, tmp_path, overflow_action):
    """Each refusal ends the connection. A full buffer refuses a chunk or makes the connection wait."""
    address, record, gate, count = raw.free_address(), tmp_path / "taken", tmp_path / "gate", 3000
    fluentd = programs.add(Fluentd("aggregator", tmp_path, source(address) + f"""
        <match t>
          @type recorder
          path {record}
          refuse_each 1000
        </match>
        <match small>
          @type recorder
          path {record}.small
          gate {gate}
          <buffer>
            @type memory
            total_limit_size 2k
            chunk_limit_size 1k
            flush_mode interval
            flush_interval 0.1s
            flush_thread_interval 0.05
            retry_wait 0.1s
            retry_max_interval 0.1s
            retry_forever true
            overflow_action {overflow_action}
          </buffer>
        </match>
    """))
    fluentd.wait_started()
    server = husk.server(raw.format_address(address), max_attempts="off")
    client = husk.client(server, max_attempts="off", batch_bytes="1KiB")  # more than one batch for each tag
    for tag in ("t", "small"):
        agent = forward.Agent(raw.connect(client.address))
        agent.send(*(event(number, tag=tag) for number in range(count if tag == "t" else 600)))
        agent.close()
    fluentd.wait_for_line(lambda line: "failed to write data into buffer by buffer overflow" in line, "an overflow")
    gate.touch()
    client.wait_for_metric("husk_messages_settled_total", count + 600)
    assert sum("refused" in line for line in fluentd.problems()), "Fluentd refused no chunk"

    def missing(path, expected):
        return set(range(expected)) - {int(line.split(" ")[1]) for line in path.read_text().splitlines()}
    assert not missing(record, count)
    eventually(lambda: not missing(tmp_path / "taken.small", 600), "Fluentd writes its buffer")
    assert client.metric("husk_messages_dropped_total") == 0
