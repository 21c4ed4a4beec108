"""`palmette report`: the static page of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palmette.cli._files import check_file
from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import show_rows
from palmette.cli._store import reading, scale_of
from palmette.records import FileRow
from palmette.report import write_report


def report(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")
    ] = Path("report.html"),
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    form: FormatOption = "table",
) -> None:
    """Write the report of a campaign, as far as it has come: one page that needs no network."""
    check_file(output, ".html")
    with reading(storage, campaign) as stored:
        scale_of(stored)
        write_report(stored, output)
        name = stored.config.name
    show_rows([FileRow(file=str(output), what=f"the report of campaign {name!r}")], form)
