"""`palmette grow --llm-study`: the arms of a study grown side by side, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from palmette.cli._designer import PANEL, served
from palmette.cli._live import Live
from palmette.cli._pool import GROWING_BYTES, pool_of
from palmette.cli._study_table import markdown, show_study
from palmette.designer.session import Studio
from palmette.ladder.scales import scale as scale_named
from palmette.report import write_study
from palmette.search.arms import (
    Arm,
    arms,
    existing,
    finished,
    genomes_each,
    grow_arms,
    models_budget_each,
)
from palmette.search.budget import Budget
from palmette.search.grow import Update
from palmette.search.scheduler import Scheduler
from palmette.search.served import Served, Wanted
from palmette.search.start import Ground, Plan, prepare
from palmette.search.study import studied
from palmette.store import Campaign, Store
from palmette.train.pool import Pool

StudyOption = Annotated[
    bool,
    typer.Option(
        "--llm-study",
        help="Compare the proposers: a campaign each, with knowledge and feedback on and off.",
        rich_help_panel=PANEL,
    ),
]
SeedsOption = Annotated[
    int,
    typer.Option("--llm-study-seeds", min=1, help="Seeds of each arm.", rich_help_panel=PANEL),
]


def study(
    console: Console,
    plan: Plan,
    storage: str,
    amount: Budget,
    workers: int,
    output: Path,
    wanted: Wanted | None,
    seeds: int,
) -> None:
    """Grows all arms, or what is left of them; shows the table and writes it into the folder.

    A study that is complete is shown as it is, without a server.
    """
    own = arms(plan.proposers)
    numbers = range(plan.seed, plan.seed + seeds)
    each = genomes_each(amount, len(own) * seeds)
    try:
        if not _complete(storage, plan.name, own, numbers, each):
            with served(wanted) as models, Store(storage) as store:
                designer = models.config if models else None
                ground = prepare(replace(plan, designer=designer))
                shares = sum(arm.knowledge is not None for arm in own) * seeds
                if models is not None:
                    models = replace(models, budget=models_budget_each(models.budget, shares))
                _grow(console, store, ground, own, numbers, each, workers, models)
    finally:
        _tell(console, plan, storage, own, numbers, each, output)


def _complete(storage: str, name: str, own: tuple[Arm, ...], seeds: range, each: int) -> bool:
    if not Store.exists(storage):
        return False
    with Store(storage) as store:
        there = existing(store, name, own, seeds)
        return len(there) == len(own) * len(seeds) and all(
            finished(campaign, each) for campaign in there.values()
        )


def _grow(
    console: Console,
    store: Store,
    ground: Ground,
    own: tuple[Arm, ...],
    seeds: range,
    each: int,
    workers: int,
    models: Served | None,
) -> None:
    shared: list[Pool] = []

    def executor(stored: Campaign) -> AbstractContextManager[Pool]:
        # Code of others is kept to its own campaign; all others share one server.
        designer = stored.config.designer
        if stored.strangers() or (designer and designer.allow_code):
            return pool_of(stored, workers, ground.corpus, GROWING_BYTES)
        if not shared:
            shared.append(
                kept.enter_context(pool_of(stored, workers, ground.corpus, GROWING_BYTES))
            )
        return nullcontext(shared[0])

    def studio(stored: Campaign) -> Studio:
        assert models is not None, "a designer without models is refused"
        return models.studio(stored)

    @contextmanager
    def watch(scheduler: Scheduler) -> Iterator[Callable[[Update], None]]:
        name = scheduler.book.campaign.config.name
        console.print(f"{name}: to {scheduler.budget} of {each}", highlight=False)
        with Live(console, scheduler) as live:
            yield live.update
        if scheduler.ending:
            console.print(Text(f"{name}: {scheduler.ending}"), soft_wrap=True)

    with ExitStack() as kept:
        grow_arms(store, ground, own, seeds, each, workers, studio, executor, watch)


def _tell(
    console: Console,
    plan: Plan,
    storage: str,
    own: tuple[Arm, ...],
    seeds: range,
    each: int,
    output: Path,
) -> None:
    """Shows what there is of a study, and writes it."""
    if not Store.exists(storage):
        return
    with Store(storage) as store:
        there = existing(store, plan.name, own, seeds)
        if not there:
            return
        found = studied(plan.name, own, there, seeds, scale_named(plan.scale), each)
    output.mkdir(parents=True, exist_ok=True)
    (output / "study.json").write_text(found.model_dump_json(indent=1) + "\n", "utf-8")
    (output / "study.md").write_text(markdown(found), "utf-8")
    page = write_study(found, output / "study.html")
    show_study(console, found)
    console.print(f"[bold]{page}[/]  {output / 'study.md'}  {output / 'study.json'}",
                  highlight=False, soft_wrap=True)  # fmt: skip
