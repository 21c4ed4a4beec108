"""Draws in rows: secrets that decide sealed tasks, of which only the hash is told at first.

A campaign commits to a secret before it has seen a genome, and an exam opens it when there are
genomes to examine. Whoever has the commitment can check, once the secret is told, that the sealed
tasks were not chosen after the fact: SHA-256 of the secret's 32 bytes is the commitment.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

from sqlalchemy import Connection, case, func, insert, select, update

from palmette.errors import StorageError, UserError
from palmette.records import Draw
from palmette.store.schema import DrawTable

SECRET_BYTES = 32


def commitment_of(secret: str) -> str:
    """The SHA-256, as hex, of a secret that is given as hex.

    >>> commitment_of("00" * 32)[:16]
    '66687aadf862bd77'
    """
    return hashlib.sha256(bytes.fromhex(secret)).hexdigest()


def commit(connection: Connection, campaign_id: int) -> Draw:
    """Draws a secret, keeps it, and returns what may be told of it."""
    newest = select(func.max(DrawTable.number)).where(DrawTable.campaign_id == campaign_id)
    secret = secrets.token_hex(SECRET_BYTES)
    told = Draw(
        number=(connection.scalar(newest) or 0) + 1,
        commitment=commitment_of(secret),
        committed_at=now(),
    )
    row = told.model_dump() | {"campaign_id": campaign_id, "secret": secret}
    connection.execute(insert(DrawTable).values(row))
    return told


def read(connection: Connection, campaign_id: int) -> list[Draw]:
    """The draws of a campaign, first to last; a secret that was not opened is not even read."""
    mine = (
        select(
            DrawTable.number,
            DrawTable.commitment,
            DrawTable.committed_at,
            DrawTable.opened_at,
            case((DrawTable.opened_at.is_not(None), DrawTable.secret)).label("secret"),
        )
        .where(DrawTable.campaign_id == campaign_id)
        .order_by(DrawTable.number)
    )
    return [Draw(**row._mapping) for row in connection.execute(mine)]


def unseal(connection: Connection, campaign_id: int, campaign: str, number: int) -> Draw:
    """Opens a draw, for good; one that is open stays as it is. Only `ExamRoom` calls this.

    Raises `UserError` if the campaign has no such draw, `StorageError` if its secret is not the one
    that was committed to.
    """
    this = (DrawTable.campaign_id == campaign_id, DrawTable.number == number)
    first = update(DrawTable).where(*this, DrawTable.opened_at.is_(None))
    connection.execute(first.values(opened_at=now()))
    found = [draw for draw in read(connection, campaign_id) if draw.number == number]
    if not found:
        known = [draw.number for draw in read(connection, campaign_id)]
        there = f"it has {', '.join(map(str, known))}" if known else "it has none"
        raise UserError(
            f"campaign {campaign!r} has no draw {number} of sealed tasks ({there}); "
            "`palmette verify` draws afresh where it has to"
        )
    (draw,) = found
    if not _fits(draw):
        raise StorageError(
            f"draw {number} of campaign {campaign!r} is damaged: its secret is not the one that "
            f"was committed to ({draw.commitment[:12]}…); no exam can be built on it, draw afresh"
        )
    return draw


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _fits(draw: Draw) -> bool:
    try:
        return draw.secret is not None and commitment_of(draw.secret) == draw.commitment
    except ValueError:  # not hex
        return False
