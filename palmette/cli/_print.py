"""Records on the screen: tables for people, JSON for scripts. What is missing prints as a dash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from palmette.cli._options import Form
from palmette.records import Rate, Record

MISSING = "–"
PIPE_WIDTH = 200  # columns, where the output is not a terminal
HASH_DIGITS = 8
EXACT = {"seed", "trial", "replica", "width", "depth"}  # numbers that are names: no separators
RIGHT = (int, float)
LONG = 36  # columns, from which on a cell may be folded; hashes and names are never cut
PADDING = 3  # columns around a cell


def console(stderr: bool = False) -> Console:
    """Where tables go; wide enough in a pipe that nothing is cut."""
    made = Console(highlight=False, stderr=stderr)
    return made if made.is_terminal else Console(highlight=False, stderr=stderr, width=PIPE_WIDTH)


def show_rows(
    rows: Sequence[Record],
    form: Form,
    columns: Mapping[str, str] | None = None,
    title: str | None = None,
) -> None:
    """Prints rows of one kind. `columns` gives fields and their headings; all fields otherwise."""
    if form == "json":
        print_json([row.model_dump(mode="json") for row in rows])
        return
    out = console()
    if not rows:
        out.print("none")
        return
    chosen = columns or {field: heading(field) for field in type(rows[0]).model_fields}
    cells = [[cell(field, getattr(row, field)) for field in chosen] for row in rows]
    widths = [
        max(cell_len(text) for text in column)
        for column in zip(chosen.values(), *cells, strict=True)
    ]
    needed = sum(min(width, LONG) + PADDING for width in widths)
    if needed > out.width:
        if out.is_terminal:
            _show_blocks(out, list(chosen.values()), cells)
            return
        out.width = needed + PADDING  # with the table's own edges
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for (field, name), width in zip(chosen.items(), widths, strict=True):
        values = [getattr(row, field) for row in rows]
        right = any(isinstance(v, RIGHT) and not isinstance(v, bool) for v in values)
        table.add_column(name, justify="right" if right else "left", overflow="fold",
                         no_wrap=width <= LONG)  # fmt: skip
    for texts in cells:
        table.add_row(*map(Text, texts))
    out.print(table)


def _show_blocks(out: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows for a terminal that is too narrow for a table: a paragraph each, nothing cut off."""
    for row in rows:
        line = Text()
        for name, text in zip(names, row, strict=True):
            if text == MISSING:
                continue
            if line and line.cell_len + cell_len(f"  {name} {text}") > out.width:
                out.print(line, soft_wrap=True)
                line = Text("  ")
            elif line:
                line.append("  ")
            line.append(f"{name} ", style="dim").append(text)
        out.print(line, soft_wrap=True)


def show_row(row: Record, form: Form, fields: Sequence[str] | None = None) -> None:
    """Prints one record: a line a field."""
    if form == "json":
        print_json(row.model_dump(mode="json"))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field in fields or type(row).model_fields:
        table.add_row(heading(field), Text(cell(field, getattr(row, field))))
    console().print(table)


def print_json(value: object) -> None:
    """JSON as it is, whatever the width of the terminal, in ASCII, whatever its encoding."""
    print(json.dumps(value, indent=2, allow_nan=False))


def heading(field: str) -> str:
    """A field for people; units are told by its values.

    >>> heading("elapsed_seconds"), heading("chance_bits")
    ('elapsed', 'chance bits')
    """
    return field.removesuffix("_seconds").removesuffix("_bytes").replace("_", " ")


def cell(field: str, value: object) -> str:
    """A value for people; the field's name tells its unit.

    >>> cell("state_bytes", 18_496), cell("elapsed_seconds", 75.0), cell("score", None)
    ('18.1 KiB', '1 min 15 s', '–')
    """
    if value is None or value == () or value == {}:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field in ("genome", "best", "hash", "draw") and isinstance(value, str) and "(" not in value:
        return value[:HASH_DIGITS]
    if field == "parents" and isinstance(value, tuple):
        return " + ".join(parent[:HASH_DIGITS] for parent in value)
    if field.endswith("_bytes") and isinstance(value, int):
        return size(value)
    if field.endswith("_seconds") and isinstance(value, float):
        return duration(value)
    if isinstance(value, Rate):
        return f"{value.happened} of {value.cases}: at most {100 * value.bound:.0f} % (95 % sure)"
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items())
    if isinstance(value, int) and field not in EXACT:
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    """Four digits that matter.

    >>> number(0.12342), number(84226.5), number(1.5e10)
    ('0.1234', '84,226', '1.5e+10')
    """
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes in binary units."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
