"""What a selection flatters, put right: shrunken estimates, and the best of n draws of noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate
from palmette.ladder.statistics.spread import Noise

Array = NDArray[np.float64]


def shrink(means: Sequence[float], seeds: Sequence[int], noise: Noise) -> list[Estimate]:
    """Estimates that a selection among them does not flatter.

    The normal hierarchical model (Gelman et al. 2013, Bayesian Data Analysis, section 5.4): true
    values spread around a common mean with deviation tau, each mean adds noise of variance
    sigma^2 / seeds. tau is integrated out on a grid, so that an interval also holds what a few
    genomes leave open about it; plugging in a single estimate covers too little.

    The value has a flat prior on tau, which flatters a winner least. Its interval would cover 0.91
    to 0.94 where tau is near the noise (40 and 100 genomes): such a prior has too much mass at 0.
    So the interval has a flat prior on tau^2 (Morris and Tang 2011, Estimating Random Effects via
    Adjustment for Density Maximization, section 2) and the quantiles of the mixture, which is
    skewed: 0.94 to 0.97 from tau = 0.6 sigma on, more below. It is widened from the normal's
    quantile to Student's, because sigma is estimated too.

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
    kept = squared / total
    centre = common + kept * (x - common)
    spread = kept * variance + (1 - kept) ** 2 / precision
    value = (weight / weight.sum()) @ centre
    weight = weight * np.sqrt(squared[:, 0])
    tail = (1 - CONFIDENCE) / 2
    ends = [
        _quantile(share, weight / weight.sum(), centre, np.sqrt(spread))
        for share in (tail, 1 - tail)
    ]
    wider = quantile / float(stats.norm.ppf(1 - tail))
    low, high = (value + wider * (end - value) for end in ends)
    return [
        Estimate(v, a, b)
        for v, a, b in zip(value.tolist(), low.tolist(), high.tolist(), strict=True)
    ]


def _quantile(share: float, weight: Array, centre: Array, deviation: Array) -> Array:
    """Of a mixture of normals: weight [grid], centre and deviation [grid genomes] -> [genomes]."""
    heavy = weight > 1e-4 * weight.max()
    weight, centre, deviation = weight[heavy] / weight[heavy].sum(), centre[heavy], deviation[heavy]
    mean = weight @ centre
    # by Cantelli's inequality no 2.5 % tail begins further off than 6.3 deviations
    reach = 6.5 * np.sqrt(weight @ (deviation**2 + (centre - mean) ** 2))
    low, high = mean - reach, mean + reach
    for _ in range(22):
        middle = (low + high) / 2
        above = weight @ special.ndtr((middle - centre) / deviation) > share
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    made: Array = (low + high) / 2
    return made


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
