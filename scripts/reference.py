"""Writes docs/commands.md and docs/language.md from the commands' --help and the registries.

python scripts/reference.py          # writes them
python scripts/reference.py --check  # exit 1 if they are not what they should be
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 100


def commands() -> str:
    """Every command's own help."""
    # rich measures the terminal and decides on colours when typer is first imported
    os.environ |= {
        "COLUMNS": str(WIDTH),
        "TERMINAL_WIDTH": str(WIDTH),
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    from typer.testing import CliRunner

    from palmette.cli import Commands, app

    names = Commands().list_commands(None)
    pages = ["# Commands", "Made from `--help` by `scripts/reference.py`."]
    for arguments in [[], *[[name] for name in names]]:
        title = " ".join(["palmette", *arguments])
        text = CliRunner().invoke(app, [*arguments, "--help"], prog_name="palmette").output
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        pages.append(f"## {title}\n\n```\n{lines}\n```")
    return "\n\n".join(pages) + "\n"


def language() -> str:
    """Every node of the language with its knobs."""
    from palmette.grammar.node import fields_of
    from palmette.grammar.types import Child, literal
    from palmette.model import atlas
    from palmette.ops import primitives

    pages = [
        "# The language",
        "Made from the registries by `scripts/reference.py`. The first choice of a knob is the one "
        "that a text without the knob means.",
    ]
    for primitive in primitives:
        rows = [f"## {primitive.name}", f"*{primitive.sort.value}, {primitive.role}.*"]
        rows.append(prose(primitive.__doc__ or ""))
        table = ["| part | what | choices |", "|---|---|---|"]
        for name, spec in fields_of(primitive).items():
            if isinstance(spec, Child):
                number = f", {spec.least} to {spec.most}" if spec.many else ""
                table.append(f"| {name} | {spec.meaning} | a {spec.sort.value}{number} |")
            else:
                choices = ", ".join(f"`{literal(choice)}`" for choice in spec.choices)
                table.append(f"| {name} | {spec.meaning} | {choices} |")
        fields = ["\n".join(table)] if len(table) > 2 else []
        pages.append("\n\n".join([*rows, *fields]))
    pages.append("# The atlas")
    for row in atlas.rows():
        told = "\n".join(atlas.comments(row.name))
        pages.append(f"## {row.name}\n\n{told}\n\n```\n{row.genome}\n```")
    return "\n\n".join(pages) + "\n"


def prose(docstring: str) -> str:
    """A docstring without its indentation and without its example."""
    text = docstring.partition(">>>")[0]
    return "\n".join(line.strip() for line in text.strip().splitlines())


def main() -> None:
    """Writes or checks the pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in (("commands.md", commands()), ("language.md", language())):
        path = DOCS / name
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"stale: {', '.join(stale)} in docs; run python scripts/reference.py")


if __name__ == "__main__":
    main()
