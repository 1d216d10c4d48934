"""--deny-*: which identity may not connect. --rule: which identity may write which tags. husk checks the rules at the
head of each message."""

import hashlib
import subprocess
import time

import pytest

from support import raw
from support.forward import Agent, Aggregator, event, message
from support.husk import run
from support.timing import undisturbed

URI = "spiffe://td/ns/a"


@pytest.fixture(scope="session")
def identities(pki):
    return {
        "a": pki.ca.issue("policy-a", "agent-a", "clientAuth", f"DNS:Web-1.Example,URI:{URI}"),
        "b": pki.ca.issue("policy-b", "agent.b", "clientAuth"),
        "named": pki.ca.issue("policy-named", "agent-n/O=Other/O=Team One/OU=Logs", "clientAuth", "email:ops@a.example"),
    }


class Guarded:
    """TLS agents of two identities → husk server with rules → aggregator."""

    def __init__(self, husk, identities, rules, options):
        self._identities, self._ca = identities, husk.pki.ca
        self._agents = []  # stay open until the test's end: a deleted socket would reset its connection
        self.aggregator = Aggregator()
        self.husk = husk.server(self.aggregator, allow_any=True, rule=rules, **options)

    def agent(self, name):
        agent = Agent(raw.connect_tls(self.husk.address, self._ca.cert, self._identities[name]))
        self._agents.append(agent)
        return agent

    def expect_refused(self, agent, reason, detail):
        """The agent's connection must end. The reason must be logged and counted once."""
        raw.assert_closed(agent.sock)
        line = self.husk.wait_for_event(message="connection ended", reason=reason)
        assert (line["side"], line["detail"]) == ("downstream", detail)
        self.husk.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason=reason)
        return line

    def tags(self):
        return [one.value[0] for one in self.aggregator.messages]


@pytest.fixture
def guarded(husk, identities):
    return lambda *rules, **options: Guarded(husk, identities, rules, options)


# ---- tags ----

def test_a_tag_that_is_not_allowed_ends_only_its_agents_connection(guarded):
    guarded = guarded("cn=agent-a tags=kube.ns-a.*,app.**", "cn=agent.b tags=kube.ns-b.{x,y}")
    other = guarded.agent("b")
    other.send(event(1, "1", "kube.ns-b.x"))
    other.expect_ack("1")

    agent = guarded.agent("a")
    agent.send(event(2, "2", "kube.ns-a.x"))
    agent.expect_ack("2")
    agent.send(event(3, "3", "app"))
    agent.expect_ack("3")
    agent.send(event(4, "4", "kube.ns-b.x\n"))
    line = guarded.expect_refused(agent, "tag_not_allowed",
                                  "rule 1 (cn=agent-a tags=kube.ns-a.*,app.**): "
                                  'does not allow the tag "kube.ns-b.x\\x0a"')
    assert line["identity"] == f"uri:{URI}"

    other.send(event(5, "5", "kube.ns-b.y"))
    other.expect_ack("5")
    assert guarded.aggregator.numbers() == [1, 2, 3, 5]


def test_a_message_is_refused_at_its_head_before_its_body_arrives(guarded):
    guarded = guarded("any tags=a")
    agent = guarded.agent("a")
    agent.send(b"\x92\xa1b\xdb\x00\x10\x00\x00")
    guarded.expect_refused(agent, "tag_not_allowed", 'rule 1 (any tags=a): does not allow the tag "b"')
    assert not guarded.aggregator.connections


def test_messages_before_a_refused_one_are_delivered(guarded):
    guarded = guarded("any tags=a")
    agent = guarded.agent("a")
    agent.send(event(1, tag="a"), event(2, tag="b"), event(3, tag="a"))
    raw.assert_closed(agent.sock)
    guarded.aggregator.wait_for(1)
    guarded.husk.wait_for_event(message="connection ended", reason="tag_not_allowed")
    assert guarded.aggregator.numbers() == [1]


def test_an_identity_without_a_rule_may_connect_but_write_no_message(guarded):
    guarded = guarded("cn=agent-a")
    silent = guarded.agent("b")
    silent.sock.close_write()
    guarded.husk.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="probe")
    agent = guarded.agent("b")
    agent.send(event(1, tag="x"))
    guarded.expect_refused(agent, "tag_not_allowed", 'no rule matches this identity, whose tag is "x"')
    assert not guarded.aggregator.messages


def test_tags_of_any_length_are_checked_at_any_place_in_the_buffer(guarded):
    """Tags lie behind incomplete messages and across segments of the buffer."""
    guarded = guarded("any tags=a.**", max_tag="64KiB")
    agent = guarded.agent("a")
    tags = ["a." + "x" * length for length in (0, 1, 40_000, 65_000, 65_000, 30_000, 65_000)]
    for number, tag in enumerate(tags):
        agent.send(event(number, str(number), tag))
    assert agent.read_acks(len(tags)) == [str(number) for number in range(len(tags))]
    assert guarded.tags() == tags
    agent.send(event(9, "9", "b." + "x" * 65_000))
    raw.assert_closed(agent.sock)
    line = guarded.husk.wait_for_event(message="connection ended", reason="tag_not_allowed")
    assert line["detail"].endswith('"b.' + "x" * 62 + '..."')


def test_rules_of_husk_client_apply_to_agents_without_identity(husk):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    client = husk.client(server, rule=["any tags=app.** tag-prefix=edge."])
    agent = Agent(raw.connect(client.address))
    agent.send(event(1, "1", "app.x"))
    agent.expect_ack("1")
    agent.send(event(2, "2", "other"))
    raw.assert_reset(agent.sock)
    client.wait_for_event(message="connection ended", reason="tag_not_allowed")
    assert [one.value[0] for one in aggregator.messages] == ["edge.app.x"]


@pytest.mark.parametrize("rule", ["cn=a", "any tags=/x/", "any tag-prefix={cn}.", "any rate=1"])
def test_an_invalid_rule_stops_the_start_with_one_line(husk, rule):
    options = husk.options(f"{raw.HOST}:1", husk.pki.client, rule=rule)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    ended = run("client", *words)
    assert ended.returncode == 1 or ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1 and f'--rule: "{rule}"' in ended.stderr.replace('\\"', '"')


# ---- prefixes ----

@pytest.mark.parametrize("delivery", ["at-least-once", "passthrough"])
def test_a_tag_prefix_names_the_identity(guarded, delivery):
    guarded = guarded("cn=agent-a tags=t tag-prefix={cn}.{dns}.{uri}.{spki8}.", "any tag-prefix=from-{cn}.",
                      delivery=delivery)
    for name, number in (("a", 1), ("b", 2)):
        agent = guarded.agent(name)
        agent.send(event(number, str(number)))
        agent.expect_ack(str(number))
        agent.send(event(number))
    guarded.aggregator.wait_for(4)
    first, second = sorted({(one.number, one.value[0]) for one in guarded.aggregator.messages})
    head, spki8 = first[1].removesuffix(".t").rsplit(".", 1)
    assert head == "agent-a.web-1%2Eexample.spiffe%3A%2F%2Ftd%2Fns%2Fa"
    assert len(spki8) == 8 and set(spki8) <= set("0123456789abcdef")
    assert second[1] == "from-agent%2Eb.t"


def test_a_certificate_without_the_name_for_the_prefix_is_refused(guarded):
    guarded = guarded("any tag-prefix={dns}.")
    agent = guarded.agent("a")
    agent.send(event(1, "1"))
    agent.expect_ack("1")
    nameless = guarded.agent("b")
    guarded.expect_refused(nameless, "not_allowed",
                           "rule 1 (any tag-prefix={dns}.): the certificate has no name for {dns}")
    agent.send(event(2, "2"))
    agent.expect_ack("2")
    assert guarded.aggregator.numbers() == [1, 2]


# ---- sizes ----

def test_each_rule_has_its_own_limit_of_message_size(guarded):
    guarded = guarded("cn=agent-a max-message=1KiB", "any max-message=64KiB")
    other, agent = guarded.agent("b"), guarded.agent("a")
    long = message("t", 1, {"n": 7, "x": "x" * 1024}, {"chunk": "7"})
    agent.send(event(1, "1"))
    agent.expect_ack("1")
    other.send(long)
    other.expect_ack("7")
    agent.send(long)
    guarded.expect_refused(agent, "message_too_long",
                           "rule 1 (cn=agent-a max-message=1KiB): allows 1024 bytes")
    assert guarded.aggregator.numbers() == [1, 7]


# ---- rates ----

def expect_in_order(aggregator, count):
    """The messages of one agent must arrive once and in order."""
    aggregator.wait_until(lambda messages: len(messages) >= count, f"{count} messages")
    assert aggregator.numbers() == list(range(count))


@undisturbed
def test_messages_above_the_rate_wait_and_are_not_lost(guarded):
    guarded = guarded("cn=agent-a messages-per-second=50 burst=100ms", "any")
    started = time.monotonic()
    agent = guarded.agent("a")
    agent.send(*(event(number) for number in range(60)))
    agent.sock.close_write()  # husk still reads what the agent has sent
    other = guarded.agent("b")
    other.send(event(100, "100"))
    other.expect_ack("100")
    others = [one.number for one in guarded.aggregator.messages]
    assert 100 in others and len(others) < 60, "the other identity waits too"
    guarded.aggregator.wait_for(61)
    assert time.monotonic() - started >= 1.0  # 5 messages at once, 55 more at 50 per second
    assert [number for number in guarded.aggregator.numbers() if number < 100] == list(range(60))
    assert guarded.husk.metric("husk_rate_limited_total") >= 1
    assert not guarded.husk.problems()


def test_bytes_above_the_rate_wait_and_a_message_larger_than_the_burst_passes(guarded):
    guarded = guarded("any bytes-per-second=100KiB burst=100ms")
    started = time.monotonic()
    agent = guarded.agent("a")
    for number in range(4):
        agent.send(message("t", 1, {"n": number, "x": "x" * 50 * 1024}))
    agent.sock.close_write()
    expect_in_order(guarded.aggregator, 4)
    assert time.monotonic() - started >= 1.3  # the last message waits for three times 50 KiB minus the burst
    assert guarded.husk.metric("husk_rate_limited_total") >= 1
    assert not guarded.husk.problems()


def test_a_rate_applies_to_all_connections_of_an_identity_together(guarded):
    guarded = guarded("any messages-per-second=50 burst=100ms")
    agents = [guarded.agent("a") for _ in range(40)]
    started = time.monotonic()
    for number, agent in enumerate(agents):
        agent.send(event(number))
        agent.sock.close_write()
    received = guarded.aggregator.wait_for(40)
    assert time.monotonic() - started >= 0.6
    assert sorted(one.number for one in received) == list(range(40))
    assert guarded.husk.metric("husk_rate_limited_total") >= 1
    assert not guarded.husk.problems()


def test_the_idle_timeout_does_not_run_while_an_agent_waits_for_its_rate(guarded):
    guarded = guarded("any messages-per-second=2 burst=20ms", idle_timeout="200ms", delivery="passthrough",
                      log_level="debug")
    agent = guarded.agent("a")
    agent.send(event(0))
    guarded.aggregator.wait_for(1)
    agent.send(*(event(number) for number in range(1, 4)))
    expect_in_order(guarded.aggregator, 4)
    line = guarded.husk.wait_for_event(message="connection ended", side="downstream", reason="idle")
    assert line["duration_ms"] >= 3 * 500 + 200 - 10


def test_connections_without_bytes_end_while_their_identity_is_throttled(guarded):
    guarded = guarded("any bytes-per-second=1KiB burst=20ms")
    agent = guarded.agent("a")
    agent.send(message("t", 1, {"n": 0, "x": "x" * 64 * 1024}), event(1))
    guarded.husk.wait_for_metric("husk_rate_limited_total", 1)
    for _ in range(5):
        guarded.agent("a").sock.close_write()
    guarded.husk.wait_for_metric("husk_connections_ended_total", 5, side="downstream", reason="probe")
    assert guarded.aggregator.numbers() == [0]


# ---- --deny-* ----

def spki(certificate):
    key = subprocess.run(["openssl", "x509", "-in", certificate.cert, "-pubkey", "-noout"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("kind, value", [("cn", "agent-*"), ("dns", "web-1.example"), ("uri", "spiffe://td/*/a"), ("ou", "*"),
                                         ("spki", None)])
def test_an_identity_that_is_denied_is_refused_and_others_are_not(husk, identities, kind, value):
    value = value or spki(identities["a"])
    aggregator = Aggregator()
    server = husk.server(aggregator, allow_any=True, **{f"deny_{kind}": [{"spki": "0" * 64, "uri": "urn:nobody"}.get(kind, "nobody"), value]})

    def agent(name):
        return Agent(raw.connect_tls(server.address, husk.pki.ca.cert, identities[name]))
    good = agent("b")
    good.send(event(2, "2"))
    good.expect_ack("2")
    if kind == "ou":  # no certificate has one
        agent("a")
        return
    refused = agent("a")
    refused.send(event(1))
    line = server.wait_for_event(message="connection ended", reason="not_allowed")
    assert f"--deny-{kind} {value} denies" in line["detail"] and "cn:agent-a" in line["detail"]
    assert aggregator.numbers() == [2]


@pytest.mark.parametrize("kind, value, other", [
    ("o", "Team *", "team *"), ("o", "Other", "Oth"), ("ou", "Logs", "logs"), ("email", "*@A.example", "*@a"),
    ("email", "ops@*", "Ops@b.example"), ("issuer", "CN=CA ours", "CN=CA")])
def test_organizations_emails_and_issuers_admit_and_deny(husk, identities, kind, value, other):
    """All parts of a name count. `other` matches nothing of the certificate."""
    def says(**options):
        aggregator = Aggregator()
        server = husk.server(aggregator, **options)
        agent = Agent(raw.connect_tls(server.address, husk.pki.ca.cert, identities["named"]))
        agent.send(event(1, "1"))
        try:
            agent.expect_ack("1")
            return "admitted"
        except (OSError, EOFError, AssertionError):
            return server.wait_for_event(reason="not_allowed")["detail"]
    assert says(**{f"allow_{kind}": [other, value]}) == "admitted"
    assert "no --allow-* setting admits" in says(**{f"allow_{kind}": [other]})
    assert says(allow_any=True, **{f"deny_{kind}": [other]}) == "admitted"
    assert f"--deny-{kind} {value} denies" in says(allow_any=True, **{f"deny_{kind}": [other, value]})
