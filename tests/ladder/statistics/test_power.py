import numpy as np
import pytest

from palmette.ladder.statistics import (
    Noise,
    detectable_effect,
    difference_deviation,
    difference_parts,
    plan_power,
    power_of,
    seeds_needed,
    shares,
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


def test_a_plan_finds_what_its_last_look_promises():
    looks, alpha = (4, 8, 12), 0.02
    levels = [alpha * part for part in shares(looks)]
    effect = detectable_effect(2**0.5, 12, levels[-1], paired=False)
    assert effect is not None
    one = plan_power([effect], 1.0, looks, levels, paired=False)
    assert 0.78 < one.power.value < 0.86
    assert 6 < one.seeds < 12
    assert one == plan_power([effect], 1.0, looks, levels, paired=False)
    six = plan_power([effect] * 6, 1.0, looks, levels, paired=False)
    assert six.power.value < one.power.value
    shared = plan_power([effect], 1.0, looks, levels, paired=True, correlation=0.7)
    assert shared.power.value > one.power.value
    with pytest.raises(ValueError, match="got 3 looks, 1 levels and 1 baselines"):
        plan_power([1.0], 1.0, looks, [0.1], paired=True)
