"""Words: the word problem of a small group, on words longer than trained on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length
from palmette.tasks._packing import one_start, packed_starts, prefix_buckets

FIRST = ord("a")


@dataclass(frozen=True)
class Words(Task):
    """Word problem of S3: the product of all permutations so far, on words longer than trained on.

        >>> rng = np.random.default_rng(1)
        >>> print(Words().batch(None, rng, 1, 40, Split.TRAIN).show())
        |bacfacc|bdbaeabccafefaebdfbeab|cd|acdce
        ·bbeccac·bfeeddcaccedbbcdecdaab·cb·acbed

    Each token is one of the six permutations of three things, drawn uniformly; the answer at each
    is the product of the word from its start, a new factor standing on the right. In training a
    row is packed with words of `shortest` to `longest` factors (the logarithm of the size is
    uniform), each begun by RESET; in all other splits a row is one word of 127 factors, and
    accuracy is reported by bucket of prefix length, of which only the first was trained on.

    The state-tracking test of arXiv 2502.10297 and 2411.12537: one linear layer follows S3 if it
    may apply two reflections a token (DeltaProduct with two Householder factors and beta in
    [0, 2]), and not with beta in [0, 1], whose matrices have no negative eigenvalue. Chance is
    log2(6) bits.
    """

    extrapolates: ClassVar[tuple[int, ...]] = (24, 64, 128)

    things: int = 3  # permuted; 3 for S3 with 6 elements, 4 for S4 with 24
    shortest: int = 2  # factors of a training word
    longest: int = 24

    @cached_property
    def product(self) -> Ints:
        """[g g] the number of the element that is the product of two; number 0 is the identity."""
        elements = list(itertools.permutations(range(self.things)))
        number = {element: i for i, element in enumerate(elements)}
        table = [[number[tuple(a[i] for i in b)] for b in elements] for a in elements]
        return np.array(table, dtype=np.int64)

    @property
    def answers(self) -> range:
        """The elements of the group."""
        return range(FIRST, FIRST + len(self.product))

    def evaluation_length(self, length: int) -> int:
        """128 tokens whatever the training length, for that does not lengthen the words."""
        return self.extrapolates[-1]

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Packed short words in training, one long word a row elsewhere."""
        require_length(self.name, length, self.shortest + 1)
        if split is Split.TRAIN:
            starts = packed_starts(rng, rows, length, self.shortest, self.longest)
        else:
            starts = one_start(rows, length)
        factors = rng.integers(0, len(self.product), (rows, length))
        prefix = np.zeros((rows, length), dtype=np.int64)
        for t in range(1, length):
            after = self.product[prefix[:, t - 1], factors[:, t]]
            prefix[:, t] = np.where(starts[:, t], 0, after)
        inputs = np.where(starts, int(Marker.RESET), FIRST + factors)
        targets = np.where(starts, IGNORE, FIRST + prefix)
        if split is Split.TRAIN:
            return Batch(inputs, targets)
        return Batch(inputs, targets, prefix_buckets(self.extrapolates, rows, length))

    def oracle(self, inputs: Ints) -> Ints:
        """Composes the permutations themselves, factor by factor."""
        elements = list(itertools.permutations(range(self.things)))
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            word = elements[0]
            for place, token in enumerate(ids):
                if token == Marker.RESET:
                    word = elements[0]
                else:
                    word = tuple(word[i] for i in elements[token - FIRST])
                answers[row, place] = FIRST + elements.index(word)
        return answers
