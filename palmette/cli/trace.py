"""`palmette trace`: how a genome came about."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer
from rich.markdown import Markdown

from palmette.cli._options import STORAGE, CampaignOption, GenomeArgument, StorageOption
from palmette.cli._print import console, print_json, show_rows
from palmette.cli._resolve import resolve
from palmette.cli._store import holding, scale_of
from palmette.errors import UserError
from palmette.search.story import story
from palmette.search.trace import trace as traced

TraceForm: TypeAlias = Literal["markdown", "table", "json"]

COLUMNS = {
    "genome": "genome",
    "role": "role",
    "name": "name",
    "proposer": "proposer",
    "edit": "edit",
    "change": "change",
    "held": "predicted",
    "origin": "origin",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "usd": "US dollars",
    "expression": "expression",
}


def trace(
    genome: GenomeArgument,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Also show what models were told and what they said.")
    ] = False,
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    form: Annotated[TraceForm, typer.Option("--format", "-f", help="How to print.")] = "markdown",
) -> None:
    """Tell how a genome came about: each step from the root, why it was taken, what came of it.

    Of each step: the edit, who proposed it and why, what was predicted and measured, its trials;
    and of designers what they were shown, the faults that were repaired, the review, the lesson,
    tokens and money.
    """
    found = resolve(genome, storage, campaign).genome
    with holding(found.hash, storage, campaign) as stored:
        if stored is None:
            where = f"campaign {campaign!r}" if campaign else f"no campaign in {storage}"
            verb = "does not hold" if campaign else "holds"
            raise UserError(
                f"{where} {verb} {found.text}; `palmette tree` shows the genomes that were tried"
            )
        row = traced(stored, found.hash, scale_of(stored), prompts)
    assert row is not None, "the campaign holds it"
    if form == "json":
        print_json(row.model_dump(mode="json"))
    elif form == "table":
        show_rows(row.steps, form, COLUMNS)
    elif (out := console()).is_terminal:
        out.print(Markdown(story(row), hyperlinks=False))
    else:
        print(story(row), end="")
