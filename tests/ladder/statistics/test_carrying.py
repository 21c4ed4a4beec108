import numpy as np
import pytest

from palmette.ladder.statistics import Advantage, carries, shrinks


def point(value: float, error: float = 0.01, freedom: float = 7.0) -> Advantage:
    return Advantage(value, error, freedom)


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (point(0.10), point(0.10), "carries"),
        (point(0.10), point(0.20), "carries"),
        (point(0.00), point(0.10), "carries"),
        (point(0.10), point(0.05), "does not carry"),
        (point(0.10, 0.05), point(0.08, 0.05), "not told"),
        (point(0.10), point(0.08, 0.05), "not told"),
        (point(-0.10), point(-0.10), "not told"),
        (point(0.00), point(0.00), "not told"),
        (point(0.00), point(-0.10), "does not carry"),
        (None, point(0.10), "not told"),
        (point(0.10), None, "not told"),
    ],
    ids=[
        "holds",
        "grows",
        "appears",
        "shrinks",
        "never-above-zero",
        "no-longer-shown",
        "behind",
        "nothing",
        "falls",
        "first-missing",
        "last-missing",
    ],
)
def test_the_rule(first, last, said):
    assert carries(first, last) == said


def test_shrinking_is_tested_at_five_percent_on_one_side():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (4000, 2, 8))
    points = [
        [point(float(x.mean()), float(x.std(ddof=1)) / 8**0.5) for x in pair] for pair in values
    ]
    rate = np.mean([shrinks(first, last) for first, last in points])
    assert rate == pytest.approx(0.05, abs=0.012)


def test_without_noise_any_fall_is_one():
    assert shrinks(point(0.2, 0.0), point(0.1, 0.0))
    assert not shrinks(point(0.1, 0.0), point(0.1, 0.0))
