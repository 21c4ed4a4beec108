"""Arithmetic: values of bracketed expressions modulo a number, by operators drawn for the suite."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self, TypeAlias

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

Operator: TypeAlias = tuple[int, int, int, int]
"""p, q, k, r of the operator that makes p a + q b + k a b + r of a and b."""

ZERO = ord("0")
OPEN, CLOSE = ord("("), ord(")")
SIGNS = b"+*"
LEAVES = range(2, 7)  # numbers in an expression
LEAVES_ASKED = range(5, 7)  # outside training
SHORTEST = 6  # tokens: RESET, bracket, number, operator, number, bracket


@dataclass(frozen=True)
class Arithmetic(Family):
    """Modular arithmetic with brackets: say a bracket's value where it closes.

        >>> task = Arithmetic(5, ((2, 3, 0, 1), (0, 0, 2, 1)))
        >>> print(task.batch(None, np.random.default_rng(1), 1, 64, Split.TRAIN).show())
        |(((1+2)4+4)1*3)2|(((4+(3*0)1)2+(4*2)2)1+3)2|(2*(2+3)4)2|(((3+3)
        ·······4···1···2···········1·2······2·1···2·········4·2········1

    Modular arithmetic with brackets is a task of arXiv 2207.02098, and in arXiv 2411.12537 the one
    at which no design exceeds a scaled accuracy of 0.26. Here it is denser: every bracket is asked
    for, and its value is written after it, so that one operation at a time is to be done, on
    operands that may lie far back.

    The modulus and what the two signs mean are drawn: `+` is p a + q b + r with p and q prime to
    the modulus, `*` is k a b + r with k prime to it. Expressions are made from their value down:
    the value is uniform, an operator's operands are uniform among the pairs that give it. So all
    answers are nearly equally likely, products too; chance is the logarithm of the modulus.

    Training has 2 to 6 numbers an expression, all other splits 5 or 6. An expression of 5 is one of
    224 m^5, at least 229,000; half a million tokens of an exam's mixture hold some 800 of that
    size, so the probability that one was trained on is about 0.003 or less.
    """

    modulus: int
    operators: tuple[Operator, Operator]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A modulus of 4 to 7 and what its two signs mean."""
        modulus = int(rng.integers(4, 8))
        units = [n for n in range(1, modulus) if np.gcd(n, modulus) == 1]
        p, q, k = rng.choice(units, 3).tolist()
        r, s = rng.integers(0, modulus, 2).tolist()
        return cls(modulus, ((p, q, 0, r), (0, 0, k, s)))

    @property
    def answers(self) -> range:
        """The numbers below the modulus, as digits."""
        return range(ZERO, ZERO + self.modulus)

    def value(self, operator: int, left: int, right: int) -> int:
        """What an operator makes of two numbers."""
        p, q, k, r = self.operators[operator]
        return (p * left + q * right + k * left * right + r) % self.modulus

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh expressions one after another, the last of a row cut short."""
        require_length(self.name, length, SHORTEST)
        sizes = LEAVES if split is Split.TRAIN else LEAVES_ASKED
        inputs = np.empty((rows, length), dtype=np.int64)
        targets = np.empty((rows, length), dtype=np.int64)
        for row in range(rows):
            tokens: list[tuple[int, int]] = []
            while len(tokens) < length or len(tokens) < SHORTEST:
                leaves = int(rng.integers(sizes.start, sizes.stop))
                tokens.append((int(Marker.RESET), IGNORE))
                tokens += self._expression(leaves, int(rng.integers(self.modulus)), rng)
            inputs[row], targets[row] = zip(*tokens[:length], strict=True)
        return Batch(inputs, targets)

    def _expression(
        self, leaves: int, value: int, rng: np.random.Generator
    ) -> list[tuple[int, int]]:
        """An expression of this value: each token with what is asked at it."""
        if leaves == 1:
            return [(ZERO + value, IGNORE)]
        operator, before = int(rng.integers(2)), int(rng.integers(1, leaves))
        pairs = _operands(self, operator)[value]
        left, right = pairs[int(rng.integers(len(pairs)))]
        return [
            (OPEN, IGNORE),
            *self._expression(before, left, rng),
            (SIGNS[operator], IGNORE),
            *self._expression(leaves - before, right, rng),
            (CLOSE, ZERO + value),
            (ZERO + value, IGNORE),
        ]

    def oracle(self, inputs: Ints) -> Ints:
        """Works every bracket out where it closes, without reading the values that are written."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            held: list[int] = []
            for place, token in enumerate(ids):
                if token == Marker.RESET:
                    held = []
                elif token in SIGNS:
                    held.append(SIGNS.index(token))
                elif token == CLOSE:
                    left, operator, right = held[-3:]
                    held[-3:] = [self.value(operator, left, right)]
                    answers[row, place] = ZERO + held[-1]
                elif token != OPEN and ids[place - 1] != CLOSE:
                    held.append(token - ZERO)
        return answers


@cache
def _operands(task: Arithmetic, operator: int) -> list[list[tuple[int, int]]]:
    """[value] the pairs of numbers of which an operator makes it."""
    numbers = range(task.modulus)
    found: list[list[tuple[int, int]]] = [[] for _ in numbers]
    for left in numbers:
        for right in numbers:
            found[task.value(operator, left, right)].append((left, right))
    return found
