"""Recall: multi-query associative recall, the MQAR of Zoology (arXiv 2312.04927)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length

FIRST_KEY = ord("@")  # @ A B … _ are keys
FIRST_VALUE = ord("`")  # ` a b … DEL are values


@dataclass(frozen=True)
class Recall(Task):
    """Multi-query associative recall: say the value that was paired with this key.

        >>> rng = np.random.default_rng(1)
        >>> print(Recall().batch(None, rng, 1, 32, Split.TRAIN).show())
        H{DuOb[eO.H.....[.......D.......
        ········b·{·····e·······u·······

    First come P pairs of a key and a value, none of them twice in a sequence; then every key once
    more, as a query, in slot r = 1, 2, … of the even positions that follow, drawn without
    replacement with probability proportional to r^(power - 1): mostly soon, sometimes very late.
    The rest is PAD (the paper also fills with random tokens; with so few symbols these would be
    keys again).

    P is an eighth of the length and at most `symbols`, so that the pairs take a quarter of the
    sequence and the queries have three to spread over; 32 keys and values instead of the paper's
    4,096 make it learnable within some hundred thousand tokens. Chance is log2(32) = 5 bits; a
    model that remembers which values it saw, but not with which keys, gets log2(P).
    """

    symbols: int = 32  # number of keys, and of values
    power: float = 0.01  # the paper's power_a

    @property
    def answers(self) -> range:
        """The values."""
        return range(FIRST_VALUE, FIRST_VALUE + self.symbols)

    def pairs(self, length: int) -> int:
        """P, the number of pairs in a sequence of this length."""
        return min(length // 8, self.symbols)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh pairs and queries; the splits differ by their generators alone."""
        require_length(self.name, length, 8)
        pairs = self.pairs(length)
        keys = FIRST_KEY + _draw(rng, rows, np.ones(self.symbols), pairs)
        values = FIRST_VALUE + _draw(rng, rows, np.ones(self.symbols), pairs)
        slots = 1.0 + np.arange((length - 2 * pairs) // 2)
        places = 2 * pairs + 2 * _draw(rng, rows, slots ** (self.power - 1.0), pairs)

        inputs = np.full((rows, length), int(Marker.PAD), dtype=np.int64)
        targets = np.full((rows, length), IGNORE, dtype=np.int64)
        inputs[:, 0 : 2 * pairs : 2] = keys
        inputs[:, 1 : 2 * pairs : 2] = values
        np.put_along_axis(inputs, places, keys, axis=1)
        np.put_along_axis(targets, places, values, axis=1)
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Looks every key up among the pairs at the front."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            front = 2 * self.pairs(len(ids))
            paired = dict(zip(ids[0:front:2], ids[1:front:2], strict=True))
            answers[row, front:] = [paired.get(token, IGNORE) for token in ids[front:]]
        return answers


def _draw(rng: np.random.Generator, rows: int, weights: np.ndarray, count: int) -> Ints:
    """[b count] indices, without replacement, in the order in which weighted draws would come.

    Exponential waiting times with rate w finish in the order of weighted sampling without
    replacement (Efraimidis and Spirakis 2006).
    """
    waiting = rng.standard_exponential((rows, weights.size)) / weights
    return np.argsort(waiting, axis=1)[:, :count]
