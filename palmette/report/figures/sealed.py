"""Scores by sealed task: candidates beside everybody else who sat."""

from __future__ import annotations

from statistics import fmean

from palmette.ladder.statistics import mean_interval
from palmette.records import Exam, Sat
from palmette.report.examined import Kind, Seat, seats
from palmette.report.figures.theme import Figure, Json, escaped, figure, lines

STYLES: dict[Kind, tuple[str, str, str, float]] = {  # name, marker, colour, place within a row
    "default": ("baselines", "diamond", "@baseline", 0.06),
    "stretched": ("trained to equal FLOPs", "square", "@s2", 0.06),
    "tuned": ("tuned baselines", "diamond-open", "@s3", 0.2),
    "placebo": ("placebos", "triangle-up", "@placebo", 0.32),
}
COLOURS = ("@accent", "@s5", "@s6")


def sealed(exam: Exam) -> Figure | None:
    """A row for each sealed task; None before anything has ended on the last rung."""
    held = [seat for seat in seats(exam) if seat.sat and seat.sat.tasks and seat.sat.scores]
    tasks = sorted({task for seat in held if seat.sat for task in seat.sat.tasks})
    if not tasks:
        return None
    traces = [_others(kind, [seat for seat in held if seat.kind == kind], tasks) for kind in STYLES]
    own = [seat for seat in held if seat.kind == "candidate"]
    traces += [_candidate(seat, n, len(own), tasks) for n, seat in enumerate(own)]
    return figure(
        "sealed",
        f"Scores on {len(tasks)} sealed tasks of {len(held)} entries",
        [trace for trace in traces if trace["x"]],
        110 + 62 * len(tasks),
        margin={"l": 110, "t": 40},
        xaxis={
            "title": {"text": "score: bits saved over chance, 1 is perfect"},
            "zeroline": True,
            "tickformat": ".2f",
        },
        yaxis={
            "tickvals": list(range(len(tasks))),
            "ticktext": [escaped(task) for task in tasks],
            "range": [len(tasks) - 0.45, -0.55],
            "zeroline": False,
        },
        hovermode="closest",
    )


def _others(kind: Kind, held: list[Seat], tasks: list[str]) -> Json:
    name, symbol, colour, shift = STYLES[kind]
    points = [
        (fmean(seat.sat.tasks[task]), number + shift, seat.entry.label)
        for seat in held
        for number, task in enumerate(tasks)
        if seat.sat and seat.sat.tasks.get(task)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "marker": {"symbol": symbol, "size": 8, "color": colour, "opacity": 0.8},
        "text": [escaped(label) for _, _, label in points],
        "hovertemplate": "<b>%{text}</b> %{x:.4f}<extra></extra>",
    }


def _candidate(seat: Seat, number: int, count: int, tasks: list[str]) -> Json:
    assert seat.sat is not None, "drawn"
    colour = COLOURS[number % len(COLOURS)]
    shift = -0.12 - 0.13 * (count - 1 - number)
    shown = [(n, task) for n, task in enumerate(tasks) if seat.sat.tasks.get(task)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escaped(seat.entry.label),
        "x": [fmean(seat.sat.tasks[task]) for _, task in shown],
        "y": [n + shift for n, _ in shown],
        "error_x": {
            "type": "data",
            "array": [_half(seat.sat, task) for _, task in shown],
            "color": colour,
            "thickness": 1.8,
            "width": 0,
        },
        "marker": {"size": 11, "color": colour},
        "text": [
            lines([f"<b>{escaped(seat.entry.label)}</b>", f"{len(seat.sat.tasks[task])} seeds"])
            for _, task in shown
        ],
        "hovertemplate": "%{text}<br>%{x:.4f}<extra></extra>",
    }


def _half(sat: Sat, task: str) -> float:
    found = mean_interval(sat.tasks[task])
    return found.high - found.value if found else 0.0
