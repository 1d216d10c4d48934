"""The generated files and their texts."""

import chart
import completion
import manual
import markdown
import source

PAGE = "docs/configuration.md"


def of(husk, root):
    """{path: text}. The hand-written part of docs/configuration.md stays."""
    program = source.Program(husk)
    page = markdown.page((root / PAGE).read_text(), program)
    return {
        "docs/husk.schema.json": program.schema_text,
        PAGE: page,
        "docs/man/husk.1": manual.husk_1(program),
        "docs/man/husk.yaml.5": manual.husk_yaml_5(program, markdown.first_example(page)),
        "completions/husk.bash": completion.bash(program),
        "completions/_husk": completion.zsh(program),
        "completions/husk.fish": completion.fish(program),
        **chart.of(program, root),
    }
