import numpy as np
import pytest

from palmette.tasks import IGNORE, Compression, Marker, Split


def batch(rows=50, length=100):
    return Compression().batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


@pytest.mark.parametrize("length", [4, 63, 100, 128, 300])
def test_layout(length):
    made = batch(20, length)
    count = Compression().letters(length)
    each = 2 * count + 1
    full = length // each * each
    shown = made.inputs[:, :full].reshape(-1, each)
    asked = made.targets[:, :full].reshape(-1, each)
    assert (shown[:, 0] == Marker.RESET).all()
    assert (shown[:, count + 1] == Marker.COPY).all()
    assert (shown[:, count + 2 :] == Marker.BLANK).all()
    assert (asked[:, : count + 1] == IGNORE).all()
    assert (asked[:, count + 1 :] == shown[:, 1 : count + 1]).all()
    assert (made.inputs[:, full:] == Marker.PAD).all()
    assert (made.targets[:, full:] == IGNORE).all()


def test_letters_grow_with_the_length():
    assert [Compression().letters(n) for n in (4, 63, 100, 128, 512)] == [1, 3, 6, 8, 32]


def test_the_strings_of_a_row_differ():
    made = batch(50, 128)
    strings = made.inputs[:, : 7 * 17].reshape(50, 7, 17)
    assert all(len(np.unique(row, axis=0)) == 7 for row in strings)


def test_too_short():
    with pytest.raises(ValueError, match="compression needs examples of at least 4 tokens, got 3"):
        batch(length=3)
