import numpy as np
import pytest

from palmette.tasks import IGNORE, Copying, Marker, Split


def batch(rows=500, length=100):
    return Copying().batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


@pytest.mark.parametrize("length", [4, 63, 100, 256])
def test_layout(length):
    made = batch(20, length)
    count = max(1, length // 32)
    copy = length - count - 1
    assert (made.inputs[:, copy] == Marker.COPY).all()
    assert (made.inputs[:, copy + 1 :] == Marker.BLANK).all()
    assert (made.targets[:, : copy + 1] == IGNORE).all()
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        before = inputs[:copy]
        assert before[before != Marker.BLANK].tolist() == targets[copy + 1 :].tolist()


def test_letters_stand_anywhere_before_copy():
    """The trap of the original: a blank never followed the last letter."""
    letters = batch().inputs[:, :96] != Marker.BLANK
    assert letters[:, 0].any()
    assert 0 < letters[:, -1].mean() < 0.1
    assert letters.sum(axis=1).tolist() == [3] * 500


def test_too_short():
    with pytest.raises(ValueError, match="copying needs examples of at least 4 tokens, got 3"):
        batch(length=3)
