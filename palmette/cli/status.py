"""`palmette status`: a campaign at a glance."""

from __future__ import annotations

from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import show_row
from palmette.cli._store import chosen, scale_of
from palmette.search.status import status_row
from palmette.store import Store
from palmette.store.exams import ExamRoom


def status(
    storage: StorageOption = STORAGE, campaign: CampaignOption = None, form: FormatOption = "table"
) -> None:
    """How far a campaign has come; also while it is growing."""
    with Store(storage, create=False) as store:
        stored = chosen(store, campaign)
        row = status_row(stored, scale_of(stored))
        exams = ExamRoom(store).exams(stored)
        verified = sum(verdict.verified for exam in exams for verdict in exam.verdicts)
        row = row.model_copy(update={"exams": len(exams), "verified": verified})
        if row.state == "running" and stored.holder is None:
            row = row.model_copy(update={"state": "stopped"})  # its process was killed
    show_row(row, form)
