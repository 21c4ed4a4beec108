"""The leaderboard: shrunken estimates with their intervals, found genomes beside human ones."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.records import BestRow, Role
from palmette.report.data import ReportData
from palmette.report.figures.theme import (
    MARKERS,
    ROLE_COLOURS,
    Figure,
    Json,
    escaped,
    figure,
    lines,
    short,
    wrapped,
)

MOST_FOUND = 15
ROLES: tuple[Role, ...] = ("found", "root", "baseline", "placebo")


def leaderboard(data: ReportData) -> Figure | None:
    """A dot and a whisker a row of the highest rung: the best found ones and all others.

    None without estimates.
    """
    highest = [row for row in data.best if row.rung == data.best[0].rung]
    found = [row for row in highest if row.role == "found"][:MOST_FOUND]
    rows = sorted(
        [*found, *(row for row in highest if row.role != "found")], key=lambda row: -row.score
    )
    if not rows:
        return None
    places = dict(enumerate(rows))
    traces = [
        _dots(role, {n: row for n, row in places.items() if row.role == role}) for role in ROLES
    ]
    return figure(
        "leaderboard",
        f"Shrunken estimates with 95 % intervals of {len(rows)} genomes at rung {rows[0].rung}",
        [trace for trace in traces if trace["x"]],
        130 + 27 * len(rows),
        xaxis={
            "title": {"text": f"shrunken score at rung {escaped(rows[0].rung)}, 95 % interval"},
            "zeroline": False,
        },
        yaxis={
            "tickvals": list(places),
            "ticktext": [label(row) for row in rows],
            "range": [len(rows) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        },
        shapes=_reference_lines(rows),
        hovermode="closest",
    )


def label(row: BestRow) -> str:
    """A row's name where it has one, else its short hash; escaped."""
    return escaped(row.name or short(row.genome))


def _dots(role: Role, rows: dict[int, BestRow]) -> Json:
    held: Sequence[BestRow] = list(rows.values())
    colour = ROLE_COLOURS[role]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": role,
        "x": [row.score for row in held],
        "y": list(rows),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [0 if row.high is None else row.high - row.score for row in held],
            "arrayminus": [0 if row.low is None else row.score - row.low for row in held],
            "color": colour,
            "thickness": 1.6,
            "width": 0,
        },
        "marker": {"symbol": MARKERS[role], "size": 10, "color": colour},
        "text": [_hover(row) for row in held],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(row: BestRow) -> str:
    known = row.low is not None and row.high is not None
    interval = f"[{row.low:.4f}, {row.high:.4f}]" if known else "(no interval: no repeated seeds)"
    bits = f", {row.bits_per_byte:.3f} bits per byte" if row.bits_per_byte is not None else ""
    return lines(
        [
            f"<b>{label(row)}</b> ({row.role})",
            f"score {row.score:.4f} {interval}{bits}",
            f"before shrinking {row.raw_score:.4f}; seeds {row.seeds}, rung {escaped(row.rung)}",
            wrapped(row.expression),
        ]
    )


def _reference_lines(rows: Sequence[BestRow]) -> list[Json]:
    roles: tuple[Role, ...] = ("root", "baseline")
    first = [next((row for row in rows if row.role == role), None) for role in roles]
    lines_at = zip(first, (ROLE_COLOURS[role] for role in roles), strict=True)
    return [
        {
            "type": "line",
            "x0": row.score,
            "x1": row.score,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "layer": "below",
            "line": {"color": colour, "width": 1, "dash": "dot"},
        }
        for row, colour in lines_at
        if row
    ]
