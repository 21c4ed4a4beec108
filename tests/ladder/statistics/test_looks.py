import numpy as np
import pytest

from palmette.ladder.statistics import (
    detectable_effect,
    difference_parts,
    shares,
    upper_tail,
)

SIMULATED = 40_000


def found(candidate, others, looks, levels, paired):
    """Which of many exams verify: at a look the largest p over baselines is within the level.

    candidate [exams 1 seeds], others [exams baselines seeds].
    """
    passed = np.zeros(len(candidate), dtype=bool)
    for look, level in zip(looks, levels, strict=True):
        parts = difference_parts(candidate[..., :look], others[..., :look], paired)
        passed |= upper_tail(*parts).max(-1) <= level
    return passed.mean()


def drawn(seed, baselines, seeds, deviation=1.0):
    rng = np.random.default_rng(seed)
    candidate = rng.normal(0, deviation, (SIMULATED, 1, seeds))
    return candidate, rng.normal(0, 1, (SIMULATED, baselines, seeds))


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.002])
@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
@pytest.mark.parametrize("looks", [(4, 8, 12), (6, 12)], ids=str)
def test_all_looks_together_keep_alpha(alpha, paired, looks):
    candidate, others = drawn(5, 1, looks[-1])
    levels = [alpha * share for share in shares(looks)]
    size = found(candidate, others, looks, levels, paired)
    assert 0.6 * alpha < size < alpha + 2 * (alpha / SIMULATED) ** 0.5


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_unlike_deviations_keep_alpha(alpha):
    candidate, others = drawn(4, 1, 12, deviation=3.0)
    levels = [alpha * share for share in shares((6, 12))]
    assert 0.6 * alpha < found(candidate, others, (6, 12), levels, False) < 1.15 * alpha


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
def test_more_baselines_are_beaten_by_luck_more_rarely(paired):
    candidate, others = drawn(11, 6, 12)
    levels = [0.05 * share for share in shares((6, 12))]
    assert found(candidate, others, (6, 12), levels, paired) < 0.025


def test_looks_find_what_the_last_one_promises():
    looks, alpha = (4, 8, 12), 0.02
    levels = [alpha * part for part in shares(looks)]
    effect = detectable_effect(2**0.5, 12, levels[-1], paired=False)
    assert effect is not None
    candidate, others = drawn(7, 1, 12)
    assert 0.78 < found(candidate + effect, others, looks, levels, False) < 0.86
    many = drawn(8, 6, 12)[1]
    beside_many = found(candidate + effect, many, looks, levels, False)
    assert beside_many < found(candidate + effect, others, looks, levels, False)


def test_shares_rise_and_sum_to_one():
    assert shares((9,)) == (1.0,)
    assert shares((4, 8)) == pytest.approx((0.125, 0.875))
    assert sum(shares((3, 7, 12))) == pytest.approx(1.0)


@pytest.mark.parametrize("looks", [(), (4, 4), (1, 4), (8, 4)], ids=str)
def test_bad_plans_are_refused(looks):
    with pytest.raises(ValueError, match="rising numbers of seeds, the first at least 2"):
        shares(looks)
