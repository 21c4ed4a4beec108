import numpy as np
import pytest

from palmette.ladder.statistics import (
    difference_parts,
    intersection_union,
    upper_tail,
)


def size(advantages, paired, alpha, seeds=8, exams=30_000):
    rng = np.random.default_rng(11)
    candidate = rng.normal(0, 1, (exams, 1, seeds))
    others = rng.normal(0, 1, (exams, len(advantages), seeds)) - np.reshape(advantages, (-1, 1))
    ps = upper_tail(*difference_parts(candidate, others, paired))
    return np.mean(ps.max(-1) <= alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_least_favourable_point_reaches_alpha(alpha):
    one_equal = [0.0, 50.0, 50.0, 50.0, 50.0, 50.0]
    assert size(one_equal, True, alpha) == pytest.approx(alpha, abs=4 * (alpha / 30_000) ** 0.5)
    all_equal = [0.0] * 6
    assert size(all_equal, True, alpha) < alpha / 2
    assert size([0.0, -0.5, 50.0], False, alpha) < alpha


def test_the_largest_p_counts():
    assert intersection_union([0.2, 0.01]) == 0.2
    with pytest.raises(ValueError, match="at least one baseline"):
        intersection_union([])
