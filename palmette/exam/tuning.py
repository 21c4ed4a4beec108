"""The human baselines, tuned: as many trials each as the campaign had, divided by their number.

A candidate that beats the defaults alone may owe it to better settings. So every baseline is also
grown by a search that turns its knobs and changes nothing else, on the campaign's scale, suite and
seeds, and what that search finds sits the exam beside the default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from palmette.exam.entrants import Named, misfits
from palmette.exam.recipe import Recipe
from palmette.grammar.genome import Genome
from palmette.ladder.ranking import best_rows
from palmette.ladder.scales import Scale
from palmette.model import parse
from palmette.ops import language
from palmette.records import CampaignConfig
from palmette.search.budget import Budget
from palmette.search.grow import Update, grow
from palmette.search.start import Ground, open_campaign, schedule
from palmette.store import Campaign, Store
from palmette.tasks import Corpus
from palmette.train.executor import Executor

PROPOSER = "knobs"
LEAST = 2  # found genomes on the last rung in any case

Executors = Callable[[Campaign], AbstractContextManager[Executor]]
"""Makes who trains for a campaign; used as a context manager."""
OnUpdate = Callable[[Campaign, Update], None]
"""Told after each turn of the loop: the campaign that is grown or sat, and what has changed."""


def tuning_name(campaign: str, baseline: str) -> str:
    """The campaign in which a baseline is tuned."""
    return f"{campaign}-tune-{baseline}"


def tuning_trials(trials: int, baselines: int) -> int:
    """What each baseline's search may have: the campaign's trials, divided among them.

    >>> tuning_trials(200, 6)
    33
    """
    return trials // baselines if baselines else 0


def ground_of(
    config: CampaignConfig, scale: Scale, corpus: Corpus | None, baseline: Named
) -> Ground:
    """The campaign that tunes a baseline: the one that is examined, with another root, knobs alone,
    and neither placebos nor baselines of its own.
    """
    assert baseline.name is not None, "a human baseline has a name"
    own = config.model_copy(
        update={
            "name": tuning_name(config.name, baseline.name),
            "root": baseline.genome.text,
            "root_name": baseline.name,
            "proposers": (PROPOSER,),
            "kind": "tune",
            "mix": "turns",
            "designer": None,
        }
    )
    smaller = replace(
        scale, baselines=(), placebo_every=0, islands=1, least=min(LEAST, scale.least)
    )
    return Ground(own, smaller, corpus, baseline.genome, language(), frozenset())


def tune(
    store: Store,
    grounds: Sequence[Ground],
    trials: int,
    workers: int,
    executor: Executors,
    on_update: OnUpdate = lambda campaign, update: None,
) -> None:
    """Grows the tuning campaigns to this many trials each, one after another; called again, it goes
    on where it was. A sweep that goes on past its edge may add a few.
    """
    budget = Budget(f"{trials}trials", trials=trials)
    for ground in grounds:
        campaign = open_campaign(store, ground)
        if campaign.state == "finished" and campaign.budget == str(budget):
            continue
        with campaign.lease("verify") as lease:
            campaign.requeue_running()
            scheduler = schedule(campaign, ground, budget, workers)
            with executor(campaign) as trains:
                grow(scheduler, trains, lease.beat, partial(on_update, campaign))


def trials_left(store: Store, campaign: str, baselines: Sequence[Named], trials: int) -> int:
    """Trials that the tuned baselines of a campaign still need, if each gets so many."""
    there = set(store.campaigns("tune"))
    names = [tuning_name(campaign, one.label) for one in baselines]
    done = [len(store.campaign(name).trials()) if name in there else 0 for name in names]
    return sum(max(0, trials - own) for own in done)


def tuned_from(store: Store, ground: Ground, recipe: Recipe, context: int) -> Genome:
    """The best that a baseline's tuning has found: by shrunken estimate on the highest rung that
    found genomes have reached, and if it can be matched at the exam's sizes; the default if nothing
    is better.
    """
    campaign = store.campaign(ground.config.name)
    rows = best_rows(campaign.candidates(), campaign.trials(), ground.scale)
    for row in rows:
        if row.role == "root":
            break
        genome = parse(row.expression)
        if row.rung == rows[0].rung and not any(misfits([Named(genome)], recipe, context)):
            return genome
    return ground.root
