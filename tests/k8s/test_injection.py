"""k8s/injection: what the policies make of Pods. A CEL evaluator runs the expressions of the MutatingAdmissionPolicy
(admit.js); kubectl applies the patch of the Kyverno policy, and both policies make the same Pods."""

import copy
import json
import pathlib
import re

import pytest
import yaml

from support_k8s import REPOSITORY, run, schema_errors, succeed
from support_pods import STRIPPED, Running, carry, common_of, husks_in, place_file, unready, write_secret

INJECTION = REPOSITORY / "k8s/injection"
ADMIT = pathlib.Path(__file__).parent / "admit.js"
MODES = ("client", "server")


@pytest.fixture(scope="module")
def policy_objects():
    """The objects of policy.yaml, by (kind, name)."""
    found = yaml.safe_load_all((INJECTION / "policy.yaml").read_text())
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


@pytest.fixture(scope="module")
def policy(policy_objects):
    return policy_objects["MutatingAdmissionPolicy", "husk-sidecar"]


@pytest.fixture(scope="module")
def kyverno():
    return yaml.safe_load((INJECTION / "kyverno.yaml").read_text())


@pytest.fixture
def admit(checkers, policy):
    """Returns the admitted Pod, or None when the policy does not match. Raises what the evaluator says."""
    def admit_pod(pod, params, policy=policy):
        done = run("node", ADMIT, input=json.dumps({"policy": policy, "pod": pod, "params": params}), cwd=checkers,
                   env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_PATH": str(checkers / "node_modules")})
        if done.returncode != 0:
            raise ValueError(done.stderr)
        return json.loads(done.stdout)
    return admit_pod


def pod(mode, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "logging",
                                                           "labels": {"husk/sidecar": mode}},
            "spec": {"containers": [{"name": "main", "image": "main:1"}], **spec}}


PODS = {
    "bare": {},
    "defaulted": {"securityContext": {}, "volumes": [{"name": "token", "emptyDir": {}}]},
    "full": {"initContainers": [{"name": "tmpdir", "image": "bash:1"}], "volumes": [{"name": "tmp", "emptyDir": {}}],
             "securityContext": {"fsGroup": 65534, "runAsNonRoot": True}},
    "root": {"securityContext": {"fsGroup": 0}},
}
ALL_PODS = pytest.mark.parametrize("name, mode", [(name, mode) for name in PODS for mode in MODES])


# ---- MutatingAdmissionPolicy -------------------------------------------------------------------------------


def test_the_objects_and_the_admitted_pods_match_the_schema(checkers, policy_objects, parameters, admit):
    pods = [admit(pod("client", **spec), parameters["client"]) for spec in PODS.values()]
    assert schema_errors(checkers, [*policy_objects.values(), *parameters.values(), *pods]) == []


@ALL_PODS
def test_a_pod_gets_husk(admit, parameters, sidecar, name, mode):
    before = pod(mode, **PODS[name])
    after = admit(before, parameters[mode])
    husk, *others = after["spec"]["initContainers"]
    assert husk["name"] == "husk" and husk["restartPolicy"] == "Always"
    assert common_of(husk) == (sidecar if mode == "server" else unready(sidecar))
    assert others == PODS[name].get("initContainers", [])
    mounted = {each["name"]: each["mountPath"] for each in husk["volumeMounts"]}
    assert mounted == {"husk-tls": "/etc/husk/tls", "husk-config": "/etc/husk/config"}
    *own, config, tls = after["spec"]["volumes"]
    assert own == PODS[name].get("volumes", [])
    assert config == {"name": "husk-config", "configMap": {
        "name": f"husk-{mode}", "items": [{"key": "husk.yaml", "path": "husk.yaml"}]}}
    assert tls == {"name": "husk-tls", "secret": {"secretName": parameters[mode]["data"]["secret"], "defaultMode": 0o440}}
    context = PODS[name].get("securityContext", {})
    assert after["spec"]["securityContext"] == {"fsGroup": 65532, **context}
    assert after["spec"]["containers"] == before["spec"]["containers"] and after["metadata"] == before["metadata"]


def test_a_pod_with_husk_stays_as_it_is(admit, parameters):
    """The API server calls the policy again when another one has changed the Pod."""
    once = admit(pod("client", **PODS["full"]), parameters["client"])
    assert admit(once, parameters["client"]) is None
    assert admit(pod("client", containers=[{"name": "husk", "image": "husk"}]), parameters["client"]) is None


@pytest.mark.parametrize("key", ["image", "secret"])
def test_a_missing_parameter_refuses_the_pod(admit, parameters, policy, key):
    params = copy.deepcopy(parameters["client"])
    del params["data"][key]
    with pytest.raises(ValueError):
        admit(pod("client"), params)
    assert policy["spec"]["failurePolicy"] == "Fail"


def test_pods_without_the_label_are_left_alone(policy_objects, policy):
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert rule == {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    assert policy["spec"]["matchConstraints"]["objectSelector"] == {
        "matchExpressions": [{"key": "husk/sidecar", "operator": "In", "values": list(MODES)}]}
    for mode in MODES:
        assert policy_objects["MutatingAdmissionPolicyBinding", f"husk-{mode}"]["spec"] == {
            "policyName": policy["metadata"]["name"],
            "matchResources": {"objectSelector": {"matchLabels": {"husk/sidecar": mode}}},
            "paramRef": {"name": f"husk-{mode}", "parameterNotFoundAction": "Deny"}}
    assert len(policy_objects) == 3


@pytest.mark.parametrize("old, new, message", [
    ("(has(object.spec.initContainers) ? [] : [", "(true ? [] : [", "nothing is at the parent"),
    ("(has(object.spec.volumes) ? [] : [", "(true ? [] : [", "nothing is at the parent"),
    ("Object.spec.initContainers.startupProbe.httpGet{", "Object.spec.initContainers.livenessProbe.httpGet{", "type mismatch"),
    ('{op: "add", path: "/spec/volumes/-"', '{op: "add", where: "/spec/volumes/-"', "no field where"),
    ('{"cpu": "10m", "memory": "16Mi"}', '{"cpu": 10, "memory": "16Mi"}', "values of several types"),
])
def test_the_evaluator_finds_a_damaged_policy(admit, parameters, policy, old, new, message):
    text = json.dumps(policy)
    damaged = json.loads(text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))
    assert damaged != policy
    with pytest.raises(ValueError, match=message):
        admit(pod("client"), parameters["client"], damaged)


# ---- Kyverno -----------------------------------------------------------------------------------------------


def is_selected(rule, labels):
    ((matched,),) = [each.values() for each in rule["match"]["any"]]
    selector = matched["selector"]
    return (selector.get("matchLabels", {}).items() <= labels.items()
            and all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])))


def kyverno_patch(rule, before, params):
    """The patch of the rule for this Pod. Variables are replaced. A field with the anchor +() is added if it is absent. An
    item with the anchor () is changed if it is there."""
    variables = {'request.object.metadata.labels."husk/sidecar"': before["metadata"]["labels"]["husk/sidecar"],
                 "request.namespace": before["metadata"]["namespace"],
                 **{f"parameters.data.{key}": params["data"][key] for key in ("image", "secret")}}

    def replace(node, existing):
        if isinstance(node, dict):
            replaced = {}
            for key, value in node.items():
                anchor = re.fullmatch(r"(\+?)\((\w+)\)", key)
                if not anchor or not anchor[1] or anchor[2] not in existing:
                    replaced[anchor[2] if anchor else key] = replace(value, existing.get(key, {}))
            return replaced
        if isinstance(node, list):
            return [replace(each, one) for each in node for one in items_for(each, existing)]
        return re.sub(r"\{\{ (.*?) \}\}", lambda found: variables[found[1]], node) if isinstance(node, str) else node

    def items_for(each, existing):
        """What the item of a patch changes: with an anchor, the items with this name; otherwise a new item."""
        if isinstance(each, dict) and "(name)" in each:
            return [one for one in existing if one["name"] == each["(name)"]]
        return [{}]

    for context in replace(rule.get("context", []), {}):
        assert context == {"name": "parameters", "configMap": {"name": params["metadata"]["name"], "namespace": "logging"}}
    return replace(rule["mutate"]["patchStrategicMerge"], before)


def by_name(admitted):
    admitted["spec"]["volumes"].sort(key=lambda each: each["name"])
    husk = admitted["spec"]["initContainers"][0]
    husk["volumeMounts"].sort(key=lambda each: each["name"])
    return admitted


@ALL_PODS
def test_kyverno_makes_the_same_pod(admit, kyverno, parameters, tmp_path, name, mode):
    before = after = pod(mode, **PODS[name])
    for rule in kyverno["spec"]["rules"]:
        if is_selected(rule, before["metadata"]["labels"]):
            (tmp_path / "pod.json").write_text(json.dumps(after))
            patch = kyverno_patch(rule, after, parameters[mode])
            after = json.loads(succeed("kubectl", "patch", "--local", "--type=strategic", "--filename",
                                       tmp_path / "pod.json", "--patch", json.dumps(patch), "--output=json"))
    expected = admit(before, parameters[mode])
    assert by_name(after) == by_name(expected)


def test_kyverno_matches_the_same_pods(kyverno, policy):
    rule, readiness = kyverno["spec"]["rules"]
    for each in (rule, readiness):
        ((matched,),) = [one.values() for one in each["match"]["any"]]
        assert matched["kinds"] == ["Pod"] and matched["operations"] == ["CREATE"]
    assert [is_selected(readiness, {"husk/sidecar": mode}) for mode in MODES] == [False, True]
    assert rule["match"]["any"][0]["resources"]["selector"] == policy["spec"]["matchConstraints"]["objectSelector"]
    assert kyverno["spec"]["failurePolicy"] == "Fail"
    assert kyverno["metadata"]["annotations"] == {"pod-policies.kyverno.io/autogen-controllers": "none"}
    (condition,) = rule["preconditions"]["all"]
    assert condition["operator"] == "AnyNotIn" and condition["key"] == "husk"


# ---- the parameters ----------------------------------------------------------------------------------------


def test_the_parameters_carry_a_message(admit, parameters, husk_secrets, tmp_path):
    """husk runs with the arguments of the injected container, the file of the ConfigMap, and the Secret that it names."""
    def start(mode, **addresses):
        data = parameters[mode]["data"]
        files = write_secret(husk_secrets[data["secret"]], tmp_path / mode)
        path, admin_port = place_file(data["husk.yaml"], files, tmp_path / mode, **addresses)
        (husk,) = husks_in(admit(pod(mode), parameters[mode]))
        (mount,) = [each["mountPath"] for each in husk["volumeMounts"] if each["name"] == "husk-config"]
        assert husk["args"] == ["run", f"--config={mount}/husk.yaml"]
        return Running(["run", f"--config={path}"], admin_port, tmp_path / mode)

    assert carry(start, agent_has_key=False, aggregator_has_key=False) == STRIPPED
