"""`palmette status`: a campaign at a glance."""

from __future__ import annotations

from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import show_row
from palmette.cli._store import reading, scale_of
from palmette.search.status import status_row


def status(
    storage: StorageOption = STORAGE, campaign: CampaignOption = None, form: FormatOption = "table"
) -> None:
    """How far a campaign has come; also while it is growing."""
    with reading(storage, campaign) as stored:
        row = status_row(stored, scale_of(stored))
        if row.state == "running" and stored.holder is None:
            row = row.model_copy(update={"state": "stopped"})  # its process was killed
    show_row(row, form)
