import numpy as np
import pytest

from palmette.ladder.statistics import equivalent, non_inferior

EXAMS = 1500


def held(test, difference, n, paired, margin, deviations=(1.0, 1.0)):
    rng = np.random.default_rng(17)
    a = rng.normal(difference, deviations[0], (EXAMS, n)).tolist()
    b = rng.normal(0, deviations[1], (EXAMS, n)).tolist()
    made = [test(x, y, margin, paired) for x, y in zip(a, b, strict=True)]
    return np.mean([m is not None and m.holds for m in made])


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
def test_non_inferiority_has_its_size_at_the_margin(paired):
    assert 0.030 < held(non_inferior, -0.8, 6, paired, 0.8) < 0.070


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
@pytest.mark.parametrize("side", [-1, 1])
def test_equivalence_has_its_size_at_both_margins(side, paired):
    assert 0.030 < held(equivalent, side * 3.0, 6, paired, 3.0) < 0.070


def test_equivalence_of_few_noisy_seeds_is_not_found():
    assert held(equivalent, 0.5, 4, False, 0.5) < 0.05


def test_equals_are_found_equivalent_within_a_wide_margin():
    assert held(equivalent, 0.0, 10, True, 3.0) > 0.95


def test_limits_and_p_agree():
    a, b = [1.0, 1.1, 1.3, 0.9], [1.0, 1.2, 1.1, 1.0]
    for paired in (True, False):
        at_low = non_inferior(a, b, 1.0, paired)
        assert at_low is not None
        at_the_limit = non_inferior(a, b, -at_low.low, paired)
        assert at_the_limit is not None
        assert at_the_limit.p == pytest.approx(0.05)
        same = equivalent(a, b, max(-at_low.low, at_low.high), paired)
        assert same is not None
        assert same.p == pytest.approx(0.05)


def test_what_cannot_be_said():
    assert non_inferior([1.0], [1.0, 2.0], 0.1, paired=False) is None
    assert equivalent([1.0], [1.0, 2.0], 0.1, paired=False) is None
    with pytest.raises(ValueError, match="a positive number fixed beforehand, got 0"):
        equivalent([1.0, 2.0], [1.0, 2.0], 0.0, paired=True)
