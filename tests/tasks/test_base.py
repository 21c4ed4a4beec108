import numpy as np
import pytest

from palmette.tasks import IGNORE, VOCABULARY, Batch, Copying, Marker, Parity, Recall, Split, Text
from palmette.tasks._base import evaluation_generator


def test_markers_are_the_ids_after_the_bytes():
    assert all(256 <= marker < VOCABULARY for marker in Marker)


@pytest.mark.parametrize(
    ("task", "bits"), [(Text(), 8), (Recall(), 4), (Copying(), 4), (Parity(), 1)]
)
def test_score_is_bits_saved_over_chance(task, bits):
    assert task.chance_bits == bits
    assert task.score(bits) == 0
    assert task.score(0.0) == 1
    assert task.score(2.0 * bits) == -1


def test_name_and_summary_come_from_the_class():
    assert Recall.name == "recall"
    assert Recall.summary().startswith("Multi-query associative recall:")


def test_evaluation_generators_differ_by_task_and_split():
    draws = {
        (name, split): evaluation_generator(name, split).integers(2**62)
        for name in ("recall", "copying")
        for split in Split
    }
    assert len(set(draws.values())) == len(draws)
    assert evaluation_generator("recall", Split.SCORE).integers(2**62) == draws["recall", "score"]


def test_show_prints_one_character_a_token():
    inputs = np.array([[65, 10, *Marker]])
    batch = Batch(inputs, np.full_like(inputs, IGNORE))
    assert batch.show() == "A?.|>_\n······"


def test_rows_cuts_all_arrays():
    batch = Parity().evaluation(None, Split.SCORE, 5, 256)
    cut = batch.rows(3, 5)
    assert np.array_equal(cut.inputs, batch.inputs[3:])
    assert cut.targets.shape == (2, 256)
    assert cut.lengths is not None
    assert cut.lengths.shape == (2, 256)
