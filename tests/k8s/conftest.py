"""Fixtures of the Kubernetes tests: the rendered objects, the Secrets that the commands of README.md make, and the npm
packages that check them."""

import pathlib
import re
import shlex
import shutil

import pytest
import yaml

from support_k8s import README, REPOSITORY, run, succeed


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


@pytest.fixture(scope="session")
def checkers():
    """The directory with the npm packages of schema/package.json. They are installed once."""
    wanted = pathlib.Path(__file__).parent / "schema"
    here = REPOSITORY / "build/peers/k8s"
    stamp = here / "installed"
    inputs = succeed("node", "--version") + (wanted / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != inputs:
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(wanted / name, here)
        for attempt in range(3):
            done = run("npm", "ci", "--prefix", here, "--ignore-scripts", "--no-audit", "--no-fund",
                       "--no-update-notifier")
            if done.returncode == 0:
                break
        assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(inputs)
    return here
