"""Arithmetic: values of bracketed expressions modulo a number, by operators drawn for the suite."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self, TypeAlias

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

Operator: TypeAlias = tuple[int, int, int, int]

ZERO = ord("0")
OPEN, CLOSE = ord("("), ord(")")
SIGNS = b"+-*"
FEWEST_ASKED = 4  # leaves of an expression outside training
SHORTEST = 7  # tokens: RESET, two leaves, an operator, brackets, and a value


@dataclass(frozen=True)
class Arithmetic(Family):
    """Modular arithmetic: the value of a bracket, asked for where it closes."""

    modulus: int
    operators: tuple[Operator, ...]
    most: int  # leaves of an expression
    shown: bool  # whether the value of a bracket is written after it

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A modulus, two operators."""
        modulus = int(rng.choice((5, 6, 7, 8, 9)))
        units = [n for n in range(1, modulus) if np.gcd(n, modulus) == 1]
        p, q, k = (int(rng.choice(units)) for _ in range(3))
        linear = (p, q, 0, int(rng.integers(modulus)))
        product = (0, 0, k, int(rng.integers(modulus)))
        operators = (linear, product)
        return cls(modulus, operators, 6, True)

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
        """Fresh expressions; outside training only ones of at least four leaves."""
        require_length(self.name, length, SHORTEST)
        fewest = 2 if split is Split.TRAIN else FEWEST_ASKED
        inputs = np.empty((rows, length), dtype=np.int64)
        targets = np.empty((rows, length), dtype=np.int64)
        for row in range(rows):
            ids: list[int] = []
            asked: list[int] = []
            while len(ids) < length:
                ids.append(int(Marker.RESET))
                asked.append(IGNORE)
                leaves = int(rng.integers(fewest, self.most + 1))
                self._write(ids, asked, leaves, int(rng.integers(self.modulus)), rng)
            inputs[row], targets[row] = ids[:length], asked[:length]
        return Batch(inputs, targets)

    def _write(
        self, ids: list[int], asked: list[int], leaves: int, value: int, rng: np.random.Generator
    ) -> None:
        """Appends an expression of so many leaves that has this value."""
        if leaves == 1:
            ids.append(ZERO + value)
            asked.append(IGNORE)
            return
        operator = int(rng.integers(len(self.operators)))
        pairs = _pairs(self, operator)[value]
        left, right = pairs[int(rng.integers(len(pairs)))]
        before = int(rng.integers(1, leaves))
        ids.append(OPEN)
        asked.append(IGNORE)
        self._write(ids, asked, before, left, rng)
        ids.append(SIGNS[operator])
        asked.append(IGNORE)
        self._write(ids, asked, leaves - before, right, rng)
        ids.append(CLOSE)
        asked.append(ZERO + value)
        if self.shown:
            ids.append(ZERO + value)
            asked.append(IGNORE)

    def oracle(self, inputs: Ints) -> Ints:
        """Works every bracket out where it closes."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            held: list[int] = []
            for place, token in enumerate(ids):
                if token == Marker.RESET:
                    held = []
                elif token == CLOSE:
                    left, operator, right = held[-3:]
                    del held[-3:]
                    held.append(self.value(operator, left, right))
                    answers[row, place] = ZERO + held[-1]
                elif token in SIGNS:
                    held.append(SIGNS.index(token))
                elif token != OPEN and not (self.shown and ids[place - 1] == CLOSE):
                    held.append(token - ZERO)
        return answers


@cache
def _pairs(task: Arithmetic, operator: int) -> list[list[tuple[int, int]]]:
    """[value] the pairs of numbers of which an operator makes it."""
    numbers = range(task.modulus)
    found: list[list[tuple[int, int]]] = [[] for _ in numbers]
    for left in numbers:
        for right in numbers:
            found[task.value(operator, left, right)].append((left, right))
    return found
