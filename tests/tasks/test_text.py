import numpy as np
import pytest

from palmette.errors import CorpusError
from palmette.tasks import Split, Text


class Counting:
    """A stream in which every byte names its place, modulo 251."""

    def __init__(self, size):
        self.size = size

    def stream(self, split):
        return (np.arange(self.size) % 251).astype(np.uint8)


def test_the_answer_is_the_next_byte():
    batch = Text().batch(Counting(1000), np.random.default_rng(0), 7, 63, Split.TRAIN)
    assert np.array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert np.array_equal((batch.inputs + 1) % 251, batch.targets)


def test_training_windows_reach_both_ends():
    batch = Text().batch(Counting(66), np.random.default_rng(0), 100, 63, Split.TRAIN)
    assert set(batch.inputs[:, 0].tolist()) == {0, 1, 2}
    assert batch.targets.max() == 65


def test_evaluation_windows_are_even_and_disjoint():
    batch = Text().evaluation(Counting(1001), Split.SCORE, 4, 100)
    assert batch.inputs[:, 0].tolist() == [0, 200, 500 % 251, 700 % 251]


def test_evaluation_takes_all_where_the_stream_is_short():
    batch = Text().evaluation(Counting(202), Split.SCORE, 50, 100)
    assert batch.inputs[:, 0].tolist() == [0, 100]


def test_no_corpus():
    with pytest.raises(CorpusError, match="'text' needs a corpus and got none; give one with"):
        Text().batch(None, np.random.default_rng(0), 1, 63, Split.TRAIN)


def test_stream_shorter_than_one_window():
    words = "the select split holds 63 bytes, but examples of 63 tokens need at least 64"
    with pytest.raises(CorpusError, match=words):
        Text().evaluation(Counting(63), Split.SELECT, 1, 63)
