"""Compression: keep whole strings and give them back, after MAD (arXiv 2403.17844)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length
from palmette.tasks._packing import blank

FIRST_SYMBOL = ord("a")


@dataclass(frozen=True)
class Compression(Task):
    """Compression: read a string of random letters, then repeat all of it from memory.

        >>> rng = np.random.default_rng(1)
        >>> print(Compression().batch(None, rng, 1, 64, Split.TRAIN).show())
        |himp>___|acnp>___|deng>___|eneg>___|kiba>___|nmni>___|nfhm>___.
        ·····himp·····acnp·····deng·····eneg·····kiba·····nmni·····nfhm·

    A string is RESET, N letters drawn with replacement, COPY and N - 1 blanks; the letters are
    asked for in order from COPY on. A row is filled with strings, what is left at its end is PAD.
    Nothing but the state carries the letters past COPY, for the answers are not shown: N log2(16)
    bits have to be in it at once.

    MAD has one string of 32 tokens and a marker, from whose output a fixed decoder reads every
    position; here the model itself says the letters one by one, which needs no decoder and adds
    counting.

    Alone for 114,688 tokens (length 128, so N = 8, learning rate 0.015, 42,000 parameters, seeds 1
    and 2), gated_deltanet gets to 1.01 and 1.17 bits, deltanet to 1.03 and 0.12; with N = 16
    gated_deltanet is still at 3.42. Chance is log2(16) = 4 bits.
    """

    symbols: int = 16

    @property
    def answers(self) -> range:
        """The letters."""
        return range(FIRST_SYMBOL, FIRST_SYMBOL + self.symbols)

    def letters(self, length: int) -> int:
        """N, the letters of a string in a sequence of this length."""
        return max(1, length // 16)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh strings; the splits differ by their generators alone."""
        require_length(self.name, length, 4)
        count = self.letters(length)
        each = 2 * count + 1  # RESET, the letters, COPY, and a blank for all but one
        strings = length // each
        letters = rng.integers(FIRST_SYMBOL, FIRST_SYMBOL + self.symbols, (rows, strings, count))
        shown = np.full((rows, strings, each), int(Marker.BLANK), dtype=np.int64)
        asked = np.full((rows, strings, each), IGNORE, dtype=np.int64)
        shown[:, :, 0] = int(Marker.RESET)
        shown[:, :, 1 : count + 1] = letters
        shown[:, :, count + 1] = int(Marker.COPY)
        asked[:, :, count + 1 :] = letters

        inputs, targets = blank(rows, length)
        inputs[:, : strings * each] = shown.reshape(rows, -1)
        targets[:, : strings * each] = asked.reshape(rows, -1)
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Reads letters into a queue and takes them out again from COPY on."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            held: list[int] = []
            for place, token in enumerate(ids):
                if token in self.answers:
                    held.append(token)
                elif token in (Marker.COPY, Marker.BLANK) and held:
                    answers[row, place] = held.pop(0)
        return answers
