"""Which tasks sit at their floor or at their ceiling?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.analysis._shared import MEAN, Floats, measures
from palmette.ladder.calibration import Calibration
from palmette.ladder.statistics import Estimate, paired_noise, share

TITLE = "Floors and ceilings"
NOTE = (
    "Share of genomes whose two-seed mean is within noise of chance (less than two standard errors "
    "of a mean above it, but at least 0.01 of chance's bits, or below it) or of perfect. The noise "
    "is that of the genomes themselves: of the half nearest to that bound."
)
LEAST = 0.01


@dataclass(frozen=True)
class Row:
    """One task at one stage."""

    stage: str
    task: str
    genomes: int
    lowest_decile: float
    median: float
    highest_decile: float
    accuracy_highest_decile: float
    at_floor: Estimate | None
    at_ceiling: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every task of every stage."""
    made = []
    for stage in calibration.stages.values():
        for task, fitness in measures(stage).items():
            values = np.array(list(stage.values(fitness).values()))
            if task == MEAN or len(values) < 5:
                continue
            means = values.mean(1)
            accuracy = [
                np.mean([outcome.accuracy[task] for outcome in course.chosen(fitness)])
                for course in stage.courses.values()
                if course.chosen(fitness)
            ]
            made.append(
                Row(
                    stage=stage.name,
                    task=task,
                    genomes=len(means),
                    lowest_decile=float(np.quantile(means, 0.1)),
                    median=float(np.median(means)),
                    highest_decile=float(np.quantile(means, 0.9)),
                    accuracy_highest_decile=float(np.quantile(accuracy, 0.9)),
                    at_floor=within(values, 0.0),
                    at_ceiling=within(values, 1.0),
                )
            )
    return made


def within(values: Floats, bound: float) -> Estimate | None:
    """The share of genomes (rows) whose mean over seeds is within noise of a bound, or beyond it:
    below chance lies whoever is surer of its guesses than it should be.

    >>> within(np.array([[0.0, 0.001]] * 4 + [[-0.3, -0.2]] + [[0.5, 0.501]] * 5), 0.0).value
    0.5
    """
    inside = (values.mean(1) - bound) * (1 if bound == 0 else -1)  # how far from the bound
    near = values[np.argsort(np.abs(inside))[: max(2, len(values) // 2)]]
    noise = paired_noise(near.tolist())
    error = noise.deviation / values.shape[1] ** 0.5 if noise else 0.0
    return share(int((inside <= max(LEAST, 2 * error)).sum()), len(values))
