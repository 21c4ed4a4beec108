"""The archive: every genome of a campaign with its first-rung score, seen island by island."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.records import Candidate, Prediction, Thought

PRIOR_DEVIATION = 0.02  # of a change in score, before any edit has been seen
PRIOR_WEIGHT = 2.0  # in observations


@dataclass(frozen=True)
class Entry:
    """A candidate, its parsed genome and, once its sweep is over, its first-rung score."""

    candidate: Candidate
    genome: Genome
    score: float | None


@dataclass(frozen=True)
class Archive:
    """What a proposer may know.

    Islands breed apart: an island's living members are its latest `capacity` genomes with a score
    (aging evolution, Real et al. 2019, arXiv 1802.01548), and the root until there are as many. No
    subtree can take over more than the islands that its members live on.
    """

    entries: tuple[Entry, ...]
    language: Language
    islands: int
    capacity: int = 8
    thoughts: tuple[Thought, ...] = ()  # of designers, in the order in which they ended

    @cached_property
    def root(self) -> Entry:
        """The genome that the campaign grows from."""
        return next(entry for entry in self.entries if entry.candidate.role == "root")

    def living(self, island: int) -> list[Entry]:
        """The members of an island that may become parents, the oldest first."""
        own = [
            entry
            for entry in self.entries
            if entry.candidate.role == "found"
            and entry.candidate.island == island
            and entry.score is not None
        ]
        return own[-self.capacity :] if len(own) >= self.capacity else [self.root, *own]

    def tournament(self, members: Sequence[Entry], size: int, rng: random.Random) -> Entry:
        """The best of `size` members drawn at random; unscored ones lose."""
        drawn = rng.sample(list(members), min(size, len(members)))
        return max(drawn, key=lambda entry: -math.inf if entry.score is None else entry.score)

    def entry(self, genome: str) -> Entry | None:
        """The entry of a genome by its hash, placebos aside; None if it is not there."""
        return self._scored.get(genome)

    def change(self, entry: Entry) -> float | None:
        """An entry's score less that of the parent which was edited; None if one is missing."""
        parents = entry.candidate.parents
        parent = self._scored.get(parents[0]) if parents else None
        if parent is None or parent.score is None or entry.score is None:
            return None
        return entry.score - parent.score

    def ancestors(self, entry: Entry) -> list[Entry]:
        """The parent that was edited, its parent and so on up to the root; the nearest first."""
        found: list[Entry] = []
        while entry.candidate.parents:
            parent = self._scored.get(entry.candidate.parents[0])
            if parent is None or parent in found:
                break
            found.append(parent)
            entry = parent
        return found

    def children(self, genome: str) -> list[Entry]:
        """The genomes that were made by editing this one, in the order of their proposals."""
        return [entry for entry in self._found if entry.candidate.parents[:1] == (genome,)]

    def best(self, number: int) -> list[Entry]:
        """The found genomes with the highest scores, of equal ones the earlier first."""
        scored = [entry for entry in self._found if entry.score is not None]
        return sorted(scored, key=lambda entry: -(entry.score or 0.0))[:number]

    def changes(self, edit: str) -> list[float]:
        """How first-rung scores changed from parent to child in earlier edits of this kind."""
        own = [entry for entry in self.entries if entry.candidate.edit == edit]
        return [change for entry in own if (change := self.change(entry)) is not None]

    def predict(self, edit: str) -> Prediction:
        """What an edit of this kind will do, from the statistics of that edit so far.

        Mean and deviation are drawn towards no change and `PRIOR_DEVIATION` by `PRIOR_WEIGHT`
        imagined observations; the interval is that of one further change (mean +- 1.96 sd).
        """
        seen = self.changes(edit)
        weight = PRIOR_WEIGHT + len(seen)
        mean = sum(seen) / weight
        square = PRIOR_WEIGHT * (PRIOR_DEVIATION**2 + mean**2) + sum((x - mean) ** 2 for x in seen)
        half = 1.96 * math.sqrt(square / weight * (1 + 1 / weight))
        return Prediction(change=mean, low=mean - half, high=mean + half, observations=len(seen))

    @cached_property
    def _found(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.candidate.role == "found"]

    @cached_property
    def _scored(self) -> dict[str, Entry]:
        return {
            entry.candidate.genome: entry for entry in self.entries if entry.candidate.replica == 0
        }


def hashes(entries: Iterable[Entry]) -> set[str]:
    """The genomes that are there already."""
    return {entry.candidate.genome for entry in entries}
