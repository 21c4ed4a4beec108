"""Rewriting: a string is rewritten again and again by rules drawn for the suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

FIRST_LETTER = ord("a")


@dataclass(frozen=True)
class Rewriting(Family):
    """Rewriting: a string, then what the rules make of it, and of that, and so on."""

    size: int  # letters in a string
    rules: tuple[tuple[int, ...], ...]  # [context letter] what a letter becomes
    sequential: bool  # whether the context has been rewritten before

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Rules by which, in any context, no two letters become the same."""
        letters = int(rng.integers(5, 9))
        rules = tuple(tuple(rng.permutation(letters).tolist()) for _ in range(letters))
        return cls(int(rng.integers(8, 13)), rules, bool(rng.integers(2)))

    @property
    def letters(self) -> int:
        """How many letters there are."""
        return len(self.rules)

    @property
    def answers(self) -> range:
        """The letters."""
        return range(FIRST_LETTER, FIRST_LETTER + self.letters)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh strings; the splits differ by their generators alone."""
        require_length(self.name, length, self.size + 2)
        line = rng.integers(0, self.letters, (rows, self.size))
        lines = length // (self.size + 1) + 1
        ids = np.full((rows, lines, self.size + 1), int(Marker.RESET), dtype=np.int64)
        for number in range(lines):
            ids[:, number, 1:] = FIRST_LETTER + line
            line = self.rewritten(line)
        ids = ids.reshape(rows, -1)
        targets = np.where(ids == Marker.RESET, IGNORE, ids)
        targets[:, : self.size + 1] = IGNORE
        ending = np.full((rows, 1), IGNORE, dtype=np.int64)
        targets = np.concatenate((targets[:, 1:], ending), axis=1)
        return Batch(ids[:, :length].copy(), targets[:, :length].copy())

    def rewritten(self, line: Ints) -> Ints:
        """Strings [b size] of numbers below `letters` after one rewriting."""
        rules = np.array(self.rules)
        made = np.empty_like(line)
        context = line[:, -1]
        for place in range(self.size):
            made[:, place] = rules[context, line[:, place]]
            context = made[:, place] if self.sequential else line[:, place]
        return made

    def oracle(self, inputs: Ints) -> Ints:
        """Rewrites the first string of every row as often as it needs."""
        length = inputs.shape[1]
        line = inputs[:, 1 : self.size + 1] - FIRST_LETTER
        answers = np.full(inputs.shape, IGNORE, dtype=np.int64)
        for first in range(self.size + 1, length, self.size + 1):
            line = self.rewritten(line)
            upto = min(first + self.size, length)
            answers[:, first:upto] = FIRST_LETTER + line[:, : upto - first]
        return answers
