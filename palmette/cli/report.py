"""`palmette report`: the static page of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palmette.cli._files import check_file
from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import show_rows
from palmette.cli._store import chosen, scale_of
from palmette.records import FileRow
from palmette.report import write_report
from palmette.store import Store


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
    with Store(storage, create=False) as store:
        stored = chosen(store, campaign)
        scale_of(stored)
        write_report(stored, output, store)
        name = stored.config.name
    show_rows([FileRow(file=str(output), what=f"the report of campaign {name!r}")], form)
