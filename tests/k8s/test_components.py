"""k8s/components: kustomize adds husk to the workloads that ask for it, and to no other."""

import pathlib

import pytest
import yaml

from support_k8s import REPOSITORY, schema_errors
from support_pods import STRIPPED, Running, carry, common_of, husks_in, place_file, unready, write_secret

COMPONENTS = REPOSITORY / "k8s/components"
GOLDEN = pathlib.Path(__file__).parent / "golden"
MODES = ("client", "server")


def workload(objects):
    """The only workload with husk, and husk."""
    (found,) = [each for each in objects if list(husks_in(each))]
    (husk,) = husks_in(found)
    return found, husk


@pytest.mark.parametrize("mode", MODES)
def test_the_example_is_rendered_as_before(kustomize, mode):
    """After a change: kubectl kustomize k8s/components/example-MODE >tests/k8s/golden/example-MODE.yaml"""
    golden = list(yaml.safe_load_all((GOLDEN / f"example-{mode}.yaml").read_text()))
    assert kustomize(f"k8s/components/example-{mode}") == golden


@pytest.mark.parametrize("mode", MODES)
def test_the_example_matches_the_schema(checkers, kustomize, mode):
    assert schema_errors(checkers, kustomize(f"k8s/components/example-{mode}")) == []


@pytest.mark.parametrize("mode", MODES)
def test_only_labelled_workloads_get_the_sidecar(kustomize, sidecar, mode):
    objects = kustomize(f"k8s/components/example-{mode}")
    found, husk = workload(objects)
    assert found["metadata"]["labels"]["husk/sidecar"] == mode
    pod = found["spec"]["template"]["spec"]
    assert pod["initContainers"][0] is husk and husk["restartPolicy"] == "Always", "it starts first"
    expected = {**(sidecar if mode == "server" else unready(sidecar)), "image": "registry.example/team/husk:0.1.0"}
    assert common_of(husk) == expected
    assert pod["securityContext"]["fsGroup"] == 65532
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert {each["name"] for each in husk["volumeMounts"]} <= set(volumes)
    (config,) = [each for each in objects if each["kind"] == "ConfigMap"]
    assert volumes["husk-config"]["configMap"]["name"] == config["metadata"]["name"] == f"husk-{mode}"
    assert not [each for each in husk["volumeMounts"] if "subPath" in each], "a renewed file would not arrive"


@pytest.mark.parametrize("kind, has_husk", [("DaemonSet", True), ("StatefulSet", True), ("Job", True), ("CronJob", False)])
def test_the_component_finds_each_kind_of_workload(kustomize, tmp_path, kind, has_husk):
    pod = {"spec": {"containers": [{"name": "main", "image": "main"}]}}
    spec = {"template": pod} if kind != "CronJob" else {"schedule": "@daily", "jobTemplate": {"spec": {"template": pod}}}
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump({
        "apiVersion": "batch/v1" if kind.endswith("Job") else "apps/v1", "kind": kind,
        "metadata": {"name": "x", "labels": {"husk/sidecar": "client"}}, "spec": spec}))
    # kustomize reads no component outside of a common root by an absolute path.
    component = pathlib.Path("../" * (len(tmp_path.parts) - 1)) / str(COMPONENTS / "sidecar-client").lstrip("/")
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(
        {"resources": ["workload.yaml"], "components": [str(component)]}))
    (rendered,) = kustomize(tmp_path)
    assert bool(list(husks_in(rendered))) is has_husk


def test_the_examples_carry_a_message(kustomize, husk_secrets, tmp_path):
    def start(mode, **addresses):
        objects = kustomize(f"k8s/components/example-{mode}")
        (config,) = [each for each in objects if each["kind"] == "ConfigMap"]
        files = write_secret(husk_secrets[f"husk-{mode}"], tmp_path / mode)
        path, admin_port = place_file(config["data"]["husk.yaml"], files, tmp_path / mode, **addresses)
        arguments = [word if not word.startswith("--config=") else f"--config={path}" for word in workload(objects)[1]["args"]]
        return Running(arguments, admin_port, tmp_path / mode)

    assert carry(start, agent_has_key=False, aggregator_has_key=False)[0] == STRIPPED[0]
