"""`palmette export`: a genome as one readable PyTorch file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palmette.cli._files import check_file
from palmette.cli._options import (
    STORAGE,
    ArgumentsOption,
    CampaignOption,
    FormatOption,
    GenomeArgument,
    ParametersOption,
    StorageOption,
)
from palmette.cli._print import show_rows
from palmette.cli._resolve import resolve
from palmette.cli._store import holding, scale_of
from palmette.grammar.genome import Genome
from palmette.model import fit
from palmette.model.export import export as write
from palmette.model.stranger.names import listed
from palmette.model.stranger.node import strangers_of
from palmette.records import FileRow
from palmette.search.winner import export_genome, trained
from palmette.tasks import VOCABULARY

CONTEXT = 256  # rows of learned positions where no campaign says how long its texts were


def export(
    genome: GenomeArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.py", help="Where to write it.")
    ],
    params: ParametersOption = 200_000,
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    arg: ArgumentsOption = None,
    form: FormatOption = "table",
) -> None:
    """Export a genome as one file that needs only torch.

    If a campaign has trained it on its last rung, the weights go beside it and give the size;
    otherwise --params does, and the weights are fresh.
    """
    check_file(output, ".py")
    found = resolve(genome, storage, campaign, arg).genome
    show_rows(_written(found, output, params, storage, campaign), form)


def _written(
    genome: Genome, output: Path, params: int, storage: str, campaign: str | None
) -> list[FileRow]:
    with holding(genome.hash, storage, campaign) as stored:
        own = trained(stored, genome.hash) if stored else None
        if stored is not None and own is not None:
            trial = own[0]
            told = (
                f"weights of trial {trial.trial} of campaign {stored.config.name!r} "
                f"(rung {trial.spec.rung}, seed {trial.spec.seed})"
            )
            code, *weights = export_genome(stored, genome, scale_of(stored), output)
            return [
                FileRow(file=str(code), what=f"the model; it needs {_needs(genome)}"),
                *(FileRow(file=str(path), what=told) for path in weights),
            ]
    size = fit(genome, params, VOCABULARY, CONTEXT)
    write(genome, size.place, output)
    told = (
        f"the model, {size.parameters:,} parameters, not trained: no weights of it are kept; it "
        f"needs {_needs(genome)}"
    )
    return [FileRow(file=str(output), what=told)]


def _needs(genome: Genome) -> str:
    """What the exported file needs: of a user's file it holds the text, as it stands."""
    files = sorted({own.file for own in strangers_of(genome)})
    return f"torch and what {listed(files)} imports, whose text it holds" if files else "only torch"
