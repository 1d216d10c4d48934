"""What the pages show: every block of code is executed, or read by the program that it is for, and every link leads somewhere."""

import re

import jsonschema
import pytest
import yaml

from support import husk as husk_support
from support import pages, yaml_core
from support.husk import run
from support.pages import ROOT

HUSK = husk_support.BINARY
LANGUAGES = {"sh", "yaml", "text", "ini", "mermaid", "indented"}
BLOCKS = pages.blocks()
RUN_PAGES = sorted({block.page for block in BLOCKS if block.mark == "run"})
NOT_RUN = {  # page: how many blocks no test can run; each says why
    "docs/guide.md": 1,
    "docs/kubernetes.md": 6,
    "docs/seed.md": 2,
    "k8s/README.md": 3,
    "k8s/helm/husk/README.md": 1,
    "k8s/drop-ins/README.md": 2,
}
# Without a mark, a block of shell has only commands that a test reads, and these, whose options are those of their documentation.
FOREIGN = {"ghostunnel"}
HOW = "see CONTRIBUTING.md, \"a page, or a command in one\""


def place(block):
    return block.place


def of(*languages):
    return [block for block in BLOCKS if block.language in languages]


# ---- the blocks --------------------------------------------------------------------------------------------

def test_each_block_has_a_known_language():
    unknown = [block.place for block in BLOCKS if block.language not in LANGUAGES]
    assert not unknown, f"{HOW}; one of {LANGUAGES - {'indented'}}"
    assert len(BLOCKS) > 80


def test_only_these_blocks_are_not_run_and_each_says_why():
    found = [block for block in BLOCKS if block.mark == "not run"]
    assert all(block.value for block in found)
    pages_found = [block.page for block in found]
    assert {page: pages_found.count(page) for page in pages_found} == NOT_RUN, HOW


def test_a_block_without_a_mark_has_only_commands_that_are_read():
    for block in BLOCKS:
        if block.language == "sh" and not block.mark:
            names = {words[0] for words in pages.commands_of(block)}
            assert names <= {"husk", "make", "sudo"} | FOREIGN, f"{block.place}: {HOW}"


def test_the_tests_that_run_other_blocks_exist():
    found = [block for block in BLOCKS if block.mark == "run by"]
    assert found and all((ROOT / block.value).exists() for block in found)


# ---- commands ----------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def commands():
    """{name: {option: whether it takes a value}} of the commands of husk."""
    names = re.findall(r"^  husk (\w+) ", run("help").stdout, re.M)
    return {name: {option: bool(value) for option, value in re.findall(r"^  (--[a-z0-9-]+)( \S.*)?$", run("help", name).stdout, re.M)}
            for name in names}


def complete(words):
    """Without the words that stand for others."""
    return [word for word in words if "…" not in word and not word.startswith("[")]


def check_husk(words, commands, where):
    """The option parser of husk takes the words."""
    if not words or words[0] not in commands:
        assert not words or words[0] in ("help", "version", "COMMAND"), f"{where}: husk {' '.join(words)}"
        return
    name, rest, is_whole = words[0], complete(words[1:]), "…" not in " ".join(words)
    if name == "help":
        assert run(*words).returncode == 0, where
    elif name in ("client", "server") and is_whole:
        result = run("config", "--effective", name, *rest)
        assert result.returncode == 0, f"{where}: {result.stderr}"
    else:
        known = commands[name] | (commands["client"] | commands["server"] if name in ("check", "config") else {})
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{where}: husk {name} has no {word}"


@pytest.mark.parametrize("block", of("sh", "indented"), ids=place)
def test_husk_knows_the_commands_and_options(block, commands):
    for words in pages.commands_of(block):
        words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        if words and words[0] == "husk":
            check_husk([word for word in words[1:] if not re.match(r"\d?[<>]", word)], commands, block.place)
        elif words and words[0] == "make":
            for target in words[1:]:
                if re.match(r"[a-z-]+$", target):
                    assert re.search(rf"^(\.PHONY:.*\b)?{target}\b.*:|^\.PHONY:.*\b{target}\b", (ROOT / "Makefile").read_text(), re.M), \
                        f"{block.place}: make has no target {target}"


def named_options(path):
    """The options that the text of a page names. The first column of migration.md has those of other programs."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    if path.name == "migration.md":
        text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.M)
    for code in re.findall(r"`([^`]+)`", text):
        if re.match("--[a-z]", code):
            yield code.split()[0].split("=")[0].rstrip("/,:")


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.relative)
def test_each_option_that_a_page_names_exists(path, commands):
    known = {option for options in commands.values() for option in options}
    known |= set(re.findall(r'"(--[a-z-]+)"', (ROOT / "bench/capacity.py").read_text())) | {"--from-file", "--dry-run", "--values"}
    for name in named_options(path):
        stem = re.sub(r"[*…]+$", "", name)
        fits = {option for option in known if option.startswith(stem)} if stem != name else known & {name}
        assert fits, f"{pages.relative(path)}: husk has no {name}"


@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_commands_of_a_page_run(page, tmp_path):
    """One after the other, in one directory, with the files that the page shows."""
    output = pages.execute(page, tmp_path, HUSK)
    if page == "docs/seed.md":
        assert output.count('"tag":"app.log"') == 3, output


# ---- files -------------------------------------------------------------------------------------------------

def is_husk_file(block):
    return block.mark == "route" or re.search(r"^routes:", block.text, re.M)


def whole(block):
    """The file of husk that the block is, or is a part of."""
    if block.mark != "route":
        return block.text
    text = "routes:\n- name: part\n  listen: 127.0.0.1:24224\n  upstreams: 127.0.0.1:24225\n"
    text += "".join(f"  {line}\n" for line in block.text.splitlines())
    return text if "tls:" in text else text + "  tls: {downstream: {cert: c.pem, key: k.pem, ca: ca.pem}}\n"


HUSK_FILES = [block for block in of("yaml") if is_husk_file(block)]
OTHER_FILES = [block for block in of("yaml") if not is_husk_file(block)]


@pytest.mark.parametrize("block", HUSK_FILES, ids=place)
def test_a_file_of_husk_is_right(block, tmp_path):
    schema = yaml_core.load(run("schema").stdout)
    jsonschema.Draft202012Validator(schema).validate(yaml_core.load(whole(block)))
    (tmp_path / "husk.yaml").write_text(whole(block))
    result = run("config", "--effective", "--config", tmp_path / "husk.yaml")
    assert result.returncode == 0 and not result.stderr, result.stderr


def test_the_tunnel_s_file_is_the_example():
    (block,) = [block for block in BLOCKS if block.page == "docs/tunnel.md" and block.mark == "file"]
    assert yaml.safe_load(block.text) == yaml.safe_load((ROOT / "config/examples/tunnel-near.yaml").read_text())


def containers(value):
    """The maps with the arguments of husk, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("args"), list) and value["args"][0] in ("client", "server", "run"):
            yield value
        for part in value.values():
            yield from containers(part)
    elif isinstance(value, list):
        for part in value:
            yield from containers(part)


@pytest.mark.parametrize("block", OTHER_FILES, ids=place)
def test_another_file_is_yaml_and_its_arguments_are_those_of_husk(block):
    for document in yaml.safe_load_all(block.text):
        for container in containers(document):
            result = run("config", "--effective", *container["args"])
            assert result.returncode == 0, f"{block.place}: {result.stderr}"


def test_there_are_files_of_both_kinds():
    assert len(HUSK_FILES) >= 4 and len(OTHER_FILES) >= 2


# ---- links -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", pages.PAGES, ids=pages.relative)
def test_each_link_leads_somewhere(path):
    for target, anchor in pages.links_of(path):
        assert target.exists(), f"{pages.relative(path)}: {target} does not exist"
        if anchor:
            assert anchor in pages.anchors_of(target.read_text()), f"{pages.relative(path)}: {target.name} has no #{anchor}"


def test_the_index_names_every_page():
    named = {target for target, _ in pages.links_of(ROOT / "docs/README.md")}
    missing = [path.name for path in (ROOT / "docs").glob("*.md") if path not in named and path.name != "README.md"]
    assert not missing
