"""Attempts at a trial in rows: one is begun, ends, and is never changed again."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from palmette.records import Attempt, AttemptOutcome
from palmette.store.schema import AttemptTable


def begin(
    connection: Connection, campaign_id: int, trial: int, number: int, seconds: float
) -> None:
    """Adds an attempt that runs."""
    connection.execute(
        insert(AttemptTable).values(
            campaign_id=campaign_id,
            trial=trial,
            number=number,
            outcome="running",
            started_seconds=seconds,
        )
    )


def end(
    connection: Connection,
    campaign_id: int,
    trial: int,
    outcome: AttemptOutcome,
    reason: str | None,
    seconds: float,
) -> None:
    """Says what came of the attempt that runs."""
    last = update(AttemptTable).where(
        AttemptTable.campaign_id == campaign_id,
        AttemptTable.trial == trial,
        AttemptTable.outcome == "running",
    )
    connection.execute(last.values(outcome=outcome, reason=reason, ended_seconds=seconds))


def read(connection: Connection, campaign_id: int, trial: int) -> list[Attempt]:
    """The attempts at one trial, first to last."""
    mine = (
        select(AttemptTable)
        .where(AttemptTable.campaign_id == campaign_id, AttemptTable.trial == trial)
        .order_by(AttemptTable.number)
    )
    return [
        Attempt(
            attempt=row.number,
            outcome=row.outcome,
            reason=row.reason,
            started_seconds=row.started_seconds,
            ended_seconds=row.ended_seconds,
        )
        for row in connection.execute(mine)
    ]
