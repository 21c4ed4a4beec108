"""What recall, noisy recall and overwriting share: a letter that is a key, one that is a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.tasks._base import Ints, Task

FIRST_KEY = ord("A")
FIRST_VALUE = ord("a")


@dataclass(frozen=True)
class PairedLetters(Task):
    """Slots of a key and its value: P different pairs first, then any of them."""

    symbols: int = 16  # number of keys, and of values

    @property
    def answers(self) -> range:
        """The values."""
        return range(FIRST_VALUE, FIRST_VALUE + self.symbols)

    def pairs(self, length: int) -> int:
        """P, the number of pairs in a sequence of this length."""
        return min(max(1, length // 32), self.symbols)


def shown_then_drawn(rng: np.random.Generator, rows: int, pairs: int, later: int) -> Ints:
    """[b pairs+later] pairs by number: each once, in order, then all equally likely."""
    shown = np.broadcast_to(np.arange(pairs), (rows, pairs))
    return np.concatenate((shown, rng.integers(0, pairs, (rows, later))), axis=1)
