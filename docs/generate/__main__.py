"""Writes the documents that come from the table of settings.

    python3 docs/generate HUSK

HUSK is the program: `husk schema` and `husk help` print all that the documents need. `make documents` runs this script, and a test
compares the committed files with its output.
"""

import pathlib
import sys

import documents

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main(husk):
    for path, text in documents.of(husk, ROOT).items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
