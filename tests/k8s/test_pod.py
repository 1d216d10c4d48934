"""The manifests of k8s/ as Pods: processes in namespaces, which an emulated kubelet starts, probes and stops.

docs/kubernetes.md says what is emulated. Agents and aggregators are programs of the tests; husk runs in its image."""

import base64
import contextlib
import copy
import functools
import json
import pathlib
import re
import signal
import socket
import ssl
import threading
import time

import pytest
import yaml

from support import raw
from support.forward import event, message
from support.lifetime import short_lived
from support.pki import Authority, expired
from support.timing import expect_within, in_time
from support_helm import readme_blocks
from support_k8s import HUSK, REPOSITORY, succeed
from support_kubelet import Pod
from support_node import Image, Node
from support_pods import be_agent

DOCKERFILE = REPOSITORY / "k8s/image/Dockerfile"
PYTHON = "#!/bin/sh\nexport PYTHONPATH=/tests:/tests/k8s PYTHONDONTWRITEBYTECODE=1\n"
AGENT, AGGREGATOR = (f"{PYTHON}exec /usr/bin/python3 /tests/k8s/programs/{name}.py" for name in ("agent", "aggregator"))
LAST = range(1_000_001, 1_000_301)  # what the agent of programs/agent.py sends in its last moments
MIB = 1 << 20
ENDS_SOON_SECONDS = 20  # about 5 are usual, and --drain-timeout is 30


# ---- images and certificates ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """husk's own image, and the images of the manifests with programs of the tests."""
    root = tmp_path_factory.mktemp("image") / "root"
    succeed(REPOSITORY / "k8s/image/rootfs.sh", HUSK, root)
    text = DOCKERFILE.read_text()
    command = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1])
    user = int(re.search(r"^USER (\d+)", text, re.MULTILINE)[1])
    husk = Image(root, command=command, user=user)
    report = {"/app/report": f"{AGENT} --job\n", "/bin/husk": HUSK}
    return {
        "husk:0.1.0": husk,
        "registry.example/team/husk:0.1.0": husk,
        "registry.example/team/checkout:1.0.0": Image(
            programs={"/app": f"#!/bin/sh\n[ \"$1\" = migrate ] && exit\n{AGENT} \"$@\"\n"}, command=["/app"], user=1000),
        "registry.example/team/report:1.0.0": Image(programs=report),
        "docker.io/library/fluentd:v1.19.3-debian-1.0": Image(
            programs={"/bin/entrypoint.sh": f"{AGGREGATOR}\n", "/bin/tini": "#!/bin/sh\nshift\nexec \"$@\"\n"},
            command=["/bin/entrypoint.sh"], user=999),
        "cr.fluentbit.io/fluent/fluent-bit:5.1.2": Image(
            programs={"/fluent-bit/bin/fluent-bit": f"{PYTHON}exec /usr/bin/python3 -m http.server 2020 --directory /www\n",
                      "/www/api/v1/health": "ok"}),
    }


def manifest(kind, namespace, name, data):
    """A Secret or ConfigMap. `data`: key → bytes or text."""
    if kind == "Secret":
        data = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"kind": kind, "metadata": {"namespace": namespace, "name": name}, "data": data}


class Certificates:
    """Two certificates of each side, expired ones, and Secrets of them as cert-manager makes them."""

    def __init__(self, directory):
        self.authority = Authority(directory)
        names = "DNS:fluentd.logging.svc,DNS:logs-husk.logging.svc"
        issue = self.authority.issue
        self.server, self.next_server = (issue(each, "server", "serverAuth", names) for each in ("server", "next"))
        self.client, self.next_client = (issue(each, "client", "clientAuth", "DNS:client") for each in ("client", "later"))
        self.stranger = issue("stranger", "stranger", "clientAuth", "DNS:stranger")
        self.expired_client = issue("old", "client", "clientAuth", "DNS:client", validity=expired())

    def secret(self, namespace, name, certificate):
        files = {"tls.crt": certificate.cert, "tls.key": certificate.key, "ca.crt": self.authority.cert}
        return manifest("Secret", namespace, name, {key: pathlib.Path(path).read_bytes() for key, path in files.items()})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates") / "ca")


@pytest.fixture(name="rendered", scope="module")
def _rendered(kustomize):
    """The objects of a directory, rendered once."""
    return functools.cache(kustomize)


# ---- the cluster ------------------------------------------------------------------------------------------


def template_of(objects, kind, name):
    """The Pod template of a workload; a StatefulSet gives its Pod a claim for each template."""
    (workload,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    template = copy.deepcopy(workload["spec"]["template"])
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        claimed = claim["metadata"]["name"]
        template["spec"]["volumes"].append({"name": claimed, "persistentVolumeClaim": {"claimName": f"{claimed}-{name}-0"}})
    return template


class Cluster:
    """Pods of the examples of k8s/components: an application beside husk client, and Fluentd beside husk server."""

    def __init__(self, node, rendered, certificates):
        self.node, self.certificates = node, certificates
        self.client, self.server = (rendered(f"k8s/components/example-{mode}") for mode in ("client", "server"))
        node.apply(*(each for each in [*self.client, *self.server] if each["kind"] == "ConfigMap"),
                   manifest("ConfigMap", "logging", "fluentd", {"fluent.conf": ""}),
                   certificates.secret("logging", "husk-server", certificates.server),
                   certificates.secret("shop", "husk-client", certificates.client),
                   certificates.secret("logging", "husk-client", certificates.client))

    def pod(self, name, template, namespace="logging"):
        return Pod(self.node, name, template, namespace)

    def start_server(self, name="fluentd-0"):
        pod = self.pod(name, template_of(self.server, "StatefulSet", "fluentd"))
        self.node.service("fluentd-headless.logging.svc", pod)
        self.node.service("fluentd.logging.svc", pod)
        return pod

    def client_template(self):
        return template_of(self.client, "Deployment", "checkout")

    def start_client(self, template=None):
        return self.pod("checkout", template or self.client_template(), "shop")

    def start_job(self, name, change=lambda spec: None):
        """A Job of k8s/drop-ins. `change` changes its Pod."""
        job = yaml.safe_load((REPOSITORY / f"k8s/drop-ins/{name}.yaml").read_text())
        template = job["spec"]["template"]
        change(template["spec"])
        return self.pod(name, template)


def make_node(directory, images):
    try:
        return Node(directory, dict(images))
    except PermissionError as refused:
        pytest.skip(f"needs root that may make namespaces: {refused}")


@pytest.fixture
def node(tmp_path, images):
    node = make_node(tmp_path, images)
    yield node
    node.close()


@pytest.fixture
def cluster(node, rendered, certificates):
    return Cluster(node, rendered, certificates)


def stored_by(*pods):
    """The numbers of the events that Fluentd of these Pods has stored, with repetitions."""
    return [number for pod in pods for line in pod.container("fluentd").lines() for number in line["stored"]]


def acked_by(pod, name="checkout"):
    return {number for line in pod.container(name).lines() for number in line.get("acked", [])}


def wait_until_stored(numbers, *pods):
    pods[-1].wait_until(lambda: set(numbers) <= set(stored_by(*pods)), f"{len(set(numbers))} events are stored")


def ready_answer(pod):
    """The status and the text of husk's /ready. In the Pod of an application, no probe asks for it."""
    return pod.get(9901, "/ready")


def wait_until_upstream_works(client):
    client.wait_until(lambda: ready_answer(client)[0] == 200, "the upstream works")


def in_order(pod, *notes):
    """The Pod has these notes in this order."""
    places = [pod.notes.index(note) for note in notes]
    return places == sorted(places)


# ---- start ------------------------------------------------------------------------------------------------


def test_the_agent_starts_after_the_startup_of_husk(cluster):
    """Without an upstream: husk starts, and so does the application. The Pod is ready, because a logging outage must not take
    the application out of its Services."""
    client = cluster.start_client()
    client.wait_for("checkout started")
    assert in_order(client, "husk started", "husk passed startup", "migrate started", "migrate ended", "checkout started")
    client.container("checkout").wait_for_line(message="connected")  # at the first attempt
    husk = client.container("husk")
    client.wait_until(lambda: "cannot resolve fluentd-headless.logging.svc" in ready_answer(client)[1], "the reason")
    client.wait_until_ready()
    server = cluster.start_server()
    server.wait_until_ready()
    wait_until_upstream_works(client)
    client.wait_until(lambda: acked_by(client), "events are acknowledged")
    assert not husk.statuses and not client.container("checkout").statuses


def test_a_missing_certificate_keeps_the_agent_from_starting(cluster):
    """No Secret: no container starts. A Secret without a certificate, or with one that has ended: husk says why it cannot
    start, and the Pod stays in Init. The right Secret mends this without a change of the Pod."""
    right = cluster.certificates.secret("shop", "husk-tls", cluster.certificates.client)
    wrong = copy.deepcopy(right)
    del wrong["data"]["tls.crt"]
    template = cluster.client_template()
    (volume,) = [each for each in template["spec"]["volumes"] if "secret" in each]
    volume["secret"]["secretName"] = "husk-tls"
    client = cluster.start_client(template)
    client.wait_until(lambda: client.waits_for, "the Pod waits for its Secret")
    assert not client.notes and "husk-tls" in client.waits_for
    cluster.node.apply(wrong)
    husk = client.container("husk")
    client.wait_until(lambda: len(husk.statuses) >= 2, "husk ends, and starts again")
    assert set(husk.statuses) == {1} or set(husk.statuses) == {2}
    assert "cannot start" in husk.log() and "/etc/husk/tls" in husk.log()
    cluster.node.apply(cluster.certificates.secret("shop", "husk-tls", cluster.certificates.expired_client))
    client.wait_until(lambda: "expired" in husk.log(), "husk ends for the certificate that has ended")
    assert "checkout started" not in client.notes and "migrate started" not in client.notes
    cluster.node.apply(right)
    client.wait_for("checkout started")
    assert in_order(client, "husk passed startup", "checkout started")


# ---- readiness --------------------------------------------------------------------------------------------


def test_ready_says_the_reason(cluster):
    """An expired certificate, an upstream that refuses the certificate, and an upstream that is away. The Pod of the
    application stays ready."""
    server = cluster.start_server()
    server.wait_until_ready()
    made = cluster.certificates
    client = cluster.start_client()
    client.wait_for("checkout started")
    wait_until_upstream_works(client)
    husk = client.container("husk")

    def use(certificate):
        cluster.node.apply(made.secret("shop", "husk-client", certificate))

    def expect(reason):
        client.wait_until(lambda: ready_answer(client)[0] == 503 and reason in ready_answer(client)[1], reason)
        assert client.is_ready and client.get(9901, "/live")[0] == 200

    use(made.expired_client)  # refused: the one in use is better
    client.wait_until(lambda: "reload failed, the credentials in use are kept" in husk.log(), "the reload fails")
    assert ready_answer(client)[0] == 200
    certificate, _ = short_lived(made.authority, "short", "clientAuth", 3)
    use(certificate)
    expect("certificate: the own certificate has expired")
    use(made.client)
    wait_until_upstream_works(client)
    server.delete(grace_seconds=0)
    expect("upstream: ")
    assert not husk.statuses


# ---- end --------------------------------------------------------------------------------------------------


def stand_still_until_drain(server, husk):
    """The aggregator takes nothing until husk drains, and what the agent has sent is still in husk then."""
    husk.wait_for_line(message="draining")
    server.container("fluentd").signal(signal.SIGCONT)


def test_a_native_sidecar_delivers_the_last_events_of_the_agent(cluster):
    """SIGTERM reaches husk after the agent has ended. The events that the agent sends at its end, without waiting for
    acks, are delivered."""
    server = cluster.start_server()
    template = cluster.client_template()
    template["spec"]["containers"][0]["args"] = ["--quiet"]
    client = cluster.start_client(template)
    client.container("checkout").wait_for_line(message="connected")
    server.wait_until_ready()
    wait_until_upstream_works(client)
    server.container("fluentd").signal(signal.SIGSTOP)
    deleting = threading.Thread(target=client.delete)
    deleting.start()
    stand_still_until_drain(server, client.container("husk"))
    deleting.join()
    assert in_order(client, "checkout SIGTERM", "checkout ended", "husk SIGTERM", "husk ended")
    assert client.container("checkout").statuses == [0] and client.container("husk").statuses == [0]
    assert "husk SIGKILL" not in client.notes
    assert sorted(stored_by(server)) == [*LAST]


def test_the_aggregator_ends_before_its_husk(cluster, rendered, secrets):
    """k8s/base, with the Secrets of the article. The Pod of the agent is not ready without an upstream, so a rollout waits.
    While preStop runs, messages still reach the aggregator."""
    base = rendered("k8s/base")
    cluster.node.apply(*(each for each in base if each["kind"] == "ConfigMap"),
                       *({"kind": "Secret", "metadata": {"namespace": "logging", "name": name}, "data": data}
                         for name, data in secrets.items()))
    client = cluster.pod("fluent-bit", template_of(base, "DaemonSet", "fluent-bit"))
    husk = client.container("husk")
    client.wait_until(lambda: "cannot resolve fluentd.logging.svc" in (husk.last_answer or ""), "the reason")
    assert not client.is_ready
    server = cluster.pod("fluentd-0", template_of(base, "StatefulSet", "fluentd"))
    cluster.node.service("fluentd.logging.svc", server)
    for pod in (server, client):
        pod.wait_until_ready()

    def carry(number):
        with client.network.entered(), raw.connect(("127.0.0.1", 24224)) as agent:
            be_agent(agent, ["kube.test", [[1700000000, {"n": number}]], {"chunk": str(number)}], True)

    carry(1)
    deleting = threading.Thread(target=server.delete)
    deleting.start()
    server.wait_for("fluentd runs preStop")
    carry(2)
    deleting.join()
    assert in_order(server, "fluentd runs preStop", "fluentd SIGTERM", "fluentd ended", "husk SIGTERM", "husk ended")
    assert server.container("husk").statuses == [0] and stored_by(server) == [1, 2]


def test_under_traffic_an_aggregator_pod_ends_soon(cluster):
    """Fluentd has ended, and husk client still sends. It goes on with the other Pod."""
    servers = [cluster.start_server(f"fluentd-{number}") for number in range(2)]
    for name in ("fluentd-headless.logging.svc", "fluentd.logging.svc"):
        cluster.node.service(name, *servers)
    for server in servers:
        server.wait_until_ready()
    client = cluster.start_client()
    client.wait_until(lambda: acked_by(client) and stored_by(*servers), "events are acknowledged")
    servers.sort(key=lambda server: not stored_by(server))
    (ending, other) = servers
    deleting = threading.Thread(target=ending.delete)
    deleting.start()
    ending.wait_for("husk SIGTERM")
    started = time.monotonic()
    ending.wait_for("husk ended")
    assert time.monotonic() - started < ENDS_SOON_SECONDS
    deleting.join()
    assert ending.container("husk").statuses == [0]
    count = len(acked_by(client))
    client.wait_until(lambda: len(acked_by(client)) > count and stored_by(other), "the other Pod stores events")
    assert acked_by(client) <= set(stored_by(*servers))


def test_an_ordinary_sidecar_delivers_the_last_events_of_the_agent(cluster, helm):
    """The sidecar of the chart with native: false. SIGTERM reaches husk and the agent at the same time."""
    server = cluster.start_server()
    (block,) = readme_blocks("yaml", "sidecar:")
    (pod,) = readme_blocks("text", "spec:")
    assert pod.count("initContainers:") == 1
    sidecar = {**yaml.safe_load(block)["sidecar"], "native": False}
    pod = pod.replace("      containers:\n", "").replace("initContainers:", "containers:")
    objects = helm.objects(chart=helm.depend("agent", pod), values={"sidecar": sidecar})
    template = template_of(list(objects.values()), "DaemonSet", "agent")
    (husk, agent) = template["spec"]["containers"]
    cluster.node.images[husk["image"]] = cluster.node.images["husk:0.1.0"]
    agent["image"] = "registry.example/team/checkout:1.0.0"
    cluster.node.apply(cluster.certificates.secret("logging", "fluent-bit-tls", cluster.certificates.client))
    cluster.node.service("logs-husk-headless.logging.svc", server)
    client = cluster.pod("agent", template)
    client.wait_until(lambda: acked_by(client, agent["name"]), "events are acknowledged")
    client.delete()
    assert client.notes.index("husk SIGTERM") < client.notes.index(f"{agent['name']} ended")
    assert [each.statuses[-1] for each in client.containers] == [0, 0]
    wait_until_stored([*LAST, *acked_by(client, agent["name"])], server)


def test_the_end_of_the_grace_period_loses_nothing_that_is_acked(cluster):
    """The aggregator stands still. husk cannot deliver what it has, and is killed when the grace period is over."""
    server = cluster.start_server()
    client = cluster.start_client()
    client.wait_until(lambda: acked_by(client), "events are acknowledged")
    server.container("fluentd").signal(signal.SIGSTOP)
    client.delete(grace_seconds=1)
    assert in_order(client, "checkout SIGTERM", "checkout SIGKILL", "checkout ended",
                    "husk SIGTERM", "husk SIGKILL", "husk ended")
    assert client.container("checkout").statuses == [137] and client.container("husk").statuses == [137]
    acked = acked_by(client)
    server.container("fluentd").signal(signal.SIGCONT)
    wait_until_stored(acked, server)


def test_an_aggregator_that_is_killed_loses_nothing_that_is_acked(cluster):
    """The Pod of the aggregator is replaced under load. The agent stays connected."""
    server = cluster.start_server()
    client = cluster.start_client()
    client.wait_until(lambda: acked_by(client), "events are acknowledged")
    server.delete(grace_seconds=0)
    before = acked_by(client)
    replaced = cluster.start_server("fluentd-1")
    client.wait_until(lambda: len(acked_by(client)) > len(before) + 100, "events are acknowledged again")
    client.delete()
    (ended,) = client.container("checkout").lines(message="ended")
    assert ended["ends"] == 0
    wait_until_stored([*range(1, ended["events"] + 1), *LAST], server, replaced)


def test_draining_husk_says_so(cluster):
    server = cluster.start_server()
    server.wait_until_ready()
    client = cluster.start_client()
    client.wait_for("checkout started")
    wait_until_upstream_works(client)
    husk = client.container("husk")
    husk.end_supervision()
    husk.signal(signal.SIGTERM)
    client.wait_until(lambda: "draining: husk is stopping" in ready_answer(client)[1], "the reason")
    assert client.container("checkout").is_running()


# ---- changed Secrets and ConfigMaps -----------------------------------------------------------------------


def shown_certificate(cluster, server):
    """The certificate of husk server, as a peer on the node sees it."""
    made = cluster.certificates
    context = raw.tls_context(False, made.authority.cert, made.client)
    context.check_hostname = False
    with cluster.node.network.entered(), raw.connect((server.address, 24224)) as sock, context.wrap_socket(sock) as peer:
        return peer.getpeercert(binary_form=True)


@in_time
def test_swapped_secrets_and_settings_cut_nothing(tmp_path_factory, images, rendered, certificates):
    """The kubelet replaces the Secrets of both Pods and the ConfigMap of the client under load. New connections use the new
    certificate within a second."""
    node = make_node(tmp_path_factory.mktemp("node"), images)
    try:
        cluster = Cluster(node, rendered, certificates)
        server, client = cluster.start_server(), cluster.start_client()
        husk = client.container("husk")
        client.wait_until(lambda: acked_by(client), "events are acknowledged")
        (settings,) = [each for each in cluster.client if each["kind"] == "ConfigMap"]
        took = []
        for number, pair in enumerate([("next_server", "next_client"), ("server", "client")] * 2):
            sent = len(acked_by(client))
            certificate = getattr(certificates, pair[0])
            expected = ssl.PEM_cert_to_DER_cert(pathlib.Path(certificate.cert).read_text())
            started = time.monotonic()
            node.apply(certificates.secret("logging", "husk-server", certificate),
                       certificates.secret("shop", "husk-client", getattr(certificates, pair[1])))
            server.wait_until(lambda: shown_certificate(cluster, server) == expected, "the new certificate is shown")
            took.append(time.monotonic() - started)
            changed = copy.deepcopy(settings)
            changed["data"]["husk.yaml"] += f"    delivery:\n      ack_timeout: {100 + number}s\n"
            node.apply(changed)
            client.wait_until(lambda: len(husk.lines(message="configuration reloaded", changed=1)) == number + 1, "a reload")
            client.wait_until(lambda: len(acked_by(client)) > sent, "events are acknowledged")
        client.delete()
        (ended,) = client.container("checkout").lines(message="ended")
        assert ended["ends"] == 0
        wait_until_stored([*range(1, ended["events"] + 1), *LAST], server)
        assert len(stored_by(server)) == ended["events"] + len(LAST), "an event came twice"
        for pod in (server, client):
            assert not [line for line in pod.container("husk").lines() if "reload failed" in line["message"]]
        expect_within(1, max(took))
    finally:
        node.close()


# ---- Jobs -------------------------------------------------------------------------------------------------


CURL = ("/usr/bin/python3 -c 'import urllib.request; print(urllib.request.urlopen(urllib.request.Request("
        "\"http://127.0.0.1:9901/quit\", method=\"POST\")).read())'")


def quits_with(command):
    """A change of the Job with an ordinary sidecar: another program ends husk."""
    def change(spec):
        husk, report = spec["containers"]
        del spec["shareProcessNamespace"]
        husk["args"].append("--admin-quit")
        report["command"], report["args"] = ["sh", "-c", f"/app/report && {command}"], []
    return change


@pytest.mark.parametrize("name, change", [
    pytest.param("job-native", lambda spec: None, id="native"),
    pytest.param("job-ordinary", lambda spec: None, id="ordinary"),
    pytest.param("job-ordinary", quits_with(CURL), id="post-quit"),
    pytest.param("job-ordinary", quits_with("husk quit"), id="husk-quit"),
])
def test_a_job_completes_and_its_events_are_delivered(cluster, name, change):
    """The program sends its events without waiting for acks, and ends. It may start before an ordinary sidecar listens."""
    server = cluster.start_server()
    server.wait_until_ready()
    server.container("fluentd").signal(signal.SIGSTOP)
    job = cluster.start_job(name, change)
    stand_still_until_drain(server, job.container("husk"))
    job.wait_until(lambda: job.phase != "Running", "the Job ends")
    assert job.phase == "Succeeded", job.logs()
    assert job.container("husk").statuses == [0]
    assert set(stored_by(server)) == set(LAST)


# ---- probes that run a command, memory --------------------------------------------------------------------


def test_probes_can_run_husk_healthcheck(cluster):
    """For an admin port on loopback, which the kubelet does not reach."""
    template = cluster.client_template()
    (husk, _) = template["spec"]["initContainers"]
    husk["readinessProbe"] = copy.deepcopy(husk["livenessProbe"])
    for name, asked in (("startupProbe", "startup"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
        del husk[name]["httpGet"]
        husk[name]["exec"] = {"command": ["husk", "healthcheck", f"--probe={asked}"]}
    (settings,) = copy.deepcopy([each for each in cluster.client if each["kind"] == "ConfigMap"])
    settings["data"]["husk.yaml"] = settings["data"]["husk.yaml"].replace("0.0.0.0:9901", "127.0.0.1:9901")
    cluster.node.apply(settings)
    client = cluster.start_client(template)
    client.wait_for("checkout started")
    husk = client.container("husk")
    client.wait_until(lambda: "upstream: cannot resolve" in (husk.last_answer or ""), "the reason")
    assert not client.is_ready
    with pytest.raises(ConnectionRefusedError):
        client.get(9901, "/live")
    cluster.start_server()
    client.wait_until_ready()
    assert husk.last_answer.startswith("ready")


class Flood:
    """Agents on the loopback of a Pod, which send as much as husk takes."""

    QUIET_SECONDS = 1.0  # without a byte that husk takes

    def __init__(self, pod, agents, size):
        data = event(0) + message("flood", 1, {"n": 0, "text": "x" * size})
        with pod.network.entered():
            self._agents = [raw.connect(("127.0.0.1", 24224)) for _ in range(agents)]
        for agent in self._agents:
            agent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
            agent.setblocking(False)
        self._data, self._left = data, [data] * agents

    def send_until_quiet(self):
        moved = time.monotonic()
        while time.monotonic() < moved + self.QUIET_SECONDS:
            for number, agent in enumerate(self._agents):
                with contextlib.suppress(BlockingIOError):
                    sent = agent.send(self._left[number])
                    self._left[number] = self._left[number][sent:] or self._data
                    moved = time.monotonic()
            time.sleep(0.01)

    def close(self):
        for agent in self._agents:
            agent.close()


def test_a_flood_stays_within_the_memory_limit(cluster):
    """Many agents send to an aggregator that does not read. Both husks live on, within the limit of the manifest."""
    server, client = cluster.start_server(), cluster.start_client()
    client.wait_until(lambda: acked_by(client), "events are acknowledged")
    server.container("fluentd").signal(signal.SIGSTOP)
    flood = Flood(client, 500, 64 << 10)
    flood.send_until_quiet()
    for pod in (server, client):
        husk = pod.container("husk")
        assert husk.memory_limit == 64 * MIB
        assert husk.peak_resident_bytes() < husk.memory_limit
        assert husk.memory_group_peak() is None or husk.memory_group_peak() < husk.memory_limit
        assert pod.get(9901, "/live")[0] == 200 and not husk.statuses
    flood.close()


# ---- the kubelet itself -----------------------------------------------------------------------------------


def test_an_unknown_field_is_refused(cluster):
    for change in (lambda spec: spec.update(hostNetwork=True),
                   lambda spec: spec["containers"][0].update(tty=True),
                   lambda spec: spec["initContainers"][0]["livenessProbe"].update(initialDelaySeconds=1)):
        template = cluster.client_template()
        change(template["spec"])
        with pytest.raises(AssertionError, match="the emulated kubelet does not know"):
            cluster.start_client(template)
