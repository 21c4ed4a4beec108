import numpy as np

from palmette.tasks import Split
from palmette.tasks.sealed.lorenz import Lorenz, _integrated


def test_the_equation_term_by_term():
    x = np.array([[1.0, 2.0, 4.0, 8.0, -1.0]])
    h = 1e-6
    change = (_integrated(x, 3.0, h) - x) / h
    by_hand = [[(x[0, (i + 1) % 5] - x[0, i - 2]) * x[0, i - 1] - x[0, i] + 3.0 for i in range(5)]]
    np.testing.assert_allclose(change, by_hand, atol=1e-3)


def test_the_integration_is_of_fourth_order():
    """One step of h is wrong by about h^5: two halves are sixteen times as near in all."""
    x = np.random.default_rng(0).normal(2, 3, (50, 8))

    def after(pieces):
        state = x
        for _ in range(pieces):
            state = _integrated(state, 8.0, 0.04 / pieces)
        return state

    exact = after(64)
    errors = [np.abs(after(pieces) - exact).max() for pieces in (1, 2)]
    assert 10 < errors[0] / errors[1] < 40


def test_rest_is_rest():
    still = np.full((1, 9), 8.0)
    np.testing.assert_array_equal(_integrated(still, 8.0, 1.0), still)


def test_sites_are_told_in_turn():
    """A site is nearer to itself a moment ago than to its neighbour."""
    task = Lorenz(forcing=8.0, sites=8, step=0.03, watched=3, levels=16)
    made = task.batch(None, np.random.default_rng(0), 100, 128, Split.TRAIN).inputs
    moved = [np.abs(np.diff(made, axis=1)).mean()]
    moved.append(np.abs(made[:, 3:] - made[:, :-3]).mean())
    assert moved[1] < moved[0] / 3


def test_targets_are_the_next_inputs():
    task = Lorenz(forcing=9.0, sites=7, step=0.05, watched=4, levels=16)
    made = task.batch(None, np.random.default_rng(0), 3, 63, Split.TRAIN)
    assert np.array_equal(made.targets[:, :-1], made.inputs[:, 1:])
