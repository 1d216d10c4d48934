"""any_of, all_of and not: groups of rules about names, in `allow`, `deny` and `rules`. tests/unit/test_peer_rule.c tests the
logic."""

import json

import pytest

from support import raw, yaml_core
from support.checks import Checked
from support.config_file import route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import run


@pytest.fixture(scope="session")
def certificate(pki):
    return pki.ca.issue("expressions", "agent-a", "clientAuth", "DNS:web.example,URI:spiffe://td/ns/web/sa/agent")


@pytest.fixture
def explain(husk, pki, certificate, tmp_path):
    def run_check(**settings):
        file = tmp_path / "husk.json"  # JSON is YAML
        file.write_text(json.dumps({"admin": {"listen": "off"}, "routes": [
            {"name": "r", "listen": "127.0.0.1:0", "upstreams": "127.0.0.1:1", "tls": {"downstream": tls(pki.server, pki.ca)},
             **settings}]}))
        checked = Checked(run("check", "--config", file, "--json", "--explain", certificate.cert))
        return {one.get("setting"): (one["level"], one["text"]) for one in checked.findings}, checked
    return run_check


ADMITS = "admits the certificate: it is the first setting that matches: "


@pytest.mark.parametrize("allow, setting, level, text", [
    ({"all_of": [{"cn": "agent-*"}, {"not": {"dns": "*.test"}}]}, "allow.all_of[0]", "ok",
     ADMITS + 'cn:agent-a and no dns matches "*.test"'),
    ({"all_of": {"cn": "other", "dns": "web.*"}}, "allow.all_of[0]", "ok", ADMITS + "dns:web.example"),
    ({"cn": "x", "not": [{"ou": "test"}, {"all_of": [{"cn": "agent-a"}, {"dns": "x"}]}]}, "allow.not[0]", "ok",
     ADMITS + 'no ou matches "test" and no dns matches "x"'),
    ({"any_of": [{"all_of": [{"cn": "b"}, {"dns": "*"}]}, {"all_of": [{"cn": "agent-a"}, {"uri": "spiffe://td/**"}]}]},
     "allow.any_of[0]", "ok", ADMITS + "cn:agent-a and uri:spiffe://td/ns/web/sa/agent"),
    ({"all_of": [{"cn": "agent-a"}, {"not": {"uri": "spiffe://td/**"}}]}, "allow.all_of[0]", "note",
     "does not match: uri:spiffe://td/ns/web/sa/agent"),
    ({"not": {"not": {"ou": "x"}}, "cn": "x"}, "allow.not[0]", "note", 'does not match: no ou matches "x"'),
])
def test_the_part_that_decides_is_explained(explain, allow, setting, level, text):
    findings, checked = explain(allow=allow)
    assert findings[f"routes[0].{setting}"] == (level, text)
    assert checked.status == 0 if level == "ok" else checked.of("warning")


def test_a_group_that_denies_and_a_rule_with_a_group_are_explained(explain):
    findings, _ = explain(allow={"any": True}, deny={"all_of": [{"cn": "agent-*"}, {"dns": "web.*"}]})
    assert findings["routes[0].deny.all_of[0]"] == ("warning", "refuses the certificate: cn:agent-a and dns:web.example")
    findings, _ = explain(allow={"any": True}, rules=[{"not": {"cn": "*"}}, {"all_of": [{"cn": "*"}, {"dns": "*.example"}], "tags": "a.*"}])
    assert findings["routes[0].rules[1]"] == (
        "ok", "decides: rule 2 of 2 is the first one that matches: cn:agent-a and dns:web.example; tags: a.*")


def test_a_value_from_the_environment_is_not_shown(explain, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret*")
    group = [{"cn": "*"}, {"not": {"ou": ["a", "${SECRET}"]}}]
    findings, checked = explain(allow={"all_of": group}, rules=[{"any_of": {"not": {"dns": "${SECRET}"}}}])
    assert findings["routes[0].allow.all_of[0]"] == ("ok", ADMITS + "(a value from the environment)")
    assert "s3cret" not in json.dumps(checked.findings) and checked.status == 0


def test_the_effective_configuration_has_the_same_groups(tmp_path):
    group = [{"cn": ["a", "b"]}, {"not": [{"ou": ["c"], "any_of": [{"uri": ["spiffe://d"]}]}]}]
    settings = {"allow": {"all_of": group}, "deny": {"not": [{"issuer": ["*"]}]}, "rules": [{"any_of": group, "burst": "1s"}]}
    file = tmp_path / "husk.yaml"
    file.write_text(json.dumps({"routes": [{"name": "r", "listen": "127.0.0.1:0", "upstreams": "127.0.0.1:1", **settings}]}))
    printed = run("config", "--effective", "--config", file).stdout
    effective = yaml_core.load(printed)["routes"][0]
    assert {key: effective[key] for key in settings} == settings
    file.write_text(printed)
    assert run("config", "--effective", "--config", file).stdout.replace(" # default", "") == printed.replace(" # default", "")


def test_a_changed_group_applies_to_open_connections_and_to_the_next_message(file, pki, certificate):
    aggregator = Aggregator()

    def at(deny, *tags):
        return route("r", aggregator, tls={"downstream": tls(pki.server, pki.ca)},
                     allow={"all_of": [{"cn": "agent-*"}, {"dns": "*.example"}]}, deny={"all_of": [{"cn": "agent-a"}, deny]},
                     rules=[{"all_of": [{"uri": "spiffe://td/**"}, {"not": {"ou": "x"}}], "tags": list(tags)}])
    running = file(at({"ou": "x"}, "t"))
    address = running.husk.wait_for_event(message="listening", route="r")["address"]
    agent = Agent(raw.connect_tls(raw.parse_address(address), pki.ca.cert, certificate))
    carry_acked(agent, 1, "one")
    stranger = raw.connect_tls(raw.parse_address(address), pki.ca.cert, pki.client)
    stranger.sendall(event(9))
    assert "no --allow" not in running.husk.wait_for_event(reason="not_allowed")["detail"]
    running.change(at({"uri": "spiffe://td/**"}, "t"))
    assert raw.read_to_end(agent.sock) == b""
    detail = running.husk.wait_for_event(reason="distrusted")["detail"]
    assert "deny.all_of denies the certificate: cn:agent-a and uri:spiffe://td/ns/web/sa/agent" in detail
    running.change(at({"ou": "x"}, "other"))
    agent = Agent(raw.connect_tls(raw.parse_address(address), pki.ca.cert, certificate))
    agent.send(event(2))
    running.husk.wait_for_event(reason="tag_not_allowed")
    assert aggregator.numbers() == [1]
