import numpy as np
import pytest
from scipy import stats

from palmette.ladder.statistics import (
    benjamini_hochberg,
    benjamini_yekutieli,
    gamma,
    lond_levels,
)

HYPOTHESES = 60
LIVES = 3000


def false_rate(p, false, q, batch=1):
    """Mean share of false ones among the discoveries of LOND, p [lives hypotheses]."""
    rejected = np.zeros(p.shape, dtype=bool)
    for start in range(0, p.shape[1], batch):
        before = rejected[:, :start].sum(1)
        for number in range(start, min(start + batch, p.shape[1])):
            level = q * gamma(number + 1) * (before + 1)
            rejected[:, number] = p[:, number] <= level
    return np.mean((rejected & false).sum(1) / np.maximum(1, rejected.sum(1)))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("true_share", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9], ids=["independent", "half", "nearly one"])
def test_lond_keeps_the_false_discovery_rate(shared, true_share, batch):
    """What a shared baseline does to all alike makes p-values positively dependent."""
    rng = np.random.default_rng(13)
    false = rng.random((LIVES, HYPOTHESES)) >= true_share
    common = rng.normal(0, shared**0.5, (LIVES, 1))
    score = common + rng.normal(0, (1 - shared) ** 0.5, (LIVES, HYPOTHESES)) + 3.5 * ~false
    found = false_rate(stats.norm.sf(score), false, 0.1, batch)
    assert found < 0.1 + 3 * (0.09 / LIVES) ** 0.5


def test_lond_spends_on_nulls_what_it_promises():
    rng = np.random.default_rng(14)
    p = rng.random((20_000, HYPOTHESES))
    found = false_rate(p, np.ones(p.shape, dtype=bool), 0.1)
    assert 0.085 < found < 0.1


def test_levels_follow_from_what_was_rejected():
    first = lond_levels(0.1, [])
    assert first == pytest.approx(0.1 * gamma(1))
    assert lond_levels(0.1, [False]) == pytest.approx(0.1 * gamma(2))
    assert lond_levels(0.1, [True, False, True]) == pytest.approx(0.3 * gamma(4))
    assert lond_levels(0.1, [True, None], ahead=2) == pytest.approx(0.2 * gamma(5))
    assert sum(gamma(i) for i in range(1, 20_000)) == pytest.approx(1, abs=2e-3)
    assert 1 - sum(gamma(i) for i in range(1, 21)) == pytest.approx(0.119, abs=0.005)
    with pytest.raises(ValueError, match="between 0 and 1"):
        lond_levels(1.0, [])


def test_batches():
    ps = [0.001, 0.012, 0.014, 0.5]
    assert benjamini_hochberg(ps, 0.05) == [True, True, True, False]
    assert benjamini_yekutieli(ps, 0.03) == [True, False, False, False]
    assert benjamini_hochberg([], 0.05) == []
