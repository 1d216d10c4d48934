"""Fixtures of the Kubernetes tests: the rendered objects, the Secrets that the commands of README.md make, and the npm
packages that check them."""

import json
import pathlib
import re
import shlex
import shutil

import pytest
import yaml

from support_helm import Helm
from support_k8s import HUSK, README, REPOSITORY, alone, run, succeed
from support_pods import common_of

SCHEMA = pathlib.Path(__file__).parent / "schema"


@pytest.fixture(scope="session")
def objects():
    """The objects that `kubectl apply -k k8s/base` would send, by (kind, name)."""
    rendered = list(yaml.safe_load_all(succeed("kubectl", "kustomize", REPOSITORY / "k8s/base")))
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in rendered}
    assert len(by_name) == len(rendered)
    return by_name


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """The files of the article: RSA, keys encrypted with two passphrases, names only in the CN."""
    top = tmp_path_factory.mktemp("pki")
    for directory in ("certs", "private"):
        (top / directory).mkdir()
    (top / "server.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    (top / "client.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth,emailProtection\n")
    dn = "/C=US/ST=CA/O=Your company name/CN="
    succeed("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", dn + "ca",
            "-keyout", "private/ca.key.pem", "-out", "certs/ca.crt.pem", cwd=top)
    for name, passphrase in (("server", "1234"), ("client", "1111")):
        succeed("openssl", "genrsa", "-aes256", "-passout", "pass:" + passphrase,
                "-out", f"private/{name}.key.pem", "2048", cwd=top)
        succeed("openssl", "req", "-new", "-key", f"private/{name}.key.pem", "-passin", "pass:" + passphrase,
                "-subj", dn + name, "-out", f"{name}.csr", cwd=top)
        succeed("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "certs/ca.crt.pem",
                "-CAkey", "private/ca.key.pem", "-set_serial", "4096", "-days", "2", "-sha256",
                "-extfile", f"{name}.ext", "-out", f"certs/{name}.crt.pem", cwd=top)
    return top


@pytest.fixture(scope="session")
def secrets(pki):
    """The Secrets that the commands of README.md make from these files: name → {key: base64}."""
    made = {}
    text = README.read_text().replace("\\\n", " ")
    for line in re.findall(r"^kubectl .*create secret generic .*$", text, re.MULTILINE):
        secret = yaml.safe_load(succeed(*shlex.split(line), "--dry-run=client", "--output=yaml", cwd=pki))
        assert secret["metadata"]["namespace"] == "logging"
        made[secret["metadata"]["name"]] = secret["data"]
    return made


def install(here, inputs, *command, files=()):
    """Runs the installer for the folder `here`, which has only the files, unless the same inputs are already installed
    there. A registry can be busy: three attempts."""
    stamp = here / "installed"
    if stamp.exists() and stamp.read_text() == inputs:
        return
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    for each in files:
        shutil.copy(each, here)
    for _ in range(3):
        done = run(*command, timeout=600)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    stamp.write_text(inputs)


@pytest.fixture(scope="session")
def checkers():
    """The directory with the npm packages of schema/package.json. They are installed once."""
    with alone("k8s") as here:
        install(here, succeed("node", "--version") + (SCHEMA / "package-lock.json").read_text(),
                "npm", "ci", "--prefix", here, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
                files=[SCHEMA / "package.json", SCHEMA / "package-lock.json"])
    return here


@pytest.fixture(scope="session")
def kustomize():
    """The objects of a directory, as `kubectl kustomize` renders it. Debian 12 has a kubectl that knows no components
    (before 1.21): a newer one is then installed once."""
    version = json.loads(succeed("kubectl", "version", "--client", "--output=json"))["clientVersion"]
    kubectl = "kubectl"
    if int(re.match(r"\d+", version["minor"])[0]) < 21:
        gem = "kubectl-rb:0.2.1"
        with alone("kubectl") as gems:
            install(gems, succeed("ruby", "--version") + gem,
                    "gem", "install", "--quiet", "--no-document", "--install-dir", gems, gem)
        (kubectl,) = gems.glob("gems/kubectl-rb-*/vendor/kubectl")
    return lambda directory: list(yaml.safe_load_all(succeed(kubectl, "kustomize", REPOSITORY / directory)))


@pytest.fixture(scope="session")
def husk_top(tmp_path_factory):
    """Where the commands of k8s/drop-ins/README.md make `pki`."""
    return tmp_path_factory.mktemp("husk-pki")


@pytest.fixture(scope="session")
def husk_secrets(husk_top):
    """The Secrets that the commands of k8s/drop-ins/README.md make with husk pki: name → {key: base64}."""
    text = (REPOSITORY / "k8s/drop-ins/README.md").read_text().replace("\\\n", " ")
    made = {}
    for line in re.findall(r"^husk pki .*$", text, re.MULTILINE):
        command, *_ = line.split("|")
        printed = succeed(HUSK, *shlex.split(command)[1:], cwd=husk_top)
        if " secret " in command:
            secret = yaml.safe_load(printed)
            made[secret["metadata"]["name"]] = secret["data"]
    return made


@pytest.fixture(scope="session")
def sidecar(objects):
    """The fields that every husk in a Pod has in common, as k8s/base has them."""
    (husk,) = objects["DaemonSet", "fluent-bit"]["spec"]["template"]["spec"]["initContainers"]
    return common_of(husk)


@pytest.fixture(scope="session")
def parameters():
    """The ConfigMaps of k8s/injection, by mode."""
    return {mode: yaml.safe_load((REPOSITORY / f"k8s/injection/parameters-{mode}.yaml").read_text())
            for mode in ("client", "server")}


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    """The real Helm, from RubyGems. It is installed once."""
    gem = "helm-rb:0.3.0"
    with alone("helm") as here:
        install(here, succeed("ruby", "--version") + gem,
                "gem", "install", "--quiet", "--no-document", "--install-dir", here, gem)
    (program,) = here.glob("gems/helm-rb-*/vendor/helm")
    return Helm(program, tmp_path_factory.mktemp("helm"))
