"""Suites: mixtures of tasks that one model is trained on together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from palmette.errors import CorpusError, UnknownNameError, UserError
from palmette.registry import Registry
from palmette.tasks._base import Batch, Ints, Split, Streams, Task
from palmette.tasks.compression import Compression
from palmette.tasks.copying import Copying
from palmette.tasks.fuzzy_recall import FuzzyRecall
from palmette.tasks.noisy_recall import NoisyRecall
from palmette.tasks.overwriting import Overwriting
from palmette.tasks.parity import Parity
from palmette.tasks.recall import Recall
from palmette.tasks.regular import Regular
from palmette.tasks.text import Text
from palmette.tasks.words import Words

TASKS: Registry[Task] = Registry("task", "palmette.tasks", Task)  # type: ignore[type-abstract]

EXAM = "exam/"
"""How the names of exam suites begin; the key of the sealed tasks follows."""
EVALUATION_TOKENS = 4096  # in one evaluation batch, about: enough to fill the matrix products


class Part(NamedTuple):
    """A task in a suite: the share of the sequences it makes and the weight of each in the loss."""

    task: Task
    share: float
    weight: float = 1.0


@dataclass(frozen=True)
class SuiteBatch:
    """A training batch; every row is one task's.

    inputs       [b t] ids
    targets      [b t] answers, `IGNORE` where nothing is asked
    row_weights  [b] the weight of each row's mean loss; the batch's loss is their plain mean
    row_task     [b] index into `Suite.parts`
    """

    inputs: Ints
    targets: Ints
    row_weights: npt.NDArray[np.float32]
    row_task: Ints


@dataclass(frozen=True)
class Suite:
    """A mixture of tasks; the shares sum to 1.

    >>> pocket = suite("pocket")
    >>> [(part.task.name, part.share) for part in pocket.parts]
    [('text', 0.7), ('recall', 0.1), ('copying', 0.1), ('parity', 0.1)]
    >>> suite("parity").batch(None, np.random.default_rng(0), rows=4, length=32).inputs.shape
    (4, 32)
    """

    name: str
    parts: tuple[Part, ...]
    reported: Split = Split.SCORE  # the split that metrics are reported from

    def __post_init__(self) -> None:
        total = math.fsum(part.share for part in self.parts)
        if not math.isclose(total, 1.0) or any(part.share <= 0 for part in self.parts):
            shares = ", ".join(f"{part.task.name} {part.share:g}" for part in self.parts)
            raise ValueError(
                f"suite {self.name!r} wants positive shares that sum to 1, got {shares or 'none'}"
            )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of the parts."""
        return tuple(part.task for part in self.parts)

    @property
    def needs_corpus(self) -> bool:
        """Whether any task reads text."""
        return any(task.needs_text for task in self.tasks)

    def digest(self, corpus_sha256: str | None) -> str:
        """SHA-256 over the tasks, their parameters, shares and weights, and the text they read."""
        if self.needs_corpus and corpus_sha256 is None:
            raise CorpusError(f"suite {self.name!r} reads text and got no corpus")
        lines = [f"{part.task!r} {part.share!r} {part.weight!r}" for part in self.parts]
        lines.append(f"corpus {corpus_sha256 if self.needs_corpus else None}")
        if self.reported is not Split.SCORE:
            lines.append(f"reported {self.reported}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def context(self, length: int) -> int:
        """The longest length, training or evaluation, that a model trained at `length` meets."""
        return max(length, *(task.evaluation_length(length) for task in self.tasks))

    def batch(
        self, corpus: Streams | None, rng: np.random.Generator, rows: int, length: int
    ) -> SuiteBatch:
        """`rows` training sequences.

        A share that is no whole number of rows is rounded up or down so that it is met exactly on
        average (systematic rounding with one random offset); the counts depend on `rng` alone, so
        the same seed gives every genome the same batches.
        """
        counts = self._rows_by_task(rng, rows)
        made = [
            part.task.batch(corpus, rng, int(count), length, Split.TRAIN)
            for part, count in zip(self.parts, counts, strict=True)
            if count
        ]
        row_task = np.repeat(np.arange(len(self.parts)), counts)
        weights = np.array([part.weight for part in self.parts], dtype=np.float32)
        return SuiteBatch(
            np.concatenate([batch.inputs for batch in made]),
            np.concatenate([batch.targets for batch in made]),
            weights[row_task],
            row_task,
        )

    def evaluation(
        self, task: Task, corpus: Streams | None, split: Split, length: int, tokens: int
    ) -> Iterator[Batch]:
        """The fixed examples of a task and split, about `tokens` of them, in batches.

        `length` is the training length; the examples have `task.evaluation_length(length)`. A text
        split that holds fewer tokens yields them all.
        """
        length = task.evaluation_length(length)
        whole = task.evaluation(corpus, split, max(1, tokens // length), length)
        rows = max(1, EVALUATION_TOKENS // length)
        for first in range(0, len(whole.inputs), rows):
            yield whole.rows(first, first + rows)

    def _rows_by_task(self, rng: np.random.Generator, rows: int) -> Ints:
        ends = np.cumsum([part.share for part in self.parts])
        ends[-1] = 1.0  # the shares sum to 1 only up to rounding
        upto = np.floor(ends * rows + rng.random()).astype(np.int64)
        counts: Ints = upto - np.concatenate(([0], upto[:-1]))
        return counts


def _pocket() -> Suite:
    """Mostly text, with a tenth each of three abilities that little text shows."""
    return Suite(
        "pocket",
        (Part(Text(), 0.7), Part(Recall(), 0.1), Part(Copying(), 0.1), Part(Parity(), 0.1)),
    )


def _wide() -> Suite:
    """Text, and in equal shares every ability that a search looks at in a causal model."""
    abilities: tuple[Task, ...] = (
        Recall(),
        NoisyRecall(),
        FuzzyRecall(),
        Overwriting(),
        Copying(),
        Compression(),
        Regular(),
        Parity(),
        Words(),
    )
    share = 0.6 / len(abilities)
    return Suite("wide", (Part(Text(), 0.4), *(Part(task, share) for task in abilities)))


SUITES: dict[str, Callable[[], Suite]] = {"pocket": _pocket, "wide": _wide}


def sealed_names() -> tuple[str, ...]:
    """The names of the sealed families, read off their files: no one here imports them."""
    folder = Path(__file__).with_name("sealed")
    found = (path.stem for path in folder.glob("*.py"))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def suite(name: str) -> Suite:
    """The suite of this name; every task's own name is a suite of that task alone.

    Raises `UserError` for a sealed task or an exam's suite, `UnknownNameError` for a name that is
    none of these.
    """
    if name.startswith(EXAM) or name in sealed_names():
        raise UserError(
            f"{name!r} is sealed: exams alone train on it, because what a search has seen can no "
            "longer tell a discovery from luck; choose another suite, one of "
            f"{', '.join([*SUITES, *TASKS.names()])}, and `palmette verify` sits the exam"
        )
    if name in SUITES:
        return SUITES[name]()
    if name in TASKS:
        return Suite(name, (Part(TASKS[name](), 1.0),))
    raise UnknownNameError("suite", name, [*SUITES, *TASKS.names()])
