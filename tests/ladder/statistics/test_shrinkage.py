import numpy as np
import pytest

from palmette.ladder.statistics import Noise, best_of, shrink


def test_pure_noise_is_shrunk_to_its_mean_and_real_spread_is_kept():
    rng = np.random.default_rng(0)
    noise = Noise(1.0, 200)
    flat = shrink(list(rng.normal(0, 1, 50)), [1] * 50, noise)
    assert max(e.value for e in flat) < 0.7
    wide = shrink([0.0, 50.0, 100.0], [2, 2, 2], noise)
    assert [e.value for e in wide] == pytest.approx([0, 50, 100], abs=0.1)


def test_the_winner_of_a_selection_is_covered_by_its_shrunken_interval():
    rng = np.random.default_rng(1)
    noise = Noise(1.0, 500)
    inside = raw_inside = 0
    for _ in range(200):
        truth = rng.normal(0, 0.5, 12)
        seen = truth + rng.normal(0, 1.0, 12)
        best = int(np.argmax(seen))
        made = shrink(list(seen), [1] * 12, noise)[best]
        inside += made.low <= truth[best] <= made.high
        raw_inside += abs(seen[best] - truth[best]) <= 1.96
    assert inside / 200 > 0.9
    assert raw_inside / 200 < 0.8


def test_a_lone_value_is_not_shrunk():
    (alone,) = shrink([3.0], [4], Noise(1.0, 10_000))
    assert alone.value == 3.0
    assert alone.high - alone.low == pytest.approx(1.96, abs=0.01)


def test_best_of_n_agrees_with_simulation():
    draws = np.random.default_rng(2).normal(5.0, 2.0, (20_000, 30)).max(axis=1)
    made = best_of(30, 5.0, Noise(2.0, 10_000))
    expected = np.quantile(draws, [0.025, 0.5, 0.975])
    assert [made.low, made.value, made.high] == pytest.approx(list(expected), abs=0.1)
    single = best_of(1, 5.0, Noise(2.0, 10_000))
    assert single.value == pytest.approx(5.0)


@pytest.mark.parametrize("genomes", [12, 40])
@pytest.mark.parametrize("spread", [0.6, 1.0, 3.0])
def test_shrunken_estimates_cover_under_their_model(genomes, spread):
    rng = np.random.default_rng(genomes)
    inside, winners = [], []
    for _ in range(150):
        truth = rng.normal(0, spread, genomes)
        seen = truth + rng.normal(0, 1.0, genomes)
        made = shrink(seen.tolist(), [1] * genomes, Noise(1.0, 500))
        held = [e.low <= t <= e.high for e, t in zip(made, truth, strict=True)]
        inside += held
        winners.append(held[int(np.argmax(seen))])
    assert 0.93 < np.mean(inside) < 0.98
    assert np.mean(winners) > 0.89  # 150 cases tell it to within 0.04


def test_without_noise_nothing_is_shrunk():
    made = shrink([1.0, 2.0, 4.0], [1, 1, 1], Noise(0.0, 5))
    assert [e.value for e in made] == pytest.approx([1.0, 2.0, 4.0])
    assert max(e.high - e.low for e in made) < 1e-6
