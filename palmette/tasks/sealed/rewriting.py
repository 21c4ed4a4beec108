"""Rewriting: strings and what rules that are drawn for the suite make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

FIRST_LETTER = ord("a")
SUMS = {Split.TRAIN: 5, Split.SELECT: 1, Split.SCORE: 1, Split.SEALED: 1}  # of 8


@dataclass(frozen=True)
class Rewriting(Family):
    """Rewriting: strings, each followed by what the rules make of it; say the second.

        >>> task = Rewriting(4, ((0, 1, 2), (1, 2, 0), (2, 1, 0)), False)
        >>> print(task.batch(None, np.random.default_rng(1), 1, 40, Split.TRAIN).show())
        |aacc>caca|aacb>bacb|acab>bccb|bbaa>bcba
        ·····caca······bacb······bccb······bcba·

    A rule says what a letter becomes after a certain other letter, so the rules are those of a
    context-sensitive Lindenmayer system (J. Theor. Biol. 18, 1968, 280-315) whose productions have
    one letter. The string is a ring: before its first letter is its last. Rules are applied to all
    letters at once or, `sequential`, from left to right, where the context is what the letter
    before has become. After any one context no two letters become the same, so that all answers
    are equally likely; chance is the logarithm of the number of letters.

    The rules are the suite's and are to be learned, the strings are fresh: a string belongs to a
    split by the sum of its letters modulo 8 (training has five of the eight sums), so the
    probability that a string that is asked for was trained on is 0. What is hard is not the rules
    but the way back to the letter that is due: see the figures in `palmette.tasks.sealed`.
    """

    size: int  # letters in a string
    rules: tuple[tuple[int, ...], ...]  # [letter before][letter] what the letter becomes
    sequential: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Strings of three of 7 to 9 letters."""
        letters = int(rng.integers(7, 10))
        rules = tuple(tuple(rng.permutation(letters).tolist()) for _ in range(letters))
        return cls(3, rules, bool(rng.integers(2)))

    @property
    def answers(self) -> range:
        """The letters."""
        return range(FIRST_LETTER, FIRST_LETTER + len(self.rules))

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh strings of the split, each rewritten once; the last of a row may be cut short."""
        line = self.size + 1
        require_length(self.name, length, line + 1)
        count = -(-length // (2 * line))
        strings = self._strings(rng, rows * count, split)
        ids = np.full((rows * count, 2 * line), int(Marker.RESET), dtype=np.int64)
        ids[:, 1:line] = FIRST_LETTER + strings
        ids[:, line] = int(Marker.COPY)
        ids[:, line + 1 :] = FIRST_LETTER + self.rewritten(strings)
        targets = np.full_like(ids, IGNORE)
        targets[:, line:-1] = ids[:, line + 1 :]
        both = (each.reshape(rows, -1)[:, :length].copy() for each in (ids, targets))
        return Batch(*both)

    def _strings(self, rng: np.random.Generator, count: int, split: Split) -> Ints:
        """[count size] of numbers below the number of letters, uniform among the split's."""
        names = list(SUMS)
        first = sum(SUMS[name] for name in names[: names.index(split)])
        found = np.empty((0, self.size), dtype=np.int64)
        while len(found) < count:
            tried = rng.integers(0, len(self.rules), (8 + 2 * count, self.size))
            sums = tried.sum(axis=1) % sum(SUMS.values())
            fits = (first <= sums) & (sums < first + SUMS[split])
            found = np.concatenate((found, tried[fits]))
        return found[:count]

    def rewritten(self, strings: Ints) -> Ints:
        """What becomes of strings [b size] of numbers below the number of letters."""
        rules = np.array(self.rules)
        made = np.empty_like(strings)
        before = strings[:, -1]
        for place in range(self.size):
            made[:, place] = rules[before, strings[:, place]]
            before = made[:, place] if self.sequential else strings[:, place]
        return made

    def oracle(self, inputs: Ints) -> Ints:
        """Rewrites letter by letter, in place if sequential, what stands before each COPY."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            for place, token in enumerate(ids):
                if token != Marker.COPY:
                    continue
                string = [letter - FIRST_LETTER for letter in ids[place - self.size : place]]
                seen = string if self.sequential else list(string)
                for number, letter in enumerate(string):
                    string[number] = self.rules[seen[number - 1]][letter]
                left = len(ids) - place
                answers[row, place : place + self.size] = [
                    FIRST_LETTER + letter for letter in string[:left]
                ]
        return answers
