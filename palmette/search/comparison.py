"""A fair comparison of a few genomes: equal sizes, tokens, sweeps and seeds.

The learning rate of each genome is chosen on a seed of its own and then frozen; the figures come
from fresh seeds, the same for all. They are held against each other seed by seed unless that is
known to see less (`legs.Leg.paired`). It runs on the campaign's machinery as a ladder of two rungs
of one size: a sweep, then the seeds. Results are kept, so the same command continues it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from palmette.ladder.results import score_at, wanted_specs
from palmette.ladder.scales import Scale
from palmette.records import StoredTrial, Stranger
from palmette.search.book import Book
from palmette.search.packing import companions

SEEDS = "seeds"  # the rung whose figures count


def duel(scale: Scale, rung: int, seeds: int) -> Scale:
    """The two-rung ladder on which genomes are compared at a scale's rung (counted from 0)."""
    size = scale.rungs[rung]
    grid = len(scale.learning_rates)
    sweep = replace(size, name="sweep", rates=grid, seeds=1)
    return replace(
        scale,
        rungs=(sweep, replace(size, name=SEEDS, rates=1, seeds=seeds)),
        placebo_every=0,
        baselines=(),
    )


def comparison_name(hashes: Sequence[str], scale: Scale) -> str:
    """The name under which a comparison is kept: a digest of the genomes and the ladder."""
    text = "/".join((*hashes, scale.digest))
    return "compare-" + hashlib.sha256(text.encode()).hexdigest()[:10]


class Comparison:
    """Schedules the sweep of each genome, then its seeds."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def ask(self) -> StoredTrial | None:
        """The next trial, marked as running; None if there is nothing to do just now."""
        for climber in self.book.climbers:
            if climber.reached == 0 and score_at(climber, 0, self.book.setting.scale):
                self.book.queue(climber, wanted_specs(climber, 1, self.book.setting))
        queued = self.book.queued()
        return self.book.start(queued[0]) if queued else None

    def beside(self, trial: StoredTrial) -> list[StoredTrial]:
        """What is trained together with it, marked as running."""
        return [self.book.start(other) for other in companions(self.book, trial)]

    def attend(self, seconds: float = 0.0) -> bool:
        """Nobody thinks: there is nothing to wait for."""
        return False

    def adopted(self) -> list[Stranger]:
        """Nobody invents."""
        return []

    def close(self) -> None:
        """Nobody thinks: there is nothing to keep."""
