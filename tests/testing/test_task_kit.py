"""The kit is itself tested: on a task that is right, and on ones broken in one way each."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from palmette.tasks import IGNORE, Batch, Split, Task
from palmette.testing import task_kit
from palmette.testing.task_kit import check_task


@dataclass(frozen=True)
class Echo(Task):
    """Say the byte that stands here."""

    name: ClassVar[str] = "test_task_kit"
    fault: str = ""

    @property
    def answers(self):
        return range(10, 12) if self.fault == "illegal answers" else range(10, 20)

    def batch(self, streams, rng, rows, length, split):
        if self.fault == "global generator":
            rng = np.random
            ids = rng.randint(10, 20, (rows, length))
        elif self.fault == "ignores the generator":
            ids = np.random.default_rng(0).integers(10, 20, (rows, length))
        elif self.fault == "guessable":
            ids = np.minimum(rng.integers(10, 40, (rows, length)), 19)
        else:
            ids = rng.integers(10, 20, (rows, length))
        inputs, targets = ids.copy(), ids.copy()
        if self.fault == "unknown ids":
            inputs[0, 0] = 272
        if self.fault == "asks nothing":
            targets[1] = IGNORE
        if self.fault == "wrong shape":
            inputs = inputs[:, 1:]
        if self.fault == "wrong type":
            inputs = inputs.astype(np.int32)
        lengths = np.ones_like(ids) if self.fault == "undeclared lengths" else None
        return Batch(inputs, targets, lengths)

    def evaluation(self, streams, split, rows, length):
        if self.fault == "shared examples":
            return self.batch(streams, np.random.default_rng(0), rows, length, split)
        if self.fault == "evaluation drifts":
            return self.batch(streams, np.random.default_rng(), rows, length, split)
        return super().evaluation(streams, split, rows, length)

    def oracle(self, inputs):
        if self.fault == "no oracle":
            return None
        return inputs + 1 if self.fault == "wrong oracle" else inputs


def test_a_right_task_passes():
    check_task(Echo())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("illegal answers", r"check_batches: targets \[12, 13, 14, 15, 16\] are not among"),
        ("global generator", "check_randomness: the same seed gave another batch"),
        ("ignores the generator", "check_randomness: another seed gave the same batch"),
        ("guessable", r"check_chance: guessing answers by their frequency costs 1\.8"),
        ("unknown ids", "check_batches: inputs reach from 10 to 272, beyond the vocabulary of 272"),
        ("asks nothing", "check_batches: a row asks nothing"),
        ("wrong shape", r"check_batches: inputs have the shape \(9, 62\), not \(9, 63\)"),
        ("wrong type", "check_batches: inputs are int32, not int64"),
        ("undeclared lengths", "check_evaluation: select: a task gives lengths exactly if it"),
        ("shared examples", "check_splits: select and training share 100 examples"),
        ("evaluation drifts", "check_evaluation: train differs from call to call"),
        ("no oracle", "check_oracle: it has no oracle; only text and what is uncertain have none"),
        ("wrong oracle", r"check_oracle: the oracle is right at 0\.0 % of the answers"),
    ],
)
def test_a_broken_task_is_caught(fault, words):
    with pytest.raises(AssertionError, match=words):
        check_task(replace(Echo(), fault=fault))


def test_all_faults_are_listed():
    @dataclass(frozen=True)
    class Broken(Echo):
        name: ClassVar[str] = "broken"
        fault: str = "wrong oracle"

    with pytest.raises(AssertionError) as caught:
        check_task(Broken())
    message = str(caught.value)
    assert "check_description: its name is 'broken', its file is test_task_kit.py" in message
    assert "check_oracle: the oracle is right at 0.0 %" in message


def test_missing_buckets_are_caught():
    @dataclass(frozen=True)
    class Short(Echo):
        name: ClassVar[str] = "test_task_kit"
        extrapolates: ClassVar[tuple[int, ...]] = (1, 2)
        fault: str = "undeclared lengths"

    with pytest.raises(AssertionError, match=r"select asks at lengths \[1\], not \[1, 2\]"):
        task_kit.check_evaluation(Short(), task_kit.RandomText())


def test_random_text_is_fixed_and_differs_by_split():
    text = task_kit.RandomText(50)
    assert np.array_equal(text.stream(Split.SCORE), text.stream(Split.SCORE))
    assert len({text.stream(split).tobytes() for split in Split}) == 4
