"""OpenSSL and Go judge the chains of tests/unit/test_verification.c. The table in docs/certificates.md has every
difference."""

import os
import pathlib
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HUSK", "build/husk")).parent
END = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    directory = tmp_path_factory.mktemp("chains")
    subprocess.run([BUILD / "unit/test_verification"], check=True, env={**os.environ, "HUSK_CHAINS": str(directory)},
                   capture_output=True, timeout=60)
    return directory


def cases(chains):
    return [line.split() for line in (chains / "cases").read_text().splitlines()]


def husk_verdicts(chains):
    return {name: "accepts" if reason == "none" else "refuses" for name, _, reason in cases(chains)}


def openssl_verdict(chains, name, server_name):
    """The first certificate is the one to verify, all of them may be intermediates."""
    leaf = chains / f"{name}.leaf"
    leaf.write_text((chains / f"{name}.chain").read_text().partition(END)[0] + END)
    kind = "-verify_ip" if server_name[0].isdigit() else "-verify_hostname"
    wanted = ["-purpose", "sslclient"] if server_name == "-" else ["-purpose", "sslserver", kind, server_name]
    done = subprocess.run(["openssl", "verify", *wanted, "-CAfile", chains / f"{name}.cas",
                           "-untrusted", chains / f"{name}.chain", leaf], capture_output=True, timeout=30)
    return "accepts" if done.returncode == 0 else "refuses"


def openssl_verdicts(chains):
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda case: openssl_verdict(chains, *case[:2]), cases(chains))
    return {case[0]: verdict for case, verdict in zip(cases(chains), found)}


def go_verdicts(chains):
    lines = subprocess.run([ROOT / "build/verify_go", chains], check=True, capture_output=True, text=True, timeout=60)
    return dict(line.split() for line in lines.stdout.splitlines())


def documented_differences():
    page = (ROOT / "docs/certificates.md").read_text()
    return {row[0]: row[1:] for row in re.findall(r"^\| `([\w-]+)` \| (\w+) \| (\w+) \| (\w+) \| .+ \|$", page, re.M)}


def test_every_difference_from_openssl_and_go_is_documented(chains):
    husk, openssl, go = husk_verdicts(chains), openssl_verdicts(chains), go_verdicts(chains)
    assert len(husk) >= 60 and husk.keys() == openssl.keys() == go.keys()
    found = {name: (husk[name], openssl[name], go[name]) for name in husk
             if not husk[name] == openssl[name] == go[name]}
    assert found == documented_differences()
