"""How alike two orders of the same genomes are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate


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
