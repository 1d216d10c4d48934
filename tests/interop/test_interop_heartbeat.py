"""Real Fluentd with `heartbeat_type udp`: it uses husk while husk's upstream is healthy."""

import pytest

from support.fluentd import Agent
from support.forward import Aggregator
from support.process import eventually
from support.raw import HOST

BEATS = 60  # without answers an agent detaches the server after far fewer heartbeats
COUNT = 25
HASTY = {"udp_heartbeats_per_source": 20}  # the agent asks ten times a second


def output(husk, more=""):
    return f"""
        heartbeat_type udp
        heartbeat_interval 0.1  # "0.1s" would be a second
        hard_timeout 3s
        recover_wait 1s
        {more}
        <server>
          host {HOST}
          port {husk.address[1]}
          name localhost
        </server>
    """


@pytest.fixture
def site(husk, programs, pki, tmp_path):
    """A Fluentd agent with three outputs: husk client, husk client without UDP heartbeats, husk server by TLS."""
    class Site:
        aggregator = Aggregator()
        server = husk.server(aggregator, health_interval="50ms", **HASTY)
        agent = programs.add(Agent(tmp_path, {
            "client": output(husk.client(server, **HASTY)),
            "mute": output(husk.client(server, udp_heartbeats="off")),
            "server": output(server, f"""
                transport tls
                tls_cert_path {pki.ca.cert}
                tls_client_cert_path {pki.client.cert}
                tls_client_private_key_path {pki.client.key}
            """),
        }, COUNT))

        def count_lines(self, tag, words):
            return sum(f"[{tag}] {words}" in line for line in self.agent.lines)

        def wait_for_log(self, tag, words, count=1):
            self.agent.wait_until(lambda _: self.count_lines(tag, words) >= count, f"{words} about {tag}")

        def wait_for_beats(self, tag, count):
            self.wait_for_log(tag, "sending heartbeat", self.count_lines(tag, "sending heartbeat") + count)

        def events_of(self, tag):
            return [one for one in self.aggregator.messages if one.value[0] == tag]

    return Site()


def test_fluentd_with_udp_heartbeats_stays_attached_exactly_while_they_are_answered(site):
    site.agent.wait_started()
    site.wait_for_beats("client", BEATS)
    site.wait_for_log("mute", "detached forwarding server")
    for tag in "client", "server":
        eventually(lambda: site.events_of(tag), f"events of {tag}")
        assert not site.count_lines(tag, "detached"), site.agent.tail()

    site.aggregator.kill()
    site.wait_for_log("server", "detached forwarding server")
    site.aggregator.revive()
    site.wait_for_log("server", "recovered forwarding server")
    before = len(site.events_of("server"))
    site.agent.emit("server", COUNT)
    eventually(lambda: len(site.events_of("server")) > before, "events after the recovery")
