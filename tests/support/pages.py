"""The pages of the documentation: their blocks of code, their headings and their links."""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/benchmarks/*.md"), *ROOT.glob("k8s/**/*.md"),
                *ROOT.glob("packages/**/*.md")])
MARK = re.compile(r"<!-- (run|run by|not run|file|route)(?:: (.*?))? -->$")

# The files in pages use these variables, like the files of config/examples, so no test needs a certain port.
FREE_ADDRESSES = {"ADMIN": "127.0.0.1:0", "LISTEN": "127.0.0.1:0"}


class Block(NamedTuple):
    page: str      # relative to the top of the repository
    line: int      # of its first line of text
    language: str  # behind the fence; "indented": no fence
    mark: str      # the comment before the block, or None:
                   # "run": in the order of the page, in one directory; "run by": by another test; "not run": no test can run it
                   # "file": written into the directory; "route": a part of a file, the settings of a route
    value: str     # of the mark: the test, the reason, the name of the file
    text: str

    @property
    def place(self):
        return f"{self.page}:{self.line}"


def relative(path):
    return str(path.relative_to(ROOT))


def blocks_of(path):
    found, lines, at = [], path.read_text().splitlines(), 0
    while at < len(lines):
        begin = at
        if fence := re.match(r"```(\w*)$", lines[at]):
            language, at = fence[1], at + 1
            while lines[at] != "```":
                at += 1
            text = lines[begin + 1:at]
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1]):
            language = "indented"
            while at + 1 < len(lines) and (lines[at + 1].startswith("    ") or not lines[at + 1]):
                at += 1
            text = [line[4:] for line in lines[begin:at + 1]]
        else:
            at += 1
            continue
        mark = MARK.match(lines[begin - 1]) if begin else None
        found.append(Block(relative(path), begin + 1, language, mark and mark[1], mark and mark[2], "\n".join(text).rstrip() + "\n"))
        at += 1
    return found


def blocks():
    return [block for path in PAGES for block in blocks_of(path)]


def commands_of(block):
    """The simple commands of a block of shell, as lists of words. A word with `…` or with `[` stands for others and is left out."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # prose with an apostrophe
            continue
        command = []
        for word in [*words, "|"]:
            if word not in ("|", "&&", "||", "&", ";"):
                command.append(word.rstrip(";"))
            if word in ("|", "&&", "||", "&", ";") or word.endswith(";"):
                if command:
                    yield command
                command = []


def execute(page, directory, husk):
    """Runs the marked blocks of a page in the folder `work` of the directory. Returns what they print."""
    programs, work = directory / "bin", directory / "work"
    programs.mkdir()
    work.mkdir()
    (programs / "husk").symlink_to(husk)
    of_page = blocks_of(ROOT / page)
    for block in of_page:
        if block.mark == "file":
            (work / block.value).write_text(block.text)
    script = "".join(f"# {block.place}\n{block.text}" for block in of_page if block.mark == "run")
    process = subprocess.Popen(["sh", "-e", "-u", "-c", script], cwd=work, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                               env={**os.environ, **FREE_ADDRESSES, "PATH": f"{programs}:{os.environ['PATH']}"})
    try:
        process.wait(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what the page has started in the background
        output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


# ---- links -------------------------------------------------------------------------------------------------

def anchors_of(text):
    """The anchors of the headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = 1
        while anchor in found:
            anchor = f"{anchor.rsplit('-', 1)[0] if count > 1 else anchor}-{count}"
            count += 1
        found.add(anchor)
    return found


def links_of(path):
    """(target file, anchor) of each link inside the repository."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield (path.parent / file).resolve() if file else path, anchor
