import numpy as np
import pytest

from palmette.errors import CorpusError, UnknownNameError
from palmette.tasks import IGNORE, TASKS, Parity, Part, Recall, Split, Suite, Text, suite


def test_batch_rows_belong_to_tasks(corpus):
    pocket = suite("pocket")
    made = pocket.batch(corpus, np.random.default_rng(0), 32, 63)
    assert made.inputs.shape == made.targets.shape == (32, 63)
    assert made.row_weights.dtype == np.float32
    assert made.row_weights.tolist() == [1.0] * 32
    for row, index in enumerate(made.row_task):
        asked = made.targets[row][made.targets[row] != IGNORE]
        assert set(asked.tolist()) <= set(pocket.tasks[index].answers)


def test_shares_are_met_on_average_and_never_off_by_a_row(corpus):
    pocket = suite("pocket")
    rng = np.random.default_rng(0)
    counts = np.array(
        [np.bincount(pocket.batch(corpus, rng, 33, 16).row_task, minlength=4) for _ in range(400)]
    )
    exact = 33 * np.array([0.7, 0.1, 0.1, 0.1])
    assert (counts.sum(axis=1) == 33).all()
    assert (np.abs(counts - exact) < 1).all()
    np.testing.assert_allclose(counts.mean(axis=0), exact, atol=0.1)


def test_same_seed_same_batch(corpus):
    one, other = (suite("pocket").batch(corpus, np.random.default_rng(5), 8, 63) for _ in "ab")
    assert np.array_equal(one.inputs, other.inputs)
    assert np.array_equal(one.targets, other.targets)


def test_weights_follow_their_rows():
    mixed = Suite("mixed", (Part(Recall(), 0.5, weight=3.0), Part(Parity(), 0.5)))
    made = mixed.batch(None, np.random.default_rng(0), 10, 63)
    assert made.row_weights.tolist() == [3.0] * 5 + [1.0] * 5


def test_every_task_is_a_suite():
    alone = suite("recall")
    assert alone.tasks == (Recall(),)
    assert not alone.needs_corpus
    assert alone.context(63) == 63
    assert suite("text").needs_corpus


def test_wide_has_every_causal_task_of_the_folder():
    wide = suite("wide")
    assert {task.name for task in wide.tasks} == set(TASKS.names()) - {"sudoku"}
    shares = {part.task.name: part.share for part in wide.parts}
    assert shares.pop("text") == 0.4
    assert set(shares.values()) == {0.6 / 9}
    assert wide.context(128) == 256


def test_context_covers_extrapolation():
    assert suite("pocket").context(128) == 256
    assert suite("pocket").context(512) == 512


def test_unknown_suite():
    with pytest.raises(UnknownNameError, match="no suite is called 'poket'; did you mean 'pocket'"):
        suite("poket")


def test_shares_must_sum_to_one():
    with pytest.raises(ValueError, match=r"sum to 1, got text 0\.5, recall 0\.4"):
        Suite("odd", (Part(Text(), 0.5), Part(Recall(), 0.4)))


def test_digest_covers_parameters_and_text():
    pocket = suite("pocket")
    other = Suite("pocket", (*pocket.parts[:3], Part(Parity(longest=50), 0.1)))
    assert pocket.digest("a") == suite("pocket").digest("a")
    assert len({pocket.digest("a"), pocket.digest("b"), other.digest("a")}) == 3
    assert suite("recall").digest("a") == suite("recall").digest(None)
    with pytest.raises(CorpusError, match="suite 'pocket' reads text and got no corpus"):
        pocket.digest(None)


@pytest.mark.parametrize("name", ["text", "recall", "copying", "parity"])
def test_evaluation_has_about_the_tokens_asked_for(corpus, name):
    alone = suite(name)
    batches = list(alone.evaluation(alone.tasks[0], corpus, Split.SCORE, 100, 9000))
    assert all(batch.inputs.size <= 4096 for batch in batches)
    assert sum(batch.inputs.size for batch in batches) == pytest.approx(9000, rel=0.03)


def test_evaluation_has_at_least_one_row():
    (batch,) = suite("parity").evaluation(Parity(), None, Split.SELECT, 32, tokens=10)
    assert batch.inputs.shape == (1, 256)
