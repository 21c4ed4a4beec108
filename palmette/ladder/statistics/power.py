"""What an exam can see: power, the smallest detectable effect, and the seeds that it takes.

`deviation` is everywhere of one seed's difference of two entries: sigma sqrt(2 (1 - correlation))
paired, sigma sqrt(2) otherwise. Effects and deviations are in the same units. A test is one-sided.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.optimize import brentq

from palmette.ladder.statistics.spread import Noise

Array = NDArray[np.float64]
MOST_SEEDS = 1000
MIDDLES = (np.arange(64) + 0.5) / 64


def difference_deviation(noise: Noise, correlation: float = 0.0) -> float:
    """The deviation of one seed's difference of two entries that are equally noisy.

    With the residual noise of `paired_noise`, from which the shared part is out already, leave
    `correlation` at 0.
    """
    return noise.deviation * math.sqrt(max(0.0, 2 * (1 - correlation)))


def power_of(effect: float, deviation: float, seeds: int, alpha: float, paired: bool) -> float:
    """The chance to find a true difference `effect` with `seeds` values on either side.

    The noncentral t with noncentrality effect sqrt(seeds) / deviation (Johnson, Kotz and
    Balakrishnan 1995, Continuous Univariate Distributions 2, chapter 31). Paired it has seeds - 1
    degrees of freedom. Welch's statistic of two equal deviations has 2 (seeds - 1), but is held
    against a bound with fewer, which depends on the share of one side in the summed variance. That
    share is Beta distributed and independent of the statistic, so its quantiles are averaged over.

    >>> round(power_of(1.0, 1.0, 8, 0.05, paired=True), 2)
    0.82
    """
    if seeds < 2:
        return 0.0
    if deviation <= 0:
        return float(effect > 0)
    noncentrality = effect * math.sqrt(seeds) / deviation
    own = float(seeds - 1)
    if paired:
        return float(_beyond(np.array([-special.stdtrit(own, alpha)]), own, noncentrality)[0])
    of_one = special.betaincinv(own / 2, own / 2, MIDDLES)
    freedom = np.asarray(own / (of_one**2 + (1 - of_one) ** 2), dtype=float)
    bounds = -np.asarray(special.stdtrit(freedom, alpha), dtype=float)
    return float(_beyond(bounds, 2 * own, noncentrality).mean())


def detectable_effect(
    deviation: float, seeds: int, alpha: float, power: float = 0.8, paired: bool = True
) -> float | None:
    """The smallest true difference found with this power; None for fewer than two seeds.

    For a plan with looks, give the level of the last look: what is found there alone.
    """
    if seeds < 2:
        return None
    if deviation <= 0:
        return 0.0

    def missing(effect: float) -> float:
        return power_of(effect, 1.0, seeds, alpha, paired) - power

    highest = 1.0
    while missing(highest) < 0:
        highest *= 2
    return deviation * float(brentq(missing, 0.0, highest, xtol=1e-9))


def seeds_needed(
    effect: float, deviation: float, alpha: float, power: float = 0.8, paired: bool = True
) -> int | None:
    """The fewest seeds that find this effect with this power; None if over 1,000."""
    if effect <= 0:
        return None
    few, many = 1, 2
    while power_of(effect, deviation, many, alpha, paired) < power:
        if many >= MOST_SEEDS:
            return None
        few, many = many, min(2 * many, MOST_SEEDS)
    while many - few > 1:
        middle = (few + many) // 2
        if power_of(effect, deviation, middle, alpha, paired) < power:
            few = middle
        else:
            many = middle
    return many


def _beyond(bounds: Array, freedom: float, noncentrality: float) -> Array:
    """The chance that a noncentral t lies above each bound; the normal's where SciPy gives none."""
    found = np.asarray(stats.nct.sf(bounds, freedom, noncentrality), dtype=float)
    normal = np.asarray(stats.norm.sf(bounds - noncentrality), dtype=float)
    made: Array = np.clip(np.where(np.isfinite(found), found, normal), 0.0, 1.0)
    return made
