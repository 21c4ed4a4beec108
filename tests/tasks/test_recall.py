import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Recall, Split


def batch(rows=200, length=100, **knobs):
    return Recall(**knobs).batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


def test_pairs_grow_with_the_length_up_to_the_symbols():
    assert [Recall().pairs(n) for n in (4, 63, 100, 128, 512, 4096)] == [1, 1, 3, 4, 16, 16]


@pytest.mark.parametrize("length", [4, 63, 100, 128, 600])
def test_every_key_after_the_pairs_is_asked(length):
    pairs = Recall().pairs(length)
    made = batch(20, length)
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        paired = dict(inputs[: 2 * pairs].reshape(pairs, 2).tolist())
        assert len(paired) == len(set(paired.values())) == pairs
        rest = inputs[2 * pairs : length - length % 2].reshape(-1, 2).tolist()
        assert all(paired[key] == value for key, value in rest)
        assert targets[2 * pairs : length - length % 2 : 2].tolist() == [v for _, v in rest]
    assert (made.targets != IGNORE).sum() == 20 * (length // 2 - pairs)


def test_odd_length_ends_with_nothing_to_say():
    made = batch(9, 63)
    assert (made.inputs[:, -1] == Marker.PAD).all()
    assert (made.targets[:, -1] == IGNORE).all()


def test_all_keys_are_asked_equally_often():
    made = batch(2000, 100)
    keys = made.inputs[:, 0:6:2, None]
    asked = made.inputs[:, None, 6::2]
    shares = (keys == asked).mean(axis=(0, 2))
    np.testing.assert_allclose(shares, 1 / 3, atol=0.01)


def test_values_follow_nothing_but_the_pairs():
    """The value of a key is not the same from row to row."""
    made = batch(500, 100)
    first_a = made.inputs[made.inputs[:, 0] == ord("A"), 1]
    assert len(set(first_a.tolist())) > 8


def test_too_short():
    with pytest.raises(ValueError, match="recall needs examples of at least 4 tokens, got 3"):
        batch(length=3)
