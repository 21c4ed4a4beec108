"""How noisy is a score, how far do genomes lie apart, and do shared seeds cancel?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.analysis._shared import Floats, measures, reliability
from palmette.ladder.calibration import Calibration
from palmette.ladder.statistics import Estimate, mean_correlation, paired_noise

TITLE = "Seed noise"
NOTE = (
    "Deviation of one seed's score (saved bits as a share of chance) between seeds that genomes "
    "share, with what a seed does to all alike taken out; of the better half alone beside it. "
    "Spread: the deviation between genomes, noise taken off, all and in the better half. "
    "Reliability: how much of the order of two-seed means is the genomes' own (Spearman-Brown), "
    "its square root is the highest correlation that any score can have with it. Pairing: the "
    "correlation of two genomes over shared seeds (exact interval; two seeds are few)."
)


@dataclass(frozen=True)
class Row:
    """One measure at one stage."""

    stage: str
    measure: str
    genomes: int
    noise: float | None
    noise_better_half: float | None
    spread: float | None
    spread_better_half: float | None
    reliability: Estimate | None
    reliability_better_half: Estimate | None
    pairing: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every measure of every stage with two seeds or more."""
    made = []
    for stage in calibration.stages.values():
        if stage.seeds < 2:
            continue
        for measure, fitness in measures(stage).items():
            values = np.array(list(stage.values(fitness).values()))
            if len(values) < 5:
                continue
            order = np.argsort(-values.mean(1))
            better = values[order[: len(order) // 2]]
            every, upper = paired_noise(values.tolist()), paired_noise(better.tolist())
            made.append(
                Row(
                    stage=stage.name,
                    measure=measure,
                    genomes=len(values),
                    noise=every.deviation if every else None,
                    noise_better_half=upper.deviation if upper else None,
                    spread=_spread(values),
                    spread_better_half=_spread(better),
                    reliability=reliability(values),
                    reliability_better_half=reliability(better),
                    pairing=mean_correlation(values.tolist()),
                )
            )
    return made


def _spread(values: Floats) -> float | None:
    noise = paired_noise(values.tolist())
    if noise is None:
        return None
    variance = float(values.mean(1).var(ddof=1)) - noise.deviation**2 / values.shape[1]
    return math.sqrt(max(0.0, variance))
