"""k8s/drop-ins: the values and objects fit their targets' hooks, make valid Pods, and their husk command lines work.

The charts and operators are not part of the tests. HOOKS and FIELDS say where they put what; a key that is not there is
refused, because a chart would ignore it in silence."""

import copy
import fnmatch
import re
import shlex

import pytest
import yaml

from support import raw
from support_k8s import (HUSK, REPOSITORY, RESERVE_SECONDS, chart_fluentd_accepts, drain_seconds, schema_errors,
                         succeed)
from support_pods import STRIPPED, Running, carry, common_of, husks_in, place, unready, write_secret

DROP_INS = REPOSITORY / "k8s/drop-ins"
README = DROP_INS / "README.md"
MAIN = {"name": "main", "image": "registry.example/main:1.0.0"}

# Values of charts: where each key goes in the Pod. None: elsewhere. Every other key is a mistake.
SIDECAR = {"initContainers": "initContainers", "podSecurityContext": "securityContext",
           "podAnnotations": "annotations", "terminationGracePeriodSeconds": "terminationGracePeriodSeconds"}
INJECTED = {"podLabels": "labels", "terminationGracePeriodSeconds": "terminationGracePeriodSeconds", "config": None}
HOOKS = {
    "fluent-bit": {**SIDECAR, "extraVolumes": "volumes", "env": "env", "extraPorts": None, "serviceMonitor": None,
                   "config": None},
    "fluentd": {**SIDECAR, "volumes": "volumes", "env": "env", "kind": None, "mountVarLogDirectory": None,
                "mountDockerContainersDirectory": None, "persistence": None, "service": None, "fileConfigs": None},
    "fluentd-aggregator": {**INJECTED, "persistence": None, "service": None},
    "fluent-bit-aggregator": {**INJECTED, "persistence": None, "service": None},
    "fluent-bit-collector": {**INJECTED, "storage": None},
    "opentelemetry-collector": {**SIDECAR, "extraVolumes": "volumes", "mode": None, "image": None, "ports": None,
                                "config": None},
    "vector": {**SIDECAR, "extraVolumes": "volumes", "containerPorts": "ports", "role": None, "persistence": None,
               "service": None, "customConfig": None},
}
# The Secrets of the article: encrypted keys, a shared key, names only in the CN.
ARTICLE = ("article-fluent-bit", "article-fluentd")
HOOKS |= {name: HOOKS[name.removeprefix("article-")] for name in ARTICLE}
# Custom resources: where each field of the spec goes, in the same way.
FIELDS = {
    "Logging": {"controlNamespace": None, "fluentd": {
        "port": None, "forwardInputConfig": None, "terminationGracePeriodSeconds": "terminationGracePeriodSeconds",
        "sidecarContainers": "containers", "extraVolumes": "extra"}},
    "FluentbitAgent": {"labels": "labels", "targetHost": None, "targetPort": None, "forwardOptions": None, "grace": None,
                       "terminationGracePeriodSeconds": "terminationGracePeriodSeconds"},
    "FluentBit": {"image": None, "fluentBitConfigName": None, "positionDB": None, "volumes": "volumes",
                  "initContainers": "initContainers", "securityContext": "securityContext",
                  "terminationGracePeriodSeconds": "terminationGracePeriodSeconds"},
    "Fluentd": {"globalInputs": None, "disableService": None, "replicas": None, "fluentdCfgSelector": None},
}
OBJECTS = ("logging-operator", "fluent-operator", "job-native", "job-ordinary")
SERVERS = ("fluentd", "article-fluentd", "opentelemetry-collector", "vector", "logging-operator")
CLIENTS = ("fluent-bit", "article-fluent-bit", "fluent-operator", "job-native", "job-ordinary", "docker-compose",
           "ecs-firelens")
# Files for applications: a logging outage must not take an application out of its Services.
APPLICATIONS = ("job-native", "job-ordinary")


def documents(name):
    paths = [DROP_INS / f"{name}.yaml", DROP_INS / f"{name}.json"]
    (text,) = [path.read_text() for path in paths if path.exists()]
    return [each for each in yaml.safe_load_all(text) if each]


def merge(pod, values, hooks):
    """Puts values into a Pod, as a chart or an operator does."""
    for key, value in values.items():
        assert key in hooks, f"{key}: unknown to the target"
        where = hooks[key]
        if isinstance(where, dict):
            merge(pod, value, where)
        elif where in ("labels", "annotations"):
            pod["metadata"][where] = value
        elif where in ("env", "ports"):
            pod["spec"]["containers"][0][where] = value
        elif where == "containers":
            pod["spec"]["containers"] += value
        elif where == "extra":
            for each in value:
                pod["spec"].setdefault("volumes", []).append({"name": each["volumeName"], **each["volume"]})
                (container,) = [one for one in pod["spec"]["containers"] if one["name"] == each["containerName"]]
                container["volumeMounts"] = [{"name": each["volumeName"], "mountPath": each["path"]}]
        elif where:
            pod["spec"][where] = value


def pods_of(name):
    """The Pods that a file makes: the workload's own container, and what the file adds."""
    def empty():
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [dict(MAIN)]}}

    pods = []
    for each in copy.deepcopy(documents(name)):
        if name in HOOKS:
            pods.append(empty())
            merge(pods[-1], each, HOOKS[name])
        elif each["kind"] in FIELDS:
            pods.append(empty())
            merge(pods[-1], each["spec"], FIELDS[each["kind"]])
            pods[-1]["metadata"].setdefault("labels", each["metadata"].get("labels", {}))
        elif each["kind"] == "Job":
            pods.append({"apiVersion": "v1", "kind": "Pod", **each["spec"]["template"], "metadata": {"name": name}})
    return pods


def husk_pod(name):
    """The only Pod of the file that has husk, and husk."""
    (pod,) = [each for each in pods_of(name) if list(husks_in(each))]
    (husk,) = husks_in(pod)
    return pod, husk


def secret_of(name, mode):
    return {"client": "fluentbit-tls", "server": "fluentd-tls"}[mode] if name in ARTICLE else f"husk-{mode}"


POD_FILES = sorted({*SERVERS, *CLIENTS} - {"docker-compose", "ecs-firelens"})


def test_each_file_is_tested_and_in_the_readme():
    names = {path.name for path in DROP_INS.iterdir()} - {"README.md"}
    assert {name.rsplit(".", 1)[0] for name in names} == {*HOOKS, *OBJECTS, *CLIENTS, *SERVERS}
    assert set(re.findall(r"\]\(([\w-]+\.(?:yaml|json))\)", README.read_text())) == names


# ---- the Pods ----------------------------------------------------------------------------------------------


def test_pods_and_objects_match_the_schema(checkers):
    objects = [pod for name in {*HOOKS, *OBJECTS} for pod in pods_of(name)]
    objects += [each for name in OBJECTS for each in documents(name) if each["kind"] in ("Job", "Service")]
    assert len(objects) > 12
    assert schema_errors(checkers, objects) == []


@pytest.mark.parametrize("name", POD_FILES)
def test_husk_is_the_sidecar_of_the_base(name, sidecar):
    pod, husk = husk_pod(name)
    assert common_of(husk) == (unready(sidecar) if name in APPLICATIONS else sidecar)
    is_native = husk in pod["spec"].get("initContainers", [])
    assert husk.get("restartPolicy") == ("Always" if is_native else None)
    assert is_native == (name not in ("logging-operator", "job-ordinary"))
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60
    assert {"name": "husk-admin", "containerPort": 9901, "protocol": "TCP"} in husk["ports"]


@pytest.mark.parametrize("name", POD_FILES)
def test_husk_finds_the_secret(name, secrets):
    pod, husk = husk_pod(name)
    mode = husk["args"][0]
    (mount,) = husk["volumeMounts"]
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    assert volume["secret"] == {"secretName": secret_of(name, mode), "defaultMode": 0o440}
    assert "subPath" not in mount
    assert f"--credentials={mount['mountPath']}" in husk["args"]
    article = {"client": "/fluent-bit/ssl", "server": "/fluentd/etc/ssl"}
    assert mount["mountPath"] == (article[mode] if name in ARTICLE else "/etc/husk/tls")
    # The operator's Fluentd has an fsGroup of its own.
    assert name == "logging-operator" or pod["spec"]["securityContext"]["fsGroup"] == 65532
    for variable in pod["spec"]["containers"][0].get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        assert not reference or reference["key"] in secrets[reference["name"]]


@pytest.mark.parametrize("name, mode", [
    ("fluentd-aggregator", "server"), ("fluent-bit-aggregator", "server"), ("fluent-bit-collector", "client"),
    ("logging-operator", "client"), ("fluent-operator", "server")])
def test_targets_without_hooks_ask_for_the_injection(name, mode):
    (pod,) = [each for each in pods_of(name) if not list(husks_in(each))]
    assert pod["metadata"]["labels"] == {"husk/sidecar": mode}


@pytest.mark.parametrize("name", ARTICLE)
def test_the_article_changes_certificates_and_shared_key_alone(name):
    ((article,), (ours,)) = documents(name), documents(name.removeprefix("article-"))
    different = {key for key in {*article, *ours} if article.get(key) != ours.get(key)}
    assert different <= {"initContainers", "volumes", "extraVolumes", "env", "config", "fileConfigs"}


# ---- the configuration of agents and aggregators -----------------------------------------------------------


def classic(text, *keys):
    """Values of keys in a configuration of Fluent Bit or Fluentd in their own syntax."""
    return tuple(re.search(rf"^\s+{key}\s+(.*)$", text, re.MULTILINE | re.IGNORECASE)[1] for key in keys)


def spec_of(name, kind):
    (spec,) = [each["spec"] for each in documents(name) if each["kind"] == kind]
    return spec


def plain_address(name):
    """Where the agent sends to, or where the aggregator listens."""
    if name in OBJECTS and name.startswith("job"):
        return "127.0.0.1:24224"
    if name == "logging-operator":
        return "{bind}:{port}".format(**spec_of(name, "Logging")["fluentd"]["forwardInputConfig"])
    if name == "fluent-operator":
        return "{host}:{port}".format(**spec_of(name, "ClusterOutput")["forward"])
    (values,) = documents(name)
    name = name.removeprefix("article-")
    return {
        "fluent-bit": lambda: ":".join(classic(values["config"]["outputs"], "Host", "Port")),
        "fluentd": lambda: ":".join(classic(values["fileConfigs"]["01_sources.conf"], "bind", "port")),
        "opentelemetry-collector": lambda: values["config"]["receivers"]["fluentforward"]["endpoint"],
        "vector": lambda: values["customConfig"]["sources"]["forward"]["address"],
    }[name]()


@pytest.mark.parametrize("name", POD_FILES)
def test_plaintext_stays_between_the_program_and_husk(name):
    _, husk = husk_pod(name)
    mode = husk["args"][0]
    (address,) = [word.split("=")[1] for word in husk["args"]
                  if word.startswith({"client": "--listen=", "server": "--upstream="}[mode])]
    assert address == plain_address(name) and address.startswith("127.0.0.1:")


def test_injected_programs_use_the_addresses_of_the_parameters(parameters):
    def addresses(mode):
        (route,) = yaml.safe_load(parameters[mode]["data"]["husk.yaml"])["routes"]
        return route["listen"], route["upstreams"]

    agent, (_, aggregator) = addresses("client")[0], addresses("server")
    (output,) = documents("fluent-bit-collector")[0]["config"]["pipeline"]["outputs"]
    assert f"{output['host']}:{output['port']}" == agent
    spec = spec_of("logging-operator", "FluentbitAgent")
    assert f"{spec['targetHost']}:{spec['targetPort']}" == agent
    (source,) = documents("fluent-bit-aggregator")[0]["config"]["pipeline"]["inputs"]
    assert f"{source['listen']}:{source['port']}" == aggregator
    assert ":".join(classic(documents("fluentd-aggregator")[0]["config"]["sources"], "bind", "port")) == aggregator
    (source,) = spec_of("fluent-operator", "Fluentd")["globalInputs"]
    assert "{bind}:{port}".format(**source["forward"]) == aggregator


@pytest.mark.parametrize("name", SERVERS)
def test_services_lead_to_husk(name):
    _, husk = husk_pod(name)
    (listens,) = [int(word.rsplit(":", 1)[1]) for word in husk["args"] if word.startswith("--listen=")]
    assert listens in {port["containerPort"] for port in husk["ports"]}
    if name == "logging-operator":
        assert spec_of(name, "Logging")["fluentd"]["port"] == listens
        return
    (values,) = documents(name)
    port = {"fluentd": lambda: values["service"]["ports"][0]["containerPort"],
            "opentelemetry-collector": lambda: values["ports"]["forward-tls"]["servicePort"],
            "vector": lambda: values["service"]["ports"][0]["targetPort"]}[name.removeprefix("article-")]()
    assert port == listens


def test_no_agent_and_no_aggregator_has_tls_of_its_own():
    for name in {*HOOKS, *OBJECTS}:
        for each in documents(name):
            assert not re.search(r"^\s*(tls[. ]|<transport|tls:)", str(each.get("config")), re.MULTILINE), name
            assert "tls" not in each.get("spec", {}) and "tls" not in each.get("spec", {}).get("fluentd", {})


@pytest.mark.parametrize("name", ["fluentd", "article-fluentd"])
def test_fluentd_accepts_the_configuration(name, tmp_path):
    """The real Fluentd reads it."""
    chart_fluentd_accepts(documents(name)[0]["fileConfigs"], tmp_path)


def graces():
    """{file: (seconds that Fluent Bit flushes at its end, terminationGracePeriodSeconds)}."""
    found = {name: (int(classic(documents(name)[0]["config"]["service"], "Grace")[0]),
                    documents(name)[0]["terminationGracePeriodSeconds"]) for name in ("fluent-bit", "article-fluent-bit")}
    (values,), agent = documents("fluent-bit-collector"), spec_of("logging-operator", "FluentbitAgent")
    return {**found, "fluent-bit-collector": (values["config"]["service"]["grace"], values["terminationGracePeriodSeconds"]),
            "logging-operator": (agent["grace"], agent["terminationGracePeriodSeconds"]),
            "fluent-operator": (spec_of("fluent-operator", "ClusterFluentBitConfig")["service"]["graceSeconds"],
                                spec_of("fluent-operator", "FluentBit")["terminationGracePeriodSeconds"])}


def test_husk_has_drained_before_the_pod_is_killed():
    late = {name: both for name, both in graces().items() if both[0] + drain_seconds() + RESERVE_SECONDS > both[1]}
    assert not late


@pytest.mark.parametrize("name", ["fluent-bit", "article-fluent-bit", "fluentd", "article-fluentd", "vector",
                                  "opentelemetry-collector"])
def test_fluent_bit_does_not_read_what_prints_its_events(name):
    """The chart "fluent-bit" sets K8S-Logging.Exclude in its filter, as long as the values have no filters of their own."""
    pod, _ = husk_pod(name)
    assert pod["metadata"]["annotations"] == {"fluentbit.io/exclude": "true"}
    assert "filters" not in documents("fluent-bit")[0]["config"]


def test_the_operator_s_fluent_bit_does_not_read_the_logs_of_fluentd():
    excluded = spec_of("fluent-operator", "ClusterInput")["tail"]["excludePath"]
    for pod in ("fluentd-0", "fluent-bit-x7k2p"):
        assert fnmatch.fnmatch(f"/var/log/containers/{pod}_logging_{pod.rsplit('-', 1)[0]}-0123.log", excluded)


# ---- the command lines of husk -----------------------------------------------------------------------------


def arguments_of(name):
    if name == "docker-compose":
        return documents(name)[0]["services"]["husk"]["command"]
    if name == "ecs-firelens":
        (router,) = [each for each in documents(name)[0]["containerDefinitions"] if each["name"] == "log_router"]
        # The agents of the test use the port.
        return [word for word in router["command"] if not word.startswith("--listen=unix:")]
    return husk_pod(name)[1]["args"]


def credentials_of(arguments):
    (path,) = [word.split("=")[1] for word in arguments if word.startswith("--credentials=")]
    return path


@pytest.mark.parametrize("client, server", [
    ARTICLE,
    *[(name, "fluentd" if name == "fluent-bit" else "vector") for name in CLIENTS if name not in ARTICLE],
    *[("fluent-operator", name) for name in SERVERS if name not in ("fluentd", "vector", *ARTICLE)],
])
def test_husk_carries_a_message(client, server, secrets, husk_secrets, tmp_path):
    """The two command lines become live and ready with the Secrets of the README; a message and its ack go through."""
    made = secrets if server in ARTICLE else husk_secrets
    names = {"client": client, "server": server}

    def start(mode, **addresses):
        arguments = arguments_of(names[mode])
        files = write_secret(made[secret_of(names[mode], mode)], tmp_path / mode)
        if mode == "client" and client not in ARTICLE:
            # The certificate has the name of the Service.
            addresses["upstream"] += ",server-name=fluentd.logging.svc"
        return Running.of_pod(arguments, {credentials_of(arguments): files}, tmp_path / mode, **addresses)

    message = carry(start, agent_has_key=client in ARTICLE, aggregator_has_key=server in ARTICLE)
    assert message == STRIPPED


def test_the_certificates_of_the_readme_have_the_name_of_the_service():
    """The clients compare the server's certificate with the host of --upstream."""
    for name in set(CLIENTS) - set(ARTICLE) - {"docker-compose", "ecs-firelens"}:
        assert "--upstream=fluentd.logging.svc:24224" in arguments_of(name)
    assert "--server-name fluentd.logging.svc" in README.read_text()


def test_the_article_s_commands_make_the_secrets(pki, secrets):
    """Word for word, in the namespace of the context."""
    made = {}
    text = README.read_text().replace("\\\n", " ")
    for line in re.findall(r"^kubectl create secret generic .*$", text, re.MULTILINE):
        secret = yaml.safe_load(succeed(*shlex.split(line), "--dry-run=client", "--output=yaml", cwd=pki))
        made[secret["metadata"]["name"]] = secret["data"]
    assert made == secrets


# ---- Docker, ECS, and the Job that ends its sidecar --------------------------------------------------------


def test_docker_s_driver_sends_to_husk():
    services = documents("docker-compose")[0]["services"]
    husk = services.pop("husk")
    assert husk["network_mode"] == "host", "the driver runs in the daemon"
    for service in services.values():
        options = service["logging"]["options"]
        assert service["logging"]["driver"] == "fluentd" and "husk" in service["depends_on"]
        assert f"--listen={options['fluentd-address']}" in husk["command"]
        assert all(isinstance(value, str) for value in options.values()), "Docker takes texts"
    assert husk["read_only"] is True and husk["cap_drop"] == ["ALL"]


@pytest.mark.usefixtures("husk_secrets")
def test_the_ecs_task_writes_its_credentials(tmp_path, husk_top):
    """The command of the first container, with the values of the Secret, makes the files that husk reads."""
    containers = {each["name"]: each for each in documents("ecs-firelens")[0]["containerDefinitions"]}
    writer, router, program = containers["tls-files"], containers["log_router"], containers["checkout"]
    assert router["firelensConfiguration"] == {"type": "fluentbit"}
    assert "--listen=unix:/var/run/fluent.sock" in router["command"], "the socket of the log driver"
    assert program["logConfiguration"]["logDriver"] == "awsfirelens"
    assert router["dependsOn"] == [{"containerName": "tls-files", "condition": "SUCCESS"}]

    files = {name: (tmp_path / "made" / name) for name in ("ca.crt.pem", "client.crt.pem", "client.key.pem")}
    (tmp_path / "made").mkdir()
    variables = {"CA": "ca.crt.pem", "CERT": "client.crt.pem", "KEY": "client.key.pem"}
    assert {each["name"] for each in writer["secrets"]} == set(variables)
    (script,) = writer["command"]
    succeed(*writer["entryPoint"], script.replace("cd /tls", f"cd {tmp_path / 'made'}"),
            env={"PATH": "/usr/bin:/bin", **{name: (husk_top / "pki" / file).read_text() for name, file in variables.items()}})
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    checked = place(arguments_of("ecs-firelens"), {"/tls": tmp_path / "made"},
                    {"--listen": f"127.0.0.1:{raw.free_address()[1]}", "--admin": f"127.0.0.1:{raw.free_address()[1]}",
                     "--upstream": "127.0.0.1:24224"})
    succeed(HUSK, "check", *checked)


def test_the_job_s_program_ends_an_ordinary_husk(tmp_path, husk_secrets):
    """The command of the Job, in a PID namespace of its own, where husk is the only process of its name."""
    _, husk = husk_pod("job-ordinary")
    (program,) = [each for each in husk_pod("job-ordinary")[0]["spec"]["containers"] if each["name"] != "husk"]
    files, port = write_secret(husk_secrets["husk-client"], tmp_path), raw.free_address()[1]
    started = shlex.join([str(HUSK), *place(husk["args"], {"/etc/husk/tls": files}, {
        "--listen": f"127.0.0.1:{port}", "--admin": f"127.0.0.1:{raw.free_address()[1]}", "--upstream": "127.0.0.1:1"})])
    # The program connects to husk, again and again as husk starts, and then ends with status 7.
    connects = f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done; exit 7"
    ending = shlex.join([*program["command"], "bash", "-c", connects])
    script = f'{started} >{tmp_path / "log"} 2>&1 & husk=$!; {ending}; echo "program $?"; wait $husk; echo "husk $?"'
    done = succeed("unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "sh", "-c", script, timeout=60)
    assert done.splitlines()[-2:] == ["program 7", "husk 0"], done
