import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Parity, Split


def strings(row):
    """The strings of a row, without their RESET."""
    starts = np.flatnonzero(row == Marker.RESET).tolist()
    ends = [*starts[1:], len(row)]
    return [row[start + 1 : end] for start, end in zip(starts, ends, strict=True)]


def test_training_strings_are_3_to_40_bits():
    made = Parity().batch(None, np.random.default_rng(0), 300, 100, Split.TRAIN)
    assert (made.inputs[:, 0] == Marker.RESET).all()
    sizes = [len(bits) for row in made.inputs for bits in strings(row)[:-1]]  # the last may be cut
    assert (min(sizes), max(sizes)) == (3, 40)
    short, long = (sum(low <= size < high for size in sizes) for low, high in ((4, 8), (16, 32)))
    assert 1.0 < short / long < 1.5  # log-uniform; the cut last strings are mostly long ones
    assert made.lengths is None
    assert max(len(strings(row)[-1]) for row in made.inputs) <= 40


def test_parity_starts_anew_at_each_reset():
    made = Parity().batch(None, np.random.default_rng(0), 50, 63, Split.TRAIN)
    for row, targets in zip(made.inputs, made.targets, strict=True):
        wanted = []
        for bits in strings(row):
            wanted += [IGNORE, *(48 + np.cumsum(bits - 48) % 2).tolist()]
        assert targets.tolist() == wanted


def test_evaluation_is_one_long_string_with_buckets():
    assert Parity().evaluation_length(63) == 256
    made = Parity().evaluation(None, Split.SCORE, 9, 256)
    assert all(len(strings(row)) == 1 for row in made.inputs)
    assert made.lengths is not None
    assert made.lengths[0, [1, 40, 41, 64, 65, 128, 129, 255]].tolist() == [
        40, 40, 64, 64, 128, 128, 256, 256,
    ]  # fmt: skip


@pytest.mark.parametrize("length", [4, 5, 63])
def test_short_rows_are_filled(length):
    made = Parity().batch(None, np.random.default_rng(0), 100, length, Split.TRAIN)
    assert set(np.unique(made.inputs).tolist()) == {48, 49, int(Marker.RESET)}


def test_too_short():
    with pytest.raises(ValueError, match="parity needs examples of at least 4 tokens, got 3"):
        Parity().batch(None, np.random.default_rng(0), 1, 3, Split.TRAIN)
