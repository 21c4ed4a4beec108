"""`palmette compare`: is mine better, fairly, by lunch?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from palmette.cli._options import ArgumentsOption, FormatOption, KernelOption, StorageOption
from palmette.cli._pool import pool_of
from palmette.cli._print import console as wide
from palmette.cli._print import show_rows
from palmette.cli._resolve import Resolved, resolve
from palmette.errors import UserError
from palmette.ladder.scales import scale as scale_named
from palmette.records import CompareRow
from palmette.search.book import Book
from palmette.search.compared import carried, compare_rows, failures, longer_rows
from palmette.search.comparison import Comparison
from palmette.search.grow import Update
from palmette.search.grow import grow as run
from palmette.search.legs import Leg, constant_state, cost_of, legs, require_alike
from palmette.search.misfits import misfits
from palmette.search.start import Ground, Plan, open_comparison, prepare
from palmette.store import Store
from palmette.train.process import processors

COLUMNS = {
    "genome": "genome",
    "name": "name",
    "rung": "rung",
    "score": "score",
    "low": "low",
    "high": "high",
    "against": "against",
    "difference": "difference",
    "difference_low": "low",
    "difference_high": "high",
    "told": "told",
    "seeds": "seeds",
    "learning_rate": "rate",
    "league": "league",
    "state_bytes": "state",
    "parameters": "parameters",
    "matched": "matched",
}


def compare(
    genomes: Annotated[
        list[str], typer.Argument(help="Two genomes or more; the first is the reference.")
    ],
    scale: Annotated[str, typer.Option(help="Whose rungs: seedling, pocket, laptop …")] = "pocket",
    rung: Annotated[int, typer.Option(min=1, help="At which rung's size and tokens.")] = 2,
    seeds: Annotated[
        int, typer.Option(min=2, max=1000, help="Fresh seeds a genome; pairs of them are compared.")
    ] = 4,
    equal_flops: Annotated[
        bool,
        typer.Option(
            "--equal-flops",
            help="Train the reference for longer, too, to equal whoever needs over 5 % more FLOPs.",
        ),
    ] = False,
    carry: Annotated[
        bool, typer.Option("--carry", help="Compare at every rung of the scale, not at one.")
    ] = False,
    suite: Annotated[
        str | None, typer.Option(help="The tasks; the scale's own if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="From which all seeds are drawn.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at once.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="A text file or folder.")] = None,
    kernel: KernelOption = None,
    storage: StorageOption = "sqlite:///palmette.db",
    arg: ArgumentsOption = None,
    form: FormatOption = "table",
) -> None:
    """Compare genomes at equal size, tokens, sweeps and seeds; differences with 95 % intervals.

    A layer of yours (FILE.py) stands where the mixers of the others stand: in the same trunk, with
    the same channel mixer. The learning rate of each is chosen on a seed of its own and then
    frozen. Each difference is told by its own interval alone: of twenty genomes that are the same
    one will look better or worse. What may be called a discovery, `verify` decides.
    """
    named = [resolve(text, storage, None, arg) for text in genomes]
    if len({one.genome.hash for one in named}) < 2:
        raise UserError("compare wants two different genomes or more; give another one")
    recipe = scale_named(scale)
    if rung > len(recipe.rungs):
        raise UserError(
            f"scale {scale} has rungs 1 to {len(recipe.rungs)}; --rung {rung} is none of them"
        )
    plan = Plan(
        root=named[0].genome, scale=scale, suite=suite, seed=seed, corpus=corpus, kernel=kernel
    )
    ground = prepare(plan, recipe)
    rungs = range(len(recipe.rungs)) if carry else [rung - 1]
    genomes_of = [one.genome for one in named]
    suite_of = ground.config.suite
    planned = legs(recipe, rungs, seeds, genomes_of, equal_flops, suite_of, ground.context)
    console = Console(stderr=True)
    for leg in planned:
        pairs = [(genome, _name(named, genome.hash)) for genome in leg.genomes]
        for sentence in misfits(pairs, leg.ladder, ground.context) if leg.longer == 1 else ():
            console.print(f"note: {sentence}", style="yellow", highlight=False, soft_wrap=True)
    with Store(storage) as store:
        there = set(store.campaigns("compare"))
        for leg in planned:
            if leg.name in there:
                require_alike(store.campaign(leg.name).config, ground.config)
        price = cost_of(store, planned, seeds, ground.config)
        console.print(f"price: {price.sentence}", highlight=False, soft_wrap=True)
        books = [
            _compared(console, store, ground, leg, named, workers or len(processors()))
            for leg in planned
        ]
        rows = _rows(planned, books, named)
        missing = [reason for book in books for reason in failures(book)]
    show_rows(rows, form, COLUMNS if form == "table" else None)
    if form == "table":
        for line in (*_carried(rows), _pairing(planned[0], rows)):
            wide().print(line, highlight=False, soft_wrap=True)
    for reason in missing:
        console.print(f"failed: {reason}", style="red", highlight=False)
    if missing:
        raise typer.Exit(1)


def _compared(
    console: Console, store: Store, whole: Ground, leg: Leg, named: Sequence[Resolved], workers: int
) -> Book:
    """Runs one leg, or what is left of it."""
    told = {"name": leg.name, "scale_digest": leg.ladder.digest}
    ground = replace(whole, config=whole.config.model_copy(update=told), scale=leg.ladder)
    pairs = [(genome, _name(named, genome.hash)) for genome in leg.genomes]
    stored = open_comparison(store, ground, pairs)
    with stored.lease("compare") as lease:
        stored.requeue_running()
        comparison = Comparison(Book(stored, ground.setting_of(stored.config)))
        try:
            with _bar(console) as bar, pool_of(stored, workers, ground.corpus) as pool:
                task = bar.add_task(f"comparing, rung {leg.rung}", total=leg.trials)

                def update(news: Update) -> None:
                    trials = comparison.book.trials.values()
                    ended = sum(trial.state in ("done", "failed") for trial in trials)
                    bar.update(task, completed=ended, total=max(leg.trials, ended))

                run(comparison, pool, lease.beat, update)
        except KeyboardInterrupt:
            console.print(
                "\nstopped; nothing that finished is lost. The same command continues it."
            )
            raise
    return comparison.book


def _rows(
    planned: Sequence[Leg], books: Sequence[Book], named: Sequence[Resolved]
) -> list[CompareRow]:
    """All rows, those of a rung together, with what the genomes themselves say."""
    rows: list[CompareRow] = []
    whole = {leg.rung: book for leg, book in zip(planned, books, strict=True) if leg.beside is None}
    for leg, book in zip(planned, books, strict=True):
        if leg.beside is None:
            found = compare_rows(book, leg.paired)
        else:
            beside = leg.beside.hash
            found = longer_rows(whole[leg.rung], book, leg.longer, beside, leg.paired)
        rows += [row.model_copy(update={"rung": leg.rung}) for row in found]
    rows = [_over_rungs(row, planned, books) for row in rows]
    constant = {one.genome.hash: constant_state(one.genome) for one in named}
    leagues = {True: "constant-state", False: "open"}
    return [row.model_copy(update={"league": leagues[constant[row.genome]]}) for row in rows]


def _over_rungs(row: CompareRow, planned: Sequence[Leg], books: Sequence[Book]) -> CompareRow:
    """The row of the last rung against the reference, with whether the advantage carries to it."""
    whole = [(leg, book) for leg, book in zip(planned, books, strict=True) if leg.beside is None]
    (first, before), (last, after) = whole[0], whole[-1]
    reference = after.climbers[0].candidate
    named = (reference.name or reference.genome[:8], last.rung)
    if len(whole) < 2 or (row.against, row.rung) != named:
        return row
    found = carried(before, after, row.genome, (first.paired, last.paired))
    return row.model_copy(update={"carries": found})


def _carried(rows: Sequence[CompareRow]) -> Iterator[str]:
    for last in rows:
        if last.carries is None:
            continue
        same = [row for row in rows if (row.genome, row.against) == (last.genome, last.against)]
        ahead = ", ".join(f"{row.difference:+.4f}" for row in same if row.difference is not None)
        said = "too little to tell" if last.carries == "not told" else last.carries
        called = last.name or last.genome[:8]
        yield f"{called} is ahead of {last.against} by {ahead} over the rungs: {said}"


def _pairing(leg: Leg, rows: Sequence[CompareRow]) -> str:
    """How differences were made, and what the seeds that genomes share do to them alike."""
    seen = sorted({round(row.correlation, 2) for row in rows if row.correlation is not None})
    ends = " to ".join(f"{one:.2f}" for one in dict.fromkeys((*seen[:1], *seen[-1:])))
    here = f"; here they correlate by {ends}" if seen else ""
    if leg.pairing is None:
        return f"differences are seed by seed{here}"
    known = leg.pairing.correlation
    way = "seed by seed" if leg.paired else "of means (Welch's)"
    return (
        f"differences are {way}: by the calibration scores over shared seeds correlate by "
        f"{known.value:.2f} [{known.low:.2f}, {known.high:.2f}]{here}"
    )


def _name(named: Sequence[Resolved], genome: str) -> str | None:
    return next(one.name for one in named if one.genome.hash == genome)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
