"""What an ack of a real Fluentd means for a batch: several messages of which only the last has a chunk id.

docs/delivery.md has the table of the results. The same was tried with Fluent Bit, which these tests do not install."""

import pytest

from support import forward, raw
from support.fluentd import Fluentd
from support.forward import event, message, pack
from support.process import Programs, eventually

COUNT = 8
ODD = (3, 5)  # the positions of the odd messages in a batch

BROKEN = pack([1, {"n": 3}]) + b"\xc1\xc1"
CUT = pack([1, {"n": 3}]) + pack([1, {"n": 5, "text": "longer"}])[:-4]


def odd(*elements):
    """Returns a function that makes a message with this body. With `chunk` the message asks for an ack."""
    def make(_, chunk=None):
        return message("odd", *elements, *([] if chunk is None else [{"chunk": chunk}]))
    return make


def event_with(tag, **more):
    def make(number, chunk=None):
        return message(tag, 1, {"n": number, **more}, *([] if chunk is None else [{"chunk": chunk}]))
    return make


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

# name: (text for <source>, text for <label>, maker of the odd messages, whether the batch is acked, numbers taken then)
CASES = {
    "output that raises": ("", REFUSING, SINGLE, False, [0, 1, 2]),
    "filter that raises": ("", FAILING, SINGLE, True, range(COUNT)),
    "buffer overflow, throw_exception": (
        "", buffered("total_limit_size 1\noverflow_action throw_exception"), SINGLE, False, [0, 1, 2, 4]),
    "buffer overflow, drop_oldest_chunk, none to drop": (
        "", buffered("total_limit_size 1\noverflow_action drop_oldest_chunk"), SINGLE, False, [0, 1, 2, 4]),
    "buffer overflow, drop_oldest_chunk, one to drop": (
        "", buffered("total_limit_size 1\nchunk_limit_size 6\noverflow_action drop_oldest_chunk"), SINGLE, True,
        [0, 1, 2, 4, 6, 7]),
    "event beyond chunk_limit_size": ("", buffered("chunk_limit_size 4"), SINGLE, False, [0, 1, 2]),
    "body that is broken": ("", "", odd(BROKEN), False, [0, 1, 2]),
    "body that is cut": ("", "", odd(CUT), True, [0, 1, 2, 3, 3, 4, 6, 7]),
    "body that is no gzip": ("", "", lambda _, chunk=None: message(
        "odd", b"\x1f\x8b\x08 it is not", {"compressed": "gzip", **({} if chunk is None else {"chunk": chunk})}),
        False, [0, 1, 2]),
    "record that is nil": ("", "", odd(1, None), True, [0, 1, 2, 4, 6, 7]),
    "record that is no map, skip_invalid_event": (
        "skip_invalid_event true", "", odd(1, "text"), True, [0, 1, 2, 4, 6, 7]),
    "tag that nothing matches": ("", None, SINGLE, True, [0, 1, 2, 4, 6, 7]),
}
# Configurations in which the ack of a batch is lost or wrong.
WITHOUT_BATCHES = {
    "chunk_size_limit below what is read at once": ("chunk_size_limit 2000", "", event_with("t", text="y" * 1000)),
    "deny_keepalive": ("deny_keepalive true", "", event_with("t")),
}


class Aggregator(Fluentd):
    """A Fluentd with its own source, label and recorder file for each case."""

    def __init__(self, directory):
        self._directory, self._taken = directory, {}
        self.addresses = {name: raw.free_address() for name in (*CASES, *WITHOUT_BATCHES)}
        super().__init__("aggregator", directory, "".join(
            self._path(name, *case[:2]) for name, case in {**CASES, **WITHOUT_BATCHES}.items()))
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


def acks_of(address, *messages):
    """Sends messages on a new connection. Returns the acked ids up to "last" or up to the connection's end."""
    sock, got = raw.connect(address), b""
    sock.sendall(b"".join(messages))
    while forward.ack("last") not in got:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            break
        if not data:
            break
        got += data
    sock.close()
    return [value["ack"] for _, value in forward.Parser().feed(got)]


def messages_of(make, ids):
    """COUNT messages. `ids`: number → chunk id or None."""
    return [(make if number in ODD else event)(number, ids(number)) for number in range(COUNT)]


def last_only(number):
    return "last" if number == COUNT - 1 else None


def on_each(number):
    return last_only(number) or f"{number}"


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_acked_only_if_each_of_its_messages_would_be(fluentd, name):
    """A message that Fluentd acks without taking it is also acked when it has its own id."""
    *_, make, is_acked, taken = CASES[name]
    assert acks_of(fluentd.addresses[name], *messages_of(make, last_only)) == ["last"] * is_acked
    assert fluentd.taken(name) == list(taken)
    ids = acks_of(fluentd.addresses[name], *messages_of(make, on_each))
    if is_acked:
        expected = set(map(on_each, range(COUNT)))
        # Fluentd skips only a record that is nil without an ack. Such a message holds nothing that can be lost.
        assert set(ids) == expected - ({"3", "5"} if name == "record that is nil" else set())
    else:
        assert "last" not in ids and not {"3", "5"} <= set(ids)


def test_fluentd_with_a_chunk_size_limit_acks_a_batch_that_lost_a_message(fluentd):
    """Fluentd compares the limit with the bytes of one read, drops the message, and acks the messages after it."""
    name = "chunk_size_limit below what is read at once"
    make = WITHOUT_BATCHES[name][2]
    batch = [make(number, last_only(number)) for number in range(COUNT)]
    assert acks_of(fluentd.addresses[name], *batch) == ["last"]
    assert fluentd.taken(name) == list(range(1, COUNT))
    ids = acks_of(fluentd.addresses[name], *(make(number, on_each(number)) for number in range(COUNT)))
    assert ids == [on_each(number) for number in range(1, COUNT)], "the missing ack shows the loss"


def test_fluentd_that_denies_keepalive_acks_no_batch(fluentd):
    name = "deny_keepalive"
    assert acks_of(fluentd.addresses[name], *(event(number, last_only(number)) for number in range(COUNT))) == []
    assert acks_of(fluentd.addresses[name], *(event(number, on_each(number)) for number in range(COUNT)))


def settle_a_batch(server, husk, messages, **expected):
    """Sends the messages together and waits until all are settled or dropped."""
    agent = forward.Agent(raw.connect_tls(server.address, husk.pki.ca.cert, husk.pki.client))
    agent.send(b"".join(messages))
    for what, count in expected.items():
        server.wait_for_metric(f"husk_messages_{what}_total", count)
    assert server.metric("husk_messages_received_total") == sum(expected.values())
    assert server.metric("husk_messages_retried_total") >= 2 * COUNT, "batch, isolated batch, parts"


def test_a_batch_reaches_a_fluentd_that_denies_keepalive(husk, fluentd):
    fluentd.taken("deny_keepalive")
    server = husk.server(raw.format_address(fluentd.addresses["deny_keepalive"]))
    settle_a_batch(server, husk, map(event, range(COUNT)), settled=COUNT)
    assert set(fluentd.taken("deny_keepalive")) == set(range(COUNT))


def test_a_message_that_fluentd_refuses_costs_no_other_of_its_batch(husk, fluentd):
    name = next(name for name, case in CASES.items() if case[1] == REFUSING)
    fluentd.taken(name)
    server = husk.server(raw.format_address(fluentd.addresses[name]), max_attempts=3)
    settle_a_batch(server, husk, messages_of(CASES[name][2], lambda number: None), dropped=len(ODD),
                 settled=COUNT - len(ODD))
    assert set(fluentd.taken(name)) == set(range(COUNT)) - set(ODD)


@pytest.mark.parametrize("overflow_action", ["throw_exception", "block"])
def test_no_message_of_a_batch_is_lost_when_fluentd_sometimes_refuses(husk, programs, tmp_path, overflow_action):
    """Each refusal ends the connection. A full buffer refuses a chunk or makes the connection wait."""
    address, record, gate, count = raw.free_address(), tmp_path / "taken", tmp_path / "gate", 3000
    fluentd = programs.add(Fluentd("aggregator", tmp_path, f"""
        <source>
          @type forward
          bind {address[0]}
          port {address[1]}
        </source>
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
    client = husk.client(server, max_attempts="off")
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
