"""`palmette check`: the gates over a genome."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from palmette.cli._options import (
    STORAGE,
    ArgumentsOption,
    CampaignOption,
    Form,
    FormatOption,
    GenomeArgument,
    StorageOption,
)
from palmette.cli._print import console, duration, print_json
from palmette.cli._resolve import resolve
from palmette.cli._store import holding
from palmette.errors import CorpusError, TrialError, UnknownNameError, UserError
from palmette.gates import GATES, Trained, passed, subject_of, tiny_trial
from palmette.gates import check as check_subject
from palmette.grammar.genome import Genome
from palmette.model.stranger.node import strangers_of
from palmette.records import CheckRow
from palmette.search.strangers import NAMED, examine
from palmette.search.strangers import check_genome as check_behind_walls
from palmette.search.winner import trained
from palmette.store import Campaign
from palmette.tasks import load_corpus, suite

MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("–", "dim")}
LIBRARY = "standard library of Python"


def check(
    genome: GenomeArgument,
    gate: Annotated[
        list[str] | None,
        typer.Option("--gate", metavar="NAME", help="Only this gate; can be given again."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train it for a moment, so that the canary applies.")
    ] = False,
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    arg: ArgumentsOption = None,
    form: FormatOption = "table",
) -> None:
    """Put a genome through the gates: executed checks of what it promises.

    Exits with 1 if one fails. FILE.py is a layer or model of yours; it runs in a locked-down
    process, and what that kept it from is said. Where the store keeps trained weights of a genome,
    they are checked too.
    """
    known(gate or ())
    if NAMED.fullmatch(genome):
        row = check_file(genome, arg or (), gate, train)
        show_check(row, form)
        raise typer.Exit(0 if row.passed else 1)
    row = check_genome(resolve(genome, storage, campaign).genome, gate, train, storage, campaign)
    show_check(row, form)
    raise typer.Exit(0 if row.passed else 1)


def known(gates: Collection[str]) -> None:
    """Raises `UnknownNameError` for a name that no gate has, before any work is done."""
    for name in gates:
        if name not in GATES:
            raise UnknownNameError("gate", name, GATES.names())


def check_file(
    text: str, given: Sequence[str], gates: Sequence[str] | None, train: bool
) -> CheckRow:
    """The verdicts over a class of a user's file, which runs behind walls."""
    if train:
        raise UserError(f"--train is for genomes; `palmette compare {text} deltanet` trains a file")
    began = perf_counter()
    found = examine(text, given, gates)
    return CheckRow(
        passed=passed(found.gates),
        gates=found.gates,
        file=f"{found.file}:{found.cls}",
        protection=found.protection,
        seconds=perf_counter() - began,
    )


def check_genome(
    genome: Genome,
    gates: Sequence[str] | None,
    train: bool,
    storage: str,
    campaign: str | None,
) -> CheckRow:
    """The verdicts over a genome; with `train` it is trained for a moment first."""
    began = perf_counter()
    if strangers_of(genome):
        if train:
            raise UserError("--train is for genomes without parts of a file of yours")
        found, protection = check_behind_walls(genome, gates)
        return CheckRow(
            passed=passed(found),
            gates=found,
            genome=genome.hash,
            expression=genome.text,
            protection=protection,
            seconds=perf_counter() - began,
        )
    with tempfile.TemporaryDirectory(prefix="palmette-") as folder:
        own: Trained | str
        if train:
            try:
                own = tiny_trial(genome, Path(folder))
            except TrialError as error:
                own = f"training it failed: {error}"
        else:
            with holding(genome.hash, storage, campaign) as stored:
                own = _kept(stored, genome)
        results = check_subject(subject_of(genome, trained=own), gates)
    return CheckRow(
        passed=passed(results),
        gates=results,
        genome=genome.hash,
        expression=genome.text,
        seconds=perf_counter() - began,
    )


def _kept(stored: Campaign | None, genome: Genome) -> Trained | str:
    """What the store keeps of a genome's training, or why nothing of it can be used."""
    found = trained(stored, genome.hash) if stored else None
    if stored is None or found is None:
        return "no trained weights of it are kept; --train makes some"
    trial, weights = found
    assert trial.result is not None
    mixture = suite(trial.spec.suite)
    if not mixture.needs_corpus:
        return Trained(trial.spec, trial.result, weights)
    origin = stored.config.corpus
    try:
        corpus = load_corpus(None if origin.startswith(LIBRARY) else origin)
    except CorpusError as error:
        return f"its corpus cannot be read: {error}"
    if mixture.digest(corpus.sha256) != trial.spec.suite_digest:
        return f"its corpus ({origin}) is not what it was when it was trained"
    return Trained(trial.spec, trial.result, weights, corpus.directory)


def show_check(row: CheckRow, form: Form) -> None:
    """Prints the verdicts, failed ones again below in a sentence."""
    if form == "json":
        print_json(row.model_dump(mode="json"))
        return
    out = console()
    out.print(Text(row.expression or row.file or ""), soft_wrap=True)
    if row.protection:
        out.print(Text(f"protection: {row.protection}", style="dim"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", "gate", "what was found"):
        table.add_column(name, overflow="fold")
    for result in row.gates:
        mark, style = MARKS[result.passed]
        table.add_row(Text(mark, style), result.gate, Text(result.detail))
    out.print(table)
    failed = [result.gate for result in row.gates if result.passed is False]
    applied = sum(result.passed is not None for result in row.gates)
    verdict = f"{len(failed)} failed: {', '.join(failed)}" if failed else "passed"
    if not applied:
        verdict = "no gate says anything about it"
    out.print(f"{applied} gates, {duration(row.seconds)}: {verdict}", soft_wrap=True)
