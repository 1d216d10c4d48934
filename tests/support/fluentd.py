"""Real Fluentd as an aggregator and as an agent. tests/interop/install-peers installs it."""

import collections
import json
import os
import pathlib

from support.husk import ROOT
from support.process import WAIT_SECONDS, Program

PEERS = pathlib.Path(os.environ.get("HUSK_PEERS", ROOT / "build/peers"))
GEMS = PEERS / "gems"
PLUGINS = ROOT / "tests/interop/plugins"
OLDEST, NEWEST = "1.18", "1.20"
VERSIONS = (OLDEST, "1.19", NEWEST)
NO_OTHER_CA = {"SSL_CERT_FILE": os.devnull}  # otherwise an output reads the CAs of the system at each connection, which takes 40 ms
CHUNK = 25  # events in one message of an agent


def command_of(version):
    """The start of a command line for this release line, and its environment."""
    if version == OLDEST:
        return [GEMS / "bin/fluentd"], {"GEM_HOME": str(GEMS), "GEM_PATH": str(GEMS)}
    [files] = PEERS.glob(f"newer/gems/fluentd-{version}.*")
    command = ["ruby", "-I", files / "lib", "-r", ROOT / "tests/support/without_http_server.rb", files / "bin/fluentd"]
    return command, {"GEM_HOME": str(GEMS), "GEM_PATH": f"{PEERS / 'more'}:{GEMS}"}


def source(address, more=""):
    """The section of a Forward input at this address."""
    return f"""
        <source>
          @type forward
          bind {address[0]}
          port {address[1]}
          {more}
        </source>
    """


def security(shared_key, self_hostname="aggregator"):
    """The section of an input, or of an output, with this shared key."""
    return f"""
        <security>
          self_hostname {self_hostname}
          shared_key {shared_key}
        </security>
    """


def tls_transport(ca, certificate, more=""):
    """The section of a source that takes TLS with client certificates of the CA."""
    return f"""
        <transport tls>
          ca_path {ca}
          cert_path {certificate.cert}
          private_key_path {certificate.key}
          client_cert_auth true
          {more}
        </transport>
    """


class Fluentd(Program):
    """One Fluentd process without a supervisor."""

    def __init__(self, name, directory, config, env=None, version=OLDEST):
        self.directory = pathlib.Path(directory)
        path = self.directory / f"{name}.conf"
        path.write_text(config + """
            <system>
              suppress_config_dump true
            </system>
            <label @FLUENT_LOG>
              <match **>
                @type null
              </match>
            </label>
        """)
        command, own_env = command_of(version)
        super().__init__([*command, "--no-supervisor", "-p", PLUGINS, "-c", path], f"Fluentd {version} {name}",
                         {**own_env, **NO_OTHER_CA, **(env or {})})

    def wait_started(self):
        self.wait_for_line(lambda line: "fluentd worker is now running" in line, "that it is running", 5 * WAIT_SECONDS)

    def problems(self):
        """The warnings and errors in the log."""
        return [line for line in self.lines if " [warn]: " in line or " [error]: " in line]


class Aggregator(Fluentd):
    """Prints each event as a JSON line. `sources`: the `<source>` sections of the configuration."""

    def __init__(self, directory, sources, env=None):
        super().__init__("aggregator", directory, sources + """
            <match **>
              @type stdout
              <inject>
                tag_key tag
              </inject>
              <format>
                @type json
              </format>
            </match>
        """, env)

    def numbers(self, tag):
        """The numbers of the events with this tag, in order of arrival."""
        events = (json.loads(line) for line in self.lines if line.startswith("{"))
        return [event["n"] for event in events if event["tag"] == tag]

    def wait_for(self, tag, count):
        self.wait_until(lambda _: len(self.numbers(tag)) >= count, f"{count} events of {tag}")


class Agent(Fluentd):
    """Reads events from files and sends them through one out_forward per tag. One file becomes one chunk.

    `outputs`: tag → configuration of its out_forward. For each tag `count` events are there from the start."""

    def __init__(self, directory, outputs, count, env=None):
        self._files = pathlib.Path(directory)
        self._offered = collections.Counter()
        for tag in outputs:
            self.emit(tag, count)
        super().__init__("agent", directory, "".join(
            self._path(tag, output) for tag, output in outputs.items()), env)

    def stop(self):
        """Kills the agent: an orderly end takes many seconds, and at the end of a test nothing is unsent."""
        self.kill()

    def _path(self, tag, output):
        return f"""
            <source>
              @type tail
              path {self._files}/{tag}.*.log
              pos_file {self._files}/{tag}.pos
              read_from_head true
              refresh_interval 0.2s
              tag {tag}
              <parse>
                @type json
              </parse>
            </source>
            <match {tag}>
              @type forward
              @id {tag}
              @log_level trace
              <buffer>
                @type memory
                flush_interval 0.1s
                flush_thread_interval 0.05
                flush_thread_burst_interval 0.01
                chunk_limit_records {CHUNK}
                retry_wait 0.2s
              </buffer>
              {output}
            </match>
        """

    def emit(self, tag, count):
        """Adds `count` events. Their numbers continue those of the last call."""
        first = self._offered[tag]
        for start in range(first, first + count, CHUNK):
            (self._files / f"{tag}.{start}.log").write_text(
                "".join(f'{{"n":{number}}}\n' for number in range(start, min(start + CHUNK, first + count))))
        self._offered[tag] += count

    def wait_for_acks(self, tag):
        """Waits until every chunk sent with this tag is acked."""
        def count(lines, words):
            return sum(f"[{tag}] {words}" in line for line in lines)

        def all_acked(lines):
            return 0 < count(lines, "writing a chunk to destination") == count(lines, "got a correct ack response")
        self.wait_until(all_acked, f"that all chunks of {tag} are acked")
