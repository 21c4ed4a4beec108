"""Campaigns on the first rung alone, where proposers are told apart at equal trials for real.

Every proposal is trained as any campaign would train it first: the sweep of learning rates at one
size, rate chosen on `select`, score read on `score`. Nothing is promoted and there are no placebos
or baselines, so what a campaign costs goes into proposals. All campaigns of one seed share it, so
trials are paired: same weights where shapes agree, same data in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import palmette
from palmette.designer.endpoint import Endpoint
from palmette.ladder.results import score_at
from palmette.ladder.scales import Scale
from palmette.ladder.scales import scale as scale_named
from palmette.records import DesignerConfig, StoredTrial, Thought
from palmette.search.archive import Archive
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.candidates import describe
from palmette.search.comparison import Comparison
from palmette.search.gains import Outcome
from palmette.search.grow import Asks, grow
from palmette.search.novelty import Screen
from palmette.search.start import (
    Ground,
    Plan,
    open_campaign,
    prepare,
    schedule,
    screen_for,
    studio_for,
)
from palmette.search.study import outcomes
from palmette.store import Campaign, Store
from palmette.train.pool import Pool


def first_rung(scale: str) -> Scale:
    """A scale's first rung as a ladder of its own; without islands, so that every result counts."""
    recipe = scale_named(scale)
    return replace(
        recipe, name=f"{scale}, first rung", rungs=recipe.rungs[:1], placebo_every=0, islands=1,
        baselines=(), gate=0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a campaign holds in the end."""

    archive: Archive
    thoughts: tuple[Thought, ...]
    outcomes: tuple[Outcome, ...]
    screen: Screen


class Sweeps(Comparison):
    """Runs what the book has queued, and nothing else."""

    def ask(self) -> StoredTrial | None:
        queued = self.book.queued()
        return self.book.start(queued[0]) if queued else None


def run(
    arm: str,
    scale: str,
    seed: int,
    genomes: int,
    directory: Path,
    workers: int,
    designer: DesignerConfig | None = None,
    endpoint: Endpoint | None = None,
) -> Ran:
    """A campaign of so many proposals by one proposer, continued if it was begun.

    A proposer that thinks wants `designer` and `endpoint`.
    """
    plan = Plan(f"{arm}-{seed}", scale=scale, proposers=(arm,), seed=seed, designer=designer)
    ground = prepare(plan, first_rung(scale))
    with opened(ground, directory) as campaign:
        studio = studio_for(campaign, endpoint) if endpoint else None
        budget = Budget.parse(f"{genomes}genomes")
        scheduler = schedule(campaign, ground, budget, workers, studio)
        _grow(scheduler, campaign, ground, workers)
        return Ran(
            archive=scheduler.proposing.archive(),
            thoughts=tuple(campaign.thoughts()),
            outcomes=tuple(outcomes(campaign, ground.scale)),
            screen=screen_for(ground),
        )


def train(
    texts: Iterable[str], scale: str, seed: int, directory: Path, workers: int
) -> dict[str, float | None]:
    """First-rung scores of genomes by their texts; what was trained before is not trained again."""
    ground = prepare(Plan("children", scale=scale, seed=seed), first_rung(scale))
    with opened(ground, directory) as campaign:
        present = {candidate.genome for candidate in campaign.candidates()}
        for genome in {palmette.parse(text) for text in texts}:
            if genome.hash not in present:
                campaign.add_candidate(describe(genome, screen_for(ground)))
        sweeps = Sweeps(Book(campaign, ground.setting))
        _grow(sweeps, campaign, ground, workers)
        scores = [(one, score_at(one, 0, ground.scale)) for one in sweeps.book.climbers]
    return {one.candidate.expression: score.mean if score else None for one, score in scores}


@contextmanager
def opened(ground: Ground, directory: Path) -> Iterator[Campaign]:
    """A campaign in a store of its own, with what was running queued again."""
    directory.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{directory.resolve()}/{ground.config.name}.db"
    with Store(url) as store:
        campaign = open_campaign(store, ground)
        campaign.requeue_running()
        yield campaign


def _grow(asks: Asks, campaign: Campaign, ground: Ground, workers: int) -> None:
    assert ground.corpus is not None, "first rungs are scored on text"
    with (
        campaign.lease("benchmark") as lease,
        Pool(workers, ground.corpus.directory, weights=campaign.weights_directory) as pool,
    ):
        grow(asks, pool, lease.beat)
