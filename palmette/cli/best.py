"""`palmette best`: candidates with root and baselines, ranked."""

from __future__ import annotations

from typing import Annotated

import typer

from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import console, show_rows
from palmette.cli._store import reading, scale_of
from palmette.ladder.ranking import best_rows

COLUMNS = {
    "genome": "genome",
    "role": "role",
    "name": "name",
    "rung": "rung",
    "score": "score",
    "low": "low",
    "high": "high",
    "seeds": "seeds",
    "bits_per_byte": "bits/byte",
    "parameters": "parameters",
    "flops_forward": "FLOPs/token",
    "state_bytes": "state",
    "expression": "expression",
}


def best(
    number: Annotated[int, typer.Option("-n", min=1, help="How many rows of the table.")] = 20,
    storage: StorageOption = STORAGE,
    campaign: CampaignOption = None,
    form: FormatOption = "table",
) -> None:
    """Rank what was found beside the root and the human baselines: candidates, not discoveries.

    Scores are shrunken for having been selected; low and high are a 95 % interval.
    """
    with reading(storage, campaign) as stored:
        rows = best_rows(stored.candidates(), stored.trials(), scale_of(stored))
    if form == "json":
        show_rows(rows, form)
        return
    show_rows(rows[:number], form, COLUMNS)
    more = f" {len(rows) - number} more: -n {len(rows)}." if len(rows) > number else ""
    console().print(
        "Candidates, not discoveries: scores are shrunken for selection, low and high a 95 % "
        "interval. Only the same rung compares; on the last one the intervals are for comparisons "
        f"on its shared seeds.{more}"
    )
