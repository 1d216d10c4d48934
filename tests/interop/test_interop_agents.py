"""Every agent of docs/agents.md: what Fluentd stores of its events when they come directly, through one husk and through
two husks is the same.

Real agents run where Debian, RubyGems or npm has them; support/agents.py has the others. One Fluentd of the newest release
line has a store for each way."""

import collections
import json
import sys
import threading
import types
from typing import Any, NamedTuple

import msgpack
import pytest

from support import agents, raw
from support.agents import LOGS, Target
from support.fluentd import NEWEST, PEERS, Fluentd, tls_transport
from support.husk import ROOT, Launcher
from support.process import Program, Programs, eventually

HERE = ROOT / "tests/interop"
WAYS = ("direct", "one", "two")
COUNT = 20  # events of a real agent


class Row(NamedTuple):
    """`speak`: sends the events to a Target; None: the Fluentd agent of the site does. `stored`: how many events of the
    row Fluentd stores when they come directly. `time`: what of the times is compared."""
    speak: Any
    stored: int = COUNT
    transport: str = "tcp"
    time: Any = type  # the logger takes the current time


LOGGERS = {
    "python": [sys.executable, HERE / "agent_python.py"],
    "node": ["node", HERE / "agent_node.js"],
    "node_old": ["node", HERE / "agent_node_old.js"],
    "go": [ROOT / "build/agent_go"],
    "ruby": ["ruby", HERE / "agent_ruby.rb"],
}


def same(time):
    return time


def none(_):
    """Fluentd's own Unix socket and its TCP input make different times of plain seconds."""


def logger(name, mode, stored=COUNT, transport="tcp"):
    """A real logger."""
    def speak(target):
        address = target.address
        host, port = (address, 0) if isinstance(address, str) else address
        program = Program([*LOGGERS[name], host, str(port), target.tag, str(COUNT), mode, *target.arguments], target.tag, {
            "NODE_PATH": str(PEERS / "node/node_modules"), "GEM_HOME": str(PEERS / "gems"), "GEM_PATH": str(PEERS / "gems")})
        assert program.wait() == 0, program.tail()
    return Row(speak, stored, transport, none if transport == "unix" else type)


def script(speak, stored=LOGS, transport="tcp"):
    return Row(speak, stored, transport, none if transport == "unread" else same)


# ---- the rows; docs/agents.md names them ----

FLUENTD_MODES = {
    "fluentd": "",
    "fluentd-ack": "require_ack_response true",
    "fluentd-keepalive-ack": "keepalive true\n require_ack_response true",
    "fluentd-gzip-ack": "compress gzip\n require_ack_response true",
    "fluentd-zstd-ack": "compress zstd\n require_ack_response true",
    "fluentd-integer-times": "time_as_integer true",
}

ROWS = {
    **{name: Row(None, time=same) for name in FLUENTD_MODES},
    "fluent-bit": script(agents.fluent_bit("fluentbit-plain"), 2),
    "fluent-bit-ack": script(agents.fluent_bit("fluentbit-ack"), 2),
    "fluent-bit-gzip-ack": script(agents.fluent_bit("fluentbit-gzip-ack"), 2),
    "fluent-bit-metadata-ack": script(agents.fluent_bit("fluentbit-metadata-ack"), 2),
    "docker": logger("go", "async"),
    "docker-ack": logger("go", "async-ack"),
    "docker-unix": logger("go", "async", transport="unix"),
    "docker-before-options": script(agents.docker_before_options),
    "go": logger("go", "kept"),
    "go-each-ack": logger("go", "each-ack"),
    "go-json-ack": logger("go", "kept-json-ack", transport="bytes"),
    "python": logger("python", ""),
    "python-nanoseconds": logger("python", "nanoseconds"),
    "python-unix": logger("python", "", transport="unix"),
    "python-float": logger("python", "float", stored=0),
    "python-none": logger("python", "none"),
    "node-message": logger("node_old", "Message-noack"),
    "node-message-ack": logger("node_old", "Message"),
    "node-packed": logger("node_old", "PackedForward-noack"),
    "node-packed-unread": script(agents.node_without_acks, agents.UNREAD, transport="unread"),
    "node-packed-ack": logger("node_old", "PackedForward"),
    "node-compressed-ack": logger("node_old", "CompressedPackedForward"),
    "node-unix": logger("node_old", "Message-noack", transport="unix"),
    "node-org-message": logger("node", "Message-noack"),
    "node-org-forward-ack": logger("node", "Forward"),
    "node-org-packed-ack": logger("node", "PackedForward"),
    "node-org-compressed-ack": logger("node", "CompressedPackedForward"),
    "ruby": logger("ruby", "seconds"),
    "ruby-nanoseconds": logger("ruby", "nanoseconds"),
    "ruby-unix": logger("ruby", "seconds", transport="unix"),
    "ruby-tls": logger("ruby", "seconds", transport="tls"),
    "java": script(agents.java),
    "fluency": script(agents.fluency(acks=False)),
    "fluency-ack": script(agents.fluency(acks=True), 2 * LOGS),
    "perl": script(agents.perl),
    "perl-event-time": script(agents.perl_event_time),
    "php": script(agents.php, transport="bytes"),
    "php-msgpack": script(agents.php_msgpack),
    "envoy": script(agents.envoy, LOGS + 20),
    "wazuh": script(agents.wazuh, 3),
    "float-times": script(agents.float_times, LOGS // 2),
    "heartbeats": script(agents.heartbeats, 2),
    "records-that-are-none": script(agents.records_that_are_none, 4),
    "metadata": script(agents.metadata_of_unequal_kinds, 4),
    "long-headers": script(agents.long_headers, 5),
    "bodies": script(agents.bodies, 5 * LOGS),
    "chunk-ids": script(agents.ids_of_all_kinds, 6),
    "tags-and-times": script(agents.tags_and_times, 3),
}


# ---- the site ----

class Store:
    """The file of one way: MessagePack [tag, time, record]."""

    def __init__(self, path):
        path.touch()
        self._file, self._events = open(path, "rb"), collections.defaultdict(list)
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape")

    def events(self, name, view):
        """The events with this tag as a multiset. `view`: which part of the times counts."""
        self._unpacker.feed(self._file.read())
        for tag, *rest in self._unpacker:
            self._events[tag.decode() if isinstance(tag, bytes) else tag].append((tag, *rest))
        return collections.Counter(repr((tag, view(time), record)) for tag, time, record in self._events[name])


def sources(addresses, pki, unix_path):
    """For each way a plain source and one with TLS, and a Unix socket for the direct way."""
    tls = tls_transport(pki.ca.cert, pki.server)
    text = f"""
        <source>
          @type unix
          path {unix_path}
          @label @direct
        </source>
    """
    for (way, kind), (host, port) in addresses.items():
        text += f"""
            <source>
              @type forward
              @label @{way}
              bind {host}
              port {port}
              {tls if kind == "tls" else ""}
            </source>
        """
    return text


def store_sections(directory):
    return "".join(f"""
        <label @{way}>
          <match **>
            @type store
            path {directory / way}
          </match>
        </label>
    """ for way in WAYS)


def start_husks(site, husk, addresses, directory):
    """The address of each way, by transport."""
    def text(way, kind):
        return raw.format_address(addresses[way, kind])

    def client(upstream, **options):
        return husk.client(upstream, **options).address

    def both(upstream, way):
        """A husk client that listens on TCP and on a Unix socket, as FireLens wants it. Returns both addresses."""
        path = str(directory / way) + ".sock"
        return client(upstream, listen=[f"{raw.HOST}:0", f"unix:{path}"], unread_acks_timeout="100ms"), path

    server = husk.server(text("two", "plain"))
    bytes_server = husk.server(text("two", "plain"), protocol="tcp")
    behind_tls = husk.client(text("two", "tls"))
    tcp, unix = zip((addresses["direct", "plain"], str(directory / "direct.sock")),
                    both(text("one", "tls"), "one"), both(server, "two"))
    site.ways = {
        "tcp": dict(zip(WAYS, tcp)),
        "unix": dict(zip(WAYS, unix)),
        # Fluentd's TLS input holds acks back when many wait (docs/aggregators.md): this agent has husks of its own.
        "unread": dict(zip(WAYS, (unix[0], both(text("one", "tls"), "unread-one")[1], both(server, "unread-two")[1]))),
        "bytes": {"direct": addresses["direct", "plain"], "one": client(text("one", "tls"), protocol="tcp"),
                  "two": client(bytes_server, protocol="tcp")},
        "tls": {"direct": addresses["direct", "tls"], "one": husk.server(text("one", "plain")).address,
                "two": husk.server(behind_tls).address},
    }


def start_fluentd_agent(programs, directory, ways):
    """Reads COUNT events of each mode from a file, and sends each of them on all ways."""
    def output(way, mode):
        host, port = ways[way]
        return f"""
            <store>
              @type forward
              <buffer>
                @type memory
                flush_mode immediate
                flush_thread_burst_interval 0.01
              </buffer>
              <server>
                host {host}
                port {port}
              </server>
              {mode}
            </store>
        """

    config = ""
    for tag, mode in FLUENTD_MODES.items():
        (directory / f"{tag}.log").write_text("".join(
            json.dumps({"n": number, "message": "ünïcode"}) + "\n" for number in range(COUNT)))
        config += f"""
            <source>
              @type tail
              path {directory}/{tag}.log
              pos_file {directory}/{tag}.pos
              read_from_head true
              tag {tag}
              <parse>
                @type json
              </parse>
            </source>
            <match {tag}>
              @type copy
              {"".join(output(way, mode) for way in WAYS)}
            </match>
        """
    agent = programs.add(Fluentd("agent", directory, config, version=NEWEST))
    agent.stop = agent.kill  # an orderly end takes many seconds, and nothing is unsent


@pytest.fixture(scope="module")
def site(pki, tmp_path_factory):
    """After the last test, all rows that passed are compared again: no event arrives twice."""
    programs, directory = Programs(), tmp_path_factory.mktemp("agents")
    addresses = {(way, kind): raw.free_address() for way in WAYS for kind in ("plain", "tls")}
    made = types.SimpleNamespace(right=[], open=[], certificates=(pki.ca.cert, pki.client.cert, pki.client.key))
    made.stores = {way: Store(directory / way) for way in WAYS}
    try:
        fluentd = programs.add(Fluentd("aggregator", directory, sources(addresses, pki, directory / "direct.sock")
                                       + store_sections(directory), version=NEWEST))
        start_husks(made, Launcher(pki, programs), addresses, directory)
        fluentd.wait_started()
        start_fluentd_agent(programs, directory, made.ways["tcp"])
        yield made
        for row in made.right:
            assert_stored(made, row)
    finally:
        for sock in filter(None, made.open):
            sock.close()
        programs.stop()


def assert_stored(site, row):
    direct, *others = (site.stores[way].events(row, ROWS[row].time) for way in WAYS)
    assert direct.total() == ROWS[row].stored
    for way, events in zip(WAYS[1:], others):
        assert events == direct, f"{way}: {events - direct} is too much, {direct - events} is missing"


def speak_on_all_ways(site, row):
    """All ways at once. Returns the errors, by way."""
    errors, transport = {}, ROWS[row].transport
    arguments = site.certificates if transport == "tls" else ()

    def run(way):
        try:
            site.open.append(ROWS[row].speak(Target(site.ways[transport][way], row, arguments)))
        except (OSError, AssertionError) as error:
            errors[way] = error

    threads = [threading.Thread(target=run, args=(way,)) for way in WAYS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("row", ROWS)
def test_fluentd_stores_the_same_events_directly_and_through_husks(site, row):
    if ROWS[row].speak:
        errors = speak_on_all_ways(site, row)
        assert not errors

    def counts():
        return {way: site.stores[way].events(row, none).total() for way in WAYS}
    eventually(lambda: min(counts().values()) >= ROWS[row].stored, f"{ROWS[row].stored} events of {row} on each way")
    assert_stored(site, row)
    site.right.append(row)
