"""Whether an advantage carries: candidates over the best human baseline, rung by rung."""

from __future__ import annotations

from palmette.records import Exam, Verdict
from palmette.report.examined import claimed
from palmette.report.figures.theme import Figure, Json, escaped, figure, lines
from palmette.report.frame import quantity
from palmette.report.numbers import ends, signed

COLOURS = ("@accent", "@s1", "@s2", "@s3", "@s4", "@s5")
DIGITS = 4


def carry(exam: Exam) -> Figure | None:
    """A line for every candidate and league; None without an interval."""
    rungs = {rung.name: number for number, rung in enumerate(exam.plan.rungs)}
    shown = [one for one in exam.verdicts if any(point.advantage for point in one.carry)]
    if not shown:
        return None
    return figure(
        "carry",
        f"Advantage over the best human baseline at {len(rungs)} rungs",
        [_line(one, n, len(shown), rungs) for n, one in enumerate(shown)],
        340,
        margin={"t": 40},
        xaxis={
            "tickvals": list(rungs.values()),
            "ticktext": [
                f"{quantity(rung.parameters)} parameters<br>{quantity(rung.tokens)} tokens"
                for rung in exam.plan.rungs
            ],
            "range": [-0.4, len(rungs) - 0.6],
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={
            "title": {"text": "over the best baseline"},
            "tickformat": "+.2f",
            "zeroline": True,
            "zerolinecolor": "@soft",
            "zerolinewidth": 1.4,
        },
        hovermode="closest",
    )


def _line(verdict: Verdict, number: int, count: int, rungs: dict[str, int]) -> Json:
    asked = verdict.hypothesis
    colour = COLOURS[number % len(COLOURS)]
    points = [(point, point.advantage) for point in verdict.carry]
    known = [(point, span) for point, span in points if span]
    shift = 0.07 * (number - (count - 1) / 2)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escaped(f"{claimed(asked)}: {verdict.carries}"),
        "x": [rungs[point.rung] + shift for point, _ in known],
        "y": [span.value for _, span in known],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [span.high - span.value for _, span in known],
            "arrayminus": [span.value - span.low for _, span in known],
            "color": colour,
            "thickness": 1.6,
            "width": 0,
        },
        "line": {"color": colour, "width": 2},
        "marker": {"size": 9, "color": colour},
        "text": [
            lines(
                [
                    f"<b>{escaped(asked.candidate)}</b> over {escaped(point.against or '')}",
                    f"{signed(span.value, DIGITS)} {ends(span, DIGITS)}",
                ]
            )
            for point, span in known
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
