"""Parity: the parity of every prefix of a bit string, on strings longer than trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length
from palmette.tasks._packing import one_start, packed_starts, prefix_buckets

ZERO = ord("0")


@dataclass(frozen=True)
class Parity(Task):
    """Prefix parity: whether the ones so far are odd in number, on strings longer than trained on.

        >>> rng = np.random.default_rng(1)
        >>> print(Parity().batch(None, rng, 1, 48, Split.TRAIN).show())
        |10000100010|00100000111010110100101000101011100
        ·11111000011·00111111010011011000110000110010111

    In training a sequence is packed with strings of `shortest` to `longest` bits, each begun by
    RESET, where the parity starts anew; as many of 3-5 as of 20-40 bits (the logarithm of the size
    is uniform), for on short strings it is learned first. In all other splits a row is one string
    of 255 bits: since every prefix is asked for, one row evaluates all lengths, and accuracy is
    reported by bucket of prefix length, of which only the first was trained on. Training and
    evaluation share no string.

    This is the state-tracking test of arXiv 2411.12537: a linear recurrence needs negative
    eigenvalues in its transition matrix to solve it at any length, so deltanet with beta in [0, 1]
    cannot and with beta in [0, 2] can. Here, with 42,000 parameters after 0.8 M tokens at length
    128, accuracy by bucket is 0.74, 0.47, 0.49, 0.50 with beta and 1.00, 1.00, 0.98, 0.78 with
    beta2 (learning rate 0.005, one seed each); with uniform sizes both were at 0.9 bits after
    0.4 M. Chance is 1 bit.
    """

    extrapolates: ClassVar[tuple[int, ...]] = (40, 64, 128, 256)

    shortest: int = 3  # bits of a training string
    longest: int = 40

    @property
    def answers(self) -> range:
        """0 and 1."""
        return range(ZERO, ZERO + 2)

    def evaluation_length(self, length: int) -> int:
        """256 tokens whatever the training length, for that does not lengthen the strings."""
        return self.extrapolates[-1]

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Packed short strings in training, one long string a row elsewhere."""
        require_length(self.name, length, self.shortest + 1)
        if split is Split.TRAIN:
            starts = packed_starts(rng, rows, length, self.shortest, self.longest)
        else:
            starts = one_start(rows, length)
        bits = rng.integers(0, 2, (rows, length))
        bits[starts] = 0
        inputs = np.where(starts, int(Marker.RESET), ZERO + bits)
        targets = np.where(starts, IGNORE, ZERO + _parity(bits, starts))
        if split is Split.TRAIN:
            return Batch(inputs, targets)
        return Batch(inputs, targets, prefix_buckets(self.extrapolates, rows, length))

    def oracle(self, inputs: Ints) -> Ints:
        """Flips a bit at every one, row by row."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            odd = 0
            for place, token in enumerate(ids):
                odd = 0 if token == Marker.RESET else odd ^ (token - ZERO)
                answers[row, place] = ZERO + odd
        return answers


def _parity(bits: Ints, starts: np.ndarray) -> Ints:
    """Ones since the last start, modulo 2."""
    ones = np.cumsum(bits, axis=1)
    last_start = np.maximum.accumulate(np.where(starts, np.arange(bits.shape[1]), 0), axis=1)
    return (ones - np.take_along_axis(ones, last_start, axis=1)) & 1
