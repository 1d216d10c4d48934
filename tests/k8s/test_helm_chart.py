"""k8s/helm/husk, rendered by Helm for each file in ci/: the objects are valid, husk accepts their husk.yaml, and what belongs
together fits together."""

import copy
import itertools
import json
import re
import shutil

import pytest
import yaml

from support_helm import CHART, CI, README, readme_blocks
from support_k8s import HUSK, REPOSITORY, run, schema_errors, succeed

NAMES = {path.name.removesuffix("-values.yaml"): path for path in CI}
GATEWAYS = [name for name in NAMES if name != "no-gateway"]


@pytest.fixture(scope="session")
def rendered(helm):
    """{name of the ci/ file: objects}."""
    return {name: helm.objects(path) for name, path in NAMES.items()}


def only(objects, *kinds):
    (found,) = [each for (kind, _), each in objects.items() if kind in kinds]
    return found


def workload(objects):
    return only(objects, "Deployment", "DaemonSet")


def pod_of(objects):
    return workload(objects)["spec"]["template"]["spec"]


def container_of(objects):
    (container,) = pod_of(objects)["containers"]
    return container


def configuration_of(objects):
    (text,) = [each["data"]["husk.yaml"] for (kind, _), each in objects.items()
               if kind == "ConfigMap" and "husk.yaml" in each["data"]]
    return text


# ---- all objects -------------------------------------------------------------------------------------------


def test_helm_finds_nothing_wrong(helm):
    assert len(NAMES) >= 6
    for path in CI:
        done = helm.lint(path)
        assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


def test_the_versions_are_those_of_husk():
    version = re.search(r"^VERSION\s*:=\s*(\S+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version
    assert f'{{{{- define "husk.version" -}}}}\n{version}\n' in (CHART / "templates/_names.tpl").read_text()
    assert set(re.findall(r"version: ([0-9.]+)", README.read_text())) == {version}


def test_objects_match_the_schema(checkers, rendered):
    assert schema_errors(checkers, [each for objects in rendered.values() for each in objects.values()]) == []


@pytest.mark.parametrize("kind, path, message", [
    ("Deployment", "spec.template.spec.containers.0.livenesProbe", """'"livenesProbe"' does not exist"""),
    ("Certificate", "spec.usage", "'usage' does not exist"),
    ("Bundle", "spec.target.configMap.keys", "'keys' does not exist"),
    ("PodMonitor", "spec.podMetricsEndpoints.0.ports", "'ports' does not exist"),
    ("PrometheusRule", "spec.groups.0.rules.0.expresion", "'expresion' does not exist"),
])
def test_the_schema_check_knows_custom_resources(checkers, rendered, kind, path, message):
    damaged = copy.deepcopy(next(each for (found, _), each in rendered["cert-manager"].items() if found == kind))
    *parents, last = path.split(".")
    node = damaged
    for key in parents:
        node = node[int(key) if key.isdigit() else key]
    node[last] = "x"
    errors = schema_errors(checkers, [damaged])
    assert len(errors) == 1 and message.replace('"', "").strip("'") in errors[0].replace('"', ""), errors


def test_each_file_makes_these_objects(rendered):
    gateway = {"ConfigMap", "NetworkPolicy", "Pod", "Service", "ServiceAccount"}
    monitoring = {"PodMonitor", "PrometheusRule"}
    kinds = {name: {kind for kind, _ in objects} for name, objects in rendered.items()}
    assert kinds == {
        "no-gateway": {"PrometheusRule", "ConfigMap"},
        "existing-secrets": gateway | {"Deployment", "PodDisruptionBudget"},
        "cert-manager": gateway | monitoring | {"Deployment", "PodDisruptionBudget", "Certificate", "Bundle"},
        "node-gateway": gateway - {"Pod"} | {"DaemonSet"},
        "openshift": gateway - {"NetworkPolicy", "ServiceAccount"} | {"Deployment"},
        "scaled": gateway | {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"},
    }


def test_without_values_there_is_nothing(helm):
    assert helm.objects() == {}


def test_no_port_is_that_of_fluentd_metrics(rendered):
    assert "24231" not in json.dumps([list(each.values()) for each in rendered.values()])


# ---- husk.yaml ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(pki, tmp_path_factory):
    """The directories of certificates by the names in ci/: of `husk pki`, and for "fluentd" the files of the article."""
    top = tmp_path_factory.mktemp("certificates")
    succeed(HUSK, "pki", "init", top / "server", "--server-name", "gateway.example.com")
    shutil.copytree(top / "server", top / "client")
    (top / "fluentd").mkdir()
    for path in ("certs/ca.crt.pem", "certs/server.crt.pem", "private/server.key.pem"):
        shutil.copy(pki / path, top / "fluentd")
    (top / "fluentd/server.key.passphrase").write_text("1234")
    (top / "fluentd/fluent.shared.key").write_text("shared1234")
    return top


@pytest.mark.parametrize("name", GATEWAYS)
def test_husk_accepts_the_configuration(rendered, certificates, name, tmp_path):
    """husk checks all that the file names. Only places differ: ports are free ones, and upstreams are on loopback."""
    text = configuration_of(rendered[name])
    text = text.replace("/etc/husk/tls", str(certificates)).replace("/run/husk", str(tmp_path))
    text = re.sub(r"(0\.0\.0\.0|\[::\]):\d+", "127.0.0.1:0", text)
    hosts = itertools.count(1)
    text = re.sub(r"[a-z.]+:24224|srv\+\S+", lambda _: f"127.0.0.{next(hosts)}:24224", text)
    (tmp_path / "husk.yaml").write_text(text)
    done = run(HUSK, "check", "--config", tmp_path / "husk.yaml", env={"WORKERS": "4"})
    assert done.returncode == 0, text + done.stdout + done.stderr


def test_numbers_stay_numbers(rendered):
    assert "retain_bytes: 33554432\n" in configuration_of(rendered["node-gateway"])


@pytest.mark.parametrize("name", GATEWAYS)
def test_ports_come_from_the_configuration(rendered, name):
    objects = rendered[name]
    configuration = yaml.safe_load(configuration_of(objects))
    listen = [address for route in configuration["routes"] for address in
              (route["listen"] if isinstance(route["listen"], list) else [route["listen"]])]
    forward = {int(address.rpartition(":")[2]) for address in listen if isinstance(address, str)}
    admin = int(configuration["admin"]["listen"].rpartition(":")[2])
    protocols = ("TCP", "UDP") if name == "scaled" else ("TCP",)
    wanted = {(port, protocol) for port in forward for protocol in protocols}

    container = container_of(objects)
    assert {(each["containerPort"], each["protocol"]) for each in container["ports"]} == wanted | {(admin, "TCP")}
    assert all(len(each["name"]) <= 15 for each in container["ports"])
    for probe, path in (("startupProbe", "/startup"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        assert container[probe]["httpGet"] == {"path": path, "port": admin}
    for (kind, _), each in objects.items():
        if kind == "Service":
            assert {(port["port"], port["protocol"]) for port in each["spec"]["ports"]} == wanted
            assert all(port["targetPort"] == port["port"] for port in each["spec"]["ports"])
            assert each["spec"]["selector"].items() <= workload(objects)["spec"]["template"]["metadata"]["labels"].items()
        if kind == "NetworkPolicy":
            rules = each["spec"]["ingress"]
            assert [{(port["port"], port["protocol"]) for port in rule["ports"]} for rule in rules] == [
                wanted, {(admin, "TCP")}]
            assert all(rule["from"] for rule in rules), "an empty list would admit everybody"


def test_only_settings_of_the_process_restart_pods(helm, rendered):
    """husk itself reloads routes."""
    def checksum(change):
        values = yaml.safe_load(NAMES["existing-secrets"].read_text())
        change(values["config"])
        template = workload(helm.objects(values=values))["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/process-settings"]

    before = workload(rendered["existing-secrets"])["spec"]["template"]["metadata"]["annotations"]
    assert list(before) == ["checksum/process-settings"]
    assert checksum(lambda config: config["routes"][0].update(upstreams="b.example.com:24224")) == before[
        "checksum/process-settings"]
    assert checksum(lambda config: config.update(workers=3)) != before["checksum/process-settings"]


# ---- the Pods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GATEWAYS)
def test_pods_are_restricted(rendered, name):
    objects = rendered[name]
    for pod in [pod_of(objects)] + [each["spec"] for (kind, _), each in objects.items() if kind == "Pod"]:
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        context = pod["containers"][0]["securityContext"]
        assert context["runAsNonRoot"] is True and context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True and context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"} and "privileged" not in context
        ids = {key: value for key, value in {**context, **pod["securityContext"]}.items()
               if key in ("runAsUser", "runAsGroup", "fsGroup")}
        assert ids == ({} if name == "openshift" else {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532})
        assert pod["containers"][0]["resources"]["limits"]["memory"]
        host_paths = [each["name"] for each in pod["volumes"] if "hostPath" in each]
        assert host_paths == (["socket"] if name == "node-gateway" else [])
    assert pod_of(objects)["terminationGracePeriodSeconds"] == 60
    if name != "openshift":
        assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False
        assert pod_of(objects)["serviceAccountName"] == only(objects, "ServiceAccount")["metadata"]["name"]


@pytest.mark.parametrize("name", GATEWAYS)
def test_all_that_husk_reads_is_mounted(rendered, name):
    objects = rendered[name]
    pod, container = pod_of(objects), container_of(objects)
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == set(volumes)
    assert not [each for each in container["volumeMounts"] if "subPath" in each]
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    assert set(re.findall(r"/etc/husk/tls/[a-z]+", configuration_of(objects))) == {
        path for path in mounts if path.startswith("/etc/husk/tls/")}

    (config,) = re.findall(r"--config=(.*)/husk.yaml", " ".join(container["args"]))
    assert "husk.yaml" in objects["ConfigMap", mounts[config]["configMap"]["name"]]["data"]
    for path, volume in mounts.items():
        if path.startswith("/etc/husk/tls/"):
            assert (volume.get("secret") or volume["projected"])["defaultMode"] == 0o440


def test_pods_spread_and_survive(rendered):
    objects = rendered["scaled"]
    labels = workload(objects)["spec"]["template"]["metadata"]["labels"]
    assert "replicas" not in workload(objects)["spec"], "the autoscaler owns it"
    scaler = only(objects, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == workload(objects)["metadata"]["name"] == "forward"
    assert only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    keys = {each["topologyKey"] for each in pod_of(objects)["topologySpreadConstraints"]
            if each["labelSelector"]["matchLabels"].items() <= labels.items()}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert objects["Service", "forward-headless"]["spec"]["clusterIP"] == "None"
    assert not only(objects, "Pod")["metadata"]["labels"].items() >= only(
        objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items(), "the Pod of helm test is no gateway"


# ---- certificates ------------------------------------------------------------------------------------------


def test_certificates(rendered):
    objects = rendered["cert-manager"]
    certificates = {name.removeprefix("logs-husk-"): each["spec"] for (kind, name), each in objects.items()
                    if kind == "Certificate"}
    for spec in certificates.values():
        assert spec["privateKey"] == {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"}
    both = ["digital signature", "server auth", "client auth"]
    assert {name: (spec["secretName"], spec["usages"], spec.get("dnsNames"), spec["uris"])
            for name, spec in certificates.items()} == {
        "server": ("logs-husk-server", both[:2], ["logs-husk.logging.svc", "logs-husk-headless.logging.svc"],
                   ["spiffe://example.org/ns/logging/sa/logs-husk"]),
        "client": ("logs-husk-client", both[::2], None, ["spiffe://example.org/ns/logging/sa/logs-husk"]),
        "relay": ("logs-husk-relay", both, ["relay.example.org"], ["spiffe://example.org/relay"]),
        "fluent-bit": ("fluent-bit-tls", both[::2], None, ["spiffe://example.org/ns/logging/sa/fluent-bit"]),
    }
    assert pod_of(objects)["serviceAccountName"] == "logs-husk"
    assert {("Service", name) for name in ("logs-husk", "logs-husk-headless")} <= set(objects)

    bundle = only(objects, "Bundle")
    for volume in pod_of(objects)["volumes"]:
        if "projected" in volume:
            secret, ca = volume["projected"]["sources"]
            assert secret["secret"]["name"] in {spec["secretName"] for spec in certificates.values()}
            assert [item["path"] for item in secret["secret"]["items"]] == ["tls.crt", "tls.key"]
            assert ca["configMap"]["name"] == bundle["metadata"]["name"]
            assert ca["configMap"]["items"] == [{"key": bundle["spec"]["target"]["configMap"]["key"], "path": "ca.crt"}]


# ---- README.md ---------------------------------------------------------------------------------------------


def test_the_values_in_the_readme_work(helm):
    (gateway,) = (yaml.safe_load(each) for each in readme_blocks("yaml", "image:"))
    (sidecar,) = (yaml.safe_load(each)["sidecar"] for each in readme_blocks("yaml", "sidecar:"))
    (certificates,) = (yaml.safe_load(each) for each in readme_blocks("yaml", "certManager:"))
    services = {f"{name}.logging.svc" for kind, name in helm.objects(values=gateway) if kind == "Service"}
    assert sidecar["options"]["upstream"].rpartition(":")[0] in services and sidecar["options"]["server-name"] in services
    objects = helm.objects(values={"config": gateway["config"], **certificates})
    assert {name for kind, name in objects if kind == "Certificate"} == {
        "logs-husk-server", "logs-husk-client", "logs-husk-fluent-bit"}


def test_the_readme_lists_the_alerts(rendered):
    alerts = {rule["alert"] for group in only(rendered["no-gateway"], "PrometheusRule")["spec"]["groups"]
              for rule in group["rules"]}
    assert set(re.findall(r"`(Husk\w+)`", README.read_text())) == alerts
