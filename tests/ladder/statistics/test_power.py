import numpy as np
import pytest

from palmette.ladder.statistics import (
    Noise,
    detectable_effect,
    difference_deviation,
    difference_parts,
    power_of,
    seeds_needed,
    upper_tail,
)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
@pytest.mark.parametrize(("seeds", "alpha"), [(4, 0.05), (8, 0.01), (12, 0.005)])
def test_the_detectable_effect_is_found_with_the_declared_power(seeds, alpha, paired):
    deviation = difference_deviation(Noise(1.0, 50), 0.5 if paired else 0.0)
    effect = detectable_effect(deviation, seeds, alpha, 0.8, paired)
    assert effect is not None
    assert power_of(effect, deviation, seeds, alpha, paired) == pytest.approx(0.8, abs=1e-6)
    rng = np.random.default_rng(23)
    common = rng.normal(0, 0.5**0.5 if paired else 0.0, (20_000, seeds))
    a, b = (common + rng.normal(0, 0.5**0.5 if paired else 1.0, (20_000, seeds)) for _ in range(2))
    found = np.mean(upper_tail(*difference_parts(a + effect, b, paired)) <= alpha)
    assert found == pytest.approx(0.8, abs=0.012)


def test_seeds_needed_are_the_fewest():
    n = seeds_needed(1.0, 1.2, 0.01)
    assert n is not None
    assert power_of(1.0, 1.2, n, 0.01, True) >= 0.8 > power_of(1.0, 1.2, n - 1, 0.01, True)
    assert seeds_needed(0.0, 1.0, 0.05) is None
    assert seeds_needed(0.001, 1.0, 0.05) is None
    assert seeds_needed(1.0, 0.0, 0.05) == 2


def test_the_edges_of_power():
    assert power_of(0.0, 1.0, 6, 0.05, True) == pytest.approx(0.05)
    assert power_of(1.0, 0.0, 6, 0.05, True) == 1.0
    assert power_of(1.0, 1.0, 1, 0.05, True) == 0.0
    assert power_of(50.0, 1.0, 12, 0.001, False) == pytest.approx(1.0)
    assert detectable_effect(1.0, 1, 0.05) is None
    assert detectable_effect(0.0, 5, 0.05) == 0.0
