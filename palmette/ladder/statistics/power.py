"""What an exam can see: power, the smallest detectable effect, and the seeds that it takes.

`deviation` is everywhere of one seed's difference of two entries: sigma sqrt(2 (1 - correlation))
paired, sigma sqrt(2) otherwise. Effects and deviations are in the same units. A test is one-sided.
"""

from __future__ import annotations

import math

from scipy import special, stats
from scipy.optimize import brentq

from palmette.ladder.statistics.spread import Noise

MOST_SEEDS = 1000


def difference_deviation(noise: Noise, correlation: float = 0.0) -> float:
    """The deviation of one seed's difference of two entries that are equally noisy.

    With the residual noise of `paired_noise`, from which the shared part is out already, leave
    `correlation` at 0.
    """
    return noise.deviation * math.sqrt(max(0.0, 2 * (1 - correlation)))


def power_of(effect: float, deviation: float, seeds: int, alpha: float, paired: bool) -> float:
    """The chance to find a true difference `effect` with `seeds` values on either side.

    The noncentral t (Johnson, Kotz and Balakrishnan 1995, Continuous Univariate Distributions 2,
    chapter 31; Cohen 1988, section 2.2): noncentrality effect sqrt(seeds) / deviation, with
    seeds - 1 degrees of freedom paired and 2 (seeds - 1) for Welch with equal variances.

    >>> round(power_of(1.0, 1.0, 8, 0.05, paired=True), 2)
    0.82
    """
    if seeds < 2:
        return 0.0
    if deviation <= 0:
        return float(effect > 0)
    freedom = (seeds - 1) * (1 if paired else 2)
    bound = -float(special.stdtrit(freedom, alpha))
    return _beyond(bound, freedom, effect * math.sqrt(seeds) / deviation)


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


def _beyond(bound: float, freedom: float, noncentrality: float) -> float:
    found = float(stats.nct.sf(bound, freedom, noncentrality))
    if math.isfinite(found):
        return min(1.0, max(0.0, found))
    return float(stats.norm.sf(bound - noncentrality))


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
