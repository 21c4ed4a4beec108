"""What a selection flatters, put right: shrunken estimates, and the best of n draws of noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate
from palmette.ladder.statistics.spread import Noise


def shrink(means: Sequence[float], seeds: Sequence[int], noise: Noise) -> list[Estimate]:
    """Estimates that a selection among them does not flatter.

    The normal hierarchical model (Gelman et al. 2013, Bayesian Data Analysis, section 5.4): true
    values spread around a common mean with deviation tau, each mean adds noise of variance
    sigma^2 / seeds. tau has a flat prior and is integrated out on a grid, so that an interval also
    holds what a few genomes leave open about tau; plugging in a single estimate of it covers too
    little. Student's quantile stands in for the normal's, because sigma is estimated too.

    A single value is not shrunken: nothing was selected.
    """
    x = np.asarray(means, dtype=float)
    variance = noise.deviation**2 / np.asarray(seeds, dtype=float)
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, max(1, noise.freedom)))
    if len(x) == 1:
        half = quantile * math.sqrt(variance[0])
        return [Estimate(float(x[0]), float(x[0] - half), float(x[0] + half))]
    variance = np.maximum(variance, 1e-18)
    widest = 3 * float(np.std(x)) + 3 * float(np.sqrt(variance).max())
    squared = np.linspace(0.0, widest, 400)[:, None] ** 2  # tau^2 [grid 1]
    total = variance + squared
    precision = (1 / total).sum(1, keepdims=True)
    common = (x / total).sum(1, keepdims=True) / precision
    logarithm = -0.5 * (np.log(total) + (x - common) ** 2 / total).sum(1)
    logarithm -= 0.5 * np.log(precision[:, 0])
    weight = np.exp(logarithm - logarithm.max())
    weight /= weight.sum()
    kept = squared / total
    centre = common + kept * (x - common)
    spread = kept * variance + (1 - kept) ** 2 / precision
    value = weight @ centre
    deviation = np.sqrt(weight @ (spread + centre**2) - value**2)
    return [
        Estimate(float(v), float(v - quantile * d), float(v + quantile * d))
        for v, d in zip(value, deviation, strict=True)
    ]


def best_of(n: int, centre: float, noise: Noise) -> Estimate:
    """Where the best of n draws of pure noise would lie: its median and 95 % interval.

    The largest of n independent normals has the distribution function F(x)^n, so its p-quantile is
    F^-1(p^(1/n)). Student's t stands in for the normal, because the deviation is itself estimated.
    """
    assert n >= 1, "the best of no draws"
    tail = (1 - CONFIDENCE) / 2
    law = stats.t(max(1, noise.freedom), loc=centre, scale=max(noise.deviation, 1e-12))
    low, middle, high = (float(law.ppf(p ** (1 / n))) for p in (tail, 0.5, 1 - tail))
    return Estimate(middle, low, high)
