"""What proposals gained and cost, and how sure that is.

The *gain* of a proposal is its genome's first-rung score minus its parent's, so what a proposer was
handed is taken off. A proposal that came to nothing (declined, or every trial of it failed) gained
0, and cost what it cost. Gains are signed: noise then averages out, where the better half of it
would look like progress.

Two arms are compared by the difference of their mean gains. In one campaign a proposal is the unit
(Welch's interval); proposals that share a parent share its noise, so that interval is too narrow.
With several seeds a seed is the unit: both arms of a seed begin with the same root, data and
noise, so their difference is paired, and Student's interval is that of the mean over seeds.

What money or tokens bought is the difference of the mean gains divided by the mean cost of a
proposal. Its interval in one campaign is that of a ratio, linearised: with R the ratio, g the gain
and c the cost, of the mean of g - R c (Cochran, Sampling Techniques, 1977, section 6.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from palmette.ladder.statistics import CONFIDENCE, Estimate, mean_interval


@dataclass(frozen=True)
class Outcome:
    """A proposal and what came of it.

    gain        None if it came to nothing
    score       of its genome at the first rung
    predicted   the change that it foretold, with its interval
    rating      a reviewer's, before any trial
    """

    proposal: int
    gain: float | None = None
    score: float | None = None
    tokens: int = 0
    usd: float | None = 0.0
    predicted: Estimate | None = None
    rating: float | None = None

    @property
    def counted(self) -> float:
        """The gain as it enters a mean."""
        return 0.0 if self.gain is None else self.gain


def mean_gain(seeds: Sequence[Sequence[Outcome]]) -> Estimate | None:
    """The mean gain of an arm's proposals, which are given seed by seed."""
    if len(seeds) == 1:
        return mean_interval([outcome.counted for outcome in seeds[0]])
    return mean_interval([_mean(one) for one in seeds if one])


def difference(
    arm: Sequence[Sequence[Outcome]], reference: Sequence[Sequence[Outcome]]
) -> Estimate | None:
    """The mean gain of an arm minus that of another; seeds stand in the same order in both.

    None where there are too few proposals, or seeds, for an interval.
    """
    if len(arm) == 1:
        return _welch([o.counted for o in arm[0]], [o.counted for o in reference[0]])
    pairs = [(one, other) for one, other in zip(arm, reference, strict=True) if one and other]
    return mean_interval([_mean(one) - _mean(other) for one, other in pairs])


def bought(
    arm: Sequence[Sequence[Outcome]],
    reference: Sequence[Sequence[Outcome]],
    costs: Sequence[Sequence[float | None]],
) -> Estimate | None:
    """How much more than the reference an arm gained for each unit of cost.

    `costs` has one for each of the arm's outcomes. None if one is unknown or nothing was spent.
    """
    spent: list[list[float]] = []
    for one in costs:
        known = [cost for cost in one if cost is not None]
        if len(known) < len(one) or not sum(known):
            return None
        spent.append(known)
    if len(arm) == 1:
        return _ratio([o.counted for o in arm[0]], spent[0], [o.counted for o in reference[0]])
    triples = zip(arm, reference, spent, strict=True)
    return mean_interval(
        [(_mean(a) - _mean(b)) / float(np.mean(c)) for a, b, c in triples if a and b]
    )


def hits(outcomes: Sequence[Outcome]) -> Estimate | None:
    """How often a predicted interval held the change that was measured; of a good one, 95 %.

    The interval is the exact one of Clopper and Pearson (1934).
    """
    told = [(o.predicted, o.gain) for o in outcomes if o.predicted and o.gain is not None]
    if not told:
        return None
    held = sum(guess.low <= gain <= guess.high for guess, gain in told if guess)
    found = stats.binomtest(held, len(told)).proportion_ci(CONFIDENCE)
    return Estimate(held / len(told), float(found.low), float(found.high))


def agreement(outcomes: Sequence[Outcome]) -> Estimate | None:
    """Spearman's correlation of the reviewers' ratings with the gains that were measured.

    The interval is Fisher's with the variance 1.06 / (n - 3) (Fieller, Hartley and Pearson 1957,
    Tests for Rank Correlation Coefficients). None for fewer than five ratings or equal ones.
    """
    told = [(o.rating, o.gain) for o in outcomes if o.rating is not None and o.gain is not None]
    ratings, gains = [rating for rating, _ in told], [gain for _, gain in told]
    if len(told) < 5 or len(set(ratings)) < 2 or len(set(gains)) < 2:
        return None
    found = float(stats.spearmanr(ratings, gains).statistic)
    middle = math.atanh(min(max(found, -0.999999), 0.999999))
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt(1.06 / (len(told) - 3))
    return Estimate(found, math.tanh(middle - half), math.tanh(middle + half))


def best_after(outcomes: Sequence[Outcome], number: int) -> float | None:
    """The best score among the first so many that an arm's genomes were given."""
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    return max(scores[:number], default=None)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([outcome.counted for outcome in outcomes]))


def _welch(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """The difference of two means with the interval of Welch (1947, Biometrika 34:28)."""
    if min(len(a), len(b)) < 2:
        return None
    return _around(float(np.mean(a) - np.mean(b)), a, b)


def _ratio(
    gains: Sequence[float], costs: Sequence[float], base: Sequence[float]
) -> Estimate | None:
    if min(len(gains), len(base)) < 2:
        return None
    unit = float(np.mean(costs))
    ratio = float(np.mean(gains) - np.mean(base)) / unit
    linear = [gain - ratio * cost for gain, cost in zip(gains, costs, strict=True)]
    return _around(ratio, linear, base, unit)


def _around(value: float, a: Sequence[float], b: Sequence[float], unit: float = 1.0) -> Estimate:
    """A value with the half-width of mean(a) - mean(b), divided by a unit."""
    parts = float(np.var(a, ddof=1)) / len(a), float(np.var(b, ddof=1)) / len(b)
    if not sum(parts):
        return Estimate(value, value, value)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(sum(parts)) / unit
    return Estimate(value, value - half, value + half)
