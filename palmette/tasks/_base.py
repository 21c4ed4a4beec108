"""What a task is: examples over one shared vocabulary of bytes and markers, and a score.

A task makes batches of token ids and says, position by position, what the model must answer. All
tasks share the ids 0-255 for byte values and 256-271 for markers, so that one model can be trained
on a mixture of them.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Protocol, TypeAlias, final

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]

VOCABULARY = 272  # 256 byte values and 16 markers
IGNORE = -100  # the target of a position that asks nothing; torch's cross_entropy skips it


class Marker(IntEnum):
    """Ids that are not bytes. A new task may reuse them; 260-271 are free for markers to come."""

    PAD = 256  # says nothing
    RESET = 257  # a new, unrelated string begins
    COPY = 258  # now repeat what was shown
    BLANK = 259  # noise to skip, or a place for an answer


class Split(StrEnum):
    """Which examples: to train on, to choose a learning rate, for fitness, for the exam alone."""

    TRAIN = "train"
    SELECT = "select"
    SCORE = "score"
    SEALED = "sealed"


class Streams(Protocol):
    """Text by split, as a `Corpus` holds it."""

    def stream(self, split: Split) -> npt.NDArray[np.uint8]:
        """The bytes of one split."""
        ...


@dataclass(frozen=True)
class Batch:
    """Examples: what the model reads and what it must answer at each position.

    inputs   [b t] ids below `VOCABULARY`
    targets  [b t] the answer at that position (already shifted), `IGNORE` where nothing is asked
    lengths  [b t] where a task extrapolates: the bucket, out of `Task.extrapolates`, in which the
             answer at that position is counted; None elsewhere
    """

    inputs: Ints
    targets: Ints
    lengths: Ints | None = None

    def rows(self, first: int, last: int) -> Batch:
        """The rows from `first` up to, not including, `last`."""
        lengths = None if self.lengths is None else self.lengths[first:last]
        return Batch(self.inputs[first:last], self.targets[first:last], lengths)

    def show(self, row: int = 0) -> str:
        """One row for people: inputs above targets, one character a token.

        PAD is `.`, RESET `|`, COPY `>`, BLANK `_`, a position that asks nothing `·`; bytes that
        cannot be printed are `?`.
        """
        return f"{_characters(self.inputs[row])}\n{_characters(self.targets[row])}"


@dataclass(frozen=True)
class Task(ABC):
    """The base of every task: a frozen dataclass in a file of its own, its fields the parameters.

    A file in this folder with one concrete subclass is a task; nothing else names it. What it must
    fulfil is checked by `palmette.testing.task_kit`.
    """

    name: ClassVar[str]  # what users type; the class name in lower case unless given
    sealed: ClassVar[bool] = False  # kept for the exam: never trained on, never scored in a search
    needs_text: ClassVar[bool] = False  # whether it reads `Streams`
    bidirectional: ClassVar[bool] = False  # whether inputs hold no answers: one may look ahead
    uncertain: ClassVar[bool] = False  # whether inputs leave answers open, so that no oracle can be
    extrapolates: ClassVar[tuple[int, ...]] = ()  # buckets of length that evaluation goes through

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @property
    @abstractmethod
    def answers(self) -> range:
        """The legal answers: every target that is not `IGNORE` is one of these ids."""

    @abstractmethod
    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh examples drawn from `rng`, all `length` tokens long.

        Raises `ValueError` when `length` is too short to hold an example.
        """

    def oracle(self, inputs: Ints) -> Ints | None:
        """The exact answers [b t], worked out from the inputs alone; None where no one knows them.

        Positions that ask nothing may hold anything.
        """
        return None

    def evaluation_length(self, length: int) -> int:
        """The length of evaluation examples for a model trained at `length`."""
        return length

    def evaluation(self, streams: Streams | None, split: Split, rows: int, length: int) -> Batch:
        """The fixed examples of a split: the same for every genome, seed and machine.

        `length` is that of the examples themselves, see `evaluation_length`. The generator is
        seeded by the task's name and the split, so no two splits share a stream of random numbers
        with one another or with training, whose generator comes from the trial's seed.
        """
        return self.batch(streams, evaluation_generator(self.name, split), rows, length, split)

    @final
    @property
    def chance_bits(self) -> float:
        """Bits per answer token of a uniform guess over the legal answers."""
        return math.log2(len(self.answers))

    @final
    @property
    def constant(self) -> float:
        """What a score is divided by: `chance_bits`, so that 1 is perfect, until calibrated."""
        return self.chance_bits

    @final
    def score(self, bits: float) -> float:
        """Bits saved per answer token over chance, in units of `constant`.

        >>> from palmette.tasks import Text
        >>> Text().score(2.0)
        0.75
        """
        return (self.chance_bits - bits) / self.constant


def evaluation_generator(name: str, split: Split) -> np.random.Generator:
    """The generator of the evaluation examples of a task on a split; it depends on nothing else."""
    digest = hashlib.sha256(f"evaluation/{name}/{split}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def require_length(task: str, length: int, least: int) -> None:
    """Refuses examples too short for a task."""
    if length < least:
        raise ValueError(f"{task} needs examples of at least {least} tokens, got {length}")


def _characters(ids: Ints) -> str:
    marks = {Marker.PAD: ".", Marker.RESET: "|", Marker.COPY: ">", Marker.BLANK: "_", IGNORE: "·"}
    return "".join(marks.get(i) or (chr(i) if 32 <= i < 127 else "?") for i in ids.tolist())
