"""`palmette show`: a genome drawn, sized and placed in its tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.text import Text

from palmette.cli._curve import print_curves
from palmette.cli._options import (
    STORAGE,
    ArgumentsOption,
    CampaignOption,
    FormatOption,
    GenomeArgument,
    ParametersOption,
    StorageOption,
)
from palmette.cli._parts import parts
from palmette.cli._print import MISSING, console, number, print_json, show_rows
from palmette.cli._resolve import resolve
from palmette.cli._store import holding, scale_of
from palmette.errors import UserError
from palmette.explain.diagram import text_diagram
from palmette.grammar.genome import Genome
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.ladder.ranking import tree_rows
from palmette.model import cost, fit
from palmette.model.binding import binding
from palmette.model.curve import decode_curve
from palmette.ops._base import Place
from palmette.records import DecodePoint, LineageRow, ShowRow, TreeRow
from palmette.tasks import VOCABULARY

LENGTH = 256  # of which the FLOPs are told, and the rows of learned positions
LENGTHS = (128, 1024, 8192, 65_536, 1_048_576)


def show(
    genome: GenomeArgument,
    params: ParametersOption = 200_000,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Also draw this genome's state and FLOPs while decoding (repeatable)."),
    ] = None,
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    arg: ArgumentsOption = None,
    form: FormatOption = "table",
) -> None:
    """Show a genome: expression, drawing, parameters, FLOPs, state against length, lineage.

    The curves run to a context of 1,048,576 tokens; beside them stands a Llama of the same size.
    """
    found = resolve(genome, storage, campaign, arg)
    others = {text: resolve(text, storage, campaign) for text in against or ["llama"]}
    row = show_row(
        found.genome,
        found.name,
        params,
        lineage(found.genome.hash, storage, campaign),
        {
            one.name or text: one.genome
            for text, one in others.items()
            if one.genome.hash != found.genome.hash
        },
    )
    if form == "json":
        print_json(row.model_dump(mode="json"))
    else:
        _print(row)


def show_row(
    genome: Genome,
    name: str | None,
    parameters: int,
    ancestors: tuple[LineageRow, ...],
    against: Mapping[str, Genome],
) -> ShowRow:
    """A genome at the size nearest to `parameters`, over the vocabulary that trials use."""
    found = fit(genome, parameters, VOCABULARY, LENGTH)
    place = found.place
    return ShowRow(
        genome=genome.hash,
        expression=genome.text,
        name=name,
        diagram=text_diagram(genome, place),
        parameters=found.parameters,
        fits=found.fits,
        bound=binding(genome, found),
        width=place.width,
        depth=place.depth,
        vocabulary=place.vocabulary,
        parts=parts(genome, place),
        flops_forward=cost(genome, place, LENGTH).flops_forward,
        length=LENGTH,
        state_bytes={length: cost(genome, place, length).state_bytes for length in LENGTHS},
        decode=_curve(genome, place),
        against={
            name: _curve(other, fit(other, parameters, VOCABULARY, LENGTH).place)
            for name, other in against.items()
        },
        active=cost(genome, place, LENGTH).active,
        lineage=ancestors,
    )


def _curve(genome: Genome, place: Place) -> tuple[DecodePoint, ...]:
    """What decoding costs; empty for what cannot be decoded token by token."""
    return decode_curve(genome, place) if Effect.STREAMABLE in effects(genome.root) else ()


def lineage(genome: str, storage: str, campaign: str | None) -> tuple[LineageRow, ...]:
    """The way from the root to a genome (hash) in the campaign that holds it, first parents first.

    Empty if no campaign holds it, if there is no store, or if the campaign that has it was grown by
    other rules than this version's and is not asked for by name: the genome can be shown all the
    same.
    """
    with holding(genome, storage, campaign) as stored:
        if stored is None:
            return ()
        try:
            scale = scale_of(stored)
        except UserError:
            if campaign is not None:
                raise
            return ()
        rows = tree_rows(stored.candidates(), stored.trials(), scale)
    return tuple(
        LineageRow(
            genome=row.genome,
            expression=row.expression,
            name=row.name,
            edit_text=row.edit_text,
            score=row.score,
        )
        for row in ancestry(genome, rows)
    )


def ancestry(genome: str, rows: list[TreeRow]) -> list[TreeRow]:
    """A genome's first parent, that one's, and so on to the root, the root first."""
    by_hash = {row.genome: row for row in rows if row.replica == 0}
    chain = [by_hash[genome]]
    while chain[-1].parents and chain[-1].parents[0] in by_hash:
        chain.append(by_hash[chain[-1].parents[0]])
    return chain[::-1]


def _print(row: ShowRow) -> None:
    out = console()
    out.print(Text(row.expression), soft_wrap=True)
    out.print(Text(" ".join(part for part in (row.genome, row.name) if part), style="dim"))
    out.print(Text(f"\n{row.diagram}\n"), soft_wrap=True)
    nearest = f", the nearest size there is: {row.bound}\n" if row.bound else ""
    active = "" if row.active == row.parameters else f", {row.active:,} of them active"
    out.print(
        f"{row.parameters:,} parameters{nearest}{active}; width {row.width}, depth {row.depth}, "
        f"{row.vocabulary} ids; {number(row.flops_forward)} FLOPs a token at length {row.length}"
    )
    show_rows(row.parts, "table")
    if row.decode:
        print_curves({row.name or row.genome[:8]: row.decode, **row.against})
    else:
        out.print("it reads its whole input at once: no state, no decoding token by token")
    if row.lineage:
        out.print("\n[bold]lineage[/]")
    for step in row.lineage:
        score = MISSING if step.score is None else number(step.score)
        told = step.edit_text or step.name or step.expression
        out.print(Text(f"  {step.genome[:8]}  {score:>7}  {told}"), soft_wrap=True)
