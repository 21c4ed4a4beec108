import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Overwriting, Split


def batch(rows=200, length=100, **knobs):
    return Overwriting(**knobs).batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


@pytest.mark.parametrize("length", [4, 63, 100, 128, 600])
def test_a_question_gets_the_last_value_and_a_change_another(length):
    pairs = Overwriting().pairs(length)
    made = batch(20, length)
    for inputs, targets in zip(made.inputs.tolist(), made.targets.tolist(), strict=True):
        last = dict(zip(inputs[0 : 2 * pairs : 2], inputs[1 : 2 * pairs : 2], strict=True))
        assert len(last) == len(set(last.values())) == pairs
        changes = 0
        for place in range(2 * pairs, length - 1, 2):
            key, value = inputs[place : place + 2]
            if targets[place] == IGNORE:
                assert value != last[key]
                changes += 1
            else:
                assert targets[place] == value == last[key]
            last[key] = value
        assert changes == (length // 2 - pairs) // 4
    assert (made.targets[:, 1::2] == IGNORE).all()


def test_the_first_value_is_wrong_more_often_than_right():
    made = batch(300, 128)
    first = []
    for inputs, targets in zip(made.inputs.tolist(), made.targets.tolist(), strict=True):
        told = dict(zip(inputs[0:8:2], inputs[1:8:2], strict=True))
        first += [
            told[k] == answer for k, answer in zip(inputs, targets, strict=True) if answer > 0
        ]
    assert 0.2 < np.mean(first) < 0.45


def test_without_changes_it_is_recall():
    made = batch(20, 100, changes=0.0)
    assert ((made.targets != IGNORE).sum(axis=1) == 50 - 3).all()


def test_odd_length_ends_with_nothing_to_say():
    made = batch(9, 63)
    assert (made.inputs[:, -1] == Marker.PAD).all()
    assert (made.targets[:, -1] == IGNORE).all()


def test_too_short():
    with pytest.raises(ValueError, match="overwriting needs examples of at least 4 tokens, got 3"):
        batch(length=3)
