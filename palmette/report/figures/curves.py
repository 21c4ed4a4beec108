"""Learning curves at the last rung: the top candidates, the root and the human baselines."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.records import BestRow, StoredTrial
from palmette.report import summaries
from palmette.report.data import ReportData
from palmette.report.figures.leaderboard import label
from palmette.report.figures.theme import Figure, Json, figure

DASHES = ("solid", "dash", "dot")
SETTLED = 0.12  # the axis starts at the loss after this share of training


def curves(data: ReportData) -> Figure | None:
    """Training loss over tokens, one line a seed; None before any trial of a last rung ended."""
    rungs = summaries.rungs(data.trials)
    if not rungs:
        return None
    last = [trial for trial in data.trials if trial.spec.rung == rungs[-1].name and _points(trial)]
    shown = [(row, line, _trials_of(row, last)) for row, line in _chosen(data)]
    traces = [
        _line(row, line, trial, first=number == 0)
        for row, line, trials in shown
        for number, trial in enumerate(trials)
    ]
    if not traces:
        return None
    return figure(
        "curves",
        f"Learning curves at rung {rungs[-1].name}",
        traces,
        430,
        xaxis={"title": {"text": "tokens"}, "rangemode": "tozero", "tickformat": "~s"},
        yaxis={"title": {"text": "training loss, nats per answer token"}, "range": _range(traces)},
        hovermode="closest",
    )


def series(data: ReportData) -> dict[str, Json]:
    """The line style of every human genome by hash, the same in all figures."""
    styles: dict[str, Json] = {}
    number = 0
    for row in sorted(data.best, key=lambda row: row.name or row.genome):
        if row.role == "root":
            styles[row.genome] = {"color": "@ink", "width": 2.2}
        elif row.role == "baseline":
            number += 1
            styles[row.genome] = {"color": f"@s{(number - 1) % 6 + 1}", "width": 1.4}
    return styles


def _chosen(data: ReportData) -> list[tuple[BestRow, Json]]:
    rows = data.best
    found = [row for row in rows if row.role == "found"][: len(DASHES)]
    lines: list[tuple[BestRow, Json]] = [
        (row, {"color": "@accent", "width": 2.6 if number == 0 else 1.6, "dash": DASHES[number]})
        for number, row in enumerate(found)
    ]
    styles = series(data)
    for role in ("root", "baseline"):
        lines += [(row, styles[row.genome]) for row in rows if row.role == role]
    return lines


def _trials_of(row: BestRow, trials: Sequence[StoredTrial]) -> list[StoredTrial]:
    own = [t for t in trials if t.spec.genome == row.genome and t.spec.replica == 0]
    return sorted(own, key=lambda trial: trial.spec.seed)


def _points(trial: StoredTrial) -> bool:
    return trial.result is not None and len(trial.result.curve) > 0


def _line(row: BestRow, line: Json, trial: StoredTrial, first: bool) -> Json:
    assert trial.result is not None
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(row),
        "legendgroup": f"{row.role}-{row.genome}",
        "showlegend": first,
        "x": [at.tokens for at in trial.result.curve],
        "y": [at.loss_nats for at in trial.result.curve],
        "line": line,
        "opacity": 0.9,
        "hovertemplate": f"<b>{label(row)}</b> ({row.role}), seed {trial.spec.seed}<br>"
        "%{y:.3f} nats after %{x:,} tokens<extra></extra>",
    }


def _range(traces: Sequence[Json]) -> list[float]:
    settled = [y for trace in traces for y in trace["y"][int(SETTLED * len(trace["y"])) :]]
    margin = 0.04 * (max(settled) - min(settled)) or 0.1
    return [min(settled) - margin, max(settled) + margin]
