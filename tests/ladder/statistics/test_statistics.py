import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from palmette.ladder.statistics import (
    Estimate,
    Noise,
    best_of,
    difference,
    mean_interval,
    paired_noise,
    pooled_noise,
    rank_correlation,
    seeds_to_verify,
    share,
    shrink,
)


def test_pooled_noise_is_the_root_mean_square_within_groups():
    noise = pooled_noise([[1.0, 3.0], [10.0, 10.0, 13.0], [7.0]])
    assert noise is not None
    assert noise.freedom == 3
    assert noise.deviation == pytest.approx(((2.0 + 6.0) / 3) ** 0.5)
    assert pooled_noise([[1.0], [2.0]]) is None


def test_mean_interval_agrees_with_scipy():
    values = [1.0, 2.0, 4.0, 4.5]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    made = mean_interval(values)
    assert made is not None
    assert (made.low, made.high) == (pytest.approx(low), pytest.approx(high))
    assert mean_interval([1.0]) is None


def test_pure_noise_is_shrunk_to_its_mean_and_real_spread_is_kept():
    rng = np.random.default_rng(0)
    noise = Noise(1.0, 200)
    flat = shrink(list(rng.normal(0, 1, 50)), [1] * 50, noise)
    assert max(e.value for e in flat) < 0.7
    wide = shrink([0.0, 50.0, 100.0], [2, 2, 2], noise)
    assert [e.value for e in wide] == pytest.approx([0, 50, 100], abs=0.1)


def test_the_winner_of_a_selection_is_covered_by_its_shrunken_interval():
    rng = np.random.default_rng(1)
    noise = Noise(1.0, 500)
    inside = raw_inside = 0
    for _ in range(400):
        truth = rng.normal(0, 0.5, 12)
        seen = truth + rng.normal(0, 1.0, 12)
        best = int(np.argmax(seen))
        made = shrink(list(seen), [1] * 12, noise)[best]
        inside += made.low <= truth[best] <= made.high
        raw_inside += abs(seen[best] - truth[best]) <= 1.96
    assert inside / 400 > 0.9
    assert raw_inside / 400 < 0.8


def test_a_lone_value_is_not_shrunk():
    (alone,) = shrink([3.0], [4], Noise(1.0, 10_000))
    assert alone.value == 3.0
    assert alone.high - alone.low == pytest.approx(1.96, abs=0.01)


def test_best_of_n_agrees_with_simulation():
    draws = np.random.default_rng(2).normal(5.0, 2.0, (20_000, 30)).max(axis=1)
    made = best_of(30, 5.0, Noise(2.0, 10_000))
    expected = np.quantile(draws, [0.025, 0.5, 0.975])
    assert [made.low, made.value, made.high] == pytest.approx(list(expected), abs=0.1)
    single = best_of(1, 5.0, Noise(2.0, 10_000))
    assert single.value == pytest.approx(5.0)


def test_difference_adds_half_widths_in_quadrature():
    made = difference(Estimate(5, 2, 8), Estimate(1, -3, 5))
    assert (made.value, made.low, made.high) == (4, -1, 9)


def test_seeds_to_verify_finds_the_planted_effect_with_the_declared_power():
    noise = Noise(1.0, 100)
    n = seeds_to_verify(0.8, noise)
    assert n is not None
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.8, 1, (2000, n)), rng.normal(0, 1, (2000, n))
    power = np.mean(stats.ttest_ind(a, b, axis=1).pvalue < 0.05)
    assert 0.76 < power < 0.86
    assert seeds_to_verify(0.0, noise) is None
    assert seeds_to_verify(1e-9, noise) is None


def test_paired_noise_leaves_out_what_a_seed_does_to_all():
    rng = np.random.default_rng(4)
    genomes, seeds = rng.normal(0, 5, (40, 1)), rng.normal(0, 3, (1, 6))
    rows = genomes + seeds + rng.normal(0, 0.5, (40, 6))
    noise = paired_noise(rows.tolist())
    assert noise is not None
    assert noise.freedom == 39 * 5
    assert noise.deviation == pytest.approx(0.5, rel=0.15)
    assert paired_noise([[1.0, 2.0]]) is None
    assert paired_noise([[1.0], [2.0]]) is None


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_share_lies_within_its_interval(held: int, missed: int) -> None:
    estimate = share(held, held + missed)
    if held + missed == 0:
        assert estimate is None
        return
    assert estimate is not None
    assert -1e-12 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1 + 1e-12


def test_a_share_has_wilsons_interval() -> None:
    estimate = share(8, 10)  # by hand: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((0.49016, 0.94332), abs=1e-5)


def test_rank_correlation_is_of_ranks() -> None:
    x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    rising = rank_correlation(x, [value**3 for value in x])
    assert rising is not None
    assert rising.value == pytest.approx(1.0)
    mixed = rank_correlation(x, [2.0, 1.0, 4.0, 3.0, 6.0, 5.0])
    assert mixed is not None
    assert mixed.value == pytest.approx(1 - 6 * 6 / (6 * 35))
    half = 1.959964 * math.sqrt((1 + mixed.value**2 / 2) / 3)
    assert mixed.low == pytest.approx(math.tanh(math.atanh(mixed.value) - half))
    assert mixed.high == pytest.approx(math.tanh(math.atanh(mixed.value) + half))


def test_too_little_has_no_rank_correlation() -> None:
    assert rank_correlation([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]) is None
    assert rank_correlation([1.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) is None
