"""A study's arms as tables on the screen, as wide as the terminal is, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from palmette.records import Study
from palmette.report import Column, concluded, study_columns
from palmette.search.quoting import inline

GAP = 2  # between columns
NOTE = """\
Values with 95 % intervals; a dash is what cannot be told. A gain is a genome's first-rung score \
minus its parent's; what an arm gained over the reference is the difference of their mean gains, \
over genomes in one campaign and over seeds where there are several; what tokens or money bought \
is all that an arm gained more than the reference, divided by all that it spent, declined \
proposals included. Best is the best of the first genomes that all arms have, minus the root. \
Valid is the share of proposals that became genomes, held how often a predicted interval held the \
measured change (95 % of a good one), rating the rank correlation of the reviewers' ratings with \
the gains."""


def show_study(console: Console, study: Study) -> None:
    """Prints the arms in as many tables as the width asks for, and what can be concluded."""
    known = [column for column in study_columns(study) if column.known]
    for columns in packed(known, console.width):
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for column in columns:
            left = column.name == "arm"
            table.add_column(column.head, justify="left" if left else "right", no_wrap=True)
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*map(Text, row))
        console.print(table, highlight=False)
        console.print()
    told = concluded(study)
    for text in (Text(f"{told.headline}.", style="bold"), *map(Text, told.sentences)):
        console.print(text, soft_wrap=not console.is_terminal, highlight=False)


def packed(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in tables that are no wider than this, each begun by the first column.

    A table has at least one column beside it, however narrow the terminal.
    """
    first, *rest = columns
    tables: list[list[Column]] = []
    used = 0
    for column in rest:
        wanted = _width(column)
        if not tables or used + wanted - GAP > width:
            tables.append([first])
            used = _width(first)
        tables[-1].append(column)
        used += wanted
    return tables or [[first]]


def _width(column: Column) -> int:
    return max(map(cell_len, (column.head, *column.cells))) + GAP


def markdown(study: Study) -> str:
    """The study as a page of Markdown."""
    told = concluded(study)
    columns = study_columns(study)
    rows = [
        [inline(column.head) for column in columns],
        ["---", *["---:"] * (len(columns) - 1)],
        *([inline(arm), *row] for arm, *row in zip(*(c.cells for c in columns), strict=True)),
    ]
    lines = [
        f"# Study {inline(study.study)}",
        f"Root {inline(study.root)}, scale {inline(study.scale)}, suite {inline(study.suite)}, "
        f"seeds {', '.join(map(str, study.seeds))}, models "
        f"{', '.join(map(inline, study.models)) or 'none'}; {study.compared} genomes of every arm "
        f"are compared, of {study.wanted} wanted.",
        f"**{inline(told.headline)}.** {' '.join(map(inline, told.sentences))}",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
        NOTE,
    ]
    return "\n\n".join(lines) + "\n"
