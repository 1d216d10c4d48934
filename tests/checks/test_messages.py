"""docs/messages.md has every text that husk can log at level warn or above, and no other."""

import pathlib
import re

import pytest

from support import messages

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/messages.md").read_text()


def rows(heading):
    """The cells of each row below the heading, up to the next one."""
    part = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)[1]
    lines = re.findall(r"^\| (`.*) \|$", part, re.M)
    return [[cell.replace("\\|", "|") for cell in re.split(r" (?<!\\)\| ", line)] for line in lines]


def texts(heading):
    found = [row[0].strip("`") for row in rows(heading)]
    assert len(found) == len(set(found)), "a text is there twice"
    return set(found)


def pairs(heading):
    return {row[0].strip("`"): row[1].strip("`") for row in rows(heading)}


def test_every_log_line_is_explained():
    found = messages.log_lines()
    assert len(found) > 45
    assert texts("Lines") == found


def test_every_reason_is_explained():
    assert pairs("Reasons") == messages.end_reasons()


def test_every_hint_is_listed_with_its_reasons():
    found = messages.hints()
    assert len(found) > 30
    assert {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows("Hints")} == found


def test_every_detail_of_a_verification_is_explained():
    found = messages.details()
    assert len(found) > 20
    assert texts("What a verification says") == found


def test_every_phrase_about_an_ocsp_response_is_explained():
    assert texts("OCSP responses") == messages.ocsp_phrases()


def test_every_reason_of_an_invalid_event_is_explained():
    assert pairs("Invalid events") == messages.invalid_events()


@pytest.mark.parametrize("area", messages.AREAS)
def test_every_fault_is_explained(area):
    found = messages.faults()[area] - {"out of memory", "…: out of memory"}
    assert found and texts(area) == found
    assert all(len(row) == 2 and row[1].strip() for row in rows(area))


def test_every_function_that_is_given_a_text_is_known():
    """A text that goes through a new function could be a fault, or a part of one: name the function in support/messages.py."""
    assert messages.calls_with_texts() <= messages.FAULT_CALLS | messages.OTHER_CALLS


@pytest.mark.parametrize("heading", ["Lines", "Reasons", "What a verification says", "OCSP responses", "Invalid events"])
def test_each_row_has_a_cause_and_what_to_do(heading):
    for row in rows(heading):
        assert len(row) in (3, 4) and all(cell.strip() for cell in row), row
