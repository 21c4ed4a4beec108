"""Pictures of what the calibration found.

python -m benchmarks.calibration figures docs/ --browser /usr/bin/chromium
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.calibration.analysis import bounds, rates, rungs, schedules, seeds
from benchmarks.calibration.analysis._shared import MEAN
from benchmarks.picture import save
from palmette.ladder.calibration import Calibration
from palmette.ladder.statistics import Estimate
from palmette.report.figures.theme import Figure, Json, figure

COLOURS = {"atlas": "@s1", "sample": "@s2", "edit": "@s3"}


def drawn(table: Calibration) -> Iterator[Figure]:
    """The figures that the table has data for."""
    yield from (made for made in (_order(table), _scatter(table), _noise(table)) if made)
    yield from (made for made in (_rates(table), _schedules(table)) if made)


def pictures(table: Calibration, folder: Path, browser: str | None) -> list[Path]:
    """Saves every figure as `calibration-NAME.png`; returns the paths."""
    made = {folder / f"calibration-{one.name}.png": one for one in drawn(table)}
    save(made, browser)
    return list(made)


def _order(table: Calibration) -> Figure | None:
    """Rank correlation between stages, raw and corrected."""
    rows = [row for row in rungs.measured(table) if row.group == "all" and row.raw is not None]
    rows = [row for row in rows if row.measure in ("text", MEAN, rungs.SCORE)]
    if not rows:
        return None
    labels = [f"{row.lower} → {row.upper}, {row.measure}" for row in rows]
    traces = [
        _whiskers("measured", labels, [row.raw for row in rows], "@s2", 0.14),
        _whiskers("without noise", labels, [row.corrected for row in rows], "@accent", 0.0),
        _whiskers("top quartile", labels, [row.top_quartile for row in rows], "@s1", -0.14),
    ]
    return figure(
        "order",
        "Spearman's correlation between rungs",
        traces,
        90 + 34 * len(rows),
        xaxis={"title": {"text": "Spearman's correlation"}, "range": [-1.03, 1.03]},
        yaxis=_named(labels),
    )


def _scatter(table: Calibration) -> Figure | None:
    """The scores of one rung against those of the next, by where genomes are from."""
    for lower, upper in (("text-1", "text-2"), ("text-1", "wide-2"), ("wide-1", "wide-2")):
        stages = table.stages.get(lower), table.stages.get(upper)
        if stages[0] is None or stages[1] is None:
            continue
        low, high = (stage.means(stage.saved(("text",))) for stage in stages if stage)
        keys = sorted(low.keys() & high.keys())
        if len(keys) < 8:
            continue
        traces: list[Json] = []
        for origin in ("sample", "edit", "atlas"):
            own = [key for key in keys if table.origins[key].partition(":")[0] == origin]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": {"edit": "neighbours", "sample": "samples"}.get(origin, origin),
                    "x": [8 * (1 - low[key]) for key in own],
                    "y": [8 * (1 - high[key]) for key in own],
                    "marker": {"color": COLOURS[origin], "size": 7},
                }
            )
        return figure(
            "scatter",
            f"Bits a byte at {lower} and at {upper}",
            traces,
            420,
            xaxis={"title": {"text": f"bits a byte of text, {lower}"}},
            yaxis={"title": {"text": f"bits a byte of text, {upper}"}},
        )
    return None


def _noise(table: Calibration) -> Figure | None:
    """Reliability of every task's two-seed mean, and how many genomes are at the floor."""
    rows = seeds.measured(table)
    floors = {(row.stage, row.task): row.at_floor for row in bounds.measured(table)}
    if not rows:
        return None
    labels = [f"{row.stage}, {row.measure}" for row in rows]
    at_floor = [floors.get((row.stage, row.measure)) for row in rows]
    traces = [
        _whiskers("reliability", labels, [row.reliability for row in rows], "@accent", 0.1),
        _whiskers("share of genomes at chance", labels, at_floor, "@s1", -0.1),
    ]
    return figure(
        "tasks",
        "How much of a score's order is the genomes' own, and who is at chance",
        traces,
        90 + 24 * len(rows),
        xaxis={"title": {"text": "share"}, "range": [-0.03, 1.03]},
        yaxis=_named(labels),
    )


def _rates(table: Calibration) -> Figure | None:
    """What every way of sweeping loses, the longest sweep first."""
    rows = [row for row in rates.measured(table) if row.lost is not None]
    if not rows:
        return None
    first = rows[0].stage
    trials = {row.way: row.trials_a_genome for row in rows if row.stage == first}
    labels = sorted(trials, key=lambda way: -trials[way])
    traces = []
    for stage, colour, lift in zip(
        dict.fromkeys(row.stage for row in rows), ("@s2", "@s1"), (0.12, -0.12), strict=False
    ):
        lost = {row.way: row.lost for row in rows if row.stage == stage}
        traces.append(_whiskers(stage, labels, [lost.get(way) for way in labels], colour, lift))
    return figure(
        "rates",
        "What a shorter sweep loses",
        traces,
        90 + 26 * len(labels),
        xaxis={"title": {"text": "score lost, deviations of a seed"}},
        yaxis=_named([f"{way}: {trials[way]:.1f} trials" for way in labels]),
    )


def _schedules(table: Calibration) -> Figure | None:
    """Who keeps the best at what speed: of each ladder the schedules that no other one beats."""
    rows = schedules.measured(table)
    if not rows:
        return None
    labels: list[str] = []
    traces = []
    for ladder, colour in zip(
        dict.fromkeys(row.ladder for row in rows), ("@s2", "@s1", "@s3"), strict=False
    ):
        own = [row for row in rows if row.ladder == ladder]
        best = [row for row in own if row.schedule.startswith("as pocket") or _unbeaten(row, own)]
        best.sort(key=lambda row: row.faster.value)
        spans: list[Estimate | None] = [None] * len(labels)
        labels += [f"{row.faster.value:.1f} x, {row.schedule}" for row in best]
        spans += [row.kept for row in best]
        traces.append(_whiskers(ladder, labels, spans, colour, 0.0))
    enough = {"type": "line", "x0": 0.9, "x1": 0.9, "yref": "paper", "y0": 0, "y1": 1}
    return figure(
        "schedules",
        "Probability of keeping the best, by speed against a plain loop",
        traces,
        90 + 26 * len(labels),
        xaxis={"title": {"text": "probability that the best is kept"}, "range": [-0.03, 1.03]},
        yaxis=_named(labels),
        shapes=[{**enough, "line": {"color": "@line", "dash": "dot"}}],
    )


def _unbeaten(row: schedules.Row, rows: Sequence[schedules.Row]) -> bool:
    """Whether no other schedule is faster and keeps the best more often."""
    return not any(
        (one.faster.value >= row.faster.value and one.kept.value > row.kept.value)
        or (one.faster.value > row.faster.value and one.kept.value >= row.kept.value)
        for one in rows
    )


def _whiskers(
    name: str, labels: Sequence[str], spans: Sequence[Estimate | None], colour: str, lift: float
) -> Json:
    there = [(place, span) for place, span in enumerate(spans) if span is not None]
    known = [span for _, span in there]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [span.value for span in known],
        "y": [place - lift for place, _ in there],
        "marker": {"color": colour, "size": 8},
        "error_x": _errors(known, colour),
    }


def _errors(spans: Sequence[Estimate], colour: str) -> Json:
    return {
        "type": "data",
        "symmetric": False,
        "array": [float(np.maximum(0, span.high - span.value)) for span in spans],
        "arrayminus": [float(np.maximum(0, span.value - span.low)) for span in spans],
        "color": colour,
        "thickness": 1.2,
    }


def _named(labels: Sequence[str]) -> Json:
    return {
        "range": [len(labels) - 0.5, -0.5],
        "tickvals": list(range(len(labels))),
        "ticktext": list(labels),
        "showgrid": False,
        "zeroline": False,
    }
