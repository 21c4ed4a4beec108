"""The table that is printed and the JSON that is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ratios.row import Outcome

SCALES = {"ms": 1e3, "s": 1.0, "MB": 1e-6, "%": 100.0}


def line(outcome: Outcome) -> str:
    """One row of the table."""
    row, ratio = outcome.row, outcome.ratio
    head = f"{row.name:<44.44} {row.against:<42.42} {row.wanted!s:>9} "
    if outcome.error is not None:
        return f"{head} error: {outcome.error.strip().splitlines()[-1]}"
    if ratio is None:
        assert outcome.agreement is not None
        return f"{head} refused: {'; '.join(outcome.agreement.faults[:3])}"
    scale = SCALES[row.unit]
    ours, theirs = scale * outcome.middle("ours"), scale * outcome.middle("theirs")
    between = f"[{ratio.low:.3g}, {ratio.high:.3g}]"
    readings = f"{ours:.4g} / {theirs:.4g} {row.unit}"
    return (
        f"{head} {ratio.median:>7.3g} {between:<16} {readings:<24} "
        f"{len(outcome.pairs):>3} {outcome.clock:<8}{outcome.verdict}"
    )


HEAD = (
    f"{'what':<44} {'against':<42} {'wanted':>9}  {'ratio':>7} {'interval':<16} "
    f"{'ours / theirs':<24} {'n':>3} {'clock':<8}"
)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One row of the file; missing is null."""
    row, ratio = outcome.row, outcome.ratio
    measured = None
    if ratio is not None:
        measured = {
            "median": ratio.median,
            "low": ratio.low,
            "high": ratio.high,
            "coverage": ratio.coverage,
            "pairs": len(outcome.pairs),
            "clock": outcome.clock,
            "ours": outcome.middle("ours"),
            "theirs": outcome.middle("theirs"),
            "unit": {"ms": "s", "s": "s", "MB": "bytes", "%": "share"}[row.unit],
        }
    compared = None
    if outcome.agreement is not None:
        what, error = outcome.agreement.worst
        compared = {
            "tensors": len(outcome.agreement.errors),
            "worst": what,
            "error": error if math.isfinite(error) else None,
            "tolerance": outcome.agreement.tolerance,
            "faults": outcome.agreement.faults,
        }
    return {
        "name": row.name,
        "against": row.against,
        "about": row.about,
        "at_least": row.wanted.at_least,
        "at_most": row.wanted.at_most,
        "verdict": outcome.verdict,
        "ratio": measured,
        "agreement": compared,
        "notes": outcome.notes,
        "error": outcome.error,
    }


def write(
    path: Path,
    host: dict[str, Any],
    outcomes: Sequence[Outcome],
    order: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes the rows that ran; those in the file that did not run now stay as they are.

    A row that is kept from another run keeps what that run said of the machine. Rows stand in the
    order of their names and of what they are against, as far as it is given.
    """
    ran = [{**as_json(outcome), "host": host} for outcome in outcomes]
    names = {(row["name"], row["against"]) for row in ran}
    kept = []
    if path.exists():
        kept = [
            row
            for row in json.loads(path.read_text("utf-8"))
            if (row["name"], row["against"]) not in names
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    places = {name: place for place, name in enumerate(order)}

    def place(row: dict[str, Any]) -> int:
        return places.get((row["name"], row["against"]), len(places))

    found = sorted([*kept, *ran], key=place)
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", "utf-8")


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 if a row was refused or failed; a ratio that is missed is a result, not a failure."""
    return int(any(outcome.refused or outcome.error is not None for outcome in outcomes))


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of a file as tables for a document; one that was not measured says why.

    Rows named "KIND of GENOME, SHAPE" stand in a table of their own, a line for each genome.
    """
    lines = [
        "| what | against | wanted | ratio [interval] | ours, theirs |",
        "|---|---|---|---|---|",
    ]
    grid: dict[str, dict[str, str]] = {}
    for row in rows:
        kind, of, rest = row["name"].partition(" of ")
        if of and kind in GRIDDED:
            genome, _, shape = rest.partition(", ")
            grid.setdefault(genome, {})[f"{kind}, {shape}"] = ratio_of(row)
            continue
        head = f"| {row['name']} | {row['against']} | {wish(row)} | {ratio_of(row)} |"
        found = row["ratio"]
        ends = f" {amount(found, 'ours')}, {amount(found, 'theirs')} |" if found else " |"
        lines.append(head + ends)
    if grid:
        columns = list(dict.fromkeys(column for cells in grid.values() for column in cells))
        lines += ["", f"| genome | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
        for genome, cells in grid.items():
            lines.append(f"| {genome} | {' | '.join(cells.get(c, '') for c in columns)} |")
    return "\n".join(lines)


GRIDDED = ("lin", "layer")


def ratio_of(row: dict[str, Any]) -> str:
    """The ratio of a row of the file with its interval; bold where it is as wanted."""
    found = row["ratio"]
    if found is None:
        return str(row["verdict"])
    told = f"{found['median']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"
    if found["coverage"] < 0.95:
        told += f" ({found['pairs']} pairs)"
    return f"**{told}**" if row["verdict"] == "reached" else told


def wish(row: dict[str, Any]) -> str:
    """What was wanted of a row of the file."""
    if row["at_least"] is not None:
        return f"at least {row['at_least']:g}"
    return f"at most {row['at_most']:g}" if row["at_most"] is not None else ""


def amount(found: dict[str, Any], side: str) -> str:
    """A median reading with its unit."""
    value = found[side]
    if found["unit"] == "bytes":
        return f"{value / 1e6:.0f} MB"
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
