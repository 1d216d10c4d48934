"""k8s/base, rendered as `kubectl apply -k` would send it: the objects are valid, their references exist, their security
settings are strict, and their husk command lines work."""

import copy
import json
import re

import pytest
import yaml

from support_k8s import (HUSK, README, REPOSITORY, RESERVE_SECONDS, drain_seconds, fluentd_accepts, schema_errors,
                         succeed)
from support_pods import STRIPPED, Running, carry, values_of, write_secret

TLS_PORT = 24224
PLAIN_PORT = 24225
ADMIN_PORT = 9901
MODES = {"client": ("DaemonSet", "fluent-bit"), "server": ("StatefulSet", "fluentd")}


def pod_of(objects, mode):
    return objects[MODES[mode]]["spec"]["template"]["spec"]


def husk_of(objects, mode):
    (husk,) = pod_of(objects, mode)["initContainers"]
    return husk


def agent_or_aggregator_of(objects, mode):
    (container,) = pod_of(objects, mode)["containers"]
    return container


def containers_of(objects, mode):
    return [husk_of(objects, mode), agent_or_aggregator_of(objects, mode)]


def options_of(objects, mode):
    """husk's arguments as {name: value}. The value of a flag is None."""
    subcommand, *words = husk_of(objects, mode)["args"]
    assert subcommand == mode
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        assert re.fullmatch(r"--[a-z][a-z0-9-]*", name), word
        assert name not in options
        options[name] = value if equals else None
    return options


# ---- the objects -------------------------------------------------------------------------------------------


def test_base_has_exactly_these_objects(objects):
    names = {(kind, re.sub(r"-[a-z0-9]{10}$", "", name) if kind == "ConfigMap" else name) for kind, name in objects}
    assert names == {
        ("Namespace", "logging"),
        ("ServiceAccount", "fluent-bit"), ("ServiceAccount", "fluentd"),
        ("ConfigMap", "fluent-bit"), ("ConfigMap", "fluentd"),
        ("DaemonSet", "fluent-bit"), ("StatefulSet", "fluentd"),
        ("Service", "fluentd"), ("Service", "fluentd-headless"),
        ("NetworkPolicy", "fluent-bit"), ("NetworkPolicy", "fluentd"),
    }
    for (kind, _), each in objects.items():
        assert kind == "Namespace" or each["metadata"]["namespace"] == "logging"


def test_no_secret_is_committed(objects):
    assert not [name for name in objects if name[0] == "Secret"]
    for path in (REPOSITORY / "k8s").rglob("*"):
        assert not path.is_file() or "PRIVATE KEY" not in path.read_text(), path


def test_images_have_fixed_versions(objects):
    version = re.search(r"^VERSION\s*:=\s*(\S+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE).group(1)
    for mode in MODES:
        assert husk_of(objects, mode)["image"] == f"husk:{version}"
        assert re.search(r":v?\d+\.\d+\.\d+[^:]*$", agent_or_aggregator_of(objects, mode)["image"])
    for text in ("k8s/image/Dockerfile", "k8s/README.md"):
        assert set(re.findall(r"husk:([0-9]\S*)", (REPOSITORY / text).read_text())) == {version}, text


def test_yaml_is_tidy():
    # Templates are YAML only when Helm has rendered them.
    rules = "{extends: default, ignore: ['templates/'], rules: {line-length: {max: 120}, document-start: disable, " \
            "comments: {min-spaces-from-content: 1}, octal-values: disable}}"
    succeed("yamllint", "--strict", "-d", rules, REPOSITORY / "k8s")


# ---- the schema --------------------------------------------------------------------------------------------


def test_objects_match_the_schema(checkers, objects):
    assert schema_errors(checkers, objects.values()) == []


def misspell_a_probe(objects):
    husk = husk_of(objects, "client")
    husk["livenesProbe"] = husk.pop("livenessProbe")


def quote_a_number(objects):
    pod_of(objects, "server")["terminationGracePeriodSeconds"] = "60"


def unknown_policy_field(objects):
    objects["NetworkPolicy", "fluentd"]["spec"]["ingress"][0]["port"] = TLS_PORT


@pytest.mark.parametrize("damage, message", [
    (misspell_a_probe, """'"livenesProbe"' does not exist"""),
    (quote_a_number, "Type 'string' is not assignable to type 'number'"),
    (unknown_policy_field, """'"port"' does not exist"""),
])
def test_the_schema_check_finds_a_damaged_object(checkers, objects, damage, message):
    damaged = copy.deepcopy(objects)
    damage(damaged)
    errors = schema_errors(checkers, damaged.values())
    assert len(errors) == 1 and message in errors[0], errors


# ---- references --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_references_exist(objects, secrets, mode):
    workload, pod = objects[MODES[mode]], pod_of(objects, mode)
    assert ("ServiceAccount", pod["serviceAccountName"]) in objects

    volumes = {each["name"]: each for each in pod["volumes"]}
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        volumes[claim["metadata"]["name"]] = claim
    mounted = set()
    for container in containers_of(objects, mode):
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes
            assert "subPath" not in mount, "a renewed Secret or ConfigMap would not arrive"
            mounted.add(mount["name"])
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            assert not reference or reference["key"] in secrets[reference["name"]]
    assert mounted == set(volumes)

    for volume in pod["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in objects
        if "secret" in volume:
            keys = {item["key"] for item in volume["secret"]["items"]}
            assert keys <= set(secrets[volume["secret"]["secretName"]])
            assert volume["secret"]["defaultMode"] == 0o440 and pod["securityContext"]["fsGroup"] == 65532


def test_secrets_have_the_keys_of_the_article(secrets):
    shared = {"ca.crt.pem", "server.key.passphrase", "fluent.shared.key"}
    assert {name: set(data) for name, data in secrets.items()} == {
        "fluentbit-tls": shared | {"client.crt.pem", "client.key.pem"},
        "fluentd-tls": shared | {"server.crt.pem", "server.key.pem"},
    }
    assert secrets["fluentbit-tls"]["fluent.shared.key"] == secrets["fluentd-tls"]["fluent.shared.key"]


@pytest.mark.parametrize("mode", MODES)
def test_the_files_that_husk_reads_are_mounted(objects, mode):
    volumes = {each["name"]: each for each in pod_of(objects, mode)["volumes"]}
    mounted = {mount["mountPath"] + "/" + item["path"]
               for mount in husk_of(objects, mode)["volumeMounts"]
               for item in volumes[mount["name"]]["secret"]["items"]}
    options = options_of(objects, mode)
    shared_key = {"client": "--accept-key-file", "server": "--shared-key-file"}[mode]
    names = ("ca.crt.pem", f"{mode}.crt.pem", f"{mode}.key.pem", "server.key.passphrase")
    assert {f"{options['--credentials']}/{name}" for name in names} | {options[shared_key]} == mounted


# ---- the sidecar -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_husk_is_a_native_sidecar(objects, mode):
    husk = husk_of(objects, mode)
    assert husk["restartPolicy"] == "Always"
    assert husk["resources"]["requests"] == {"cpu": "10m", "memory": "16Mi"}
    assert husk["resources"]["limits"] == {"memory": "64Mi"}
    assert pod_of(objects, mode)["terminationGracePeriodSeconds"] == 60


@pytest.mark.parametrize("mode", MODES)
def test_probes_ask_the_admin_port(objects, mode):
    husk = husk_of(objects, mode)
    for probe, path in (("startupProbe", "/startup"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        assert husk[probe]["httpGet"] == {"path": path, "port": ADMIN_PORT}
    assert options_of(objects, mode)["--admin"] == f"0.0.0.0:{ADMIN_PORT}"
    assert ADMIN_PORT in {port["containerPort"] for port in husk["ports"]}


@pytest.mark.parametrize("mode", MODES)
def test_containers_have_a_strict_security_context(objects, mode):
    pod = pod_of(objects, mode)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    assert objects["ServiceAccount", pod["serviceAccountName"]]["automountServiceAccountToken"] is False
    for container in containers_of(objects, mode):
        # The only exception: Fluent Bit reads files that belong to the node's root.
        root = container["name"] == "fluent-bit"
        context = container["securityContext"]
        assert context["runAsNonRoot"] is not root and (context["runAsUser"] == 0) is root
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "privileged" not in context
    assert husk_of(objects, mode)["securityContext"]["runAsUser"] == 65532
    host_paths = {each["name"] for each in pod["volumes"] if "hostPath" in each}
    assert host_paths == ({"logs", "state"} if mode == "client" else set())
    writable = {mount["name"] for each in containers_of(objects, mode) for mount in each["volumeMounts"]
                if not mount.get("readOnly")}
    assert writable == ({"state"} if mode == "client" else {"buffer", "tmp"})


# ---- ports and names ---------------------------------------------------------------------------------------


def test_ports_are_numbers_and_stay_off_the_node(objects):
    rendered = list(objects.values())
    assert not list(values_of(rendered, "hostPort"))
    for each in values_of([objects[name] for name in objects if name[0] in ("Service", "NetworkPolicy")], "ports"):
        for port in each:
            assert isinstance(port["port"], int) and isinstance(port.get("targetPort", 0), int)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert all(isinstance(each["httpGet"]["port"], int) for each in values_of(rendered, probe))
    # The charts use this port for Fluentd's metrics.
    assert "24231" not in json.dumps(rendered)


def test_husk_client_dials_the_service(objects):
    options = options_of(objects, "client")
    host, port = options["--upstream"].split(":")
    service, namespace, svc = host.split(".")
    assert svc == "svc" and objects["Service", service]["metadata"]["namespace"] == namespace
    assert int(port) == TLS_PORT
    assert options["--listen"] == f"127.0.0.1:{TLS_PORT}"
    assert options["--server-name"] == "server" and "--allow-cn-as-name" in options


@pytest.mark.parametrize("name", ["fluentd", "fluentd-headless"])
def test_services_reach_husk(objects, name):
    service = objects["Service", name]["spec"]
    labels = objects["StatefulSet", "fluentd"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert {(port["port"], port["targetPort"], port["protocol"]) for port in service["ports"]} == {
        (TLS_PORT, TLS_PORT, "TCP"), (TLS_PORT, TLS_PORT, "UDP")}, "Forward, and Fluentd's UDP heartbeats"
    listening = {(port["containerPort"], port["protocol"]) for port in husk_of(objects, "server")["ports"]}
    assert listening == {(TLS_PORT, "TCP"), (TLS_PORT, "UDP"), (ADMIN_PORT, "TCP")}
    assert options_of(objects, "server")["--listen"] == f"0.0.0.0:{TLS_PORT}"
    assert (service.get("clusterIP") == "None") == (objects["StatefulSet", "fluentd"]["spec"]["serviceName"] == name)


def test_network_policies_admit_only_tls_and_admin(objects):
    labels = {name: objects[kind, name]["spec"]["template"]["metadata"]["labels"] for kind, name in MODES.values()}
    admitted = {}
    for name in labels:
        spec = objects["NetworkPolicy", name]["spec"]
        assert spec["podSelector"]["matchLabels"].items() <= labels[name].items()
        admitted[name] = {port["port"] for rule in spec["ingress"] for port in rule["ports"]
                          if port["protocol"] == "TCP"}
        assert len(admitted[name]) == sum(len(rule["ports"]) for rule in spec["ingress"]), "no UDP is needed"
        assert all(rule["from"] for rule in spec["ingress"]), "an empty list would admit everybody"
    assert admitted == {"fluentd": {TLS_PORT, ADMIN_PORT}, "fluent-bit": {ADMIN_PORT, 2020}}

    ingress = objects["NetworkPolicy", "fluentd"]["spec"]["ingress"][0]["from"]
    assert [each["podSelector"]["matchLabels"].items() <= labels["fluent-bit"].items() for each in ingress] == [True]
    egress = objects["NetworkPolicy", "fluent-bit"]["spec"]["egress"]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {TLS_PORT, 53}


# ---- the configuration of Fluent Bit and Fluentd -----------------------------------------------------------


def file_of(objects, mode, name):
    (volume,) = [each for each in pod_of(objects, mode)["volumes"] if "configMap" in each]
    return objects["ConfigMap", volume["configMap"]["name"]]["data"][name]


def test_fluent_bit_sends_to_husk_client(objects):
    configuration = yaml.safe_load(file_of(objects, "client", "fluent-bit.yaml"))
    container = agent_or_aggregator_of(objects, "client")
    (mount,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config"]
    assert container["command"][-1] == f"--config={mount}/fluent-bit.yaml"

    (output,) = configuration["pipeline"]["outputs"]
    assert f"{output['host']}:{output['port']}" == options_of(objects, "client")["--listen"]
    assert output["retry_limit"] == "no_limits" and output["require_ack_response"] is True
    assert not [key for key in output if key.startswith("tls")]
    variables = {each["name"] for each in container["env"]}
    assert set(re.findall(r"\$\{(\w+)\}", json.dumps(configuration))) == variables

    (tail,) = configuration["pipeline"]["inputs"]
    for name in MODES.values():
        assert f"/var/log/containers/*_logging_{name[1]}-*.log" in tail["exclude_path"].split(",")
    state = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "state"]
    assert [tail["db"].rsplit("/", 1)[0]] == state
    assert container["livenessProbe"]["httpGet"]["port"] == configuration["service"]["http_port"]
    needed = configuration["service"]["grace"] + drain_seconds() + RESERVE_SECONDS
    assert needed <= pod_of(objects, "client")["terminationGracePeriodSeconds"]


def test_fluentd_listens_for_husk_server(objects, tmp_path):
    """The real Fluentd accepts the configuration, and its source listens on husk's upstream address, on loopback."""
    text = file_of(objects, "server", "fluent.conf")
    values = dict(re.findall(r"^\s+(bind|port|path|shared_key) (.*)$", text, re.MULTILINE))
    listens = f"{values['bind']}:{values['port']}"
    assert listens == options_of(objects, "server")["--upstream"] == f"127.0.0.1:{PLAIN_PORT}"
    container = agent_or_aggregator_of(objects, "server")
    assert values["path"] in {each["mountPath"] for each in container["volumeMounts"]}

    fluentd_accepts(text.replace(values["path"], str(tmp_path / "buffer")), tmp_path, SHARED_KEY="shared1234")


# ---- the command lines of husk -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_husk_knows_the_options(objects, mode):
    known = set(re.findall(r"--[a-z][a-z0-9-]*", succeed(HUSK, "help", mode)))
    assert set(options_of(objects, mode)) <= known


def test_the_pods_command_lines_work_together(objects, secrets, tmp_path):
    """Both sidecars run with the article's Secrets and become live and ready. Fluent Bit's message arrives without its
    metadata, and Fluentd's ack comes back. husk does the shared-key handshake with both."""
    def start(mode, **addresses):
        (volume,) = [each["secret"] for each in pod_of(objects, mode)["volumes"] if "secret" in each]
        files = write_secret(secrets[volume["secretName"]], tmp_path / mode, volume["items"])
        (mount,) = husk_of(objects, mode)["volumeMounts"]
        return Running.of_pod(husk_of(objects, mode)["args"], {mount["mountPath"]: files}, tmp_path / mode, **addresses)

    assert carry(start, agent_has_key=True, aggregator_has_key=True) == STRIPPED


# ---- the document ------------------------------------------------------------------------------------------


def test_the_readme_names_the_important_words():
    text = README.read_text()
    for word in ("kubectl apply -k k8s/base", "--from-literal 'server.key.passphrase=", "24231", "shared1234",
                 "not run on a live cluster"):
        assert word in text, word
