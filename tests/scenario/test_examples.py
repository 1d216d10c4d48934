"""The files of config/examples as they stand: each one does what it is for, and husk check and yamllint accept it."""

import contextlib
import functools
import re
import shutil
import socket
import subprocess

import pytest

from support import config_file, raw
from support.config_file import route
from support.forward import Agent, Aggregator, carry_acked, message
from support.husk import BINARY, LIGHT, ROOT, Husk, run
from support.pki import Certificate
from support.process import eventually
from support.tokens import PIN, Store
from support.workload_api import TrustDomain, WorkloadApi, answer

EXAMPLES = ROOT / "config/examples"
LISTENING = re.compile(r'(?<!admin )listening\b.*\baddress[":=]+([^\s"]+)')
LARGE = b"x" * 40000


class Example(Husk):
    """A running example. Its log is text or JSON."""

    def wait_for_listeners(self, count):
        self.wait_until(lambda _: len(self.addresses()) == count, f"{count} listeners")

    def addresses(self):
        return [raw.parse_address(found[1]) for found in map(LISTENING.search, self.lines) if found]

    @property
    def address(self):
        return self.addresses()[0]


class Site:
    """Starts examples on free ports, with the certificates that their comments name."""

    def __init__(self, pki, programs, directory):
        self._pki, self._programs, self._directory, self._files = pki, programs, directory, 0

    def start(self, name, warning=None, **variables):
        """Checks the example, and runs it. `warning`: words of the only finding of husk check."""
        path = EXAMPLES / f"{name}.yaml"
        env = {"ADMIN": f"{raw.HOST}:0", "LISTEN": f"{raw.HOST}:0", **variables}
        env = {variable: raw.format_address(value.address) if hasattr(value, "address") else str(value)
               for variable, value in env.items()}
        checked = run("check", "--config", path, env=env)
        findings = re.findall(r"^  (?:warning|problem) .*", checked.stdout, re.M)
        assert checked.returncode == 0 and not checked.stderr, checked
        assert not findings if warning is None else len(findings) == 1 and warning in findings[0], findings
        example = self._programs.add(Example("run", {"config": path}, env))
        example.wait_for_listeners(len(re.findall(r"\$\{(?:LISTEN|SOCKET):-", path.read_text())))
        return example

    @functools.cached_property
    def certificates(self):
        return self.init("certificates")

    def init(self, name):
        """The directory of `husk pki init`."""
        subprocess.run([BINARY, "pki", "init", self._directory / name], check=True, capture_output=True)
        return self._directory / name

    def secret(self, name, passphrase):
        """A directory with the files of a Secret: a certificate with its name in the CN only, and an encrypted key."""
        usage = {"client": "clientAuth", "server": "serverAuth"}[name]
        locked = self._pki.locked(self._pki.ca.issue(f"secret-{name}", name, usage), passphrase, "pkcs8")
        directory = self._directory / f"{name}-tls"
        directory.mkdir()
        for file, source in (("ca.crt.pem", self._pki.ca.cert), (f"{name}.crt.pem", locked.cert),
                             (f"{name}.key.pem", locked.key)):
            shutil.copy(source, directory / file)
        (directory / "server.key.passphrase").write_text(passphrase)
        (directory / "fluent.shared.key").write_text("shared1234")
        for file in directory.iterdir():
            file.chmod(0o600)
        return directory

    def plain(self, upstream, **settings):
        """The address of a husk without TLS, which authenticates as an agent or an aggregator does."""
        self._files += 1
        path = config_file.write(self._directory / f"{self._files}.yaml", route("peer", upstream, **settings))
        return self._programs.add(Husk("run", {"config": path})).address

    def path(self, name):
        return self._directory / name


@pytest.fixture
def site(pki, programs, tmp_path):
    return Site(pki, programs, tmp_path)


def carry(address, aggregator, tag="t"):
    """An agent gets the ack of an event, which has this tag at the aggregator."""
    before = len(aggregator.messages)
    carry_acked(Agent(raw.connect(address) if isinstance(address, (tuple, str)) else address), 1, "chunk")
    assert [one.value[0] for one in aggregator.messages[before:]] == [tag]


# ---- what each example is for ----

CASES = {}


def case(*names):
    """The function tests the examples of these names."""
    def add(function):
        CASES.update(dict.fromkeys(names, function))
        return function
    return add


@case("sidecar-agent", "sidecar-aggregator")
def sidecars(site):
    aggregator = Aggregator()
    server = site.start("sidecar-aggregator", UPSTREAM=aggregator, CERTS=site.certificates)
    client = site.start("sidecar-agent", UPSTREAM=server, CERTS=site.certificates)
    carry(client.address, aggregator)


@case("node-gateway")
def node_gateway(site):
    first, standby = Aggregator(), Aggregator()
    servers = [site.start("sidecar-aggregator", UPSTREAM=each, CERTS=site.certificates) for each in (first, standby)]
    gateway = site.start("node-gateway", UPSTREAM=servers[0], STANDBY=servers[1], SOCKET=site.path("agents"),
                         CERTS=site.certificates)
    port, socket = gateway.addresses()
    carry(port, first)
    carry(socket, first)
    assert not standby.messages
    servers[0].kill()
    carry(socket, standby)


@case("relay")
def relay(site):
    inner, outer, aggregator = site.init("inner"), site.init("outer"), Aggregator()
    server = site.start("sidecar-aggregator", UPSTREAM=aggregator, CERTS=outer)
    middle = site.start("relay", UPSTREAM=server, INNER=inner, OUTER=outer)

    def connect(domain):
        certificate = Certificate(f"{domain}/client.crt.pem", f"{domain}/client.key.pem")
        return raw.connect_tls(middle.address, f"{inner}/ca.crt.pem", certificate)
    carry(connect(inner), aggregator, tag="inner.t")
    connect(outer)
    middle.wait_for_line(lambda line: "reason=certificate_unknown_ca" in line, "that a client of the outer domain goes")


class Echo(raw.Server):
    """Sends back what it reads. A health probe sends nothing."""

    def serve(self, sock):
        with sock, contextlib.suppress(ConnectionError):
            while data := sock.recv(65536):
                sock.sendall(data)


@case("tunnel-near", "tunnel-far")
def tunnel(site):
    upstream = Echo()
    far = site.start("tunnel-far", UPSTREAM=upstream, CERTS=site.certificates)
    near = site.start("tunnel-near", UPSTREAM=far, CERTS=site.certificates)
    agent = raw.connect(near.address)
    raw.carry(agent, agent, b"\x00 no message of Forward \xff")
    agent.shutdown(socket.SHUT_WR)
    assert raw.read_to_end(agent) == b""


@case("fan-out")
def fan_out(site):
    first, second, standby = Aggregator(acks=False), Aggregator(acks=False), Aggregator()
    husk = site.start("fan-out", FIRST=first, SECOND=second, STANDBY=standby)
    agents = []

    def both_are_busy():
        agents.append(Agent(raw.connect(husk.address)))
        agents[-1].send(message("t", 1, {"n": len(agents), "pad": LARGE}, {"chunk": "chunk"}))
        return first.messages and second.messages
    eventually(both_are_busy, "both have messages")
    assert not standby.messages
    first.kill()
    second.kill()
    for agent in agents:
        agent.expect_ack("chunk")
    assert sorted(standby.numbers()) == list(range(1, len(agents) + 1))


@case("kubernetes-fluent-bit", "kubernetes-fluentd")
def kubernetes(site):
    aggregator = Aggregator()
    secrets = {"client": site.secret("client", "1111"), "server": site.secret("server", "1234")}
    key = {"shared_key_file": str(secrets["client"] / "fluent.shared.key")}
    fluentd = site.plain(aggregator, authentication={"self_hostname": "fluentd", "downstream": key})
    server = site.start("kubernetes-fluentd", UPSTREAM=raw.format_address(fluentd), CERTS=secrets["server"],
                        warning="subjectAltName")
    client = site.start("kubernetes-fluent-bit", UPSTREAM=server, CERTS=secrets["client"])
    carry(site.plain(client, authentication={"self_hostname": "fluent-bit", "upstream": key}), aggregator)


@case("spiffe-aggregator")
def spiffe(site):
    domain = TrustDomain(site.path("spiffe"), "example.org")
    agents = [WorkloadApi(site.path(name), answer(domain.svid(f"ns/logs/sa/{name}"))) for name in ("fluentd", "fluent-bit")]
    aggregator = Aggregator()
    server = site.start("spiffe-aggregator", UPSTREAM=aggregator, SPIFFE_ENDPOINT_SOCKET=agents[0].name)
    client = site.plain(server, tls={"upstream": {"spiffe_socket": agents[1].name}})
    carry(client, aggregator)


@case("token-aggregator")
def token(site):
    if LIGHT:
        pytest.skip("SoftHSM would find the functions of BoringSSL before those of OpenSSL (see support/tokens.py)")
    certificate = Certificate(f"{site.certificates}/server.crt.pem", f"{site.certificates}/server.key.pem")
    store = Store(site.path("")).open()
    store.add("logs", server=certificate)
    site.path("pin").write_text(f"{PIN}\n")
    site.path("pin").chmod(0o600)
    aggregator = Aggregator()
    server = site.start("token-aggregator", UPSTREAM=aggregator, CERT=certificate.cert, CA=f"{site.certificates}/ca.crt.pem",
                        PIN=site.path("pin"), SOFTHSM2_CONF=store.settings)
    client = site.start("sidecar-agent", UPSTREAM=server, CERTS=site.certificates)
    carry(client.address, aggregator)


# ---- all of them ----

PATHS = sorted(EXAMPLES.glob("*.yaml"))


def test_there_are_examples():
    assert len(PATHS) >= len(CASES) > 0


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_does_what_it_is_for(site, path):
    assert path.stem in CASES, "an example needs a test"
    CASES[path.stem](site)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_needs_no_variable(path):
    assert not re.findall(r"\$\{\w+\}", path.read_text())


def test_the_page_names_every_example():
    page = (ROOT / "docs/configuration.md").read_text()
    assert set(re.findall(r"\.\./config/examples/([\w-]+)\.yaml\)", page)) == {path.stem for path in PATHS}


def test_the_examples_are_tidy():
    rules = "{extends: default, rules: {line-length: {max: 120}}}"
    result = subprocess.run(["yamllint", "--strict", "-d", rules, EXAMPLES], text=True, capture_output=True)
    assert result.returncode == 0, result.stdout
