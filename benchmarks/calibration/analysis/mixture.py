"""Does one run on a mixture rank genomes as separate runs on its tasks do?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.analysis._shared import shared
from palmette.ladder.calibration import Calibration
from palmette.ladder.statistics import Estimate, rank_correlation

TITLE = "One mixture against separate runs"
NOTE = (
    "Second rung; the mixture's task score (two seeds) against that of a run of half the tokens on "
    "the task alone (one seed), over the same genomes. The medians say how far "
    "either gets: where one of them is at chance there is nothing to correlate."
)
MIXTURE, RUNG = "wide", "2"


@dataclass(frozen=True)
class Row:
    """One task."""

    task: str
    genomes: int
    median_in_mixture: float
    median_alone: float
    correlation: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every task that was trained both ways; the last is of the mean over tasks."""
    mixed = calibration.stage(MIXTURE, RUNG)
    if mixed is None:
        return []
    made, separate, together = [], dict[str, list[float]](), dict[str, list[float]]()
    for task in mixed.chance:
        alone = calibration.stages.get(f"{task}-alone")
        if alone is None:
            continue
        keys, x, y = shared(mixed.means(mixed.saved((task,))), alone.means(alone.saved()))
        if len(keys) < 5:
            continue
        for key, a, b in zip(keys, x, y, strict=True):
            together.setdefault(key, []).append(float(a))
            separate.setdefault(key, []).append(float(b))
        made.append(_row(task, x.tolist(), y.tolist()))
    whole = [key for key, own in together.items() if len(own) == len(made)]
    if len(made) > 1 and len(whole) >= 5:
        sides = [[float(np.mean(side[key])) for key in whole] for side in (together, separate)]
        made.append(_row("mean of these", *sides))
    return made


def _row(task: str, x: list[float], y: list[float]) -> Row:
    return Row(task, len(x), float(np.median(x)), float(np.median(y)), rank_correlation(x, y))
