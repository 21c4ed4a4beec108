import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, NoisyRecall, Split


def batch(rows=200, length=100, **knobs):
    return NoisyRecall(**knobs).batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


def slots(row):
    return row[: len(row) // 2 * 2].reshape(-1, 2)


@pytest.mark.parametrize("length", [4, 63, 100, 128, 600])
def test_without_the_noise_it_is_recall(length):
    pairs = NoisyRecall().pairs(length)
    made = batch(20, length)
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        heard = slots(inputs)[:, 0] >= ord("A")
        told, asked = slots(inputs)[heard].tolist(), slots(targets)[heard].tolist()
        paired = dict(told[:pairs])
        assert len(paired) == len(set(paired.values())) == pairs
        assert asked[:pairs] == [[IGNORE, IGNORE]] * pairs
        assert asked[pairs:] == [[paired[key], IGNORE] for key, _ in told[pairs:]]
        assert all(paired[key] == value for key, value in told)


def test_a_fifth_of_the_slots_is_digits_and_nothing_is_asked_there():
    made = batch(500, 100)
    digits = (made.inputs >= ord("0")) & (made.inputs <= ord("9"))
    assert digits.sum(axis=1).tolist() == [20] * 500
    assert (digits[:, 0::2] == digits[:, 1::2]).all()
    assert (made.targets[digits] == IGNORE).all()
    np.testing.assert_allclose(digits.mean(axis=0), 0.2, atol=0.08)  # anywhere in the row


def test_more_noise_leaves_a_question_even_so():
    made = batch(20, 63, noise=1.0)
    assert ((made.targets != IGNORE).sum(axis=1) == 1).all()


def test_odd_length_ends_with_nothing_to_say():
    made = batch(9, 63)
    assert (made.inputs[:, -1] == Marker.PAD).all()
    assert (made.targets[:, -1] == IGNORE).all()


def test_too_short():
    with pytest.raises(ValueError, match="noisy_recall needs examples of at least 4 tokens, got 3"):
        batch(length=3)
