"""`palmette verify`: the exam. Is what was found better, or does it only look so?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palmette.cli._commit import commit
from palmette.cli._exam import Watch, show_exam, show_offer
from palmette.cli._options import (
    ArgumentsOption,
    CampaignOption,
    FormatOption,
    StorageOption,
)
from palmette.cli._pool import pool_of
from palmette.cli._print import console as wide
from palmette.cli._print import print_json
from palmette.cli._resolve import resolve
from palmette.cli._store import chosen
from palmette.errors import StorageError, UserError
from palmette.exam.examine import OpenExam, Options, open_exam, sit
from palmette.exam.offer import offer
from palmette.exam.reload import RUNNER
from palmette.exam.summary import summary
from palmette.exam.tuning import trials_left
from palmette.records import Exam
from palmette.report.exam import write_exam
from palmette.report.examined import canary_holds
from palmette.store import Campaign, Store
from palmette.tasks import Corpus
from palmette.train.executor import Executor
from palmette.train.pool import Pool
from palmette.train.process import processors


def verify(
    genomes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GENOME",
            help="Who is examined, FILE.py of yours too; the campaign's best if none is named.",
        ),
    ] = None,
    exam: Annotated[
        int | None, typer.Option("--exam", min=1, help="Show this exam of the store again.")
    ] = None,
    price: Annotated[
        bool, typer.Option("--price", help="Say who sits and what it costs, and stop.")
    ] = False,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="How many genomes sit; 3 at most if not given.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=2, help="Fresh seeds of the last rung at most; judged at half of them."),
    ] = None,
    looks: Annotated[
        str | None, typer.Option(help="Seeds after which it is judged, such as 6,12.")
    ] = None,
    tokens: Annotated[
        float, typer.Option(help="Share of the exam's usual tokens: 0.5 takes half the time.")
    ] = 1.0,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A human baseline that does not sit (repeatable)."),
    ] = None,
    tuning_trials: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of each tuned baseline's search; a share of the campaign's trials if not given.",
        ),
    ] = None,
    fresh_draw: Annotated[
        bool, typer.Option("--fresh-draw", help="Draw sealed tasks that no exam has opened.")
    ] = False,
    scale: Annotated[
        str | None, typer.Option(help="Has to be the campaign's; only to be sure.")
    ] = None,
    seed: Annotated[int, typer.Option(help="From which the exam's seeds are drawn.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at once.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="The campaign's text file or folder.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where exam.html goes.")
    ] = Path("verified"),
    storage: StorageOption = "sqlite:///palmette.db",
    campaign: CampaignOption = None,
    arg: ArgumentsOption = None,
    form: FormatOption = "table",
) -> None:
    """Examine what a campaign has found, on sealed tasks and fresh seeds; exit 1 if it fails.

    Says first who sits, what it costs and what it can detect. Human baselines sit too, tuned ones
    and such that are trained for longer; so do placebos. Interrupted, the same command goes on.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"-o wants a folder, but {output} is a file; name another")
    if not Store.exists(storage):
        raise StorageError(
            f"there is no store at {storage}: an exam is of a search's finds; run `palmette grow` "
            "first"
        )
    if exam is not None:
        if genomes:
            raise UserError("--exam shows an exam of the store and takes no genome; give one only")
        with Store(storage, create=False) as store:
            _tell(summary(store, exam), output, form)
        return
    options = Options(
        scale=scale,
        candidates=candidates,
        looks=looks_of(looks, seeds),
        tokens=tokens,
        leave_out=tuple(leave_out or ()),
        tuning_trials=tuning_trials,
        fresh_draw=fresh_draw,
        seed=seed,
        corpus=corpus,
    )
    named = [resolve(text, storage, campaign, arg) for text in genomes or ()]
    count = workers or len(processors())
    with Store(storage) as store:
        pairs = [(one.genome, one.name) for one in named]
        opened = open_exam(store, chosen(store, campaign), pairs or None, options)
        told = offer(opened)
        if price and form == "json":
            print_json(told.model_dump(mode="json"))
            return
        screen = wide(stderr=not price)
        show_offer(screen, told, count)
        if price:
            return
        number = _held(screen, opened, told.price.trials - left_to_tune(opened), count)
        result = summary(store, number)
    _tell(result, output, form)


def left_to_tune(opened: OpenExam) -> int:
    """Trials of the price that are those of searches; what was begun has them behind it."""
    if opened.kept is not None:
        return 0
    name = opened.campaign.config.name
    return trials_left(opened.store, name, opened.baselines, opened.tuning_trials)


def looks_of(looks: str | None, seeds: int | None) -> tuple[int, ...] | None:
    """The numbers of seeds after which an exam is judged; None for the recipe's.

    Raises `UserError` if both are given, or for what is no list of numbers.

    >>> looks_of("6,12", None), looks_of(None, 9), looks_of(None, 2)
    ((6, 12), (4, 9), (2,))
    """
    if looks is None:
        if seeds is None:
            return None
        return (seeds // 2, seeds) if seeds >= 4 else (seeds,)
    if seeds is not None:
        raise UserError("--looks has the seeds already, its last number; leave --seeds out")
    parts = [part.strip() for part in looks.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--looks wants numbers of seeds such as 6,12, got {looks!r}")
    return tuple(map(int, parts))


def _held(screen: Console, opened: OpenExam, trials: int, workers: int) -> int:
    """Holds the exam, or what is left of it; returns its number."""

    @contextmanager
    def training(stored: Campaign) -> Iterator[Executor]:
        with pool_of(stored, workers, opened.corpus) as pool:
            yield pool

    @contextmanager
    def reloading(stored: Campaign) -> Iterator[Executor]:
        watch.listening()
        with reloaders(stored, workers, opened.corpus) as pool:
            yield pool

    try:
        with Watch(screen, trials, opened.tuning_trials) as watch:
            held = sit(opened, training, workers, watch.update, reloading)
    except KeyboardInterrupt:
        screen.print("\nstopped; nothing that finished is lost. The same command continues it.")
        raise
    return held.number


def reloaders(stored: Campaign, workers: int, corpus: Corpus | None) -> Pool:
    """The processes that evaluate saved models again; behind walls where strangers' files are."""
    return Pool(
        workers,
        corpus.directory if corpus else None,
        commit=commit(),
        runner=RUNNER,
        strangers=stored.strangers(),
        weights=stored.weights_directory,
    )


def _tell(exam: Exam, output: Path, form: str) -> None:
    """Shows an exam and writes its page. Ends the command with 1 if nothing was verified."""
    page = write_exam(exam, output / "exam.html")
    if form == "json":
        print_json(exam.model_dump(mode="json"))
    else:
        show_exam(wide(), exam)
        wide().print(f"[bold]{page}[/]")
    if exam.state == "running" or not _passed(exam):
        raise typer.Exit(1)


def _passed(exam: Exam) -> bool:
    return canary_holds(exam) and any(verdict.verified for verdict in exam.verdicts)
