"""Paths, functions that run commands, and the check of objects against their types."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
README = REPOSITORY / "k8s/README.md"
HUSK = REPOSITORY / os.environ.get("HUSK", "build/husk")


RESERVE_SECONDS = 5  # between the end of husk's drain and SIGKILL


def drain_seconds():
    """The default of drain.timeout."""
    return int(re.search(r"\| `drain.timeout` \|[^|]*\| `(\d+)s` \|", (REPOSITORY / "docs/configuration.md").read_text())[1])


def run(*command, **options):
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([str(word) for word in command], **options)


def succeed(*command, **options):
    done = run(*command, **options)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def alone(name):
    """Only one process at a time installs below build/peers."""
    here = REPOSITORY / "build/peers"
    here.mkdir(parents=True, exist_ok=True)
    with open(here / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield here / name


def fluentd_accepts(configuration, directory, **environment):
    """The real Fluentd reads this configuration, a text. `directory` gets a file."""
    peers = REPOSITORY / "build/peers"
    with alone("interop"):
        succeed(REPOSITORY / "tests/interop/install-peers", peers, timeout=600)
    (directory / "fluent.conf").write_text(configuration)
    gems = {"GEM_HOME": str(peers / "gems"), "GEM_PATH": f"{peers / 'gems'}:{succeed('gem', 'env', 'gempath').strip()}"}
    succeed(peers / "gems/bin/fluentd", "--dry-run", "-c", directory / "fluent.conf",
            env={**os.environ, **gems, **environment})


def chart_fluentd_accepts(file_configs, directory):
    """As above, for `fileConfigs` of the chart. The plugin for Prometheus is not installed here."""
    text = "\n".join(file_configs.values())
    text, removed = re.subn(r"<source>\s*@type prometheus.*?</source>", "", text, flags=re.DOTALL)
    assert removed == 1
    fluentd_accepts(text.replace("/var/log/fluent", str(directory)), directory, SHARED_KEY="shared1234")


@contextlib.contextmanager
def running_husk(log, *words, deadline_s=30):
    """Runs husk until the end of the block, and gives its admin address."""
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen([str(word) for word in (HUSK, *words)], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + deadline_s
        while not (found := re.search(r"admin listening address=(\S+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield found[1]
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        finally:
            process.kill()


# The npm packages with the types of custom resources. trust-manager has none: its types are here.
PACKAGES = {
    "cert-manager.io": "@kubernetes-models/cert-manager",
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
    "trust.cert-manager.io": "./trust-manager",
}


def schema_errors(checkers, objects):
    """Writes each object as a literal of its Kubernetes type. The compiler refuses unknown fields and wrong types."""
    lines = []
    for number, each in enumerate(objects):
        package = PACKAGES.get(each["apiVersion"].rpartition("/")[0], "kubernetes-models")
        path = f"{package}/{each['apiVersion']}/{each['kind']}"
        lines.append(f'import type {{ I{each["kind"]} as T{number} }} from "{path}";')
        lines.append(f"export const object{number}: T{number} = {json.dumps(each)};")
    with tempfile.TemporaryDirectory(dir=checkers) as directory:
        shutil.copytree(pathlib.Path(__file__).parent / "schema/trust-manager", pathlib.Path(directory) / "trust-manager")
        (pathlib.Path(directory) / "objects.ts").write_text("\n".join(lines) + "\n")
        done = run("node", checkers / "node_modules/typescript/bin/tsc", "--strict", "--noEmit", "--skipLibCheck",
                   "--pretty", "false", "--target", "es2022", "--module", "preserve", "--moduleResolution", "bundler",
                   "objects.ts", cwd=directory)
    errors = [line for line in done.stdout.splitlines() if "error TS" in line]
    assert bool(errors) == (done.returncode != 0), done.stdout + done.stderr
    return errors
