"""The documents that come from the settings: they are those of today, tools can read them, and no setting is missing anywhere."""

import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import time

import jsonschema
import pytest

from support import husk as husk_support
from support import yaml_core
from support.husk import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs/generate"))

import documents  # noqa: E402
import source  # noqa: E402

PATHS = ["docs/husk.schema.json", "docs/configuration.md", "docs/man/husk.1", "docs/man/husk.yaml.5",
         "completions/husk.bash", "completions/_husk", "completions/husk.fish",
         "k8s/helm/husk/README.md", "k8s/helm/husk/values.schema.json"]


@pytest.fixture(scope="module")
def program():
    return source.Program(husk_support.BINARY)


@pytest.fixture(scope="module")
def texts():
    return documents.of(husk_support.BINARY, ROOT)


# ---- what is committed -------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", PATHS)
def test_what_is_committed_is_what_make_documents_writes(texts, path):
    assert (ROOT / path).read_text() == texts[path], "run `make documents`"


def test_every_generated_document_is_compared(texts):
    assert sorted(texts) == sorted(PATHS)


def test_make_install_installs_them(tmp_path):
    result = subprocess.run(["make", "-n", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr"], cwd=ROOT, text=True,
                            capture_output=True, check=True)
    commands = [line for line in result.stdout.splitlines() if line.startswith("install ") and "/share/" in line]
    subprocess.run("\n".join(commands), shell=True, cwd=ROOT, check=True)
    installed = {str(path.relative_to(tmp_path / "usr/share")) for path in tmp_path.rglob("*") if path.is_file()}
    assert installed == {"man/man1/husk.1", "man/man5/husk.yaml.5", "bash-completion/completions/husk",
                         "zsh/site-functions/_husk", "fish/vendor_completions.d/husk.fish", "husk/husk.schema.json",
                         "husk/check.schema.json"}


# ---- no setting is missing ---------------------------------------------------------------------------------

def settings_in_code():
    """{(option, path)} of the rows in config/schema.c and in the headers with further rows, such as config/schema_deny.h."""
    text = "".join(path.read_text() for path in sorted((ROOT / "config").glob("schema*.[ch]"))
                   if path.stem != "schema_parts")
    rows = set(re.findall(r'\{ (?:ROUTE|PROCESS|CLIENT|SERVER)\(\w+, "([^"]+)",\s+"([^"]+)"', text))
    rows |= set(re.findall(r'DENY_ROW\("([^"]+)", "([^"]+)"', text))
    rows |= {(f"allow-server-{name}", f"tls.upstream.allow.{name}") for name in re.findall(r'SERVER_NAME_ROW\("([^"]+)"', text)}
    for section in re.findall(r'TLS_ROWS\(\w+, \w+, "([^"]+)"\)', text):
        rows |= {(name, section + key) for name, key in re.findall(r'USER\(\w+, "([^"]+)",[\s\\]+section "([^"]+)"', text)}
    return rows


GROUPS = ("any_of", "all_of", "not")


def groups_in_code():
    """The paths of the groups of rules about names, which have no option."""
    text = (ROOT / "config/schema_allow.h").read_text() + (ROOT / "config/schema_deny.h").read_text()
    return {f"{path}.{group}" for path in re.findall(r'MATCH_ROWS\("[^"]+", "([^"]+)"', text) for group in GROUPS}


def parts_in_code():
    """{(item, key)}, without the maps of groups, whose keys the pages describe once."""
    text = (ROOT / "config/schema_parts.c").read_text()
    groups = {(item, group) for item in re.findall(r"GROUP_ROWS\(config_(\w+)", text) for group in GROUPS if item != "match"}
    return groups | {(item, key) for item, key in re.findall(r'\{ PART\(config_(\w+), "[^"]+", "([^"]+)"', text)}


def test_the_rows_of_the_table_are_found_in_the_code():
    assert len(settings_in_code()) > 100 and len(parts_in_code()) > 15
    assert ("cert", "tls.downstream.cert") in settings_in_code()


def test_the_help_has_the_options_of_the_code(program):
    options = {option.name.removeprefix("--") for option, _ in program.proxy_options()}
    assert options == {name for name, _ in settings_in_code()}


def test_each_setting_has_its_help(program):
    for name, path in settings_in_code():
        text = run("help", name).stdout
        assert text.startswith(f"--{name}"), name
        assert path in re.search(r"^In files: (.*)$", text, re.M)[1].split(", "), name


def test_the_schema_has_the_settings_of_the_code(program):
    assert {setting.path for setting in program.settings if not setting.option} == groups_in_code()
    assert {(setting.option.split()[0], setting.path) for setting in program.settings if setting.option} == {
        (f"--{name}", path) for name, path in settings_in_code()}


# Where the parts of an item are.
LISTS = {"listen": ["listen"], "upstream": ["upstreams"], "rule": ["rules"], "identity": ["add_identity"],
         "user": ["authentication.downstream.users"],
         "certificate": ["tls.upstream.certificates", "tls.downstream.certificates"]}


def test_the_schema_has_the_parts_of_the_code(program):
    parts = {(setting.path, part.path) for setting in program.settings for part in setting.parts}
    assert parts == {(path, key) for item, key in parts_in_code() for path in LISTS[item]}


def test_the_page_has_the_settings_of_the_code(texts):
    rows = re.findall(r"^\| `([a-z_.]+)` \|(?:[^|]|\\\|)*\|(?:[^|]|\\\|)*\|(?:[^|]|\\\|)*\| `--([a-z-]+)`",
                      texts["docs/configuration.md"], re.M)
    assert sorted((name, path) for path, name in rows) == sorted(settings_in_code())


def test_the_manual_of_the_file_has_the_settings_of_the_code(texts):
    heads = re.findall(r"^\.It Ic (\S+)$", texts["docs/man/husk.yaml.5"], re.M)
    parts = [key for item, key in parts_in_code() for _ in LISTS[item]]
    assert sorted(heads) == sorted([path for _, path in settings_in_code()] + list(groups_in_code()) + parts)


def test_the_manual_of_the_program_has_the_options_of_the_code(texts):
    settings = texts["docs/man/husk.1"].split(".Sh SETTINGS OF CLIENT AND SERVER")[1]
    assert sorted(re.findall(r"^\.It Fl -(\S+)", settings, re.M)) == sorted({name for name, _ in settings_in_code()})


def test_the_manual_of_the_program_has_every_command_and_option(program, texts):
    manual = texts["docs/man/husk.1"]
    for command in program.commands.values():
        assert f"\n.Ss husk {command.name}\n" in manual
        for option in command.options:
            assert re.search(rf"^\.It Fl -{option.name[2:]}\b", manual, re.M), option.name


def test_meanings_name_settings_as_a_file_does(program):
    for setting in program.settings:
        for part in (setting, *setting.parts):
            assert "--" not in part.meaning, part


# ---- examples ----------------------------------------------------------------------------------------------

def test_the_files_of_examples_are_valid(program):
    validator = jsonschema.Draft202012Validator(program.schema)
    files = list((ROOT / "config/examples").glob("*.yaml"))
    assert files
    for file in files:
        validator.validate(yaml_core.load(file.read_text()))


# ---- manual pages ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("page", ["husk.1", "husk.yaml.5"])
def test_a_manual_page_has_no_mistake(page):
    result = subprocess.run(["mandoc", "-Tlint", ROOT / "docs/man" / page], text=True, capture_output=True)
    # The pages name each other, and they are not installed.
    lines = [line for line in result.stdout.splitlines() if "referenced manual not found: Xr husk" not in line]
    assert not lines and not result.stderr


# ---- completion --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shell, file", [("bash", "husk.bash"), ("zsh", "_husk"), ("fish", "husk.fish")])
def test_a_completion_has_no_mistake(shell, file):
    result = subprocess.run([shell, "-n", ROOT / "completions" / file], text=True, capture_output=True)
    assert result.returncode == 0 and not result.stdout and not result.stderr


def bash(line, directory):
    words = " ".join(f"'{word}'" for word in line)
    script = (f"source '{ROOT}/completions/husk.bash'; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _husk; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    result = subprocess.run(["bash", "--norc", "-c", script], text=True, capture_output=True, cwd=directory)
    assert result.returncode == 0 and not result.stderr, result
    return result.stdout.split("\n")[:-1]


def fish(line, directory):
    script = f"source '{ROOT}/completions/husk.fish'; complete -C '{' '.join(line)}'"
    result = subprocess.run(["fish", "--no-config", "-c", script], text=True, capture_output=True, cwd=directory,
                            env={**os.environ, "HOME": str(directory)})
    assert result.returncode == 0 and not result.stderr, result
    found = [line.split("\t")[0] for line in result.stdout.splitlines()]
    return [word for word in found if word.startswith(line[-1])]  # fish 4 also lists words with these letters inside


CASES = [
    (["husk", "sch"], {"schema"}),
    (["husk", "client", "--proto"], {"--protocol"}),
    (["husk", "client", "--protocol", ""], {"tcp", "forward"}),
    (["husk", "server", "--allow-s"], {"--allow-spki"}),
    (["husk", "client", "--allow-sp"], set()),
    (["husk", "run", "--config", "some"], {"some.yaml"}),
    (["husk", "client", "--cert", "some"], {"some.yaml"}),
    (["husk", "check", "cl"], {"client"}),
    (["husk", "check", "client", "--log-f"], {"--log-format"}),
    (["husk", "config", "--effective", "server", "--allow-s"], {"--allow-spki"}),
    (["husk", "config", "--effective", "client", "--log-format", ""], {"text", "json"}),
    (["husk", "help", "ack-t"], {"ack-timeout"}),
    (["husk", "pki", "ini"], {"init"}),
    (["husk", "send", "--mo"], {"--mode"}),
    (["husk", "schema", "--"], set()),
]


@pytest.mark.parametrize("shell", [bash, fish], ids=["bash", "fish"])
@pytest.mark.parametrize("line, expected", CASES, ids=[" ".join(line) for line, _ in CASES])
def test_the_shell_completes(shell, line, expected, tmp_path):
    (tmp_path / "some.yaml").write_text("")
    found = {word for word in shell(line, tmp_path) if word}
    assert found == expected


def test_bash_completes_a_value_behind_an_equals_sign(tmp_path):
    assert set(bash(["husk", "client", "--protocol", "=", "t"], tmp_path)) == {"tcp"}
    assert set(bash(["husk", "client", "--protocol", "="], tmp_path)) == {"tcp", "forward"}


def test_bash_completes_the_name_of_a_file_with_a_space(tmp_path):
    (tmp_path / "some file").write_text("")
    assert bash(["husk", "run", "--config", "some"], tmp_path) == ["some file"]


def test_every_option_is_completed(program, tmp_path):
    for name, command in program.commands.items():
        names = {option.name for option in command.options}
        for shell in (bash, fish):
            assert names <= set(shell(["husk", name, "--"], tmp_path)), (shell.__name__, name)


class Zsh:
    """zsh in a terminal. Ctrl-X prints the line that is being edited."""

    def __init__(self, directory):
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.chdir(directory)
            os.environ.update(TERM="dumb", HOME=str(directory), ZDOTDIR=str(directory))
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.send(f"fpath=('{ROOT}/completions' $fpath); autoload -Uz compinit; compinit -u -D; "
                  "show() { print -r -- \"LINE<$BUFFER>\" }; zle -N show; bindkey '^X' show; "
                  "print -r -- READ''Y\n")
        self.read_until("READY")

    def send(self, text):
        os.write(self.terminal, text.encode())

    def read_until(self, pattern, seconds=60):
        text, end = "", time.monotonic() + seconds
        while not re.search(pattern, text):
            assert time.monotonic() < end, text
            if select.select([self.terminal], [], [], 1)[0]:
                text += os.read(self.terminal, 4096).decode(errors="replace")
        return text

    def complete(self, line):
        self.send(f"{line}\t\x18")
        found = re.search(r"LINE<(.*?)>", self.read_until(r"LINE<.*>"))[1]
        self.send("\x15")  # empties the line
        return found

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.fixture
def zsh(tmp_path):
    (tmp_path / "some.yaml").write_text("")
    zsh = Zsh(tmp_path)
    yield zsh
    zsh.close()


def test_zsh_completes(zsh):
    for line, expected in [
            ("husk sch", "husk schema"),
            ("husk client --proto", "husk client --protocol="),
            ("husk client --protocol t", "husk client --protocol tcp"),
            ("husk server --allow-s", "husk server --allow-spki="),
            ("husk run --config some", "husk run --config some.yaml"),
            ("husk check cl", "husk check client"),
            ("husk check client --log-f", "husk check client --log-format="),
            ("husk config --effective server --allow-s", "husk config --effective server --allow-spki="),
            ("husk help ack-t", "husk help ack-timeout"),
            ("husk pki ini", "husk pki init"),
            ("husk client --allow-sp", "husk client --allow-sp")]:
        assert zsh.complete(line).rstrip(" ") == expected
