"""Fuzzy recall: recall of keys and values of several symbols, after MAD (arXiv 2403.17844)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Split, Streams, Task, require_length
from palmette.tasks._packing import blank
from palmette.tasks._pairs import FIRST_KEY, FIRST_VALUE, shown_then_drawn


@dataclass(frozen=True)
class FuzzyRecall(Task):
    """Fuzzy recall: say the value, of one or more letters, that was paired with this key.

        >>> rng = np.random.default_rng(4)
        >>> print(FuzzyRecall().batch(None, rng, 1, 64, Split.TRAIN).show())
        DgaFHfFHfFHfDgaFHfFHfFHfFHfDgaDgaFHfFHfFHfFHfDgaDgaFHfDgaDgaFHf.
        ·······f··f·ga··f··f··f··f·ga·ga··f··f··f··f·ga·ga··f·ga·ga··f··

    As `Recall`, but keys and values are words of 1 to `longest` letters, none twice in a word, all
    lengths equally likely. Upper case is keys and lower case values, so it shows where each begins.
    The keys of a sequence are all different, yet share letters: none of them tells the key. Every
    letter of a value is asked for, the first at the last letter of the key. What would not fit in
    the row whole is left out, and the rest is PAD.

    MAD has words of up to three letters, and at the test keys of exactly three. Alone for 114,688
    tokens (length 128, so P = 2, learning rate 0.015, 42,000 parameters, seeds 1 and 2),
    gated_deltanet gets to 2.61 and 2.99 bits, deltanet to 0.87 and 1.54; with words of up to three
    letters and P = 4 gated_deltanet is still at 2.99. So P is a 64th of the length, and at least
    2. Chance is log2(8) = 3 bits.
    """

    name: ClassVar[str] = "fuzzy_recall"

    symbols: int = 8  # letters of keys, and of values
    longest: int = 2  # letters of a key or value

    @cached_property
    def words(self) -> list[tuple[int, ...]]:
        """All words of 1 to `longest` letters, none twice in a word."""
        sizes = range(1, self.longest + 1)
        return [word for n in sizes for word in itertools.permutations(range(self.symbols), n)]

    @property
    def answers(self) -> range:
        """The letters of values."""
        return range(FIRST_VALUE, FIRST_VALUE + self.symbols)

    def pairs(self, length: int) -> int:
        """P, the number of pairs in a sequence of this length."""
        return min(max(2, length // 64), len(self.words))

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh pairs and queries; the splits differ by their generators alone."""
        require_length(self.name, length, 6 * self.longest)
        pairs = self.pairs(length)
        keys, values = self._drawn(rng, rows, pairs), self._drawn(rng, rows, pairs)
        order = shown_then_drawn(rng, rows, pairs, length // 2)

        inputs, targets = blank(rows, length)
        for row in range(rows):
            place = 0
            for slot, pair in enumerate(order[row]):
                key = [FIRST_KEY + i for i in self.words[keys[row, pair]]]
                value = [FIRST_VALUE + i for i in self.words[values[row, pair]]]
                first, end = place + len(key), place + len(key) + len(value)
                if end > length:
                    break
                inputs[row, place:end] = key + value
                if slot >= pairs:
                    targets[row, first - 1 : end - 1] = value
                place = end
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Splits the row into keys and values and looks every later key up."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            paired: dict[tuple[int, ...], list[int]] = {}
            key: tuple[int, ...] = ()
            said = 0  # letters of the value so far
            for place, token in enumerate(ids):
                if token in self.answers:
                    said += 1
                    paired.setdefault(key, [])
                else:
                    key, said = (key if not said else ()) + (token,), 0
                known = paired.get(key, [])
                if said > len(known):
                    known.append(token)
                elif said < len(known):
                    answers[row, place] = known[said]
        return answers

    def _drawn(self, rng: np.random.Generator, rows: int, count: int) -> Ints:
        """[b count] words by number, none twice in a row, words of each length equally likely.

        A weighted draw without replacement takes the first arrivals of a race whose waiting times
        are exponential with mean 1 / weight (Efraimidis & Spirakis 2006).
        """
        sizes = np.array([len(word) for word in self.words])
        alike = np.bincount(sizes)[sizes]  # words of the same length, 1 / weight
        arrival = rng.exponential(alike, (rows, len(sizes)))
        return np.argsort(arrival, axis=1)[:, :count]
