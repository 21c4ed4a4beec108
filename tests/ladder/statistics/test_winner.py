import numpy as np
import pytest

from palmette.ladder.statistics import Noise, shrink, winner

WORLDS = {
    "all alike": lambda rng: np.zeros(30),
    "normal": lambda rng: rng.normal(0, 1, 30),
    "one stands out": lambda rng: np.array([4.0] + [0.0] * 29),
    "skewed": lambda rng: rng.exponential(1.0, 30),
}


@pytest.mark.parametrize("freedom", [20, 300])
@pytest.mark.parametrize("world", WORLDS)
def test_the_winner_is_covered_whatever_the_others_are(world, freedom):
    rng = np.random.default_rng(7)
    inside, above = [], []
    for _ in range(600):
        truth = WORLDS[world](rng)
        seen = truth + rng.normal(0, 1, 30)
        noise = Noise(float(np.sqrt(rng.chisquare(freedom) / freedom)), freedom)
        best = int(np.argmax(seen))
        made = winner(seen.tolist(), [1] * 30, noise)
        inside.append(made.low <= truth[best] <= made.high)
        above.append(made.value > truth[best])
    assert 0.93 < np.mean(inside) < 0.97
    if freedom == 300:
        assert 0.44 < np.mean(above) < 0.56  # the median of the estimate is the truth


def test_shrinkage_hides_one_that_stands_out():
    rng = np.random.default_rng(8)
    shrunken = 0
    for _ in range(100):
        truth = np.array([4.0] + [0.0] * 29)
        seen = truth + rng.normal(0, 1, 30)
        best = int(np.argmax(seen))
        made = shrink(seen.tolist(), [1] * 30, Noise(1.0, 500))[best]
        shrunken += made.low <= truth[best] <= made.high
    assert shrunken / 100 < 0.5


def test_a_lone_winner_has_students_interval():
    made = winner([3.0], [4], Noise(1.0, 10_000))
    assert made.value == pytest.approx(3.0)
    assert made.high - made.low == pytest.approx(1.96, abs=0.01)
    with pytest.raises(ValueError, match="at least one mean"):
        winner([], [], Noise(1.0, 5))


def test_a_clear_winner_keeps_its_mean_and_a_tie_does_not():
    clear = winner([0.0, 0.1, 9.0], [1, 1, 1], Noise(1.0, 1000))
    assert clear.value == pytest.approx(9.0, abs=0.05)
    close = winner([0.0, 8.9, 9.0], [1, 1, 1], Noise(1.0, 1000))
    assert close.value < 7.5
