"""Copying: the selective copying of MAD (arXiv 2403.17844)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length

FIRST_SYMBOL = ord("a")


@dataclass(frozen=True)
class Copying(Task):
    """Selective copying: repeat the letters in order, leaving the blanks between them out.

        >>> rng = np.random.default_rng(1)
        >>> print(Copying().batch(None, rng, 1, 64, Split.TRAIN).show())
        ________h___________________________________________________i>__
        ······························································hi

    The letters are drawn with replacement, at places drawn uniformly from all before COPY: unlike
    in MAD's own generator a blank may also follow the last letter, and every random number comes
    from the generator that is passed. The answers are asked at the blanks after COPY, so a model
    must count them to know which letter is due. Chance is log2(16) = 4 bits.

    A 32nd of the length are letters, half of MAD's base setting: at length 128 deltanet of 42,000
    parameters is at 1.3 bits after 0.5 M tokens with 4 letters; gated_deltanet of 60,000 is still
    at chance after 0.7 M with 8 (learning rate 0.005, one seed each).
    """

    symbols: int = 16

    @property
    def answers(self) -> range:
        """The letters."""
        return range(FIRST_SYMBOL, FIRST_SYMBOL + self.symbols)

    def letters(self, length: int) -> int:
        """How many letters a sequence of this length holds."""
        return max(1, length // 32)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh letters at fresh places; the splits differ by their generators alone."""
        require_length(self.name, length, 4)
        count = self.letters(length)
        before = length - count - 1  # places before COPY
        letters = rng.integers(FIRST_SYMBOL, FIRST_SYMBOL + self.symbols, (rows, count))
        places = np.argsort(rng.random((rows, before)), axis=1)[:, :count]

        inputs = np.full((rows, length), int(Marker.BLANK), dtype=np.int64)
        targets = np.full((rows, length), IGNORE, dtype=np.int64)
        np.put_along_axis(inputs, np.sort(places, axis=1), letters, axis=1)
        inputs[:, before] = int(Marker.COPY)
        targets[:, before + 1 :] = letters
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Collects the letters of every row and writes them to its end."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            letters = [token for token in ids if token in self.answers]
            answers[row, len(ids) - len(letters) :] = letters
        return answers
