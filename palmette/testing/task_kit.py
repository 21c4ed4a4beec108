"""TaskKit: what every task must fulfil, ours and a stranger's.

In a test of your own task:

    from palmette.testing.task_kit import check_task

    def test_my_task():
        check_task(MyTask())

`CHECKS` are the single contracts, for a test that runs each by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palmette.tasks import IGNORE, VOCABULARY, Batch, Split, Streams, Task

LENGTHS = (63, 100)  # awkward on purpose
ROWS = 9
MANY = 2000  # rows: enough to see every answer and any example that two splits share
GUESSABLE = 0.05  # bits that a guess may save without reading, of which chance is under 0.01


@dataclass(frozen=True)
class RandomText:
    """Four streams of unrelated random bytes, for tasks that read text."""

    size: int = 100_000

    def stream(self, split: Split) -> npt.NDArray[np.uint8]:
        """The bytes of one split, the same each time."""
        rng = np.random.default_rng(list(Split).index(split))
        return rng.integers(0, 256, self.size, dtype=np.uint8)


def check_task(task: Task, streams: Streams | None = None) -> None:
    """Runs all checks and raises one `AssertionError` that lists every fault."""
    faults = []
    for check in CHECKS:
        try:
            check(task, streams or RandomText())
        except AssertionError as fault:
            faults.append(f"{check.__name__}: {fault}")
        except Exception as error:  # a task that raises breaks this check, not the ones after it
            faults.append(f"{check.__name__}: {type(error).__name__}: {error}")
    if faults:
        raise AssertionError(f"task {task.name!r} breaks its contract\n" + "\n".join(faults))


def check_description(task: Task, streams: Streams) -> None:
    """It is named like its file, says what it is and how well a guess does."""
    file = type(task).__module__.rpartition(".")[2]
    assert task.name == file, f"its name is {task.name!r}, its file is {file}.py"
    generated = f"{type(task).__name__}("  # how a dataclass without a docstring describes itself
    assert not task.summary().startswith(generated), "it has no docstring"
    assert task.summary().endswith("."), f"its summary is no sentence: {task.summary()!r}"
    assert len(task.answers) >= 2, f"it has {len(task.answers)} legal answers; that asks nothing"
    assert set(task.answers) <= set(range(VOCABULARY)), (
        f"its answers {task.answers} are not all ids below {VOCABULARY}"
    )


def check_batches(task: Task, streams: Streams) -> None:
    """Batches have the shape asked for, ids of the vocabulary, and legal answers in every row."""
    for split in Split:
        for length in LENGTHS:
            batch = task.batch(streams, np.random.default_rng(0), ROWS, length, split)
            _check_batch(task, batch, (ROWS, length))


def check_randomness(task: Task, streams: Streams) -> None:
    """The generator that is passed decides everything: same seed, same batch; other seed, other."""

    def inputs(seed: int) -> npt.NDArray[np.int64]:
        return task.batch(
            streams, np.random.default_rng(seed), ROWS, LENGTHS[0], Split.TRAIN
        ).inputs

    first = inputs(1)
    np.random.random(7)  # moves numpy's global generator on, to catch its use
    assert np.array_equal(first, inputs(1)), "the same seed gave another batch"
    assert not np.array_equal(first, inputs(2)), "another seed gave the same batch"
    assert len(np.unique(first, axis=0)) > 1, "all rows of a batch are the same"


def check_evaluation(task: Task, streams: Streams) -> None:
    """Evaluation examples are fixed, as many as asked for, and go through every bucket."""
    length = task.evaluation_length(LENGTHS[0])
    for split in Split:
        batch = task.evaluation(streams, split, ROWS, length)
        again = task.evaluation(streams, split, ROWS, length)
        _check_batch(task, batch, (ROWS, length))
        assert np.array_equal(batch.inputs, again.inputs), f"{split} differs from call to call"
        assert np.array_equal(batch.targets, again.targets), f"{split} differs from call to call"
        if split is Split.TRAIN:
            continue
        assert (batch.lengths is not None) == bool(task.extrapolates), (
            f"{split}: a task gives lengths exactly if it extrapolates"
        )
        if batch.lengths is not None:
            seen = np.unique(batch.lengths[batch.targets != IGNORE]).tolist()
            assert seen == sorted(task.extrapolates), (
                f"{split} asks at lengths {seen}, not {sorted(task.extrapolates)}"
            )


def check_splits(task: Task, streams: Streams) -> None:
    """No evaluation example is among many training examples or in another split."""
    length = task.evaluation_length(LENGTHS[1])
    rng = np.random.default_rng(0)
    seen = {"training": _examples(task.batch(streams, rng, MANY, length, Split.TRAIN))}
    for split in (Split.SELECT, Split.SCORE, Split.SEALED):
        examples = _examples(task.evaluation(streams, split, 100, length))
        for other, theirs in seen.items():
            shared = len(examples & theirs)
            assert not shared, f"{split} and {other} share {shared} examples"
        seen[split] = examples


def check_oracle(task: Task, streams: Streams) -> None:
    """The oracle, reading the inputs alone, gives every answer that is asked for."""
    batches = [task.batch(streams, np.random.default_rng(3), 50, n, Split.TRAIN) for n in LENGTHS]
    length = task.evaluation_length(LENGTHS[0])
    batches.append(task.evaluation(streams, Split.SCORE, 50, length))
    for batch in batches:
        answers = task.oracle(batch.inputs)
        if answers is None:
            assert task.needs_text or task.uncertain, (
                "it has no oracle; only text and what is uncertain have none"
            )
            return
        asked = batch.targets != IGNORE
        right = (answers == batch.targets)[asked].mean()
        assert right == 1.0, f"the oracle is right at {100 * right:.1f} % of the answers"


def check_chance(task: Task, streams: Streams) -> None:
    """Chance is what it says: all answers occur, and none so often that a guess does better.

    Text is exempt: that some bytes are more frequent is the first thing a model may learn.
    """
    assert task.score(task.chance_bits) == 0.0, "a uniform guess over the answers must score 0"
    if task.needs_text:
        return
    rng = np.random.default_rng(4)
    targets = task.batch(streams, rng, MANY, LENGTHS[1], Split.TRAIN).targets
    _, counts = np.unique(targets[targets != IGNORE], return_counts=True)
    shares = counts / counts.sum()
    bits = float(-(shares * np.log2(shares)).sum())
    assert bits > task.chance_bits - GUESSABLE, (
        f"guessing answers by their frequency costs {bits:.2f} bits, under chance at "
        f"{task.chance_bits:.2f}"
    )


CHECKS: tuple[Callable[[Task, Streams], None], ...] = (
    check_description,
    check_batches,
    check_randomness,
    check_evaluation,
    check_splits,
    check_oracle,
    check_chance,
)


def _check_batch(task: Task, batch: Batch, shape: tuple[int, int]) -> None:
    for name, ids in (("inputs", batch.inputs), ("targets", batch.targets)):
        assert ids.shape == shape, f"{name} have the shape {ids.shape}, not {shape}"
        assert ids.dtype == np.int64, f"{name} are {ids.dtype}, not int64"
    least, most = batch.inputs.min(), batch.inputs.max()
    assert 0 <= least <= most < VOCABULARY, (
        f"inputs reach from {least} to {most}, beyond the vocabulary of {VOCABULARY}"
    )
    asked = batch.targets != IGNORE
    assert asked.any(axis=1).all(), "a row asks nothing"
    illegal = sorted(set(batch.targets[asked].tolist()) - set(task.answers))
    assert not illegal, f"targets {illegal[:5]} are not among the answers {task.answers}"


def _examples(batch: Batch) -> set[bytes]:
    return {row.tobytes() for row in batch.inputs}
