"""What the values of two genomes are told to say."""

import numpy as np
import pytest

from palmette.search.compared import told


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("shift", "noise", "said"),
    [
        (0.1, 0.01, "better"),
        (-0.1, 0.01, "worse"),
        (0.0, 0.0005, "the same"),
        (0.0, 0.05, "not told"),
        (0.003, 0.0001, "better"),
    ],
)
def test_the_interval_decides(shift, noise, said, paired):
    rng = np.random.default_rng(3)
    a, b = (0.5 + noise * rng.normal(size=6) for _ in range(2))
    assert told([*(a - a.mean() + b.mean() + shift)], [*b], paired) == said


def test_one_seed_tells_nothing():
    assert told([0.9], [0.1], paired=True) == "not told"


@pytest.mark.parametrize("paired", [True, False])
def test_equal_genomes_are_called_different_as_often_as_promised(paired):
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(2000, 2, 5))
    wrong = [told([*a], [*b], paired) in ("better", "worse") for a, b in drawn]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.015)
