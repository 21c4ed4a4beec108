from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from palmette.ladder.statistics import Estimate, Noise
from palmette.search.gains import (
    Outcome,
    agreement,
    best_after,
    bought,
    difference,
    hits,
    luck,
    mean_gain,
)


def arm(
    rng: np.random.Generator, mean: float, size: int = 30, seeds: int = 1, spread: float = 0.02
) -> list[list[Outcome]]:
    """Simulated proposals, all of which became genomes."""
    return [
        [Outcome(i, gain=float(rng.normal(mean, spread)), tokens=int(rng.integers(500, 4000)))
         for i in range(size)]
        for _ in range(seeds)
    ]  # fmt: skip


def thousands(outcome: Outcome) -> float:
    return outcome.tokens / 1000


def test_a_planted_difference_is_found_and_none_is_not() -> None:
    rng = np.random.default_rng(0)
    base = arm(rng, 0.0)
    better, same = difference(arm(rng, 0.03), base), difference(arm(rng, 0.0), base)
    assert better is not None
    assert same is not None
    assert better.low > 0
    assert better.value == pytest.approx(0.03, abs=0.01)
    assert same.low < 0 < same.high


@pytest.mark.parametrize("seeds", [1, 4])
def test_intervals_cover_the_truth(seeds: int) -> None:
    """95 % of the intervals, within what 400 simulations can tell (99.9 %: 0.91 to 0.98)."""
    rng, held = np.random.default_rng(seeds), [0, 0]
    for _ in range(400):
        one, base = arm(rng, 0.01, 30, seeds), arm(rng, -0.01, 15, seeds, spread=0.05)
        one = [[replace(o, tried=bool(rng.random() < 0.7)) for o in seed] for seed in one]
        found, paid = difference(one, base), bought(one, base, thousands)
        assert found is not None
        assert paid is not None
        held[0] += found.low <= 0.02 <= found.high
        held[1] += paid.low <= 0.7 * 0.02 / 2.2495 <= paid.high  # thousands of tokens a proposal
    assert all(0.91 <= number / 400 <= 0.98 for number in held), held


def test_what_seeds_share_drops_out() -> None:
    """A shift of a whole seed is in both arms: the paired interval does not see it."""
    shifts = [-0.5, 0.0, 0.5]
    one = [[Outcome(i, gain=0.02 + shift + 0.001 * i) for i in range(4)] for shift in shifts]
    base = [[Outcome(i, gain=shift + 0.001 * i) for i in range(4)] for shift in shifts]
    found = difference(one, base)
    assert found == Estimate(pytest.approx(0.02), pytest.approx(0.02), pytest.approx(0.02))


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(3)
    one, base = arm(rng, 0.0, 9), arm(rng, 0.0, 14, spread=0.1)
    found = difference(one, base)
    theirs = stats.ttest_ind(
        [o.gain for o in one[0]], [o.gain for o in base[0]], equal_var=False
    ).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_a_declined_proposal_costs_what_it_costs_and_a_failed_genome_gains_nothing() -> None:
    base = [[Outcome(0, gain=0.0), Outcome(1, gain=0.0)]]
    fine = [[Outcome(0, gain=0.1, tokens=1000), Outcome(1, gain=0.1, tokens=1000)]]
    declined = [[*fine[0], *(Outcome(n, tried=False, tokens=1000) for n in (2, 3))]]
    failed = [[*fine[0], *(Outcome(n, tokens=1000) for n in (2, 3))]]
    told = [
        (pytest.approx(mean.value), pytest.approx(paid.value))
        for arm in (fine, declined, failed)
        if (mean := mean_gain(arm)) and (paid := bought(arm, base, thousands))
    ]
    assert told == [(0.1, 0.1), (0.1, 0.05), (0.05, 0.05)]


def test_what_is_not_known_is_none() -> None:
    one, base = [[Outcome(0, gain=0.1)]], [[Outcome(0, gain=0.0), Outcome(1, gain=0.1)]]
    assert mean_gain(one) is None
    assert mean_gain([[]]) is None
    assert difference(one, base) is None
    assert difference([[]], base) is None
    assert bought(base, base, thousands) is None  # nothing was spent
    assert bought(base, base, lambda outcome: None) is None  # a price is missing
    assert hits([Outcome(0, gain=0.1)]) is None
    assert best_after([Outcome(0)], 5) is None


def test_predictions_and_ratings_are_held_against_what_was_measured() -> None:
    guess = Estimate(0.0, -0.1, 0.1)
    told = [
        Outcome(i, gain=0.05 if i else 0.5, predicted=guess, rating=float(i)) for i in range(10)
    ]
    found = hits([*told, Outcome(10, predicted=guess)])
    assert found is not None
    assert found.value == 0.9
    assert found.low < 0.6 < 0.99 < found.high
    rising = [Outcome(i, gain=float(i), rating=i / 2) for i in range(10)]
    trend = agreement(rising)
    assert trend is not None
    assert trend.value == pytest.approx(1.0)
    assert trend.low > 0.9
    assert agreement(rising[:4]) is None


def test_the_best_so_far_counts_what_was_trained() -> None:
    declined = Outcome(1, tried=False)
    outcomes = [Outcome(0, score=0.3), declined, Outcome(2), Outcome(3, score=0.5)]
    assert [best_after(outcomes, n) for n in (1, 2, 3, 9)] == [0.3, 0.3, 0.5, 0.5]


def test_luck_holds_what_the_best_of_equals_gains_over_a_noisy_root() -> None:
    rng = np.random.default_rng(5)
    noise = Noise(0.01, 10_000)
    for seeds in (1, 3):
        draws = rng.normal(0.4, 0.01, (4000, seeds, 9))
        rises = (draws[:, :, 1:].max(2) - draws[:, :, 0]).mean(1)
        found = luck(8, seeds, noise)
        assert found.value == pytest.approx(float(np.median(rises)), abs=0.001)
        assert np.mean((rises > found.low) & (rises < found.high)) == pytest.approx(0.95, abs=0.015)


def test_luck_rises_with_the_draws_and_with_what_is_not_known_of_the_noise() -> None:
    noise = Noise(0.01, 3)
    bands = [luck(n, 2, noise) for n in range(1, 6)]
    for less, more in pairwise(bands):
        assert (less.low, less.value, less.high) < (more.low, more.value, more.high)
    sure = luck(5, 2, Noise(0.01, 1000))
    assert sure.high - sure.low < bands[-1].high - bands[-1].low
