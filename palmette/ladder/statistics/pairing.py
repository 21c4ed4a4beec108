"""Whether shared seeds pay, known beforehand from a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate
from palmette.ladder.statistics.power import detectable_effect


@dataclass(frozen=True)
class Pairing:
    """What two genomes have in common over shared seeds, and whether a paired test sees more."""

    correlation: Estimate
    break_even: float  # correlation from which pairing detects the smaller effect
    pays: bool


def pairing_pays(
    rows: Sequence[Sequence[float]], seeds: int = 8, alpha: float = 0.05, power: float = 0.8
) -> Pairing | None:
    """Whether a paired exam of so many seeds detects less than Welch's, from genomes x seeds.

    Pairing wins a factor sqrt(1 - correlation) of the noise and loses half of the degrees of
    freedom; `break_even` is where the two smallest detectable effects are equal. It is decided by
    the correlation found, not by its interval: both tests keep their error, only power is at stake.
    None where the correlation is not known.
    """
    correlation = mean_correlation(rows)
    paired = detectable_effect(1.0, seeds, alpha, power, paired=True)
    separate = detectable_effect(1.0, seeds, alpha, power, paired=False)
    if correlation is None or paired is None or separate is None:
        return None
    break_even = 1 - (separate / paired) ** 2
    return Pairing(correlation, break_even, correlation.value > break_even)


def mean_correlation(rows: Sequence[Sequence[float]]) -> Estimate | None:
    """How alike genomes (rows) fare over the seeds (columns) that they share.

    The intraclass correlation of consistency, ICC(3,1), of Shrout and Fleiss (1979, Intraclass
    Correlations: Uses in Assessing Rater Reliability), with seeds as targets and genomes as raters:
    what a genome is worth drops out, and two genomes' difference over shared seeds has variance
    2 sigma^2 (1 - correlation). The interval is theirs, from F with seeds - 1 and
    (seeds - 1)(genomes - 1) degrees of freedom. Two seeds say little: mind the interval.

    None for fewer than two genomes or seeds, or without any residual.
    """
    x = np.asarray(rows, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2:
        return None
    genomes, seeds = x.shape
    residual = x - x.mean(1, keepdims=True) - x.mean(0, keepdims=True) + x.mean()
    freedom = (seeds - 1) * (genomes - 1)
    within = float((residual**2).sum()) / freedom
    between = genomes * float(x.mean(0).var(ddof=1))
    if within <= 0:
        return None
    ratio = between / within
    tail = (1 - CONFIDENCE) / 2
    low = ratio / float(stats.f.ppf(1 - tail, seeds - 1, freedom))
    high = ratio * float(stats.f.ppf(1 - tail, freedom, seeds - 1))
    made = [(f - 1) / (f + genomes - 1) for f in (ratio, low, high)]
    return Estimate(made[0], made[1], made[2])
