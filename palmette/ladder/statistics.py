"""Honest numbers for small samples: pooled noise, shrinkage for selection, the best of n draws.

scipy does the work; each formula names its source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Noise:
    """A standard deviation between seeds and the degrees of freedom that it rests on."""

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def pooled_noise(groups: Sequence[Sequence[float]]) -> Noise | None:
    """The pooled within-group standard deviation; None where no group has two values.

    >>> pooled_noise([[1.0, 3.0], [5.0, 5.0]])
    Noise(deviation=1.0, freedom=2)
    """
    spread = sum(float(np.var(g)) * len(g) for g in groups if len(g) > 1)
    freedom = sum(len(g) - 1 for g in groups if len(g) > 1)
    return Noise(math.sqrt(spread / freedom), freedom) if freedom else None


def paired_noise(rows: Sequence[Sequence[float]]) -> Noise | None:
    """The residual standard deviation of rows (genomes) by columns (the seeds that all share).

    What a seed does to all genomes alike is taken out, since it drops out of every difference:
    the error of a two-way layout without replication (Montgomery, Design and Analysis of
    Experiments, section 4.1), with (rows - 1)(columns - 1) degrees of freedom. None for fewer than
    two rows or columns.

    >>> paired_noise([[1.0, 2.0], [5.0, 6.0]])
    Noise(deviation=0.0, freedom=1)
    """
    x = np.asarray(rows, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2:
        return None
    residual = x - x.mean(1, keepdims=True) - x.mean(0, keepdims=True) + x.mean()
    freedom = (x.shape[0] - 1) * (x.shape[1] - 1)
    return Noise(math.sqrt(float((residual**2).sum()) / freedom), freedom)


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Student's interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half)


def share(held: int, count: int) -> Estimate | None:
    """A share of independent cases with Wilson's score interval (1927); None of no cases.

    >>> share(5, 10).value, round(share(5, 10).low, 3)
    (0.5, 0.237)
    """
    if count == 0:
        return None
    interval = stats.binomtest(held, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(held / count, float(interval.low), float(interval.high))


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> Estimate | None:
    """Spearman's rank correlation; None for fewer than five pairs or where one side is constant.

    Fisher's transform with the variance of Bonett and Wright (2000, Sample Size Requirements for
    Estimating Pearson, Kendall and Spearman Correlations), (1 + r^2 / 2) / (n - 3).
    """
    if len(x) < 5 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    r = float(stats.spearmanr(x, y).statistic)
    centre = math.atanh(max(-1 + 1e-9, min(1 - 1e-9, r)))
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt((1 + r**2 / 2) / (len(x) - 3))
    return Estimate(r, math.tanh(centre - half), math.tanh(centre + half))


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


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b for independent estimates, their half-widths added in quadrature."""
    half = math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2)
    value = a.value - b.value
    return Estimate(value, value - half, value + half)


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


def seeds_to_verify(effect: float, noise: Noise, power: float = 0.8) -> int | None:
    """Paired seeds a two-sided 5 % test needs to find an effect of this size; None if over 1,000.

    Normal approximation with two noisy arms: n = 2 sigma^2 (z_0.975 + z_power)^2 / effect^2
    (Cohen 1988, section 2.4).
    """
    if effect <= 0:
        return None
    z = float(stats.norm.ppf(0.975) + stats.norm.ppf(power))
    needed = max(2, math.ceil(2 * (noise.deviation * z / effect) ** 2))
    return needed if needed <= 1000 else None
