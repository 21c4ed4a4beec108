"""What does a rung say of a later one?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from benchmarks.calibration.analysis._shared import (
    GROUPS,
    MEAN,
    Floats,
    in_ranks,
    measures,
    of_group,
)
from benchmarks.calibration.analysis.scoring import score_of
from palmette.ladder.calibration import Calibration, Fitness, Stage
from palmette.ladder.statistics import (
    Estimate,
    corrected_rank_correlation,
    rank_correlation,
    top_rank_correlation,
)

TITLE = "From rung to rung"
NOTE = (
    "Spearman's correlation of two-seed means. Corrected: what it would be without seed noise "
    "(Spearman 1904, with the reliability of ranks; bootstrap over genomes). Top quartile: among "
    "the quarter that the lower rung puts first. Score: the mean over the tasks that tell genomes "
    "apart at that stage, in units of spread. Kept of the best: how many of the upper rung's "
    "best eighth the lower rung has in its best quarter."
)
PAIRS = (("0", "1"), ("1", "2"), ("2", "3"), ("1", "3"), ("0", "3"))
SCORE = "score"
LEAST = 8  # genomes


@dataclass(frozen=True)
class Row:
    """One measure between two stages."""

    lower: str
    upper: str
    measure: str
    group: str
    genomes: int
    raw: Estimate | None
    corrected: Estimate | None
    top_quartile: Estimate | None
    kept_of_the_best: float | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every pair of stages, measure and group with genomes enough."""
    made = []
    for lower, upper, own, measure in _comparisons(calibration):
        low = lower.values(_fitness(lower, own))
        high = upper.values(_fitness(upper, measure))
        for group in GROUPS if measure in ("text", MEAN, SCORE) else ("all",):
            keys = sorted(k for k in low.keys() & high.keys() if of_group(calibration, k, group))
            if len(keys) < LEAST:
                continue
            x, y = (np.array([side[key] for key in keys]) for side in (low, high))
            made.append(_row(lower, upper, measure, group, x, y))
    return made


def _comparisons(calibration: Calibration) -> Iterator[tuple[Stage, Stage, str, str]]:
    """Pairs of stages, with the measure of either."""
    for suite in dict.fromkeys(stage.suite for stage in calibration.stages.values()):
        for below, above in PAIRS:
            lower, upper = calibration.stage(suite, below), calibration.stage(suite, above)
            if lower is not None and upper is not None:
                for measure in (*measures(upper), *([SCORE] if len(upper.chance) > 1 else [])):
                    yield lower, upper, measure, measure
    # What text alone says of the mixture.
    for below, above in (("1", "1"), ("1", "2"), ("1", "3"), ("2", "2"), ("2", "3"), ("3", "3")):
        lower, upper = calibration.stage("text", below), calibration.stage("wide", above)
        if lower is not None and upper is not None:
            yield lower, upper, "text", "text"
            yield lower, upper, "text", MEAN
            yield lower, upper, "text", SCORE


def _fitness(stage: Stage, measure: str) -> Fitness:
    return score_of(stage) if measure == SCORE else measures(stage)[measure]


def _row(lower: Stage, upper: Stage, measure: str, group: str, x: Floats, y: Floats) -> Row:
    low, high = x.mean(1), y.mean(1)
    top = np.argsort(-low)[: ceil(len(low) / 4)]
    best = np.argsort(-high)[: ceil(len(high) / 8)]
    return Row(
        lower=lower.name,
        upper=upper.name,
        measure=measure,
        group=group,
        genomes=len(low),
        raw=rank_correlation(low.tolist(), high.tolist()),
        corrected=corrected_rank_correlation(in_ranks(x), in_ranks(y)),
        top_quartile=top_rank_correlation(low.tolist(), high.tolist()),
        kept_of_the_best=float(np.isin(best, top).mean()),
    )
