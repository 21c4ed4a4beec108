"""Records on the screen: tables for people, JSON for scripts. What is missing prints as a dash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from palmette.cli._options import Form
from palmette.records import Record

MISSING = "–"
PIPE_WIDTH = 200  # columns, where the output is not a terminal
HASH_DIGITS = 8
EXACT = {"seed", "trial", "replica", "width", "depth"}  # numbers that are names: no separators
RIGHT = (int, float)


def console() -> Console:
    """Where tables go; wide enough in a pipe that nothing is cut."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


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
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for field, name in chosen.items():
        values = [getattr(row, field) for row in rows]
        right = any(isinstance(v, RIGHT) and not isinstance(v, bool) for v in values)
        long = field in ("expression", "summary", "reason", "signature", "motivation", "detail")
        table.add_column(name, justify="right" if right else "left", overflow="fold",
                         no_wrap=not long)  # fmt: skip
    for row in rows:
        table.add_row(*(Text(cell(field, getattr(row, field))) for field in chosen))
    out.print(table)


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
    """JSON as it is, whatever the width of the terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


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
    if field in ("genome", "best", "hash") and isinstance(value, str) and "(" not in value:
        return value[:HASH_DIGITS]
    if field == "parents" and isinstance(value, tuple):
        return " + ".join(parent[:HASH_DIGITS] for parent in value)
    if field.endswith("_bytes") and isinstance(value, int):
        return size(value)
    if field.endswith("_seconds") and isinstance(value, float):
        return duration(value)
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
