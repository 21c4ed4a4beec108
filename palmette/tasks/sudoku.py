"""Sudoku: fill a 4x4 grid so that every row, column and box holds 1 to 4."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length

ONE = ord("1")
CELLS = 16
SHARES = {Split.TRAIN: 216, Split.SELECT: 24, Split.SCORE: 24, Split.SEALED: 24}  # of 288 grids


@dataclass(frozen=True)
class Sudoku(Task):
    """4x4 Sudoku: say what stands in every blank of a puzzle that has one solution.

        >>> rng = np.random.default_rng(1)
        >>> print(Sudoku().batch(None, rng, 1, 40, Split.TRAIN).show())
        |_1_3__2_3__2_2_4|_21_4_____42__3_......
        ·2·4·43·1·41·1·3··3··4·12313··24·1······

    Each puzzle is RESET and 16 cells row by row; a row of the batch holds as many as fit, the rest
    is PAD. Cells are uncovered in random order until the solution is the only one, and at least
    `givens` of them: on average 7.0. The answer at a blank depends on cells before and after it, so
    this is a task for models that see the whole sequence; a causal one is left to guess.

    The size at which looping models can be compared within minutes: Sudoku-Extreme, with 9x9
    grids, is what HRM (arXiv 2506.21734) and TRM (arXiv 2510.04871) are known by. There are 288
    solved grids. They are dealt to the splits by their hash, three quarters to train: so no puzzle
    of an evaluation shares its solution with training, and knowing the grids by heart is of no use
    there. Chance is log2(4) = 2 bits.
    """

    bidirectional: ClassVar[bool] = True

    givens: int = 4  # uncovered cells of a puzzle, at least

    @property
    def answers(self) -> range:
        """1 to 4."""
        return range(ONE, ONE + 4)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh puzzles, the solutions being the split's own."""
        require_length(self.name, length, 1 + CELLS)
        each = length // (1 + CELLS)
        mine = grids_of(split)
        solutions = mine[rng.integers(0, len(mine), rows * each)]
        shown = self._uncovered(rng, solutions)
        inputs = np.full((rows, each, 1 + CELLS), int(Marker.RESET), dtype=np.int64)
        targets = np.full((rows, each, 1 + CELLS), IGNORE, dtype=np.int64)
        cells = np.where(shown, ONE + solutions, int(Marker.BLANK))
        inputs[:, :, 1:] = cells.reshape(rows, each, CELLS)
        asked = np.where(shown, IGNORE, ONE + solutions)
        targets[:, :, 1:] = asked.reshape(rows, each, CELLS)
        return Batch(_padded(inputs, length, Marker.PAD), _padded(targets, length, IGNORE))

    def oracle(self, inputs: Ints) -> Ints:
        """Tries every solved grid against every puzzle."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs):
            for first in np.flatnonzero(ids == Marker.RESET) + 1:
                puzzle = ids[first : first + CELLS]
                given = puzzle != Marker.BLANK
                fitting = (puzzle == ONE + solved_grids())[:, given].all(axis=1)
                answers[row, first : first + CELLS] = ONE + solved_grids()[fitting.argmax()]
        return answers

    def _uncovered(self, rng: np.random.Generator, solutions: Ints) -> np.ndarray:
        """[n cells] True where a cell is shown: enough of them that one solution is left."""
        order = np.argsort(rng.random(solutions.shape), axis=1)
        # How many solved grids agree with the first k + 1 cells of the order.
        agree = solutions[:, None, :] == solved_grids()[None]
        agree = np.take_along_axis(agree, order[:, None, :], axis=2)
        left = np.logical_and.accumulate(agree, axis=2).sum(axis=1)  # [n cells]
        enough = np.maximum((left > 1).sum(axis=1) + 1, self.givens)
        shown = np.zeros(solutions.shape, dtype=bool)
        np.put_along_axis(shown, order, np.arange(CELLS) < enough[:, None], axis=1)
        return shown


@cache
def solved_grids() -> Ints:
    """All 288 solved grids [288 16], of digits 0 to 3, in the order of their digits."""
    rows = itertools.permutations(range(4))
    bands = [
        upper + lower
        for upper, lower in itertools.permutations(rows, 2)
        if {*upper[:2], *lower[:2]} == {*range(4)}  # the other box then is right too
    ]
    grids = [upper + lower for upper, lower in itertools.product(bands, repeat=2)]
    found = [g for g in grids if all(len({*g[column::4]}) == 4 for column in range(4))]
    return np.array(found, dtype=np.int64)


@cache
def grids_of(split: Split) -> Ints:
    """The solved grids of a split [n 16]: those of its share in the order of their hashes."""
    hashed = sorted(solved_grids().tolist(), key=lambda g: hashlib.sha256(bytes(g)).digest())
    names = list(SHARES)
    first = sum(SHARES[name] for name in names[: names.index(split)])
    return np.array(hashed[first : first + SHARES[split]], dtype=np.int64)


def _padded(cells: Ints, length: int, filler: int) -> Ints:
    flat = cells.reshape(len(cells), -1)
    return np.pad(flat, ((0, 0), (0, length - flat.shape[1])), constant_values=int(filler))
