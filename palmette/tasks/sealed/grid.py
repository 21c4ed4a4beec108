"""Grid: values on a grid are found by row and column together, after MQAR (arXiv 2312.04927)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

FIRST_ROW = ord("A")
FIRST_COLUMN = ord("0")
FIRST_VALUE = ord("a")


@dataclass(frozen=True)
class Grid(Family):
    """Compositional recall: say the value at this row and this column; neither alone tells it."""

    rows: int
    columns: int
    values: int
    column_first: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A small grid."""
        rows, columns = ((2, 2), (2, 3), (3, 2))[int(rng.integers(3))]
        return cls(rows, columns, int(rng.integers(16, 25)), bool(rng.integers(2)))

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
        require_length(self.name, length, 3 * cells + 3)
        count = length // 3
        values = FIRST_VALUE + np.argsort(rng.random((rows, self.values)), axis=1)[:, :cells]
        shown = np.argsort(rng.random((rows, cells)), axis=1)
        asked = rng.integers(0, cells, (rows, count - cells))
        order = np.concatenate((shown, asked), axis=1)
        keys = [FIRST_ROW + order // self.columns, FIRST_COLUMN + order % self.columns]
        if self.column_first:
            keys.reverse()

        inputs = np.full((rows, length), int(Marker.PAD), dtype=np.int64)
        targets = np.full((rows, length), IGNORE, dtype=np.int64)
        end = 3 * count
        inputs[:, 0:end:3], inputs[:, 1:end:3] = keys
        inputs[:, 2:end:3] = np.take_along_axis(values, order, axis=1)
        targets[:, 3 * cells + 1 : end : 3] = inputs[:, 3 * cells + 2 : end : 3]
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Looks both keys up among the cells at the front."""
        answers = np.full_like(inputs, IGNORE)
        front = 3 * self.rows * self.columns
        for row, ids in enumerate(inputs.tolist()):
            cells = {
                (one, other): value
                for one, other, value in zip(
                    ids[0:front:3], ids[1:front:3], ids[2:front:3], strict=True
                )
            }
            for place in range(front, len(ids) - 2, 3):
                answers[row, place + 1] = cells[ids[place], ids[place + 1]]
        return answers
