"""Grid: a value is found by row and column together, after MQAR (arXiv 2312.04927)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Split, Streams, require_length
from palmette.tasks._packing import distinct
from palmette.tasks.sealed._family import Family

FIRST_ROW = ord("A")
FIRST_COLUMN = ord("0")
FIRST_VALUE = ord("a")
SHAPES = ((2, 2), (2, 3), (3, 2))


@dataclass(frozen=True)
class Grid(Family):
    """Compositional recall: say the value in this row and this column; neither alone tells it.

        >>> task = Grid(2, 2, 16, False, 1.5)
        >>> print(task.batch(None, np.random.default_rng(1), 1, 60, Split.TRAIN).show())
        A1cB0oB1eA0jB1eB1eB1eA1cB0oA1cA1cA1cA1cA0jA0jA0jA1cA0jA1cB0o
        ·············e··e··e··c··o··c··c··c··c··j··j··j··c··j··c··o·

    First every cell of the grid is told in a random order, as row, column and value; then cells are
    asked for, where the value is asked at the second key and told after it. In each sequence the
    values are others, no two cells having the same. The kind of recall is that of
    `compositional_mqar` in Zoology's code, where each cell is asked for once.

    The cell that was named r different cells ago is asked for with probability proportional to
    r^-recency. Asked for evenly, six cells of 22 values left gated_deltanet at a score of 0.03,
    llama at 0.10 and mamba2 at 0.08 after 66,000 tokens of the task in an exam's mixture (one
    seed); as here they are at 0.52, 0.29 and 0.45, with the recency at its least. From near
    repetitions a model learns what to look for, and far ones are what sets models apart. Keeping
    which values there were, without keys, is well above chance already, and so is going by one key.
    """

    rows: int
    columns: int
    values: int
    column_first: bool
    recency: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A grid of 4 or 6 cells, 16 to 24 values, a recency of 1 to 2."""
        rows, columns = SHAPES[int(rng.integers(len(SHAPES)))]
        return cls(
            rows,
            columns,
            values=int(rng.integers(16, 25)),
            column_first=bool(rng.integers(2)),
            recency=round(float(rng.uniform(1, 2)), 3),
        )

    @property
    def answers(self) -> range:
        """The values."""
        return range(FIRST_VALUE, FIRST_VALUE + self.values)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh values and queries; the splits differ by their generators alone."""
        cells = self.rows * self.columns
        require_length(self.name, length, 3 * cells + 2)
        count = -(-length // 3)  # the last one of a row may be cut short
        values = FIRST_VALUE + distinct(rng, rows, self.values, cells)
        order = self._order(rng, rows, count)
        keys = [FIRST_ROW + order // self.columns, FIRST_COLUMN + order % self.columns]
        if self.column_first:
            keys.reverse()
        told = np.take_along_axis(values, order, axis=1)
        inputs = np.stack((*keys, told), axis=2)
        targets = np.full_like(inputs, IGNORE)
        targets[:, cells:, 1] = told[:, cells:]
        both = (each.reshape(rows, -1)[:, :length].copy() for each in (inputs, targets))
        return Batch(*both)

    def _order(self, rng: np.random.Generator, rows: int, count: int) -> Ints:
        """[b count] every cell once, then cells by how recently they were named."""
        cells = self.rows * self.columns
        likely = np.arange(1, cells + 1) ** -self.recency
        bounds = np.cumsum(likely / likely.sum())[:-1]
        ranks = np.searchsorted(bounds, rng.random((rows, count)), side="right")
        recent = distinct(rng, rows, cells, cells)  # the latest first
        order = np.empty((rows, count), dtype=np.int64)
        order[:, :cells] = recent[:, ::-1]
        places = np.arange(cells)
        for number in range(cells, count):
            rank = ranks[:, number, None]
            named = np.take_along_axis(recent, rank, axis=1)
            order[:, number, None] = named
            kept = np.take_along_axis(recent, np.maximum(places - (places <= rank), 0), axis=1)
            recent = np.where(places == 0, named, kept)
        return order

    def oracle(self, inputs: Ints) -> Ints:
        """Looks both keys up among the cells at the front."""
        answers = np.full_like(inputs, IGNORE)
        front = 3 * self.rows * self.columns
        for row, ids in enumerate(inputs.tolist()):
            keys = zip(ids[0:front:3], ids[1:front:3], strict=True)
            cells = dict(zip(keys, ids[2:front:3], strict=True))
            for place in range(front, len(ids) - 1, 3):
                answers[row, place + 1] = cells[ids[place], ids[place + 1]]
        return answers
