"""Noisy recall: recall with meaningless pairs in between, after MAD (arXiv 2403.17844)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Split, Streams, require_length
from palmette.tasks._packing import blank, distinct
from palmette.tasks._pairs import FIRST_KEY, FIRST_VALUE, PairedLetters, shown_then_drawn

FIRST_NOISE = ord("0")
NOISES = 10


@dataclass(frozen=True)
class NoisyRecall(PairedLetters):
    """Noisy recall: say the value that was paired with this key, and pass the noise over.

        >>> rng = np.random.default_rng(2)
        >>> print(NoisyRecall().batch(None, rng, 1, 64, Split.TRAIN).show())
        HnDmDmDmHnDmDmDm0002Hn68Hn80DmDmDmDmHnDmHn60HnHnDmHnDm02HnDmHnHn
        ····m·m·n·m·m·m·····n···n···m·m·m·m·n·m·n···n·n·m·n·m···n·m·n·n·

    As `Recall`, but `noise` of the slots, drawn uniformly from all of them, hold two digits drawn
    uniformly instead of a key and its value; so the pairs no longer fill the front. A memory that
    writes whatever it reads is filled with digits. MAD takes a fifth of the slots for noise and
    asks for a value whenever its key was seen before; here, as in `Recall`, the first P pairs that
    are no noise are all different, and every key after them is asked for.

    Alone for 114,688 tokens (length 128, learning rate 0.015, 42,000 parameters, seeds 1 and 2),
    gated_deltanet gets to 3.41 and 3.42 bits, deltanet to 0.28 and 0.89; with two fifths of noise
    gated_deltanet is still at 3.93. Chance is log2(16) = 4 bits.
    """

    name: ClassVar[str] = "noisy_recall"

    noise: float = 0.2  # share of the slots

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh pairs, queries and noise; the splits differ by their generators alone."""
        require_length(self.name, length, 4)
        pairs, slots = self.pairs(length), length // 2
        noisy = min(int(self.noise * slots), slots - pairs - 1)
        heard = slots - noisy  # slots that hold a key and its value
        keys = FIRST_KEY + distinct(rng, rows, self.symbols, pairs)
        values = FIRST_VALUE + distinct(rng, rows, self.symbols, pairs)
        order = shown_then_drawn(rng, rows, pairs, heard - pairs)
        places = np.sort(distinct(rng, rows, slots, heard), axis=1)

        inputs, targets = blank(rows, length)
        inputs[:, : 2 * slots] = FIRST_NOISE + rng.integers(0, NOISES, (rows, 2 * slots))
        answers = np.take_along_axis(values, order, axis=1)
        np.put_along_axis(inputs, 2 * places, np.take_along_axis(keys, order, axis=1), axis=1)
        np.put_along_axis(inputs, 2 * places + 1, answers, axis=1)
        np.put_along_axis(targets, 2 * places[:, pairs:], answers[:, pairs:], axis=1)
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Remembers what followed every key the first time."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            paired: dict[int, int] = {}
            for place in range(0, len(ids) - 1, 2):
                answers[row, place] = paired.setdefault(ids[place], ids[place + 1])
        return answers
