"""`palmette compare`: is mine better, fairly, by lunch?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from palmette.cli._options import ArgumentsOption, FormatOption, KernelOption, StorageOption
from palmette.cli._pool import pool_of
from palmette.cli._print import show_rows
from palmette.cli._resolve import resolve
from palmette.errors import UserError
from palmette.ladder.scales import scale as scale_named
from palmette.search.book import Book
from palmette.search.comparison import Comparison, compare_rows, comparison_name, duel, failures
from palmette.search.grow import Update
from palmette.search.grow import grow as run
from palmette.search.misfits import misfits
from palmette.search.start import Plan, open_comparison, prepare
from palmette.store import Store
from palmette.train.process import processors


def compare(
    genomes: Annotated[
        list[str], typer.Argument(help="Two genomes or more; the first is the reference.")
    ],
    scale: Annotated[str, typer.Option(help="Whose rungs: seedling, pocket, laptop …")] = "pocket",
    rung: Annotated[int, typer.Option(min=1, help="At which rung's size and tokens.")] = 2,
    seeds: Annotated[
        int, typer.Option(min=2, max=1000, help="Fresh seeds a genome; pairs of them are compared.")
    ] = 4,
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
    frozen. A difference whose interval holds zero is not a difference.
    """
    named = [resolve(text, storage, None, arg) for text in genomes]
    if len({one.genome.hash for one in named}) < 2:
        raise UserError("compare wants two different genomes or more; give another one")
    recipe = scale_named(scale)
    if rung > len(recipe.rungs):
        raise UserError(
            f"scale {scale} has rungs 1 to {len(recipe.rungs)}; --rung {rung} is none of them"
        )
    ladder = duel(recipe, rung - 1, seeds)
    name = comparison_name([one.genome.hash for one in named], ladder)
    plan = Plan(
        name=name,
        root=named[0].genome,
        scale=scale,
        suite=suite,
        seed=seed,
        corpus=corpus,
        kernel=kernel,
    )
    ground = prepare(plan, ladder)
    count = workers or len(processors())
    console = Console(stderr=True)
    pairs = [(one.genome, one.name) for one in named]
    for sentence in misfits(pairs, ground.scale, ground.context):
        console.print(f"note: {sentence}", style="yellow", highlight=False, soft_wrap=True)
    with Store(storage) as store:
        stored = open_comparison(store, ground, [(one.genome, one.name) for one in named])
        with stored.lease("compare") as lease:
            stored.requeue_running()
            comparison = Comparison(Book(stored, ground.setting_of(stored.config)))
            total = len(named) * (ladder.rungs[0].rates + seeds)
            try:
                with _bar(console) as bar, pool_of(stored, count, ground.corpus) as pool:
                    task = bar.add_task("comparing", total=total)

                    def update(news: Update) -> None:
                        trials = comparison.book.trials.values()
                        ended = sum(trial.state in ("done", "failed") for trial in trials)
                        bar.update(task, completed=ended, total=max(total, ended))

                    run(comparison, pool, lease.beat, update)
            except KeyboardInterrupt:
                console.print(
                    "\nstopped; nothing that finished is lost. The same command continues it."
                )
                raise
        rows = compare_rows(comparison.book)
        missing = failures(comparison.book)
    show_rows(rows, form)
    for reason in missing:
        console.print(f"failed: {reason}", style="red", highlight=False)
    if len(rows) < len(named):
        raise typer.Exit(1)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
