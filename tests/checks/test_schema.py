"""husk schema: a validator accepts with it what husk accepts, and refuses mistakes."""

import concurrent.futures
import json
import pathlib

import jsonschema
import pytest
import yaml

from support import yaml_core
from support.husk import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUTE = "routes: [{name: a, listen: 127.0.0.1:1, upstreams: 127.0.0.1:2, %s}]"

ALLOWED = {
    "the least": ROUTE % "",
    "process settings": f"workers: auto\nlog: {{level: debug, format: json}}\nadmin: {{listen: 'off'}}\n{ROUTE % ''}",
    "addresses as maps": "routes: [{name: a, listen: [{address: 127.0.0.1:1}, 'unix:/run/a,mode=0660'], "
                         "upstreams: [{address: b:2, weight: 3, server_name: b, standby: true}, c:3]}]",
    "required settings in the defaults": "defaults: {listen: 127.0.0.1:1, upstreams: b:2}\nroutes: [{name: a}]",
    "quantities": ROUTE % "delivery: {ack_timeout: 5s, max_attempts: 7, batch_bytes: 1MiB, compress_min: 4096}",
    "zero words": ROUTE % "delivery: {max_age: off, batch_bytes: 0, max_attempts: '0'}",
    "numbers in quotes": ROUTE % "limits: {max_connections: '7', retain_bytes: '65536'}",
    "references": "workers: ${N:-2}\n" + ROUTE % (
        "protocol: '${P:-tcp}', unsafe_listen: '${U:-true}', delivery: {ack_timeout: '${T:-5}s', "
        "batch_bytes: '${B:-off}'}, dns: {servers: '${D:-127.0.0.1}'}"),
    "versions as numbers": ROUTE % (
        "tls: {upstream: {cert: a.pem, key: b.pem, ca: c.pem, min_version: 1.2, max_version: '1.3'}}"),
    "lists of texts": ROUTE % "dns: {servers: [127.0.0.1, '[::1]:53']}, allow: {cn: a, dns: [b, c], any: false}",
    "rules": ROUTE % "rules: [{cn: a, tags: [b.*, c], burst: 2s}, {any: true, tag_prefix: x., max_message: 1MiB}]",
    "a field for the identity": ROUTE % "add_identity: {field: peer}",
    "fields for the identity": ROUTE % "add_identity: [{field: a, from: uri}, {field: b, from: spki}]",
    "users": ROUTE % "authentication: {downstream: {users: {name: a, password_env: B}}}",
    "anchors": "defaults: {dns: &d {min_ttl: 1s}}\n" + ROUTE % "dns: {<<: *d, max_ttl: 2s}",
}

REFUSED = {
    "nothing": "",
    "no route": "routes: []",
    "too many routes": "routes: [%s]" % ", ".join(f"{{name: a{i}, listen: b:1, upstreams: c:1}}" for i in range(1001)),
    "routes that are a map": "routes: {name: a}",
    "a route without listen": "routes: [{name: a, upstreams: b:2}]",
    "a route without upstreams": "defaults: {dns: {min_ttl: 1s}}\nroutes: [{name: a, listen: 127.0.0.1:1}]",
    "a route without a name": "routes: [{listen: 127.0.0.1:1, upstreams: b:2}]",
    "an unknown key": ROUTE % "frobnicate: 1",
    "an unknown key in a map": ROUTE % "delivery: {ack-timeout: 5s}",
    "an unknown key in an item": "routes: [{name: a, listen: {address: 127.0.0.1:1, port: 2}, upstreams: b:2}]",
    "a field without a name": ROUTE % "add_identity: {from: cn}",
    "a field of another name": ROUTE % "add_identity: {field: a, from: ip}",
    "an item without its address": "routes: [{name: a, listen: 127.0.0.1:1, upstreams: {weight: 2}}]",
    "a process setting in a route": ROUTE % "workers: 2",
    "a route setting at the margin": f"protocol: tcp\n{ROUTE % ''}",
    "a duration without a unit": ROUTE % "delivery: {ack_timeout: 5}",
    "a duration with a wrong unit": ROUTE % "delivery: {ack_timeout: 5sec}",
    "a zero that is not allowed": ROUTE % "delivery: {ack_timeout: 0}",
    "a size in wrong units": ROUTE % "limits: {retain_bytes: 16MB}",
    "a size out of range": ROUTE % "limits: {retain_bytes: 1}",
    "a number out of range": f"workers: 65\n{ROUTE % ''}",
    "a number with a fraction": f"workers: 1.5\n{ROUTE % ''}",
    "a wrong choice": ROUTE % "protocol: http",
    "a flag that is a text": ROUTE % "unsafe_listen: yes",
    "a flag that is a number": ROUTE % "unsafe_listen: 1",
    "a map for a value": ROUTE % "protocol: {tcp: true}",
    "a list for a value": ROUTE % "protocol: [tcp]",
    "an empty text": ROUTE % "dns: {servers: ''}",
    "an empty list of words": ROUTE % "dns: {servers: []}",
    "no value": ROUTE % "protocol:",
    "an empty map": ROUTE % "tls: {}",
    "an empty list of listeners": "routes: [{name: a, listen: [], upstreams: b:2}]",
    "an empty list of upstreams": "defaults: {upstreams: []}\nroutes: [{name: a, listen: 127.0.0.1:1}]",
    "a map without a value": "defaults:\n" + ROUTE % "",
    "a rule that is a text": ROUTE % "rules: any",
    "a user without a password": ROUTE % "authentication: {downstream: {users: [{name: a}]}}",
    "a secret": ROUTE % "authentication: {upstream: {shared_key: secret}}",
}


@pytest.fixture(scope="module")
def schema():
    result = run("schema")
    assert result.returncode == 0 and not result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def validator(schema):
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_what_is_right_is_valid(validator, text):
    validator.validate(yaml_core.load(text))


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_mistake_is_found(validator, text):
    assert not validator.is_valid(yaml_core.load(text))


@pytest.mark.parametrize("is_right, text",
                         [*((True, text) for text in ALLOWED.values()), *((False, text) for text in REFUSED.values())],
                         ids=[*ALLOWED, *REFUSED])
def test_husk_has_the_same_verdict(tmp_path, is_right, text):
    (tmp_path / "husk.yaml").write_text(text)
    result = run("config", "--effective", "--config", tmp_path / "husk.yaml")
    assert (result.returncode in (0, 1)) == is_right, result.stderr  # 1: its settings contradict each other
    assert bool(result.stdout) == is_right and bool(result.stderr) == (result.returncode != 0)


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_what_husk_prints_is_valid(validator, tmp_path, text):
    (tmp_path / "husk.yaml").write_text(text)
    printed = run("config", "--effective", "--config", tmp_path / "husk.yaml").stdout
    validator.validate(yaml_core.load(printed))
    assert yaml_core.load(printed) == yaml.safe_load(printed)  # YAML 1.1 reads the same


def settings_in(schema, path=""):
    """Every setting of a map of the schema, by its path."""
    for key, value in schema["properties"].items():
        if "properties" in value:
            yield from settings_in(value, f"{path}{key}.")
        elif "description" in value and key not in ("defaults", "routes"):
            yield f"{path}{key}", value


def maps_in(schema, path=()):
    for key, value in schema["properties"].items():
        if "properties" in value:
            yield (*path, key)
            yield from maps_in(value, (*path, key))


def nothing_at(path, scope):
    """A file with each kind of nothing at this path."""
    for nothing in ({}, [], None, "", [{}], [[]], [""], [None]):
        file = {"routes": [{"name": "a", "listen": "127.0.0.1:1", "upstreams": "127.0.0.1:2"}]}
        at = {"process": file, "route": file["routes"][0], "defaults": file.setdefault("defaults", {})}[scope]
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = nothing
        yield file


@pytest.mark.parametrize("scope", ["process", "route", "defaults"])
def test_husk_and_the_schema_agree_about_nothing(schema, validator, tmp_path, scope):
    """At each key of the schema."""
    of_scope = schema if scope == "process" else schema["$defs"]["route"]
    paths = [*maps_in(of_scope), *(tuple(path.split(".")) for path, _ in settings_in(of_scope))]
    files = [file for path in paths for file in nothing_at(path, scope)]
    assert len(files) > 50
    for number, file in enumerate(files):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(file))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda number: run("config", "--effective", "--config", tmp_path / f"{number}.yaml"), range(len(files)))
    for file, result in zip(files, results, strict=True):
        assert (result.returncode in (0, 1)) == validator.is_valid(file), (file, result.stderr)


def test_defaults_are_valid(schema):
    settings = {**dict(settings_in(schema)), **dict(settings_in(schema["$defs"]["route"]))}
    defaults = {path: setting for path, setting in settings.items() if "default" in setting}
    assert len(defaults) > 60
    for path, setting in defaults.items():
        one = jsonschema.Draft202012Validator({**setting, "$defs": schema["$defs"]})
        assert one.is_valid(setting["default"]), path


def test_arguments_are_refused():
    result = run("schema", "x")
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
