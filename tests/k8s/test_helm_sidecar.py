"""The templates husk.sidecar.* of k8s/helm/husk, in a chart that depends on it: the Pods are right, and husk accepts their
arguments."""

import re

import pytest
import yaml

from support_helm import readme_blocks
from support_k8s import HUSK, run, schema_errors, succeed
from support_pods import common_of, unready

SERVER = {"mode": "server", "credentials": {"secretName": "husk-server"}, "options": {"allow-cn": ["client", "other"]}}


@pytest.fixture(scope="module")
def client():
    """The values of README.md."""
    (block,) = readme_blocks("yaml", "sidecar:")
    return yaml.safe_load(block)["sidecar"]


@pytest.fixture(scope="module")
def chart(helm):
    """A chart with the Pod template of README.md."""
    (pod,) = readme_blocks("text", "spec:")
    return helm.depend("agent", pod)


@pytest.fixture(scope="module")
def pod_with(helm, chart):
    def render(sidecar):
        objects = helm.objects(chart=chart, values={"sidecar": sidecar})
        assert list(objects) == [("DaemonSet", "agent")], "without routes the dependency makes nothing"
        return objects["DaemonSet", "agent"]["spec"]["template"]["spec"]
    return render


def husk_of(pod):
    (husk,) = pod["initContainers"]
    return husk


def test_the_pod_of_a_client(helm, chart, pod_with, checkers, client):
    husk = husk_of(pod_with(client))
    assert husk["args"] == [
        "client", "--admin=0.0.0.0:9901", "--credentials=/etc/husk/tls", "--listen=127.0.0.1:24224", "--log-format=json",
        "--server-name=logs-husk.logging.svc", "--strip-metadata", "--upstream=logs-husk-headless.logging.svc:24224",
        "--workers=1"]
    assert [(each["name"], each["containerPort"]) for each in husk["ports"]] == [("husk-admin", 9901)]
    assert husk["image"].startswith("registry.example/team/husk:")
    assert schema_errors(checkers, helm.objects(chart=chart, values={"sidecar": client}).values()) == []


def test_the_pod_of_a_server(helm, chart, pod_with, checkers):
    husk = husk_of(pod_with(SERVER))
    assert husk["args"] == [
        "server", "--admin=0.0.0.0:9901", "--allow-cn=client", "--allow-cn=other", "--credentials=/etc/husk/tls",
        "--listen=0.0.0.0:24224", "--log-format=json", "--upstream=127.0.0.1:24225", "--workers=1"]
    assert [(each["name"], each["containerPort"]) for each in husk["ports"]] == [
        ("forward-24224", 24224), ("husk-admin", 9901)]
    assert schema_errors(checkers, helm.objects(chart=chart, values={"sidecar": SERVER}).values()) == []


def test_a_native_sidecar_is_as_in_the_base(pod_with, client, objects):
    """The example in k8s/base has the same container and volume, apart from names, arguments and ports."""
    pod = pod_with(client)
    base = objects["DaemonSet", "fluent-bit"]["spec"]["template"]["spec"]
    image = {"image": husk_of(pod)["image"]}
    assert common_of(husk_of(pod)) == {**unready(common_of(husk_of(base))), **image}
    assert husk_of(pod)["restartPolicy"] == husk_of(base)["restartPolicy"]
    assert husk_of(pod)["volumeMounts"] == [{"name": "husk-tls", "mountPath": "/etc/husk/tls", "readOnly": True}]
    assert pod["volumes"] == [
        {"name": "husk-tls", "secret": {"secretName": "fluent-bit-tls", "defaultMode": 0o440}}]
    assert pod["securityContext"] == {"runAsNonRoot": True, **base["securityContext"]}
    assert pod["terminationGracePeriodSeconds"] == base["terminationGracePeriodSeconds"]


def test_only_a_server_decides_whether_its_pod_is_ready(pod_with, client, objects):
    """By default: a logging outage must not take an application out of its Services."""
    probe = husk_of(objects["DaemonSet", "fluent-bit"]["spec"]["template"]["spec"])["readinessProbe"]
    assert husk_of(pod_with(SERVER))["readinessProbe"] == probe
    assert husk_of(pod_with({**client, "readiness": True}))["readinessProbe"] == probe
    for sidecar in (client, {**SERVER, "readiness": False}):
        assert "readinessProbe" not in husk_of(pod_with(sidecar))


def test_an_ordinary_sidecar(pod_with, client):
    native = husk_of(pod_with(client))
    ordinary = husk_of(pod_with({**client, "native": False}))
    assert native.pop("restartPolicy") == "Always"
    assert native == ordinary


def test_what_can_be_set(pod_with, client):
    pod = pod_with({
        **client, "name": "tls", "readiness": True, "image": {"repository": "r/husk", "digest": "sha256:" + "0" * 64},
        "resources": {"limits": {"memory": "128Mi"}}, "securityContext": {"runAsUser": 1000, "fsGroup": None},
        "env": [{"name": "KEY", "value": "x"}], "volumeMounts": [{"name": "socket", "mountPath": "/run/husk"}],
        "credentials": {"secretName": "s", "ca": {"configMap": "cas"}},
        "options": {**client["options"], "listen": ["127.0.0.1:24224", "unix:/run/husk/fluent.sock"], "workers": None,
                    "admin": "0.0.0.0:9902", "retain-bytes": 33554432, "strip-metadata": False}})
    husk = husk_of(pod)
    assert husk["name"] == "tls" and husk["image"] == "r/husk@sha256:" + "0" * 64
    assert husk["resources"] == {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}
    assert (husk["securityContext"]["runAsUser"], husk["securityContext"]["runAsGroup"]) == (1000, 65532)
    assert "fsGroup" not in pod["securityContext"]
    assert husk["env"] == [{"name": "KEY", "value": "x"}]
    assert [each["mountPath"] for each in husk["volumeMounts"]] == ["/etc/husk/tls", "/run/husk"]
    assert [each["containerPort"] for each in husk["ports"]] == [9902]
    assert {husk[probe]["httpGet"]["port"] for probe in husk if probe.endswith("Probe")} == {9902}
    assert "--retain-bytes=33554432" in husk["args"] and "--listen=unix:/run/husk/fluent.sock" in husk["args"]
    assert not [word for word in husk["args"] if "workers" in word or "strip-metadata" in word]
    (volume,) = pod["volumes"]
    assert volume["name"] == "tls-tls"
    assert [list(each) for each in volume["projected"]["sources"]] == [["secret"], ["configMap"]]


def test_without_credentials_there_is_no_volume(pod_with, client):
    pod = pod_with({key: value for key, value in client.items() if key != "credentials"})
    assert not pod["volumes"] and "volumeMounts" not in husk_of(pod)
    assert not [word for word in husk_of(pod)["args"] if "credentials" in word]


@pytest.mark.parametrize("mode", ["client", "server"])
def test_husk_accepts_the_arguments(pod_with, client, mode, tmp_path):
    """Only places differ: the directory of certificates, free ports, and the upstream on loopback."""
    succeed(HUSK, "pki", "init", tmp_path / "pki", "--server-name", "logs-husk.logging.svc")
    words = husk_of(pod_with(client if mode == "client" else SERVER))["args"]
    text = re.sub(r"(listen|admin)=[0-9.]+:\d+", r"\1=127.0.0.1:0", "\n".join(words))
    text = re.sub(r"upstream=.*", "upstream=127.0.0.1:24224", text).replace("/etc/husk/tls", str(tmp_path / "pki"))
    done = run(HUSK, "check", *text.split("\n"))
    assert done.returncode == 0, text + done.stdout + done.stderr


@pytest.mark.parametrize("change, line", [
    ({"mode": "both"}, 'husk sidecar: mode is "both": it must be client or server'),
    ({"mode": None}, "it must be client or server"),
    ({"readiness": "no"}, 'husk sidecar: readiness is "no": it must be true or false'),
    ({"option": {}}, 'husk sidecar: "option" is no key: the keys are mode, options, credentials, image'),
    ({"image": {"name": "x"}}, 'husk sidecar: "name" is no key of image: the keys are repository, tag, digest, pullPolicy'),
    ({"credentials": {"ca": {"configMap": "x"}}}, "husk sidecar: credentials.secretName: name the Secret"),
    ({"options": {"server-name": "x"}}, "husk sidecar: options.upstream: name the address of the aggregator"),
    ({"options": {"--upstream": "x:1", "upstream": "x:1"}}, 'husk sidecar: options: "--upstream" is no name of an option'),
    ({"options": {"upstream": "x:1", "admin": "127.0.0.1:9901"}}, "husk sidecar: options.admin: "),
    ({"options": {"upstream": "x:1", "listen": "24224"}}, 'husk sidecar: options.listen: "24224" has no port'),
])
def test_a_mistake_ends_with_one_line(helm, chart, client, change, line):
    assert line in helm.refusal(chart=chart, values={"sidecar": {**client, **change}})
