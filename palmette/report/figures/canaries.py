"""The canary: what another process measured of every saved model, against its trainer's figure."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.records import CanaryRow, Exam
from palmette.report.figures.theme import Figure, Json, escaped, figure


def canaries(exam: Exam) -> Figure | None:
    """Reloaded models on the diagonal, untrained copies off it; None before the first."""
    rows = [row for row in exam.canary if row.reloaded is not None and row.fresh is not None]
    if not rows:
        return None
    ends = [min(row.told for row in rows), max(row.told for row in rows)]
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": ends,
            "y": ends,
            "line": {"color": "@line", "width": 1.4},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        _dots("untrained copy", rows, [row.fresh for row in rows], "@placebo", "triangle-up"),
        _dots("loaded again", rows, [row.reloaded for row in rows], "@accent", "circle"),
    ]
    return figure(
        "canaries",
        f"Endpoint told by the trainer and measured again, of {len(rows)} models",
        traces,
        340,
        margin={"t": 40},
        xaxis={"title": {"text": "told by the trainer"}, "tickformat": ".2f"},
        yaxis={"title": {"text": "measured by another process"}, "tickformat": ".2f"},
        hovermode="closest",
    )


def _dots(
    name: str, rows: Sequence[CanaryRow], values: Sequence[float | None], colour: str, symbol: str
) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [row.told for row in rows],
        "y": list(values),
        "marker": {"size": 7, "color": colour, "symbol": symbol, "opacity": 0.85},
        "text": [escaped(f"{row.label}, seed {row.seed}") for row in rows],
        "hovertemplate": f"<b>%{{text}}</b><br>{name}: %{{y:.6f}}, told %{{x:.6f}}<extra></extra>",
    }
