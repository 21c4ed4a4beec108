"""The arms of a study: which campaigns it consists of, and how they are grown side by side.

Every proposer is an arm, one that thinks four: with its knowledge base on and off, and with
feedback (scores, siblings, lessons) on and off. An arm is a campaign of its own for each seed, in
one store, with the root, scale, suite and number of genomes of all others. They grow in rounds of a
few genomes each, so that a study that was stopped compares equal numbers of genomes already; taken
up again it goes on with whoever is behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from palmette.designer.money import ModelBudget
from palmette.designer.session import Studio
from palmette.errors import UserError
from palmette.records import StoredTrial, Stranger
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.grow import Update, grow
from palmette.search.packing import companions
from palmette.search.proposers import proposers
from palmette.search.scheduler import Scheduler
from palmette.search.start import Ground, open_campaign, schedule
from palmette.store import Campaign, Store
from palmette.train.executor import Executor

SETTINGS = {
    "": (True, True),
    "-without-knowledge": (False, True),
    "-without-feedback": (True, False),
    "-without-either": (False, False),
}


@dataclass(frozen=True)
class Arm:
    """A proposer under one setting; `knowledge` and `feedback` are None if it does not think."""

    name: str
    proposer: str
    knowledge: bool | None = None
    feedback: bool | None = None

    def campaign(self, study: str, seed: int, first: int) -> str:
        """The name of its campaign of a seed; the study's first seed goes without saying."""
        return f"{study}.{self.name}" + (f".seed-{seed}" if seed != first else "")

    def ground(self, ground: Ground, seed: int) -> Ground:
        """What that campaign is, in a study that is planned so."""
        config, designer = ground.config, ground.config.designer
        if self.knowledge is None:
            designer = None
        elif designer is not None:
            told = {"knowledge": self.knowledge, "feedback": self.feedback}
            designer = designer.model_copy(update=told)
        update = {
            "name": self.campaign(config.name, seed, config.seed),
            "proposers": (self.proposer,),
            "seed": seed,
            "designer": designer,
        }
        return replace(ground, config=config.model_copy(update=update))


def arms(names: Sequence[str]) -> tuple[Arm, ...]:
    """The arms of these proposers, in their order. Raises `UnknownNameError`.

    >>> [arm.name for arm in arms(["llm", "evolution"])][1:]
    ['llm-without-knowledge', 'llm-without-feedback', 'llm-without-either', 'evolution']
    """
    found = []
    for name in dict.fromkeys(names):
        if proposers[name].thinks:
            found += [Arm(name + ending, name, *setting) for ending, setting in SETTINGS.items()]
        else:
            found.append(Arm(name, name))
    return tuple(found)


def genomes_each(budget: Budget, number: int) -> int:
    """How many genomes each of so many campaigns gets.

    Raises `UserError` for a budget in time, or for less than two genomes each.
    """
    if budget.genomes is None:
        raise UserError(
            f"a study gives each of its {number} campaigns equally many genomes: give --budget "
            f"{10 * number}genomes, say, and not {budget}"
        )
    if budget.genomes < 2 * number:
        raise UserError(
            f"a study of {number} campaigns wants two genomes or more for each: --budget "
            f"{2 * number}genomes at least, got {budget}"
        )
    return budget.genomes // number


def models_budget_each(budget: ModelBudget | None, number: int) -> ModelBudget | None:
    """The share of each of so many campaigns in what models may cost."""
    if budget is None or number < 2:
        return budget
    usd = None if budget.usd is None else budget.usd / number
    tokens = None if budget.tokens is None else budget.tokens // number
    return ModelBudget(f"{budget.text} in {number} equal parts", usd, tokens)


def existing(
    store: Store, study: str, arms: Sequence[Arm], seeds: Sequence[int]
) -> dict[tuple[str, int], Campaign]:
    """The campaigns of a study that the store holds, by arm and seed."""
    there = set(store.campaigns())
    names = {
        (arm.name, seed): arm.campaign(study, seed, seeds[0]) for arm in arms for seed in seeds
    }
    return {key: store.campaign(name) for key, name in names.items() if name in there}


def found_in(campaign: Campaign) -> int:
    """How many genomes have been proposed, placebos aside."""
    return sum(candidate.role == "found" for candidate in campaign.candidates())


def finished(campaign: Campaign, wanted: int) -> bool:
    """Whether a campaign has all its genomes and nothing more to train."""
    return campaign.state == "finished" and found_in(campaign) >= wanted


def rounds(
    arms: Sequence[Arm], seeds: Sequence[int], wanted: int, step: int
) -> Iterator[tuple[Arm, int, int]]:
    """Which arm grows next, of which seed, and to how many genomes; all arms in each round.

    >>> [(arm.name, most) for arm, _, most in rounds(arms(["random", "evolution"]), [0], 5, 3)]
    [('random', 3), ('evolution', 3), ('random', 5), ('evolution', 5)]
    """
    for least in range(0, wanted, step):
        for seed in seeds:
            for arm in arms:
                yield arm, seed, min(least + step, wanted)


Watch = Callable[[Scheduler], AbstractContextManager[Callable[[Update], None]]]


def grow_arms(
    store: Store,
    ground: Ground,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    wanted: int,
    workers: int,
    studio: Callable[[Campaign], Studio],
    executor: Callable[[Campaign], AbstractContextManager[Executor]],
    watch: Watch,
) -> None:
    """Grows all campaigns of a study to `wanted` genomes, those that are behind first.

    `studio` is what a campaign's designers work with, `executor` who trains for it, `watch` shows
    how it gets on. A campaign whose proposers have nothing more to propose is left as it is, and
    tried again the next time. What ends a campaign's growing ends this, too; nothing is lost.
    """
    over: set[str] = set()
    for arm, seed, most in rounds(arms, seeds, wanted, ground.scale.islands):
        here = arm.ground(ground, seed)
        campaign = open_campaign(store, here)
        last = most == wanted
        done = finished(campaign, wanted) if last else found_in(campaign) >= most
        if done or here.config.name in over:
            continue
        with campaign.lease("grow") as lease:
            campaign.requeue_running()
            budget = Budget(f"{most}genomes", genomes=most)
            works = studio(campaign) if here.config.designer else None
            scheduler = schedule(campaign, here, budget, workers, works)
            asks = scheduler if last else Portion(scheduler, most)
            with executor(campaign) as trains, watch(scheduler) as on_update:
                grow(asks, trains, lease.beat, on_update)
            if scheduler.found < most:
                over.add(here.config.name)
            elif not last:
                campaign.set_budget(f"{wanted}genomes")
                campaign.set_state("stopped")


@dataclass(frozen=True)
class Portion:
    """A scheduler that is asked for no more than `most` genomes, with nothing at the campaign's end
    promoted yet: what `grow` runs in all rounds but the last.
    """

    scheduler: Scheduler
    most: int

    @property
    def book(self) -> Book:
        """The campaign's book."""
        return self.scheduler.book

    def ask(self) -> StoredTrial | None:
        """The next trial, marked as running; None if the portion is done or waits for a thought."""
        if self.scheduler.found < self.most:
            return self.scheduler.ask()
        waiting = self.book.queued()
        return self.book.start(waiting[0]) if waiting else None

    def beside(self, trial: StoredTrial) -> list[StoredTrial]:
        """What is trained together with it, marked as running."""
        if self.scheduler.found < self.most:
            return self.scheduler.beside(trial)
        return [self.book.start(other) for other in companions(self.book, trial)]

    def attend(self, seconds: float = 0.0) -> bool:
        """Takes in what is thought; whether to ask again then."""
        return self.scheduler.attend(seconds)

    def adopted(self) -> list[Stranger]:
        """The inventions that have joined the language since the last time."""
        return self.scheduler.adopted()

    def close(self) -> None:
        """Keeps what has been thought by now."""
        self.scheduler.close()
