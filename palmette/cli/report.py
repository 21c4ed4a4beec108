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
from palmette.report.frame import write_page
from palmette.store import Store
from palmette.store.dump import dump


def report(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")
    ] = Path("report.html"),
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write every genome, trial and exam, as FILE.json.gz; without weights, "
            "curves and prompts.",
        ),
    ] = None,
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    form: FormatOption = "table",
) -> None:
    """Write the report of a campaign, as far as it has come: one page that needs no network."""
    check_file(output, ".html")
    if data:
        check_file(data, ".json.gz", "--data")
    with Store(storage, create=False) as store:
        stored = chosen(store, campaign)
        scale_of(stored)
        write_report(stored, output, store)
        name = stored.config.name
        rows = [FileRow(file=str(output), what=f"the report of campaign {name!r}")]
        if data:
            write_page(dump(store, name, curves=False), data)
            rows.append(FileRow(file=str(data), what=f"all that happened in campaign {name!r}"))
    show_rows(rows, form)
