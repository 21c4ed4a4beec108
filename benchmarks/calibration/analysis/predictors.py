"""What can be known of a genome before it is trained, or soon after?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.analysis._shared import MEAN, measures, shared
from palmette.ladder.calibration import Calibration, Course
from palmette.ladder.statistics import Estimate, rank_correlation

TITLE = "What predicts a score"
NOTE = (
    "Spearman's correlation of a figure, which is known of the first rung alone, with two-seed "
    "means. Gradient norm, SNIP and initial loss: one batch at initialisation. The loss near step "
    "100 is the sweep's lowest (of the same seed it would share luck, so it is correlated with the "
    "second seed's score at the first rung); losses are turned round, so that positive is good."
)


@dataclass(frozen=True)
class Row:
    """One predictor of one measure."""

    predictor: str
    stage: str
    measure: str
    genomes: int
    correlation: Estimate | None
    better_half: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every predictor, stage and one measure of it."""
    made = []
    for suite in ("text", "wide"):
        first = calibration.stage(suite, "1")
        if first is None:
            continue
        known = {name: _of_proxy(calibration, name) for name in ("gradient_norm", "snip")}
        known["initial loss"] = {
            genome: -own["loss_nats"]
            for genome, own in calibration.proxies.items()
            if "loss_nats" in own
        }
        for told, read in _FIGURES.items():
            figures = {genome: read(course) for genome, course in first.courses.items()}
            known[told] = {g: float(value) for g, value in figures.items() if value is not None}
        for rung in ("1", "2", "3"):
            stage = calibration.stage(suite, rung)
            if stage is None:
                continue
            found = measures(stage)
            for measure in [name for name in ("text", MEAN) if name in found]:
                values = stage.values(found[measure])
                # The sweep's own seed is left out where the sweep itself is the predictor.
                means = {
                    genome: float(np.mean(own[1:] if rung == "1" else own))
                    for genome, own in values.items()
                }
                for told, figures_of in known.items():
                    made.append(_row(told, stage.name, measure, figures_of, means))
    return made


def _row(
    told: str, stage: str, measure: str, known: dict[str, float], means: dict[str, float]
) -> Row:
    keys, x, y = shared(known, means)
    better = y >= np.median(y) if len(y) else np.zeros(0, dtype=bool)
    return Row(
        predictor=told.replace("_", " "),
        stage=stage,
        measure=measure,
        genomes=len(keys),
        correlation=rank_correlation(x.tolist(), y.tolist()),
        better_half=rank_correlation(x[better].tolist(), y[better].tolist()),
    )


def _of_proxy(calibration: Calibration, name: str) -> dict[str, float]:
    return {genome: own[name] for genome, own in calibration.proxies.items() if name in own}


def early_loss(course: Course) -> float | None:
    """The sweep's lowest loss near step 100, turned round; None if no trial got there."""
    losses = [
        outcome.early_loss_nats
        for outcome in course.outcomes
        if outcome.seed == 0 and outcome.early_loss_nats is not None
    ]
    return -min(losses) if losses else None


_FIGURES: dict[str, Callable[[Course], float | None]] = {
    "loss near step 100": early_loss,
    "forward FLOPs": lambda course: course.flops_forward,
    "state bytes": lambda course: course.state_bytes,
}
