"""Overwriting: recall of values that change, after the forgetting MQAR of Zoology."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Split, Streams, require_length
from palmette.tasks._packing import blank, distinct
from palmette.tasks._pairs import FIRST_KEY, FIRST_VALUE, PairedLetters, shown_then_drawn


@dataclass(frozen=True)
class Overwriting(PairedLetters):
    """Overwriting recall: say the value that was paired with this key the last time.

        >>> rng = np.random.default_rng(5)
        >>> print(Overwriting().batch(None, rng, 1, 64, Split.TRAIN).show())
        HoIeHiHiIeHoIeIeIeHcIeIeIeHmHmIeHmHmHgIlHgIkHgHgIkIkIkIkHgHgIkIk
        ······i·e···e·e·e···e·e·e···m·e·m·m·····g···g·g·k·k·k·k·g·g·k·k·

    As `Recall`, but at `changes` of the slots after the first P pairs, drawn uniformly, the key is
    given another value, drawn uniformly from all others; there nothing is asked. From then on the
    new value counts, and the old one must be gone: a memory that only adds (linear attention) keeps
    both, the delta rule (arXiv 2102.11174) takes the old one out.

    Zoology's repository (arXiv 2312.04927) has such a task, `forgetting_mqar`, with questions as
    rare as in its MQAR; here changes and questions mix, as many as fit, so that a value is asked
    for at every age.

    Alone for 114,688 tokens (length 128, learning rate 0.015, 42,000 parameters, seeds 1 and 2),
    gated_deltanet gets to 2.75 and 3.17 bits, deltanet to 0.21 and 0.94. Chance is log2(16) = 4
    bits.
    """

    changes: float = 0.25  # share of the slots after the pairs

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh pairs, queries and changes; the splits differ by their generators alone."""
        require_length(self.name, length, 4)
        pairs, slots = self.pairs(length), length // 2
        later = slots - pairs
        keys = distinct(rng, rows, self.symbols, pairs)
        order = shown_then_drawn(rng, rows, pairs, later)
        steps = np.zeros((rows, slots), dtype=np.int64)  # from the key's last value to this one
        changed = pairs + distinct(rng, rows, later, int(self.changes * later))
        np.put_along_axis(steps, changed, rng.integers(1, self.symbols, changed.shape), axis=1)

        current = distinct(rng, rows, self.symbols, pairs)
        values = np.empty((rows, slots), dtype=np.int64)
        for slot in range(slots):
            key = order[:, slot, None]
            value = np.take_along_axis(current, key, axis=1) + steps[:, slot, None]
            np.put_along_axis(current, key, value % self.symbols, axis=1)
            values[:, slot] = value[:, 0] % self.symbols

        inputs, targets = blank(rows, length)
        inputs[:, 0 : 2 * slots : 2] = FIRST_KEY + np.take_along_axis(keys, order, axis=1)
        inputs[:, 1 : 2 * slots : 2] = FIRST_VALUE + values
        asked = np.where(steps == 0, FIRST_VALUE + values, IGNORE)
        targets[:, 2 * pairs : 2 * slots : 2] = asked[:, pairs:]
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Remembers what followed every key the last time."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            paired: dict[int, int] = {}
            for place in range(0, len(ids) - 1, 2):
                answers[row, place] = paired.get(ids[place], IGNORE)
                paired[ids[place]] = ids[place + 1]
        return answers
