"""What proposals gained and cost, and how sure that is.

The *gain* of a genome is its first-rung score minus its parent's, so what a proposer was handed is
taken off. Gains are signed: noise then averages out, where the better half of it would look like
progress. A genome whose every trial failed gained 0. A proposal that was declined used no trial and
is in no mean of gains, but it cost what it cost.

Two arms are compared by the difference of their mean gains. In one campaign a genome is the unit
(Welch's interval); genomes that share a parent share its noise, so that interval is too narrow.
With several seeds a seed is the unit: both arms of a seed begin with the same root, data and
noise, so their difference is paired, and Student's interval is that of the mean over seeds.

What tokens or money bought is the total that an arm gained more than the reference would have with
as many genomes, divided by all that its proposals cost. In one campaign its interval is that of a
ratio R, linearised: of the mean of e - R c over the proposals, with c the cost and e the gain less
the reference's mean, or 0 where there was no trial (Cochran, Sampling Techniques, 1977, 6.3); the
reference's own error is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from palmette.ladder.statistics import CONFIDENCE, Estimate, Noise, mean_interval

DRAWS = 20_000


@dataclass(frozen=True)
class Outcome:
    """A proposal and what came of it.

    tried       whether it became a genome that was trained
    score       of that genome at the first rung; None if every trial failed
    gain        over its parent; None likewise
    predicted   the change that was foretold, with its interval
    rating      a reviewer's, before any trial
    usd         None where a price is not known
    """

    proposal: int
    tried: bool = True
    score: float | None = None
    gain: float | None = None
    predicted: Estimate | None = None
    rating: float | None = None
    tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0


def mean_gain(seeds: Sequence[Sequence[Outcome]]) -> Estimate | None:
    """The mean gain of an arm's genomes; its outcomes are given seed by seed."""
    if len(seeds) == 1:
        return mean_interval(_gains(seeds[0]))
    return mean_interval([_mean(gains) for one in seeds if (gains := _gains(one))])


def difference(
    arm: Sequence[Sequence[Outcome]], reference: Sequence[Sequence[Outcome]]
) -> Estimate | None:
    """The mean gain of an arm minus that of another; seeds stand in the same order in both.

    None where there are too few genomes, or seeds, for an interval.
    """
    pairs = _pairs(arm, reference)
    if len(arm) > 1:
        return mean_interval([_mean(own) - _mean(base) for own, base, _ in pairs])
    for own, base, _ in pairs:
        if min(len(own), len(base)) > 1:
            return _around(_mean(own) - _mean(base), (own, 1 / len(own)), (base, 1 / len(base)))
    return None


def bought(
    arm: Sequence[Sequence[Outcome]],
    reference: Sequence[Sequence[Outcome]],
    cost: Callable[[Outcome], float | None],
) -> Estimate | None:
    """How much more than the reference an arm gained for each unit of cost.

    None if a cost is unknown, if nothing was spent, or where there are too few genomes or seeds.
    """
    ratios = []
    for own, base, outcomes in _pairs(arm, reference):
        costs = [spent for outcome in outcomes if (spent := cost(outcome)) is not None]
        total = sum(costs)
        if len(costs) < len(outcomes) or not total:
            return None
        ratio = len(own) * (_mean(own) - _mean(base)) / total
        ratios.append(ratio)
        if len(arm) == 1 and min(len(outcomes), len(base)) > 1:
            more = [outcome.tried * (_counted(outcome) - _mean(base)) for outcome in outcomes]
            linear = [e - ratio * c for e, c in zip(more, costs, strict=True)]
            return _around(ratio, (linear, 1 / total), (base, len(own) / len(base) / total))
    return mean_interval(ratios) if len(arm) > 1 else None


def hits(outcomes: Sequence[Outcome]) -> Estimate | None:
    """How often a predicted interval held the change that was measured; of a good one, 95 %."""
    told = [(o.predicted, o.gain) for o in outcomes if o.gain is not None]
    held = [guess.low <= gain <= guess.high for guess, gain in told if guess is not None]
    return share(sum(held), len(held))


def share(number: int, total: int) -> Estimate | None:
    """A proportion with the exact interval of Clopper and Pearson (1934); None of nothing."""
    if not total:
        return None
    found = stats.binomtest(number, total).proportion_ci(CONFIDENCE)
    return Estimate(number / total, float(found.low), float(found.high))


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
    """The best score among the first so many genomes of an arm."""
    tried = [outcome.score for outcome in outcomes if outcome.tried][:number]
    return max((score for score in tried if score is not None), default=None)


def luck(genomes: int, seeds: int, noise: Noise) -> Estimate:
    """What the best of so many genomes that equal the root would seem to gain over it.

    The median and 95 % interval of the mean over seeds. The root's score has noise of its own, and
    one deviation, known as well as the noise's degrees of freedom say, holds for all draws; from
    20,000 draws of a fixed generator, the same for every number of genomes, so that it only rises.
    """
    rng = np.random.default_rng(0)
    spread = noise.deviation * np.sqrt(noise.freedom / rng.chisquare(noise.freedom, DRAWS))
    roots = rng.standard_normal((DRAWS, seeds))
    best = special.ndtri(rng.random((DRAWS, seeds)) ** (1 / genomes))
    tail = (1 - CONFIDENCE) / 2
    low, middle, high = np.quantile(spread * (best - roots).mean(1), [tail, 0.5, 1 - tail])
    return Estimate(float(middle), float(low), float(high))


def _gains(outcomes: Sequence[Outcome]) -> list[float]:
    return [_counted(outcome) for outcome in outcomes if outcome.tried]


def _counted(outcome: Outcome) -> float:
    return 0.0 if outcome.gain is None else outcome.gain


def _pairs(
    arm: Sequence[Sequence[Outcome]], reference: Sequence[Sequence[Outcome]]
) -> list[tuple[list[float], list[float], Sequence[Outcome]]]:
    """For each seed with genomes in both: the gains of each, and all outcomes of the arm."""
    rows = [(_gains(a), _gains(b), a) for a, b in zip(arm, reference, strict=True)]
    return [row for row in rows if row[0] and row[1]]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _around(value: float, *sums: tuple[Sequence[float], float]) -> Estimate:
    """A value whose error is that of independent sums, each of values times a weight.

    The degrees of freedom are those of Welch (1947, Biometrika 34:28).
    """
    parts = [(len(x) * float(np.var(x, ddof=1)) * w**2, len(x) - 1) for x, w in sums]
    variance = sum(part for part, _ in parts)
    if not variance:
        return Estimate(value, value, value)
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(variance)
    return Estimate(value, value - half, value + half)
