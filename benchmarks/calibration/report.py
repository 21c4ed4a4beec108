"""The analyses as Markdown and JSON: `python -m benchmarks.calibration report`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.calibration.analysis import (
    bounds,
    costs,
    mixture,
    predictors,
    rates,
    rungs,
    schedules,
    scoring,
    screening,
    seeds,
    stopping,
)
from benchmarks.calibration.running import FOLDER
from palmette.ladder.calibration import Calibration, calibration
from palmette.ladder.statistics import Estimate

MODULES: tuple[ModuleType, ...] = (
    seeds,
    rungs,
    bounds,
    scoring,
    mixture,
    predictors,
    costs,
    rates,
    stopping,
    schedules,
    screening,
)


DOCUMENT = Path("docs/calibration.md")
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(folder: Path = FOLDER, document: Path = DOCUMENT) -> int:
    """Prints the report, writes `report.md` and `report.json`, and puts the tables that a document
    asks for into it; returns the exit code.
    """
    table = calibration()
    if table is None:
        print("there is no table yet: python -m benchmarks.calibration table", file=sys.stderr)
        return 2
    text, held = made(table)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(text + "\n", "utf-8")
    (folder / "report.json").write_text(json.dumps(held, indent=1) + "\n", "utf-8")
    if document.is_file():
        document.write_text(filled(document.read_text("utf-8"), table), "utf-8")
    return 0


def filled(text: str, table: Calibration) -> str:
    """A document with fresh tables between `<!-- table: MODULE -->` and `<!-- end -->`."""
    modules = {module.__name__.rpartition(".")[2]: module for module in MODULES}

    def fresh(found: re.Match[str]) -> str:
        module = modules[found[2]]
        rows = [row for row in module.measured(table) if getattr(row, "group", "all") == "all"]
        return f"{found[1]}{module.NOTE}\n\n{markdown(rows)}\n{found[3]}"

    return BLOCK.sub(fresh, text)


def made(table: Calibration) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """The report as Markdown, and as plain data by module."""
    parts, held = [], {}
    for module in MODULES:
        rows = module.measured(table)
        parts.append(f"## {module.TITLE}\n\n{module.NOTE}\n\n{markdown(rows)}")
        held[module.__name__.rpartition(".")[2]] = [asdict(row) for row in rows]
    return "\n\n".join(parts), held


def markdown(rows: Sequence[Any]) -> str:
    """Records as a table with a column for each field."""
    if not rows:
        return "Not measured yet."
    names = [field.name for field in fields(rows[0])]
    head = "| " + " | ".join(name.replace("_", " ") for name in names) + " |"
    lines = [head, "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(getattr(r, name)) for name in names) + " |" for r in rows]
    return "\n".join(lines)


def cell(value: object) -> str:
    """A value as people read it.

    >>> cell(Estimate(0.5, 0.25, 1.0)), cell(0.00123), cell(None)
    ('0.50 [0.25, 1.00]', '0.0012', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Estimate):
        return f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"
    if isinstance(value, float):
        return (
            f"{value:.4f}"
            if abs(value) < 0.1
            else f"{value:.3f}"
            if abs(value) < 10
            else f"{value:.1f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)
