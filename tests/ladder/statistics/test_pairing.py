import numpy as np
import pytest

from palmette.ladder.statistics import mean_correlation, pairing_pays


def rows(rng, correlation, genomes, seeds):
    common = rng.normal(0, correlation**0.5, (1, seeds))
    own = rng.normal(0, (1 - correlation) ** 0.5, (genomes, seeds))
    return (rng.normal(0, 5, (genomes, 1)) + common + own).tolist()


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seeds", [2, 6])
def test_the_mean_correlation_is_covered(correlation, seeds):
    rng = np.random.default_rng(seeds)
    made = [mean_correlation(rows(rng, correlation, 20, seeds)) for _ in range(800)]
    inside = [e is not None and e.low <= correlation <= e.high for e in made]
    assert 0.93 < np.mean(inside) < 0.97


def test_pairing_pays_from_where_it_detects_less():
    rng = np.random.default_rng(1)
    alike, strange = (pairing_pays(rows(rng, c, 30, 12), seeds=8) for c in (0.8, 0.0))
    assert alike is not None
    assert strange is not None
    assert alike.pays
    assert not strange.pays
    assert 0.0 < alike.break_even < 0.3
    few = pairing_pays(rows(rng, 0.8, 30, 12), seeds=3)
    assert few is not None
    assert few.break_even > alike.break_even


def test_too_little_has_no_correlation():
    assert mean_correlation([[1.0, 2.0]]) is None
    assert mean_correlation([[1.0], [2.0]]) is None
    assert mean_correlation([[1.0, 2.0], [2.0, 3.0]]) is None
    assert pairing_pays([[1.0, 2.0]]) is None
