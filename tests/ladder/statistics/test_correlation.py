import math

import numpy as np
import pytest

from palmette.ladder.statistics import (
    corrected_rank_correlation,
    correlation,
    rank_correlation,
    reliability,
    top_rank_correlation,
)


def normal_pairs(rng, rho, shape):
    x = rng.normal(size=shape)
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=shape)


def of_ranks(rho):
    """Spearman's coefficient of a normal pair whose Pearson coefficient is rho."""
    return 6 / math.pi * math.asin(rho / 2)


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


@pytest.mark.parametrize("n", [15, 30, 120])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_a_rank_correlation_is_covered(n, rho):
    x, y = normal_pairs(np.random.default_rng(n), rho, (500, n))
    made = [rank_correlation(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    covered = np.mean([e is not None and e.low <= of_ranks(rho) <= e.high for e in made])
    assert 0.925 < covered < 0.975


@pytest.mark.parametrize("noise", [0.3, 0.6])
@pytest.mark.parametrize(("n", "rho"), [(30, 0.5), (40, 0.9)])
def test_the_correlation_without_noise_is_covered(n, rho, noise, monkeypatch):
    monkeypatch.setattr(correlation, "DRAWS", 120)
    rng = np.random.default_rng(n)
    inside, off, raw = [], [], []
    for _ in range(200):
        x, y = (
            true[:, None] + noise * rng.normal(size=(n, 2)) for true in normal_pairs(rng, rho, n)
        )
        made = corrected_rank_correlation(x.tolist(), y.tolist())
        seen = rank_correlation(x.mean(1).tolist(), y.mean(1).tolist())
        assert made is not None
        assert seen is not None
        inside.append(made.low <= of_ranks(rho) <= made.high)
        off.append(made.value - of_ranks(rho))
        raw.append(seen.value - of_ranks(rho))
    assert 0.91 < np.mean(inside) < 0.99  # 200 cases tell it to within 0.03
    assert abs(np.mean(off)) < 0.03
    if noise > 0.5:
        assert np.mean(raw) < 2 * np.mean(off)


def test_reliability_is_the_share_that_is_not_noise():
    rng = np.random.default_rng(2)
    rows = rng.normal(0, 2, (4000, 1)) + rng.normal(0, 1, (4000, 3))
    assert reliability(rows.tolist()) == pytest.approx(4 / (4 + 1 / 3), abs=0.01)
    assert reliability([[1.0, 2.0], [1.5, 1.5]]) is None
    assert reliability([[1.0], [2.0]]) is None
    assert reliability([[0.0, 9.0], [9.0, 0.5]]) == 0.0


def test_the_top_is_told_apart_less():
    rng = np.random.default_rng(3)
    x, y = (side.tolist() for side in normal_pairs(rng, 0.8, 400))
    whole, top = rank_correlation(x, y), top_rank_correlation(x, y)
    assert whole is not None
    assert top is not None
    assert top.value < whole.value - 0.15
    assert top_rank_correlation(x, y, top=1.0) == whole
    assert top_rank_correlation(x[:16], y[:16]) is None
    with pytest.raises(ValueError, match="a share between 0 and 1, got 0"):
        top_rank_correlation(x, y, top=0)


def test_too_little_has_no_correlation_without_noise():
    rows = np.random.default_rng(4).normal(size=(12, 2)).tolist()
    assert corrected_rank_correlation(rows[:9], rows[:9]) is None
    assert corrected_rank_correlation([r[:1] for r in rows], rows) is None
    perfect = [[float(i), float(i)] for i in range(12)]
    made = corrected_rank_correlation(perfect, perfect)
    assert made is not None
    assert made.value == pytest.approx(1.0)
    assert made == corrected_rank_correlation(perfect, perfect)
