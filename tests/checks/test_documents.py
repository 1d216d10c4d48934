"""docs/tests.md names every unit of the product and every test, and nothing else. Other pages agree with what they
describe."""

import json
import pathlib
import re

import msgpack
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tests.md").read_text()


def page_units():
    units, folder = set(), None
    for line in PAGE.splitlines():
        if heading := re.fullmatch(r"## (\S+)/", line):
            folder = heading[1]
        elif line.startswith("## "):
            folder = None
        elif folder and (row := re.match(r"\| `(\w+)` \|", line)):
            units.add(f"{folder}/{row[1]}")
    return units


def tree_units():
    files = [*ROOT.glob("proxy/**/*.[ch]"), *ROOT.glob("config/*.[ch]")]
    return {str(file.relative_to(ROOT).with_suffix("")) for file in files}


def page_tests():
    return set(re.findall(r"`(\w+/\w+\.(?:c|py))`", PAGE))


def tree_tests():
    patterns = ("unit/test_*.c", "fuzz/fuzz_*.c", "*/test_*.py")
    return {str(file.relative_to(ROOT / "tests")) for pattern in patterns for file in (ROOT / "tests").glob(pattern)}


def test_the_page_names_every_unit_and_no_other():
    assert page_units() == tree_units()


def test_the_page_names_every_test_and_no_other():
    assert page_tests() == tree_tests()


def test_the_page_has_a_test_for_each_unit():
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `\w+` \|", line)]
    assert rows and all(re.search(r"`\w+/\w+\.(?:c|py)`", row) for row in rows)


def test_the_walks_name_functions_of_their_files():
    page = (ROOT / "docs/ARCHITECTURE.md").read_text()
    stops = re.findall(r"^\| \d+ \| `(\S+)` \| (.*) \|$", page, re.M)
    assert len(stops) == 39
    for file, text in stops:
        source = (ROOT / "proxy" / file).read_text()
        for function in re.findall(r"`([a-z_]+_[a-z_]+)`", text):
            assert re.search(rf"\b{function}\(", source), f"{file} has no {function}"


@pytest.mark.parametrize("page, least", [
    ("delivery.md", 50), ("troubleshooting.md", 25), ("security.md", 25), ("compatibility.md", 1), ("agents.md", 3), ("aggregators.md", 14)])
def test_the_tests_that_a_page_names_exist(page, least):
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / page).read_text()))
    assert len(named) > least
    for file, test in named:
        source = (ROOT / "tests" / ("interop" if file.startswith("test_interop") else "scenario") / file).read_text()
        assert re.search(rf"^def {test}\(", source, re.M), f"{file} has no {test}"


def test_the_page_about_agents_names_every_row_of_its_test_and_no_other():
    source = (ROOT / "tests/interop/test_interop_agents.py").read_text()
    rows = set(re.findall(r'^    "([a-z-]+)": (?:logger|script)\(', source, re.M))
    modes = re.search(r"^FLUENTD_MODES = \{\n(.*?)^\}", source, re.M | re.S)[1]
    rows |= set(re.findall(r'^    "([a-z-]+)":', modes, re.M))
    assert len(rows) > 40
    assert set(re.findall(r"`\[([a-z-]+)\]`", (ROOT / "docs/agents.md").read_text())) == rows


def test_the_page_about_aggregators_names_every_one_of_its_test():
    source = (ROOT / "tests/interop/test_interop_aggregators.py").read_text()
    facts = re.search(r"^FACTS = \{\n(.*?)^\}", source, re.M | re.S)[1]
    names = set(re.findall(r'^    "([^"]+)":', facts, re.M))
    assert len(names) == 8
    assert set(re.findall(r"^\| \*\*([^*]+)\*\*", (ROOT / "docs/aggregators.md").read_text(), re.M)) == names


def test_the_examples_of_the_link_are_what_they_say():
    page = (ROOT / "docs/link.md").read_text()
    examples = re.findall(r"^    (\{.*\})\n((?:        [0-9a-f ]+\n)+)", page, re.M)
    assert len(examples) == 12
    for text, octets in examples:
        assert msgpack.unpackb(bytes.fromhex(octets)) == json.loads(text)
