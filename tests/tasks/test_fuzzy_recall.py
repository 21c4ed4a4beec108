import re

import numpy as np
import pytest

from palmette.tasks import IGNORE, FuzzyRecall, Marker, Split


def batch(rows=100, length=100, **knobs):
    return FuzzyRecall(**knobs).batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


def slots(row):
    """Key, value and the place of the value, read off the letters' case."""
    text = "".join(chr(i) for i in row if i != Marker.PAD)
    found = list(re.finditer("([A-H]+)([a-h]+)", text))
    assert "".join(match.group() for match in found) == text
    return [(match.group(1), match.group(2), match.start(2)) for match in found]


@pytest.mark.parametrize("length", [12, 63, 100, 128, 300])
@pytest.mark.parametrize("longest", [1, 2])
def test_every_letter_of_a_later_value_is_asked_one_place_before(length, longest):
    task = FuzzyRecall(longest=longest)
    made = batch(20, length, longest=longest)
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        told = slots(inputs)
        paired = {key: value for key, value, _ in told[: task.pairs(length)]}
        assert len(paired) == task.pairs(length)
        expected = np.full(length, IGNORE)
        for key, value, place in told[task.pairs(length) :]:
            assert paired[key] == value
            expected[place - 1 : place - 1 + len(value)] = [ord(letter) for letter in value]
        assert targets.tolist() == expected.tolist()


def test_words_have_one_or_two_letters_equally_often_and_none_twice():
    told = [slot for row in batch(400, 63).inputs for slot in slots(row)[:2]]
    for word in (0, 1):
        sizes = np.array([len(slot[word]) for slot in told])
        assert set(sizes.tolist()) == {1, 2}
        np.testing.assert_allclose((sizes == 1).mean(), 0.5, atol=0.06)
        assert all(len(set(slot[word])) == len(slot[word]) for slot in told)


def test_keys_share_letters():
    """The last letter of a key does not tell it."""
    shared = [
        slots(row)[0][0] != slots(row)[1][0] and slots(row)[0][0][-1] == slots(row)[1][0][-1]
        for row in batch(200, 63).inputs
    ]
    assert np.mean(shared) >= 0.02


def test_the_row_ends_with_whole_words():
    made = batch(200, 63)
    left = (made.inputs == Marker.PAD).sum(axis=1)
    assert left.min() == 0
    assert left.max() <= 3


def test_too_short():
    wanted = "fuzzy_recall needs examples of at least 12 tokens, got 11"
    with pytest.raises(ValueError, match=wanted):
        batch(length=11)
