import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from palmette.ladder.statistics import Estimate, difference, mean_interval, share


def test_mean_interval_agrees_with_scipy():
    values = [1.0, 2.0, 4.0, 4.5]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    made = mean_interval(values)
    assert made is not None
    assert (made.low, made.high) == (pytest.approx(low), pytest.approx(high))
    assert mean_interval([1.0]) is None


def test_difference_adds_half_widths_in_quadrature():
    made = difference(Estimate(5, 2, 8), Estimate(1, -3, 5))
    assert (made.value, made.low, made.high) == (4, -1, 9)


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


@pytest.mark.parametrize("n", [4, 6, 12])
def test_a_mean_is_covered(n):
    values = np.random.default_rng(n).normal(1.0, 2.0, (800, n))
    made = [mean_interval(row) for row in values.tolist()]
    covered = np.mean([e is not None and e.low <= 1.0 <= e.high for e in made])
    assert 0.93 < covered < 0.97
