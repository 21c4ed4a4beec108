"""How alike two orders of the same genomes are, as measured and with the noise taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate

Array = NDArray[np.float64]
DRAWS = 1000


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


def top_rank_correlation(
    x: Sequence[float], y: Sequence[float], top: float = 0.25
) -> Estimate | None:
    """Spearman's among the best by x: whether what is promoted is told apart further on.

    It is below that of all, since the range is restricted (Pearson 1903); None for fewer than five
    at the top.

    Raises:
        ValueError: a share of the top outside (0, 1].
    """
    if not 0 < top <= 1:
        raise ValueError(f"the top is a share between 0 and 1, got {top}")
    best = sorted(range(len(x)), key=lambda i: -x[i])[: math.ceil(top * len(x))]
    return rank_correlation([x[i] for i in best], [y[i] for i in best])


def reliability(rows: Sequence[Sequence[float]]) -> float | None:
    """The share of the variance of genomes' means that is not noise of seeds.

    1 - (within / seeds) / (variance of means): the intraclass correlation ICC(1,k) of Shrout and
    Fleiss (1979), from genomes x seeds; below 0 it is 0. None for fewer than two genomes or seeds,
    or where all means are equal.

    >>> reliability([[0.0, 0.0], [4.0, 4.0]])
    1.0
    """
    x = np.asarray(rows, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2 or float(x.mean(1).var()) <= 0:
        return None
    return max(0.0, float(_reliability(x)))


def corrected_rank_correlation(
    x: Sequence[Sequence[float]], y: Sequence[Sequence[float]], seed: int = 0
) -> Estimate | None:
    """Spearman's correlation that the true values would have, from two tables genomes x seeds.

    Spearman (1904, The Proof and Measurement of Association between Two Things): the correlation of
    noisy means is the true one times the root of both reliabilities. That law is for Pearson's
    coefficient, so Spearman's is taken to it and back by the relation of a normal pair,
    rho = 2 sin(pi r / 6) (Pearson 1907); it never exceeds 1.

    The interval is the percentiles of a bootstrap over genomes (Efron 1979) that draws the
    reliabilities anew as well. Efron's bias-corrected percentiles cover 0.82 and 0.84 where the
    truth is near 1 and are not used. The same seed gives the same bits.

    None for fewer than ten genomes, where a table has fewer than two seeds, or where noise is all
    there is to one side.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or len(a) < 10:
        return None
    found = [reliability(rows) for rows in (a.tolist(), b.tolist())]
    if not all(found):
        return None
    drawn = np.random.default_rng(seed).integers(0, len(a), (DRAWS, len(a)))
    draws = _corrected(a[drawn], b[drawn])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]).tolist()
    return Estimate(float(_corrected(a, b)), low, high)


def _reliability(x: Array) -> Array:
    """x [... genomes seeds] -> [...]; 0 where all means are equal."""
    between = x.mean(-1).var(-1, ddof=1)
    within = x.var(-1, ddof=1).mean(-1) / x.shape[-1]
    made: Array = 1 - within / np.where(between > 0, between, np.inf)
    return np.where(between > 0, made, 0.0)


def _corrected(a: Array, b: Array) -> Array:
    """a [... genomes seeds], b alike -> Spearman's coefficient [...] without the noise."""
    ranks = [stats.rankdata(rows.mean(-1), axis=-1) for rows in (a, b)]
    u, v = (r - r.mean(-1, keepdims=True) for r in ranks)
    size = np.sqrt((u * u).sum(-1) * (v * v).sum(-1))
    seen = (u * v).sum(-1) / np.where(size > 0, size, 1.0)
    kept = np.sqrt(np.clip(_reliability(a), 0.01, 1) * np.clip(_reliability(b), 0.01, 1))
    true = np.clip(2 * np.sin(math.pi * seen / 6) / kept, -1, 1)
    made: Array = 6 / math.pi * np.arcsin(true / 2)
    return made
