"""Intervals that hold at every moment, for whoever adds seeds until satisfied."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate


def e_value(values: Sequence[float], against: float = 0.0, effect: float = 1.0) -> float:
    """Evidence that the mean of normal values is not `against`, valid at any stopping time.

    The chance that it ever reaches 1 / alpha while the mean is `against` is at most alpha (Ville
    1939). It is the likelihood ratio of t with the standardised effect drawn from
    N(0, effect^2): Lai (1976, On Confidence Sequences, section 3) in the form of Wang and Ramdas
    (2024, Anytime-valid t-tests and Confidence Sequences for Gaussian Means with Unknown Variance).
    With r = 1 / (1 + n effect^2): sqrt(r) [(1 + t^2 / (n - 1)) / (1 + r t^2 / (n - 1))]^(n / 2).

    1 for fewer than two values. Values without spread give its limit.

    >>> round(e_value([1.2, 0.8, 1.1, 0.9, 1.0, 1.3]), 0)
    84.0
    """
    n = len(values)
    if n < 2:
        return 1.0
    x = np.asarray(values, dtype=float) - against
    r = 1 / (1 + n * effect**2)
    squares = float(((x - x.mean()) ** 2).sum())
    pull = n * float(x.mean()) ** 2  # t^2 / (n - 1) = pull / squares
    if squares + pull == 0:
        return math.sqrt(r)
    return math.sqrt(r) * float(((squares + pull) / (squares + r * pull)) ** (n / 2))


def confidence_sequence(values: Sequence[float], effect: float = 1.0) -> Estimate | None:
    """A 95 % interval of a mean that may be looked at after every value.

    All means against which `e_value` stays below 20. None while every mean is still possible, with
    the default effect below five values.
    """
    n = len(values)
    if n < 2:
        return None
    r = 1 / (1 + n * effect**2)
    bound = (1 / ((1 - CONFIDENCE) * math.sqrt(r))) ** (2 / n)
    if r * bound >= 1:
        return None
    x = np.asarray(values, dtype=float)
    squares = float(((x - x.mean()) ** 2).sum())
    half = math.sqrt((bound - 1) / (1 - r * bound) * squares / n)
    return Estimate(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)
