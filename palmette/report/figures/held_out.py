"""Held-out text: how much worse a candidate is than the best baseline, beside the margin."""

from __future__ import annotations

from palmette.records import Exam, Span
from palmette.report.examined import claimed
from palmette.report.figures.contrasts import reach
from palmette.report.figures.theme import Figure, Json, escaped, figure, lines
from palmette.report.numbers import ends, signed

DIGITS = 4


def held_out(exam: Exam) -> Figure | None:
    """A dot and a whisker for every candidate and league; None without an interval."""
    shown = [
        (one, one.text.difference) for one in exam.verdicts if one.text and one.text.difference
    ]
    if not shown:
        return None
    margin = exam.plan.text_margin_bits
    places = dict(enumerate(shown))
    traces: list[Json] = []
    for holds, name, colour in ((True, "not worse", "@accent"), (False, "not shown", "@failed")):
        rows = {n: (one, span) for n, (one, span) in places.items() if one.text_holds is holds}
        spans = [span for _, span in rows.values()]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [span.value for span in spans],
                "y": list(rows),
                "error_x": _whiskers(spans, colour),
                "marker": {"size": 10, "color": colour},
                "text": [
                    lines(
                        [
                            f"<b>{escaped(one.hypothesis.candidate)}</b> minus "
                            f"{escaped(one.text.against if one.text else '')}",
                            f"{signed(span.value, DIGITS)} {ends(span, DIGITS)} bits per byte",
                        ]
                    )
                    for one, span in rows.values()
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return figure(
        "held-out",
        f"Held-out text of {len(shown)} verdicts beside a margin of {margin:g} bits per byte",
        [trace for trace in traces if trace["x"]],
        120 + 30 * len(shown),
        margin={"l": 190, "t": 40},
        xaxis={
            "title": {"text": "bits per byte more than the best baseline; dotted: the margin"},
            "tickformat": "+.3f",
            "zeroline": True,
            "zerolinecolor": "@soft",
            "range": reach([span for _, span in shown], margin),
        },
        yaxis={
            "tickvals": list(places),
            "ticktext": [escaped(claimed(one.hypothesis)) for one, _ in shown],
            "range": [len(shown) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        },
        shapes=[
            {
                "type": "line",
                "x0": margin,
                "x1": margin,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "@failed", "width": 1.6, "dash": "dot"},
            }
        ],
        hovermode="closest",
    )


def _whiskers(spans: list[Span], colour: str) -> Json:
    return {
        "type": "data",
        "symmetric": False,
        "array": [span.high - span.value for span in spans],
        "arrayminus": [span.value - span.low for span in spans],
        "color": colour,
        "thickness": 1.8,
        "width": 0,
    }
