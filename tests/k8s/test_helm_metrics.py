"""The alerts and the dashboard of k8s/helm/husk: their PromQL is valid, and /metrics has each metric and label that they name."""

import json
import re
import urllib.request

import pytest
import yaml

from support_helm import CI, DASHBOARD
from support_k8s import HUSK, running_husk, succeed

PARSE = """
const {parser} = require("@prometheus-io/lezer-promql");
const wrong = [];
for (const text of JSON.parse(require("fs").readFileSync(0, "utf8")))
    parser.parse(text).iterate({enter: node => { if (node.type.isError) wrong.push(text); }});
console.log(JSON.stringify(wrong));
"""


@pytest.fixture(scope="module")
def rules(helm):
    (path,) = [each for each in CI if each.name == "cert-manager-values.yaml"]
    objects = helm.objects(path)
    return [rule for group in objects["PrometheusRule", "logs-husk"]["spec"]["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def dashboard():
    return json.loads(DASHBOARD.read_text())


@pytest.fixture(scope="module")
def expressions(rules, dashboard):
    # Grafana replaces its variables before it sends a query.
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in rules] + [each.replace("$__rate_interval", "5m") for each in panels]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """What a gateway with TLS on both sides serves: {name of a metric: its labels}."""
    top = tmp_path_factory.mktemp("gateway")
    succeed(HUSK, "pki", "init", top / "pki", "--server-name", "gateway.example.com")
    (top / "husk.yaml").write_text(yaml.safe_dump({
        "admin": {"listen": "127.0.0.1:0"},
        "routes": [{"name": "gateway", "listen": "127.0.0.1:0", "upstreams": "127.0.0.1:1", "allow": {"any": True},
                    "tls": {side: {"credentials": str(top / "pki")} for side in ("downstream", "upstream")}}]}))
    with running_husk(top / "log", "run", "--config", top / "husk.yaml") as admin:
        text = urllib.request.urlopen(f"http://{admin}/metrics", timeout=20).read().decode()
    names = {name: set() for name in re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        names.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return names


def test_promql_is_valid(checkers, expressions):
    def wrong(texts):
        return json.loads(succeed("node", "-e", PARSE, cwd=checkers, input=json.dumps(texts)))
    assert len(expressions) > 30
    assert wrong(expressions) == []
    assert wrong(["sum by (pod (x)"]) == ["sum by (pod (x)"]


def test_husk_has_every_metric(expressions, metrics, dashboard):
    queries = [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    named = {name for text in expressions + queries for name in re.findall(r"\b(?:husk|process)_\w+", text)}
    assert len(named) > 25
    assert named <= set(metrics), named - set(metrics)


def test_husk_has_every_label(rules, dashboard, metrics):
    """Besides those that Prometheus adds."""
    added = {"namespace", "pod", "container", "job", "le"}
    known = set().union(*metrics.values())
    # husk_crl_next_update_seconds and husk_messages_dropped_total have no series yet.
    known |= {"issuer", "reason"}
    text = json.dumps(rules + dashboard["panels"])
    named = set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{(\w+)\}\}", text))
    for group in re.findall(r"by \(([\w, ]+)\)", text):
        named |= set(group.split(", "))
    assert named <= known | added, named - known - added


def test_alerts_say_what_to_do(rules):
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical") and rule["labels"]["team"] == "logging"
        assert set(rule["annotations"]) == {"summary", "description"}
        # Labels that the expression has removed would be empty in the texts.
        for group in re.findall(r"^sum by \(([\w, ]+)\)", rule["expr"]):
            used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
            assert used <= set(group.split(", ")), rule["alert"]


def test_thresholds_come_from_values(helm):
    values = {"prometheusRule": {"enabled": True, "expiryDays": 2.5, "expiryFraction": 0.25, "upstreamDownFor": "90s",
                                 "handshakeFailuresPerSecond": 7}}
    found = json.dumps(list(helm.objects(values=values).values()))
    for text in ("< 2.5 * 86400", "_not_before_seconds) < 0.25", '"for": "90s"', "> 7"):
        assert text in found, text


def test_the_dashboard_is_complete(helm, dashboard):
    config_map = helm.objects(values={"dashboard": {"enabled": True}})["ConfigMap", "logs-husk-dashboard"]
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config_map["data"]["husk.json"]) == dashboard
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    cells = [(x, y) for panel in dashboard["panels"] for grid in [panel["gridPos"]]
             for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24, "panels overlap"
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}


def test_the_pod_monitor_names_the_port_of_all_husks(helm):
    monitor = helm.objects(values={"podMonitor": {"enabled": True, "matchLabels": {"app": "x"}, "namespaces": ["a"]}})
    spec = monitor["PodMonitor", "logs-husk"]["spec"]
    assert spec["selector"] == {"matchLabels": {"app": "x"}} and spec["namespaceSelector"] == {"matchNames": ["a"]}
    assert [each["port"] for each in spec["podMetricsEndpoints"]] == ["husk-admin"]
