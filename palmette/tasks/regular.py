"""Regular: in-context induction of a random finite automaton, after RegBench (arXiv 2401.12973)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, Task, require_length

FIRST_CHOICE = ord("A")
FIRST_OUTPUT = ord("a")


@dataclass(frozen=True)
class Regular(Task):
    """Regular-language induction: find out a new automaton from its strings, say what comes next.

        >>> rng = np.random.default_rng(7)
        >>> print(Regular().batch(None, rng, 1, 64, Split.TRAIN).show())
        |BaCdCdCdCdBc|BaCdBcAd|CaAdCdBcAd|AaBcAdAdBcCd|BaCdCdCd|BaBcBcAd
        ·······d·d····a·d············c·d······d·d·c·d··a·d·d·d··a·c·c·d·

    Each row has an automaton of its own, drawn uniformly: in each of `states` states (the first is
    the one to begin in) each of `choices` upper-case letters leads to a state and forces a
    lower-case one to follow. A string is RESET and up to `steps` steps, each a choice drawn
    uniformly and the letter that it forces; one row holds many strings of the one automaton.

    The letter is asked for at the choice, wherever what was read so far leaves no doubt: every
    automaton of this size that could have written it says the same. So the answers are exact,
    though states are never shown and two of them may force the same letter. RegBench asks after
    every symbol and takes any legal one for right, on automata of up to 12 states, which bits per
    answer cannot be compared with.

    The letter that the same choice forced the last time is right in 71 % of the answers, the same
    after the same letter in 85 %: states have to be told apart, and a bigram does not do it. Alone
    for 114,688 tokens (length 128, learning rate 0.015, 42,000 parameters, seeds 1 and 2),
    gated_deltanet gets to 0.67 and 0.57 bits, deltanet to 0.56 and 0.62, or 77 to 81 %. Chance is
    log2(4) = 2 bits.
    """

    states: int = 2
    choices: int = 3
    outputs: int = 4
    steps: int = 6  # of a string, at most

    @property
    def answers(self) -> range:
        """The letters that are forced."""
        return range(FIRST_OUTPUT, FIRST_OUTPUT + self.outputs)

    @cached_property
    def transitions(self) -> Ints:
        """[a s c] the next states of every automaton there is, by state and choice."""
        cells = self.states * self.choices
        tables = itertools.product(range(self.states), repeat=cells)
        return np.array(list(tables), dtype=np.int64).reshape(-1, self.states, self.choices)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh automata and strings; the splits differ by their generators alone.

        The shortest length is that at which some choice has begun a string twice, whatever was
        drawn, so that every row asks something.
        """
        require_length(self.name, length, self.choices * (2 * self.steps + 1) + 2)
        most = length // 2  # steps that a row could hold
        ends = np.cumsum(rng.integers(1, self.steps + 1, (rows, most)), axis=1)
        begins = np.zeros((rows, most + 1), dtype=bool)
        np.put_along_axis(begins, np.minimum(ends, most), True, axis=1)
        begins[:, 0] = True
        begins = begins[:, :most]
        chosen = rng.integers(0, self.choices, (rows, most))
        moves = self.transitions[rng.integers(0, len(self.transitions), rows)]
        table = rng.integers(0, self.outputs, (rows, self.states, self.choices))
        forced = np.empty_like(chosen)
        every, state = np.arange(rows), np.zeros(rows, dtype=np.int64)
        for step in range(most):
            state = np.where(begins[:, step], 0, state)
            forced[:, step] = table[every, state, chosen[:, step]]
            state = moves[every, state, chosen[:, step]]

        # What lies past the row is written and cut off.
        inputs = np.full((rows, 3 * most + 1), int(Marker.RESET), dtype=np.int64)
        targets = np.full((rows, 3 * most + 1), IGNORE, dtype=np.int64)
        places = 2 * np.arange(most) + np.cumsum(begins, axis=1)
        certain = self._certain(begins, chosen, forced)
        asked = np.where(certain, FIRST_OUTPUT + forced, IGNORE)
        np.put_along_axis(inputs, places, FIRST_CHOICE + chosen, axis=1)
        np.put_along_axis(inputs, places + 1, FIRST_OUTPUT + forced, axis=1)
        np.put_along_axis(targets, places, asked, axis=1)
        return Batch(inputs[:, :length].copy(), targets[:, :length].copy())

    def oracle(self, inputs: Ints) -> Ints:
        """Strikes out automata row by row, and answers where all that are left agree."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            left: list[tuple[list[list[int]], dict[tuple[int, int], int]]]
            left = [(moves, {}) for moves in self.transitions.tolist()]
            word: list[int] = []  # the choices since RESET
            for place, token in enumerate(ids):
                if token == Marker.RESET:
                    word = []
                    continue
                if token not in self.answers:
                    word.append(token - FIRST_CHOICE)
                    said = {known.get(_reached(moves, word)) for moves, known in left}
                    if len(said) == 1:
                        answers[row, place] = said.pop() or IGNORE
                    continue
                left = [
                    (moves, known)
                    for moves, known in left
                    if known.setdefault(_reached(moves, word), token) == token
                ]
        return answers

    def _certain(self, begins: np.ndarray, chosen: Ints, forced: Ints) -> np.ndarray:
        """[b n] where every automaton that fits the steps before forces the same letter.

        All automata go along with all rows at once: `known` holds the letter that each would have
        forced so far, by state and choice, and -1 where it has not been there.
        """
        rows, steps = chosen.shape
        count, cells = len(self.transitions), self.states * self.choices
        moves = self.transitions.reshape(count, cells)
        fits = np.ones((rows, count), dtype=bool)
        known = np.full((rows, count, cells), -1, dtype=np.int64)
        state = np.zeros((rows, count), dtype=np.int64)
        certain = np.zeros((rows, steps), dtype=bool)
        row, automaton = np.arange(rows)[:, None], np.arange(count)
        for step in range(steps):
            state[begins[:, step]] = 0
            cell = state * self.choices + chosen[:, step, None]
            said = known[row, automaton, cell]
            certain[:, step] = ((said == forced[:, step, None]) | ~fits).all(axis=1)
            fits &= (said == forced[:, step, None]) | (said < 0)
            known[row, automaton, cell] = forced[:, step, None]
            state = moves[automaton, cell]
        return certain


def _reached(moves: list[list[int]], word: list[int]) -> tuple[int, int]:
    """The state that all but the last choice of a word lead to, and the last one."""
    state = 0
    for choice in word[:-1]:
        state = moves[state][choice]
    return state, word[-1]
