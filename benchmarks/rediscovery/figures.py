"""The share of campaigns that have found a part, against how many genomes they have judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.rediscovery.parts import PARTS
from benchmarks.rediscovery.times import SENSES, course, noise_of, times_of
from palmette.report.figures.theme import Figure, Json, figure

COLOURS = ("@accent", "@s2")
DASHES = {"seen": "dot", "scored": "solid"}
SAID = {"seen": "anywhere", "scored": "in a genome beyond luck"}
GAP = 0.05


def drawn(rows: Sequence[dict[str, Any]]) -> Figure:
    """A panel for each part, a line for each arm and sense."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    noise = noise_of(rows)
    end = max((row["number"] for row in rows), default=0)
    wide = (1 + GAP) / len(PARTS) - GAP
    traces: list[Json] = []
    axes: Json = {}
    for place, part in enumerate(PARTS):
        suffix = "" if place == 0 else str(place + 1)
        left = place * (wide + GAP)
        axes[f"xaxis{suffix}"] = {
            "domain": [left, left + wide],
            "range": [0, end],
            "title": {
                "text": f"genomes until {part}",
                "font": {"color": "@soft", "size": 12.5},
                "standoff": 10,
            },
            "tickfont": {"color": "@soft", "size": 12},
            "gridcolor": "@grid",
            "zeroline": False,
        }
        for colour, arm in zip(COLOURS, arms, strict=False):
            for sense in SENSES:
                times = times_of(rows, arm, part, sense, "genomes", noise)
                points = [(0.0, 1.0), *((at, share) for at, share, _ in course(times))]
                points.append((max((time.until for time in times), default=0.0), points[-1][1]))
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "name": f"{arm}, {SAID[sense]}",
                        "showlegend": place == 0,
                        "x": [at for at, _ in points],
                        "y": [1 - share for _, share in points],
                        "xaxis": f"x{suffix}",
                        "line": {
                            "color": colour,
                            "dash": DASHES[sense],
                            "shape": "hv",
                            "width": 2.2,
                        },
                    }
                )
    return figure(
        "rediscovery",
        "Campaigns that have found a part",
        traces,
        340,
        yaxis={"title": {"text": "share of campaigns"}, "range": [-0.03, 1.03]},
        **axes,
    )
