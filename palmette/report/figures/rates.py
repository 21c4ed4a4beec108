"""The learning-rate sweep: score against rate, one figure a rung.

At these sizes the rate moves the score more than the architecture does; a genome whose best rate
stands at the edge of its sweep has not been measured yet.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from palmette.report import summaries
from palmette.report.data import ReportData
from palmette.report.figures.curves import series
from palmette.report.figures.theme import Figure, Json, escaped, figure, short


def rates(data: ReportData) -> tuple[Figure, ...]:
    """A figure for every rung at which two rates or more finished; seeds are averaged."""
    found = (_rung(data, rung.name, n) for n, rung in enumerate(summaries.rungs(data.trials)))
    return tuple(made for made in found if made)


def _rung(data: ReportData, rung: str, number: int) -> Figure | None:
    measured: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trial in data.trials:
        spec = trial.spec
        if spec.rung == rung and spec.replica == 0 and trial.trial in data.scores:
            measured[spec.genome][spec.learning_rate].append(data.scores[trial.trial])
    tried = sorted({rate for held in measured.values() for rate in held})
    if len(tried) < 2:
        return None
    named = {row.genome: row.name or short(row.genome) for row in data.tree if row.replica == 0}
    styles = series(data)
    top = data.top.genome if data.top else None
    if top:
        styles[top] = {"color": "@accent", "width": 2.8}
    others = [genome for genome in measured if genome not in styles]
    traces = [
        _line(measured[genome], named.get(genome, short(genome)), style)
        for genome, style in (
            *((genome, {"color": "@line", "width": 1}) for genome in others),
            *((genome, style) for genome, style in styles.items() if genome in measured),
        )
    ]
    for trace in traces[: len(others)]:
        trace["opacity"] = 0.6
    return figure(
        f"rates-{number + 1}",
        f"Score against learning rate at rung {rung}, {len(measured)} genomes",
        traces,
        330,
        title={"text": f"rung {escaped(rung)}", "font": {"size": 13}, "x": 0.02, "xanchor": "left"},
        margin={"l": 48, "r": 10, "t": 34, "b": 44},
        xaxis={
            "type": "log",
            "title": {"text": "learning rate"},
            "tickvals": tried,
            "tickformat": "~g",
        },
        yaxis={"title": {"text": "score"}, "tickformat": ".2f"},
        showlegend=False,
        hovermode="closest",
    )


def _line(held: dict[float, list[float]], name: str, line: Json) -> Json:
    ordered = sorted(held)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escaped(name),
        "x": ordered,
        "y": [fmean(held[rate]) for rate in ordered],
        "line": line,
        "marker": {"size": 5},
        "customdata": [len(held[rate]) for rate in ordered],
        "hovertemplate": f"<b>{escaped(name)}</b><br>score %{{y:.4f}} at rate %{{x:~g}} "
        "(seeds: %{customdata})<extra></extra>",
    }
