"""Trials out of rows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, select

from palmette.records import StoredTrial, TrialResult, TrialSpec
from palmette.store.rows import record
from palmette.store.schema import TrialTable


def read(connection: Connection, campaign_id: int) -> list[StoredTrial]:
    """All trials of a campaign, in the order in which they were queued."""
    mine = select(TrialTable).where(TrialTable.campaign_id == campaign_id)
    rows = connection.execute(mine.order_by(TrialTable.number)).all()
    with _collector_paused():
        return [stored(row) for row in rows]


def stored(row: Row[Any]) -> StoredTrial:
    """The trial of a row of `TrialTable`."""
    return StoredTrial(
        trial=row.number,
        key=row.key,
        spec=record(TrialSpec, row.spec),
        state=row.state,
        reason=row.reason,
        attempts=row.attempts,
        result=record(TrialResult, row.result) if row.result else None,
        started_seconds=row.started_seconds,
        ended_seconds=row.ended_seconds,
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """2,000 trials are 100,000 small records without a cycle: the garbage collector would walk
    them again and again, for three quarters of the time of a listing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
