"""Values with their 95 % intervals: of a mean, of a share, of a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Student's interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(special.stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * error
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


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b for independent estimates, their half-widths added in quadrature."""
    half = math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2)
    value = a.value - b.value
    return Estimate(value, value - half, value + half)
