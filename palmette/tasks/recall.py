"""Recall: multi-query associative recall, after the MQAR of Zoology (arXiv 2312.04927)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Split, Streams, require_length
from palmette.tasks._packing import blank, distinct
from palmette.tasks._pairs import FIRST_KEY, FIRST_VALUE, PairedLetters, shown_then_drawn


@dataclass(frozen=True)
class Recall(PairedLetters):
    """Multi-query associative recall: say the value that was paired with this key.

        >>> rng = np.random.default_rng(1)
        >>> print(Recall().batch(None, rng, 1, 64, Split.TRAIN).show())
        JpCaJpCaJpCaJpCaCaCaJpJpCaCaCaJpJpJpJpCaCaCaJpCaCaJpJpCaCaCaCaCa
        ····p·a·p·a·p·a·a·a·p·p·a·a·a·p·p·p·p·a·a·a·p·a·a·p·p·a·a·a·a·a·

    First come P pairs of a key and a value, none of them twice in a sequence; then keys, each
    followed by its value, where the value is asked for at the key. An odd token at the end is PAD.

    Zoology asks for each key once, does not show the value again and leaves the rest of a sequence
    empty. Nothing was learned from such rare questions in 1.5 M tokens (gated_deltanet of 60,000
    parameters, P = 16 of 32 keys at length 128, learning rate 0.005, one seed). Asked as here,
    deltanet of 42,000 parameters leaves chance at 0.2 M tokens and is at 0.1 bits by 0.7 M; with 8
    pairs instead of 4 it takes about twice the tokens (same rate, one seed each). So P is a 32nd of
    the length, and at most `symbols`. In place of the paper's power law of distances every key is
    equally likely: what has to be kept grows with the length alone.

    Chance is log2(16) = 4 bits; a model that remembers which values it saw, but not with which
    keys, gets log2(P).
    """

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh pairs and queries; the splits differ by their generators alone."""
        require_length(self.name, length, 4)
        pairs = self.pairs(length)
        queries = (length - 2 * pairs) // 2
        keys = FIRST_KEY + distinct(rng, rows, self.symbols, pairs)
        values = FIRST_VALUE + distinct(rng, rows, self.symbols, pairs)
        order = shown_then_drawn(rng, rows, pairs, queries)

        inputs, targets = blank(rows, length)
        end = 2 * (pairs + queries)
        inputs[:, 0:end:2] = np.take_along_axis(keys, order, axis=1)
        inputs[:, 1:end:2] = np.take_along_axis(values, order, axis=1)
        targets[:, 2 * pairs : end : 2] = inputs[:, 2 * pairs + 1 : end : 2]
        return Batch(inputs, targets)

    def oracle(self, inputs: Ints) -> Ints:
        """Looks every key up among the pairs at the front."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            front = 2 * self.pairs(len(ids))
            paired = dict(zip(ids[0:front:2], ids[1:front:2], strict=True))
            answers[row, front:] = [paired.get(token, IGNORE) for token in ids[front:]]
        return answers
