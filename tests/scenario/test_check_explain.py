"""husk check --explain: what the settings mean for an agent with a certificate."""

import json
import textwrap

import pytest

from support.checks import Checked
from support.husk import run

URI = "spiffe://td/ns/web/sa/agent"


@pytest.fixture(scope="session")
def certificate(pki):
    return pki.ca.issue("explained", "agent-a", "clientAuth", f"DNS:web.example,URI:{URI},email:a@b").cert


@pytest.fixture
def explain(husk, pki, tmp_path):
    """Runs the check of a file with routes of these settings."""
    def run_check(path, *routes, tls=True):
        keys = {"cert": pki.server.cert, "key": pki.server.key, "ca": pki.ca.cert}
        side = {"tls": {"downstream": keys}} if tls else {}
        file = tmp_path / "husk.json"  # JSON is YAML
        file.write_text(json.dumps({"admin": {"listen": "off"}, "routes": [
            {"name": f"r{n}", "listen": "127.0.0.1:0", "upstreams": "127.0.0.1:1", **side, **one}
            for n, one in enumerate(routes)]}))
        return Checked(run("check", "--config", file, "--json", "--explain", path))
    return run_check


def about(checked, section="r0"):
    """The findings of the explanation: the last section of this name."""
    findings = [one for one in checked.findings if one["section"].startswith(section)]
    first = max(n for n, one in enumerate(findings) if one["level"] == "note" and ("names: " in one["text"] or "TLS" in one["text"]))
    return findings[first:]


def lines(findings):
    return [(one["level"], one.get("setting"), one["text"]) for one in findings]


@pytest.mark.parametrize("kind, value, name", [
    ("cn", "agent-*", "agent-a"), ("dns", "*.example", "web.example"), ("uri", "spiffe://td/**/agent", URI),
    ("email", "*@b", "a@b"), ("issuer", "CN=*", None), ("any", True, "any name"),
])
def test_the_setting_that_admits_is_named_with_the_name_that_it_matches(explain, certificate, kind, value, name):
    others = {"uri": "other:", "email": "other@b", "issuer": "CN=other"}
    checked = explain(certificate, {"allow": {"ou": "x", kind: value if value is True else [others.get(kind, "other"), value]}})
    _, path, admission, writing = lines(about(checked))
    assert path == ("ok", None, "is issued by a CA of the route")
    level, setting, text = admission
    assert level == "ok" and setting == f"routes[0].allow.{kind}" + ("" if value is True else "[1]")
    assert text.startswith("admits the certificate: it is the first setting that matches, and matches ")
    assert name is None or text.endswith(f" {name}")
    assert writing == ("ok", None, "may write every tag: there are no rules")
    assert checked.status == 0


def test_the_rule_that_decides_is_named_with_its_tags_and_prefix(explain, certificate):
    rules = [{"cn": "other"}, {"uri": "spiffe://td/**", "tags": ["a.*", "b"], "tag_prefix": "x.{cn}."}, {"any": True}]
    checked = explain(certificate, {"allow": {"any": True}, "rules": rules,
                                    "add_identity": [{"field": "peer"}, {"field": "id", "from": "uri"}]})
    assert lines(about(checked))[3:] == [
        ("ok", "routes[0].rules[1]", f"decides: rule 2 of 3 is the first one that matches, and matches {URI}; "
                                     "tags: a.*,b; prefix: x.agent-a."),
        ("ok", "routes[0].add_identity[0]", "records get peer: agent-a"),
        ("ok", "routes[0].add_identity[1]", f"records get id: {URI}")]


@pytest.mark.parametrize("route, text", [
    ({"allow": {"cn": ["x", "y z"]}}, "is not admitted: no setting that admits agents matches one of its names; there are 2"),
    ({"allow": {"any": True}, "rules": [{"cn": "x"}]}, "may write nothing: no rule matches one of its names; there are 1"),
    ({"allow": {"any": True}, "rules": [{"any": True, "tag_prefix": "{cn}." + "x" * 250}]},
     'is not admitted: rule 1 (any tag-prefix={cn}.xxxxx'),
])
def test_what_keeps_an_agent_out_is_named(explain, certificate, route, text):
    checked = explain(certificate, route)
    assert any(one["level"] == "warning" and one["text"].startswith(text) for one in about(checked)), checked.findings
    checked.expect("problem", certificate, "no route takes messages from an agent with this certificate")


def test_one_route_that_admits_the_agent_is_enough(explain, certificate):
    checked = explain(certificate, {"allow": {"cn": "x"}}, {"allow": {"cn": "agent-a"}})
    assert checked.status == 0
    assert [one["level"] for one in about(checked, "r0")] == ["note", "ok", "warning"]
    assert [one["level"] for one in about(checked, "r1")] == ["note", "ok", "ok", "ok"]


@pytest.mark.parametrize("name, words", [("foreign_client", "which is not in our CA file"), ("server", "not meant for a TLS client"),
                                         ("expired_client", "expired")])
def test_a_certificate_that_the_cas_of_the_route_do_not_vouch_for_is_refused(explain, pki, name, words):
    checked = explain(getattr(pki, name).cert, {"allow": {"any": True}})
    refusal, = [one["text"] for one in about(checked) if one["level"] == "warning"]
    assert refusal.startswith("husk refuses the certificate: ") and words in refusal
    assert checked.status == 1


@pytest.mark.parametrize("allow, name", [({"cn": "x"}, "explained"), ({"any": True}, "foreign_client")])
def test_no_rule_decides_about_an_agent_that_is_refused(explain, pki, certificate, allow, name):
    path = certificate if name == "explained" else pki.foreign_client.cert
    checked = explain(path, {"allow": allow, "rules": [{"any": True}], "add_identity": [{"field": "peer"}]})
    assert not [one for one in about(checked) if one["level"] == "ok" and one.get("setting", "").startswith(("routes[0].rules", "routes[0].add"))]
    assert checked.status == 1


def test_a_route_without_tls_looks_at_no_certificate(explain, certificate):
    checked = explain(certificate, {}, tls=False)
    assert lines(about(checked)) == [("note", None, "agents of this route show no certificate: the route has no TLS for them")]
    assert checked.status == 1


@pytest.mark.parametrize("text, words", [(None, "No such file"), ("", "no certificate"), ("x\n", "no certificate")])
def test_a_file_that_is_no_certificate_is_a_problem(explain, tmp_path, text, words):
    path = tmp_path / "file.pem"
    if text is not None:
        path.write_text(text)
    checked = explain(str(path), {"allow": {"any": True}})
    problem, = checked.of("problem")
    assert str(path) in problem and words in problem


def test_options_are_named_as_options(husk, check, certificate):
    text = run("check", "server", "--admin", "off", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1",
               "--cert", husk.pki.server.cert, "--key", husk.pki.server.key, "--ca", husk.pki.ca.cert,
               "--allow-cn", "agent-*", "--rule", "any tags=x", "--explain", certificate).stdout
    assert textwrap.dedent("""\
        ok       --allow-cn agent-*: admits the certificate: it is the first setting that matches, and matches agent-a
          ok       --rule any tags=x: decides: rule 1 of 1 is the first one that matches, and matches any name; tags: x
        """) in text


def test_no_value_from_the_environment_is_shown(pki, certificate, tmp_path):
    file = tmp_path / "husk.json"
    secrets = {"FIRST": "agent-*", "SECOND": "secret-tag.*", "THIRD": "secret-prefix.", "FOURTH": "secret-field"}
    keys = {"cert": pki.server.cert, "key": pki.server.key, "ca": pki.ca.cert}
    file.write_text(json.dumps({"admin": {"listen": "off"}, "routes": [{
        "name": "r0", "listen": "127.0.0.1:0", "upstreams": "127.0.0.1:1", "tls": {"downstream": keys},
        "allow": {"cn": ["x", "${FIRST}"]}, "add_identity": [{"field": "${FOURTH}"}],
        "rules": [{"cn": "x"}, {"cn": "${FIRST}", "tags": ["${SECOND}", "b"], "tag_prefix": "${THIRD}"}]}]}))
    checked = Checked(run("check", "--config", file, "--json", "--explain", certificate, env=secrets))
    assert [one["setting"] for one in about(checked) if "setting" in one] == [
        "routes[0].allow.cn[1]", "routes[0].rules[1]", "routes[0].add_identity[0]"]
    assert not any(secret in str(checked.findings) for secret in secrets.values())
