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

from palmette.cli._commit import commit
from palmette.cli._designer import PANEL, served
from palmette.cli._live import Live
from palmette.designer.session import Studio
from palmette.ladder.scales import scale as scale_named
from palmette.records import Span, Study, StudyArm
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
from palmette.search.quoting import inline
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
NOTE = """\
Values with 95 % intervals; a dash is what cannot be told yet. A gain is a genome's first-rung \
score minus its parent's; `against` is an arm's mean gain minus the reference's, over genomes in \
one campaign and over seeds where there are several; what tokens or money bought is all that an \
arm gained more than the reference, divided by all that it spent, declined proposals included. \
`best` is the best of the first genomes, minus the root. `hits` is how often a predicted interval \
held the measured change (95 % of a good one), `rating` the rank correlation of the reviewers' \
ratings with the gains."""


def study(
    console: Console,
    plan: Plan,
    storage: str,
    amount: Budget,
    workers: int,
    output: Path,
    wanted: Wanted | None,
    seeds: int,
    memory_limit_bytes: int,
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
                _grow(
                    console, store, ground, own, numbers, each, workers, models, memory_limit_bytes
                )
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
    memory_limit_bytes: int,
) -> None:
    directory = ground.corpus.directory if ground.corpus else None
    shared: list[Pool] = []

    def pool(stored: Campaign) -> Pool:
        return Pool(
            workers,
            directory,
            memory_limit_bytes=memory_limit_bytes,
            commit=commit(),
            strangers=stored.strangers(),
            weights=stored.weights_directory,
        )

    def executor(stored: Campaign) -> AbstractContextManager[Pool]:
        # Code of others is kept to its own campaign; all others share one server.
        designer = stored.config.designer
        if stored.strangers() or (designer and designer.allow_code):
            return pool(stored)
        if not shared:
            shared.append(kept.enter_context(pool(stored)))
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
    for arm in found.arms:
        console.print(Text(told(arm, found.reference, len(found.seeds) > 1)), soft_wrap=True)
    console.print(Text(summary(found)), soft_wrap=True)
    console.print(f"[bold]{output / 'study.md'}[/]  {output / 'study.json'}", highlight=False)


def markdown(found: Study) -> str:
    """The study as a page of Markdown."""
    heads, rows = cells(found)
    lines = [
        f"# Study {inline(found.study)}",
        f"Root {inline(found.root)}, scale {inline(found.scale)}, suite {inline(found.suite)}, "
        f"seeds {', '.join(map(str, found.seeds))}, models "
        f"{', '.join(map(inline, found.models)) or 'none'}.",
        inline(summary(found)),
        "\n".join(
            "| " + " | ".join(row) + " |"
            for row in [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
        ),
        NOTE,
    ]
    return "\n\n".join(lines) + "\n"


def summary(found: Study) -> str:
    """What the arms are held against."""
    most = f"{found.compared} genomes of every arm are compared, of {found.wanted} wanted"
    reference = f"; the reference is {found.reference}" if found.reference else ""
    band = found.noise_best
    noise = (
        f". The best of {found.compared} that are no better than the root would seem to gain "
        f"{_span(band)}"
        if band
        else ". How much noise there is cannot be told yet: no placebo has a score"
    )
    return f"{most}{reference}{noise}."


def told(arm: StudyArm, reference: str | None, several: bool) -> str:
    """What is known of an arm, in a line."""
    best = _span(arm.best_span) if several else _number(arm.best)
    parts = [
        f"{arm.genomes} genomes, {arm.declined} declined",
        f"gain {_span(arm.gain)}",
        f"{_span(arm.against)} against {reference}" if arm.against else "",
        f"{_span(arm.per_1000_tokens, 5)} per 1,000 tokens" if arm.per_1000_tokens else "",
        f"{_span(arm.per_usd)} per US dollar" if arm.per_usd else "",
        f"best {best} over the root",
        f"{arm.tokens:,} tokens" if arm.tokens else "",
    ]
    return f"{arm.arm}: {'; '.join(part for part in parts if part)}"


def cells(found: Study) -> tuple[list[str], list[list[str]]]:
    """The table: headings and a row for each arm."""
    heads = ["arm", "genomes", "declined", "valid", "gain", "against", "per 1,000 tokens"]
    heads += ["per USD", "best", "hits", "rating", "tokens", "USD"]
    return heads, [_row(arm, len(found.seeds) > 1) for arm in found.arms]


def _row(arm: StudyArm, several: bool) -> list[str]:
    return [
        arm.arm,
        str(arm.genomes),
        str(arm.declined),
        _span(arm.valid, 2),
        _span(arm.gain),
        _span(arm.against),
        _span(arm.per_1000_tokens, 5),
        _span(arm.per_usd),
        _span(arm.best_span) if several else _number(arm.best),
        _span(arm.hits, 2),
        _span(arm.agreement, 2),
        f"{arm.tokens:,}",
        _number(arm.usd),
    ]


def _span(span: Span | None, digits: int = 4) -> str:
    if span is None:
        return "–"
    return f"{span.value:.{digits}f} [{span.low:.{digits}f}, {span.high:.{digits}f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
