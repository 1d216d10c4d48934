"""README.md and docs/kubernetes.md, as a reader follows them: certificates, both halves, and a message through them."""

import base64
import re
import subprocess

import pytest
import yaml

from support import pages, raw
from support.forward import Agent, Aggregator, carry_acked
from support.husk import BINARY, ROOT, Husk

PAGE = "docs/kubernetes.md"


def file_of(name):
    """The YAML file of this name in the page."""
    return yaml.safe_load(next(block.text for block in pages.blocks_of(ROOT / PAGE) if block.value == name))


def agent_container():
    return file_of("agent-values.yaml")["initContainers"][0]


@pytest.fixture
def secrets(tmp_path):
    """The directories that the two Secrets of the page become in a Pod."""
    pages.execute(PAGE, tmp_path, BINARY)
    for name in ("husk-client", "husk-server"):
        secret = yaml.safe_load((tmp_path / f"work/{name}.yaml").read_text())
        assert secret["metadata"]["name"] == name
        (tmp_path / name).mkdir()
        for key, value in secret["data"].items():
            (tmp_path / name / key).write_bytes(base64.b64decode(value))
            (tmp_path / name / key).chmod(0o600)
    return tmp_path


def options_of(arguments, **others):
    """The options of a container, with those that must be different here."""
    options = {}
    for argument in arguments[1:]:
        name, _, value = argument.removeprefix("--").partition("=")
        options[name.replace("-", "_")] = value or True
    return {**options, "listen": f"{raw.HOST}:0", "admin": f"{raw.HOST}:0", "log_format": "json", **others}


def carry_one_message(client, server, aggregator):
    carry_acked(Agent(raw.connect(client.address)), 1, "one")
    assert len(aggregator.messages) == 1
    for half in (client, server):
        assert half.get("/live")[0] == 200 and not half.problems()


def words_of_readme():
    """{the first two words: the words} of the husk commands of README.md. An option and its value are one word."""
    found = {}
    for block in pages.blocks_of(ROOT / "README.md"):
        for words in pages.commands_of(block):
            if words[0] == "husk":
                found[words[1]] = re.sub(r"(--[a-z-]+) (?!--)", r"\1=", " ".join(words[1:])).split()
    return found


def test_a_message_passes_through_the_commands_of_the_readme(programs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the certificates are in ./pki
    commands, aggregator = words_of_readme(), Aggregator()
    subprocess.run([BINARY, *commands["pki"]], check=True, capture_output=True)
    name = re.search(r"--upstream=([^: ]+)", " ".join(commands["client"]))[1]
    server = programs.add(Husk("server", options_of(commands["server"], upstream=raw.format_address(aggregator.address))))
    client = programs.add(Husk("client", options_of(
        commands["client"], upstream=raw.format_address(server.address), server_name=name)))
    carry_one_message(client, server, aggregator)


def test_a_message_passes_through_the_containers_of_the_page(programs, secrets):
    aggregator = Aggregator()
    (container,) = file_of("aggregator-values.yaml")["initContainers"]
    server = programs.add(Husk("server", options_of(
        container["args"], upstream=raw.format_address(aggregator.address), credentials=secrets / "husk-server")))
    upstream = next(word for word in agent_container()["args"] if word.startswith("--upstream=")).split("=")[1]
    client = programs.add(Husk("client", options_of(
        agent_container()["args"], upstream=raw.format_address(server.address), server_name=upstream.split(":")[0],
        credentials=secrets / "husk-client")))
    carry_one_message(client, server, aggregator)

