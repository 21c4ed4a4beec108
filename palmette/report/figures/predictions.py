"""Predictions against outcomes: does the proposer know what its edits will do?"""

from __future__ import annotations

import math

from palmette.report import summaries
from palmette.report.data import ReportData
from palmette.report.figures.theme import (
    Figure,
    Json,
    edit_words,
    escaped,
    figure,
    lines,
    short,
    wrapped,
)

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon")


def predictions(data: ReportData) -> Figure | None:
    """Predicted against measured change, one mark an edit; None without a measured prediction.

    On the diagonal a prediction came true; a hollow mark fell outside its prediction's interval.
    The band around the diagonal is how far two trials of one and the same genome differ by seed
    alone (95 %).
    """
    held = [outcome for outcome in summaries.outcomes(data.tree) if outcome.prediction]
    if not held:
        return None
    kinds = sorted({outcome.row.edit or "unnamed" for outcome in held})
    traces = [_diagonal(held), *(_marks(kind, number, held) for number, kind in enumerate(kinds))]
    if data.first_noise:
        traces.insert(0, _band(held, 1.96 * math.sqrt(2) * data.first_noise.deviation))
    true = sum(bool(outcome.held) for outcome in held)
    return figure(
        "predictions",
        f"{true} of {len(held)} predictions held the measured change in their interval",
        traces,
        430,
        xaxis={
            "title": {"text": "predicted change of the score"},
            "tickformat": "+.3f",
            "range": list(_span(held)),
        },
        yaxis={"title": {"text": "measured change"}, "tickformat": "+.3f"},
        hovermode="closest",
    )


def _span(held: list[summaries.Outcome]) -> tuple[float, float]:
    centres = [outcome.prediction.change for outcome in held if outcome.prediction]
    margin = 0.25 * (max(centres) - min(centres)) or 0.01
    return min(centres) - margin, max(centres) + margin


def _diagonal(held: list[summaries.Outcome]) -> Json:
    ends = list(_span(held))
    line = {"color": "@soft", "width": 1.2, "dash": "dot"}
    return {
        "type": "scatter", "mode": "lines", "name": "came true", "x": ends, "y": ends,
        "line": line, "hoverinfo": "skip",
    }  # fmt: skip


def _band(held: list[summaries.Outcome], half: float) -> Json:
    low, high = _span(held)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "within seed noise",
        "x": [low, high, high, low],
        "y": [low - half, high - half, high + half, low + half],
        "fill": "toself",
        "fillcolor": "@band",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _marks(kind: str, number: int, held: list[summaries.Outcome]) -> Json:
    own = [o for o in held if (o.row.edit or "unnamed") == kind and o.prediction]
    sure = [(o, o.prediction) for o in own if o.prediction]
    colour = f"@s{number % 6 + 1}"
    shape = SYMBOLS[number % len(SYMBOLS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escaped(kind),
        "x": [promise.change for _, promise in sure],
        "y": [outcome.change for outcome, _ in sure],
        "marker": {
            "symbol": [shape if outcome.held else f"{shape}-open" for outcome, _ in sure],
            "size": 9,
            "color": colour,
            "line": {"width": 1.4, "color": colour},
        },
        "text": [
            lines(
                [
                    f"<b>{short(outcome.row.genome)}</b> {escaped(kind)}",
                    wrapped(edit_words(outcome.row)),
                    f"predicted {promise.change:+.4f} [{promise.low:+.4f}, {promise.high:+.4f}] "
                    f"from {promise.observations} earlier edits",
                    f"happened {outcome.change:+.4f}",
                ]
            )
            for outcome, promise in sure
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
