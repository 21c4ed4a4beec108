import numpy as np
import pytest
import torch
from tiny import numbers, tiny_spec

from palmette.tasks import TASKS, Split, Suite, suite
from palmette.train.batches import DRAWN_AHEAD, batches, evaluation
from palmette.train.loop import run_trial
from palmette.train.seeding import data_generator
from palmette.train.shelf import Shelf


class Named:
    """Sentences with a digest, as a corpus has one."""

    def __init__(self, sentences, sha256="a"):
        self.stream = sentences.stream
        self.sha256 = sha256


class Broken:
    """A text that must not be read."""

    sha256 = "a"

    def stream(self, split):
        raise AssertionError("read")


def test_drawing_ahead_changes_no_batch(sentences):
    spec, mixture = tiny_spec(), suite("pocket")
    generator = data_generator(spec)
    drawn = list(batches(spec, mixture, sentences, 2 * DRAWN_AHEAD + 3))
    assert len(drawn) == 2 * DRAWN_AHEAD + 3
    for inputs, targets, weights in drawn:
        batch = mixture.batch(sentences, generator, spec.batch_size, spec.length)
        assert inputs.tolist() == batch.inputs.tolist()
        assert targets.tolist() == batch.targets.tolist()
        answers = (batch.targets >= 0).sum(axis=1)
        assert (weights.numpy() * answers * len(answers)).tolist() == pytest.approx([1.0] * 8)


def same(one, other):
    return all(
        a.dtype == b.dtype and torch.equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
    )


def test_kept_batches_have_the_bits_of_drawn_ones(sentences, tmp_path):
    spec, mixture, shelf = tiny_spec(), suite("pocket"), Shelf(tmp_path)
    fresh = list(batches(spec, mixture, sentences, 20))
    assert same(fresh, list(batches(spec, mixture, Named(sentences), 20, shelf)))
    assert same(fresh, list(batches(spec, mixture, Broken(), 20, shelf)))
    assert len(list(tmp_path.iterdir())) == 1


def test_what_decides_the_batches_decides_the_file(sentences, tmp_path):
    shelf = Shelf(tmp_path)
    changes = [{}, {"seed": 1}, {"replica": 1}, {"batch_size": 4}, {"length": 64}]
    for change in changes:
        list(batches(tiny_spec(**change), suite("pocket"), Named(sentences), 3, shelf))
    list(batches(tiny_spec(), suite("pocket"), Named(sentences), 4, shelf))
    list(batches(tiny_spec(), suite("pocket"), Named(sentences, "b"), 3, shelf))
    parts = suite("pocket").parts
    lighter = Suite("pocket", (parts[0]._replace(weight=0.5), *parts[1:]))
    list(batches(tiny_spec(), lighter, Named(sentences), 3, shelf))
    assert len(list(tmp_path.iterdir())) == len(changes) + 3
    list(batches(tiny_spec(learning_rate=1e-3), suite("pocket"), Named(sentences), 3, shelf))
    assert len(list(tmp_path.iterdir())) == len(changes) + 3


def test_text_without_a_digest_is_not_kept(sentences, tmp_path):
    list(batches(tiny_spec(), suite("pocket"), sentences, 3, Shelf(tmp_path)))
    assert not list(tmp_path.iterdir())
    list(batches(tiny_spec(), suite("parity"), None, 3, Shelf(tmp_path)))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", sorted(TASKS.names()))
def test_kept_evaluations_have_the_bits_of_drawn_ones(name, sentences, tmp_path):
    mixture, shelf = suite(name), Shelf(tmp_path)
    length = 17 if name == "sudoku" else 64
    (task,) = mixture.tasks
    given = (Named(sentences), Split.SCORE, length, 1500)
    fresh = list(mixture.evaluation(task, *given))
    for _ in range(2):
        kept = list(evaluation(mixture, task, *given, shelf))
        assert len(kept) == len(fresh)
        for one, other in zip(kept, fresh, strict=True):
            for field in ("inputs", "targets", "lengths"):
                a, b = getattr(one, field), getattr(other, field)
                assert (a is None) == (b is None)
                assert a is None or (a.dtype == b.dtype and np.array_equal(a, b))


def test_a_trial_has_the_same_bits_with_kept_sequences(sentences, tmp_path):
    corpus, shelf = Named(sentences), Shelf(tmp_path)
    fresh = run_trial(tiny_spec(), sentences)
    for _ in range(2):
        assert numbers(run_trial(tiny_spec(), corpus, shelf=shelf)) == numbers(fresh)
    assert len(list(tmp_path.iterdir())) == 1 + 2 * 4
