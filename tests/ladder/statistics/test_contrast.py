import numpy as np
import pytest
from scipy import stats

from palmette.ladder.statistics import contrast, difference_parts, upper_tail

SIMULATED = 20_000


def covered(a, b, paired, truth):
    value, error, freedom = difference_parts(a, b, paired)
    return np.mean(abs(value - truth) <= stats.t.ppf(0.975, freedom) * error)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
def test_a_contrast_agrees_with_scipy(paired):
    a, b = [1.0, 2.5, 2.0, 4.0], [0.5, 2.6, 1.0, 2.0]
    test = stats.ttest_rel if paired else lambda *x, **k: stats.ttest_ind(*x, equal_var=False, **k)
    wanted = test(a, b, alternative="greater")
    interval = test(a, b).confidence_interval()
    made = contrast(a, b, paired)
    assert made is not None
    assert made.p == pytest.approx(wanted.pvalue)
    assert made.freedom == pytest.approx(wanted.df)
    assert (made.low, made.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert made.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize("n", [4, 8, 12])
def test_paired_intervals_cover(n, correlation):
    rng = np.random.default_rng(n)
    common = rng.normal(0, correlation**0.5, (SIMULATED, n))
    a, b = (common + rng.normal(0, (1 - correlation) ** 0.5, (SIMULATED, n)) for _ in range(2))
    assert 0.943 < covered(a + 0.7, b, True, 0.7) < 0.957


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(("n", "m"), [(4, 4), (4, 12), (12, 4), (8, 8), (12, 12)])
def test_welch_intervals_cover_at_unequal_deviations(n, m, ratio):
    rng = np.random.default_rng(n + m)
    a, b = rng.normal(0.7, ratio, (SIMULATED, n)), rng.normal(0, 1.0, (SIMULATED, m))
    assert 0.935 < covered(a, b, False, 0.7) < 0.965


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.002])
@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
def test_one_sided_p_keeps_small_levels(paired, alpha):
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 1, (2, 200_000, 6))
    size = np.mean(upper_tail(*difference_parts(a, b, paired)) <= alpha)
    assert size < alpha + 3 * (alpha / 200_000) ** 0.5
    assert size > (0.95 if paired else 0.75) * alpha


def test_no_spread_gives_the_limit_of_the_test():
    same = contrast([1.0, 1.0], [1.0, 1.0], paired=True)
    above = contrast([2.0, 2.0], [1.0, 1.0], paired=False)
    assert same is not None
    assert above is not None
    assert (same.p, same.value, same.low, same.correlation) == (1.0, 0.0, 0.0, None)
    assert above.p == 0.0


def test_a_shift_moves_the_hypothesis_and_not_the_interval():
    a, b = [1.0, 1.2, 0.9], [1.0, 1.1, 1.0]
    plain, shifted = contrast(a, b, True), contrast(a, b, True, shift=-0.3)
    assert plain is not None
    assert shifted is not None
    assert (plain.low, plain.high) == (shifted.low, shifted.high)
    assert shifted.p < 0.05 < plain.p


def test_what_cannot_be_contrasted():
    assert contrast([1.0], [2.0], paired=True) is None
    with pytest.raises(ValueError, match=r"the same seeds on both sides, got 3 and 2"):
        contrast([1.0, 2.0, 3.0], [1.0, 2.0], paired=True)
