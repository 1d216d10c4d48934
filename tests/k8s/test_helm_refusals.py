"""k8s/helm/husk refuses wrong values with a line that names the value."""

import json

import pytest
import yaml

from support_helm import CHART, CI

(BASE,) = [path for path in CI if path.name == "existing-secrets-values.yaml"]


def changed(path, value):
    """The values of BASE with another value at this path."""
    values = yaml.safe_load(BASE.read_text())
    *parents, last = path.split("/")
    node = values
    for key in parents:
        node = node[int(key)] if key.isdigit() else node.setdefault(key, {})
    node[last] = value
    return values


@pytest.mark.parametrize("path, value, line", [
    # what the schema refuses
    ("replica", 3, "(root): Additional property replica is not allowed"),
    ("replicas", "3", "replicas: Invalid type. Expected: integer, given: string"),
    ("kind", "StatefulSet", 'kind must be one of the following: "Deployment", "DaemonSet"'),
    ("image/tag", "a b", "image.tag: Does not match pattern"),
    ("image/digest", "sha256:1", "image.digest: Does not match pattern"),
    ("image/name", "husk", "image: Additional property name is not allowed"),
    ("fullnameOverride", "Husk", "fullnameOverride: Does not match pattern"),
    ("commonLabels/team", 1, "commonLabels.team: Invalid type. Expected: string, given: integer"),
    ("resources/limits/memory", "64MB", "resources.limits.memory: Does not match pattern"),
    ("resources/limit", {}, "resources: Additional property limit is not allowed"),
    ("securityContext/runAsUser", 0, "securityContext.runAsUser: Must be greater than or equal to 1"),
    ("securityContext/privileged", True, "securityContext: Additional property privileged is not allowed"),
    ("service/type", "ExternalName", "service.type must be one of the following"),
    ("service/port", 24224, "service: Additional property port is not allowed"),
    ("networkPolicy/agents", [{}], "networkPolicy.agents.0: Must have at least 1 properties"),
    ("networkPolicy/egress", [{"ports": [{"port": "http"}]}], "networkPolicy.egress.0.ports.0.port: Invalid type"),
    ("env", [{"name": "A", "values": "b"}], "env.0: Additional property values is not allowed"),
    ("extraVolumes", [{"emptyDir": {}}], "extraVolumes.0: name is required"),
    ("topologySpreadConstraints", [{"maxSkew": 1}], "topologySpreadConstraints.0: topologyKey is required"),
    ("podMonitor/interval", "30", "podMonitor.interval: Does not match pattern"),
    ("prometheusRule/expiryFraction", 20, "prometheusRule.expiryFraction: Must be less than 1"),
    ("autoscaling/enable", True, "autoscaling: Additional property enable is not allowed"),
    ("credentials/server", {}, "credentials.server: Must validate one and only one schema (oneOf)"),
    ("credentials/server/secret", "x", "credentials.server: Additional property secret is not allowed"),
    ("credentials/Upper", {"secretName": "x"}, 'credentials: Property name of "Upper" does not match'),
    ("certManager/certificates/a", {"usage": "servre"}, 'usage must be one of the following: "server", "client", "both"'),
    ("certManager/duration", "90d", "certManager.duration: Does not match pattern"),
    ("trustManager/bundle/sources", [{"secret": {}}], "trustManager.bundle.sources.0.secret: name is required"),
    # what husk's own schema refuses
    ("config/routes/0/upstreems", "x:1", "config.routes.0: Additional property upstreems is not allowed"),
    ("config/workers", 65, "config.workers: Must be less than or equal to 64"),
    ("config/routes/0/delivery", {"ack_timeout": 5}, "config.routes.0.delivery.ack_timeout: Invalid type"),
    ("config/routes/0/tls/upstream/min_version", "SSLv3", "config.routes.0.tls.upstream.min_version must be one of"),
    ("config/routes", [{"name": "a", "listen": "0.0.0.0:1"}], "config.routes.0: upstreams is required"),
    # what the templates refuse
    ("config/routes/0/listen", "0.0.0.0", 'config.routes[0].listen: "0.0.0.0" has no port that the chart can read'),
    ("config/routes/0/listen", "${LISTEN}", 'config.routes[0].listen: "${LISTEN}" has no port that the chart can read'),
    ("config/routes/0/listen", "0.0.0.0:0", 'config.routes[0].listen: "0.0.0.0:0" has no port that the chart can read'),
    ("config/admin/listen", "127.0.0.1:9901", 'config.admin.listen: "127.0.0.1:9901" cannot be reached by the kubelet'),
    ("config/admin/listen", "off", 'config.admin.listen: "off" cannot be reached by the kubelet'),
    ("config/routes/0/tls/upstream/credentials", "/etc/husk/tls/other",
     'config: /etc/husk/tls/other is not mounted: add the entry "other" to credentials'),
    ("credentials/server", {"certificate": "x"},
     'credentials.server.certificate: certManager.certificates has no entry "x"'),
    ("certManager/certificates/a", {"usage": "client"},
     'certManager.issuerRef.name: certificate "a" needs an issuer'),
    ("certManager", {"issuerRef": {"name": "ca"}, "trustDomain": "", "certificates": {"a": {"usage": "client"}}},
     "certManager.certificates.a: the certificate has no name: set dnsNames, uris or certManager.trustDomain"),
    ("trustManager/bundle/enabled", True, "trustManager.bundle.sources: a Bundle needs a source of CAs"),
])
def test_a_wrong_value_is_named(helm, path, value, line):
    assert line in helm.refusal(values=changed(path, value))


def test_a_daemon_set_does_not_scale(helm):
    values = changed("autoscaling/enabled", True)
    assert "autoscaling.enabled: a DaemonSet has one Pod on each node: set kind to Deployment" in helm.refusal(
        values={**values, "kind": "DaemonSet"})


def test_every_map_of_the_schema_is_closed():
    """Except maps whose keys are names, and those that Kubernetes checks."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    del schema["$defs"]["husk"], schema["properties"]["config"]
    opened = set()

    def walk(node, path):
        if isinstance(node, dict):
            if node.get("type") == "object" and node.get("additionalProperties", True) is True:
                opened.add(path)
            for key, each in node.items():
                walk(each, f"{path}/{key}" if key not in ("properties", "items") else path)
        elif isinstance(node, list):
            for each in node:
                walk(each, path)

    walk(schema, "")
    assert opened == {"/global", "/extraVolumes", "/affinity/nodeAffinity", "/affinity/podAffinity",
                      "/affinity/podAntiAffinity"}


def test_every_value_has_a_description():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    missing = []

    def walk(node, value, path):
        for key, each in value.items():
            part = node["properties"][key]
            described = "description" in part
            if isinstance(each, dict) and not described:
                walk(part, each, f"{path}.{key}")
            elif not described:
                missing.append(f"{path}.{key}")

    walk(schema, values, "")
    assert missing == []
