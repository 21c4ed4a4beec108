"""A candidate against every baseline of a league: differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.records import Contrast, Exam, Span, Verdict
from palmette.report.examined import Kind, kind_of
from palmette.report.figures.theme import Figure, Json, escaped, figure, lines
from palmette.report.numbers import ends, signed

STYLES: dict[Kind, tuple[str, str, str]] = {  # what it is called, its marker and its colour
    "default": ("default", "diamond", "@baseline"),
    "stretched": ("trained to equal FLOPs", "square", "@s2"),
    "tuned": ("tuned", "circle", "@s3"),
    "placebo": ("placebo", "triangle-up", "@placebo"),
}
DIGITS = 4


def contrasts(exam: Exam) -> tuple[Figure | None, ...]:
    """A figure for every verdict, in their order; None for one without an interval."""
    return tuple(_panel(exam, verdict, n) for n, verdict in enumerate(exam.verdicts, start=1))


def _panel(exam: Exam, verdict: Verdict, number: int) -> Figure | None:
    kinds = {entry.label: kind_of(entry) for entry in exam.plan.entries}
    order = list(STYLES)
    known = [one for one in verdict.contrasts if one.difference and kinds[one.against] in STYLES]
    rows = sorted(
        known,
        key=lambda one: (
            order.index(kinds[one.against]),
            -(one.difference.value if one.difference else 0.0),
        ),
    )
    if not rows:
        return None
    places = dict(enumerate(rows))
    traces = [
        _dots(kind, {n: row for n, row in places.items() if kinds[row.against] == kind})
        for kind in order
    ]
    asked = verdict.hypothesis
    efficient = asked.claim == "efficiency"
    return figure(
        f"contrasts-{number}",
        f"{asked.candidate} minus each of {len(rows)} baselines of the {asked.league} league",
        [trace for trace in traces if trace["x"]],
        110 + 27 * len(rows),
        margin={"l": 130, "t": 40},
        xaxis={
            "title": {"text": f"{escaped(asked.candidate)} minus baseline, sealed endpoint"},
            "zeroline": True,
            "zerolinecolor": "@soft",
            "zerolinewidth": 1.4,
            "tickformat": "+.2f",
            "range": reach([one.difference for one in rows if one.difference]),
        },
        yaxis={
            "tickvals": list(places),
            "ticktext": [escaped(row.against) for row in rows],
            "range": [len(rows) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        },
        shapes=[_margin(-exam.plan.score_margin)] if efficient else [],
        hovermode="closest",
    )


def _dots(kind: Kind, rows: dict[int, Contrast]) -> Json:
    name, symbol, colour = STYLES[kind]
    spans = [row.difference for row in rows.values() if row.difference]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [span.value for span in spans],
        "y": list(rows),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [span.high - span.value for span in spans],
            "arrayminus": [span.value - span.low for span in spans],
            "color": colour,
            "thickness": 1.8,
            "width": 0,
        },
        "marker": {"symbol": symbol, "size": 9, "color": colour},
        "text": [_hover(row) for row in rows.values()],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(row: Contrast) -> str:
    span = row.difference
    assert span is not None, "drawn"
    return lines(
        [
            f"<b>{escaped(row.candidate)}</b> minus <b>{escaped(row.against)}</b>",
            f"{signed(span.value, DIGITS)} {ends(span, DIGITS)}",
            f"one-sided p {row.p:.3g}" if row.p is not None else None,
            f"{row.seeds} seeds, {'paired' if row.paired else 'not paired'}",
        ]
    )


def reach(spans: Sequence[Span], *values: float) -> list[float]:
    """The ends of an axis that holds all intervals, zero and further values, with room."""
    ends = [0.0, *values, *(span.low for span in spans), *(span.high for span in spans)]
    room = 0.04 * (max(ends) - min(ends)) or 0.01
    return [min(ends) - room, max(ends) + room]


def _margin(at: float) -> Json:
    return {
        "type": "line",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "layer": "below",
        "line": {"color": "@soft", "width": 1.2, "dash": "dot"},
    }
