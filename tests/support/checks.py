"""husk check: its findings, as the JSON output has them."""

import copy
import json

import jsonschema

from support import raw
from support.husk import ROOT, flags, run

LEVELS = ("ok", "note", "warning", "problem")


SCHEMA = json.loads((ROOT / "docs/check.schema.json").read_text())


def exact(schema):
    """The schema of this release: there is no further field."""
    schema = copy.deepcopy(schema)
    for part in (schema, schema["definitions"]["finding"]):
        part["additionalProperties"] = False
    return schema


VALIDATOR = jsonschema.Draft7Validator(exact(SCHEMA))


class Checked:
    """The result of one `husk check`."""

    def __init__(self, result):
        assert not result.stderr and result.stdout.count("\n") == 1, result
        self.status = result.returncode
        self.report = json.loads(result.stdout)
        VALIDATOR.validate(self.report)
        self.findings = self.report["findings"]
        assert {one["level"] for one in self.findings} <= set(LEVELS)
        problems = len(self.of("problem"))
        assert self.status == (1 if problems else 0) and self.report["problems"] == problems
        assert self.report["warnings"] == len(self.of("warning")) and self.report["incomplete"] is False
        assert self.report["verdict"] == max((one["level"] for one in self.findings), key=LEVELS.index)

    def of(self, level):
        """The findings of this level, each as one line: subject: text; advice."""
        return [f"{one['subject']}: {one['text']}" + (f"; {one['advice']}" if "advice" in one else "")
                for one in self.findings if one["level"] == level]

    def expect(self, level, *words):
        """A finding of this level has all these words."""
        assert any(all(word in line for word in words) for line in self.of(level)), (words, self.findings)
        return self

    def expect_only(self, level, *words):
        """The same, and there is no other finding of this level, and no problem but this one."""
        self.expect(level, *words)
        assert len(self.of(level)) == 1 and (level == "problem" or not self.of("problem")), self.findings
        return self

    def expect_good(self):
        assert not self.of("problem") + self.of("warning"), self.findings
        return self


class Checker:
    """Runs `husk check` with options that are good; a test gives the options that it is about."""

    def __init__(self, launcher):
        self._launcher, self._pki = launcher, launcher.pki

    def options(self, mode, upstream, **options):
        certificate = options.pop("certificate", None) or getattr(self._pki, mode)
        if mode == "server" and not any(name.startswith("allow") for name in options):
            options["allow_cn"] = "client"
        return self._launcher.options(upstream, certificate, **{"admin": "off", **options})

    def __call__(self, mode, upstream=f"{raw.HOST}:1", env=None, **options):
        given = self.options(mode, upstream, **options)
        return Checked(run("check", mode, *flags(**given), "--json", env=env))
