"""docs/observability.md: its tables are those of /metrics and /ready."""

import pathlib
import re

from support import messages, raw

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/observability.md").read_text()


def test_the_page_has_every_metric_as_husk_describes_it(husk):
    client = husk.client(f"{raw.HOST}:1", protocol="tcp")
    text = client.get("/metrics")[1]
    helps, types = (dict(re.findall(rf"^# {word} (\S+) (.*)$", text, re.M)) for word in ("HELP", "TYPE"))
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| (.*) \|$", PAGE, re.M)
    assert len(rows) == len(helps) > 50
    assert {name: (kind, meaning) for name, kind, meaning in rows} == {name: (types[name], helps[name]) for name in helps}


def test_the_expressions_of_the_page_name_metrics_of_the_page():
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    part = re.search(r"^## What to watch\n(.*?)^## ", PAGE, re.M | re.S)[1]
    used = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(husk_\w+)", part)}
    assert len(used) > 5 and used <= named


def test_the_page_has_every_reason_of_readiness():
    part = re.search(r"^## Readiness\n(.*?)^## ", PAGE, re.M | re.S)[1]
    lines = re.findall(r"^\| `([^`]+)`", part, re.M)
    texts = messages.readiness_reasons()
    assert len(texts) > 9
    for text in texts:
        assert any(text in line for line in lines), text
