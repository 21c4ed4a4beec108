"""Draws what the best copy of every placebo campaign looked like, from the lines of `placebos`.

python -m benchmarks.placebos_picture docs/campaigns/placebos/copies.png --browser /usr/bin/chromium
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.picture import save
from benchmarks.placebos import RESULTS, Row, read
from palmette.report.figures.theme import Figure, Json, figure


def drawn(rows: Sequence[Row]) -> Figure:
    """A line for each campaign: its root, its best copy and the best other baseline, less the root.

    Of campaigns with a copy on the last rung; intervals are those that the campaign tells.
    """
    known = [row for row in rows if row["best"] is not None]
    groups: dict[str, list[list[float]]] = {"the root": [], "its best copy": []}
    others: list[tuple[str, list[float]]] = []
    for row in known:
        root = row["others"][row["root"]]
        groups["the root"].append([end - root[0] for end in root])
        groups["its best copy"].append([end - root[0] for end in row["best"]])
        rest = {name: own for name, own in row["others"].items() if name != row["root"]}
        if rest:
            name = max(rest, key=lambda one: rest[one][0])
            others.append((name, [end - root[0] for end in rest[name]]))
    traces = [
        _whiskers(name, own, colour, lift)
        for (name, own), colour, lift in zip(
            groups.items(), ("@ink", "@placebo"), (-0.16, 0.16), strict=True
        )
    ]
    if others:
        name = f"the best other baseline, {others[0][0]}"
        if any(one != others[0][0] for one, _ in others):
            name = "the best other baseline"
        traces.append(_whiskers(name, [own for _, own in others], "@baseline", 0.0))
    return figure(
        "placebos",
        "The best copy of campaigns that could find nothing",
        traces,
        90 + 30 * len(known),
        xaxis={"title": {"text": "score on the last rung, less the root's"}},
        yaxis={
            "title": {"text": "campaign"},
            "range": [len(known) - 0.5, -0.5],
            "tickvals": list(range(len(known))),
            "ticktext": [str(row["seed"]) for row in known],
            "showgrid": False,
            "zeroline": False,
        },
    )


def _whiskers(name: str, own: Sequence[Sequence[float]], colour: str, lift: float) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [value for value, _, _ in own],
        "y": [place + lift for place in range(len(own))],
        "marker": {"color": colour, "size": 8},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for value, _, high in own],
            "arrayminus": [value - low for value, low, _ in own],
            "color": colour,
            "thickness": 1.2,
        },
    }


def main(given: list[str] | None = None) -> int:
    """Draws; returns the exit code."""
    parser = argparse.ArgumentParser("picture", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--browser", help="an executable; playwright's own if not given")
    options = parser.parse_args(given)
    rows = read(options.results)
    if not rows:
        print(f"no campaign in {options.results}: python -m benchmarks.placebos", file=sys.stderr)
        return 2
    save({options.picture: drawn(rows)}, options.browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
