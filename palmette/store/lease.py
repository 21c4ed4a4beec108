"""The lease: one process grows a campaign at a time.

Its holder renews a heartbeat every few seconds. A lease is free again when its process on this
host is gone, or when its heartbeat is older than a minute (another host crashed, or a process was
stopped). A holder that lost its lease in the meantime is told so at its next write, which is
refused: two writers never mix.
"""

from __future__ import annotations

import os
import socket
import time
import uuid

import psutil
from sqlalchemy import Connection, delete, insert, select, update

from palmette.errors import StorageError
from palmette.records import Record
from palmette.store.database import Database
from palmette.store.schema import CampaignTable, LeaseTable

STALE_SECONDS = 60.0
CLOCK_SLACK_SECONDS = 10.0  # a process' start is computed from the boot time, which clocks adjust


class Holder(Record):
    """Who grows a campaign."""

    owner: str
    pid: int
    host: str
    process_started: float  # Unix seconds; tells a process from a later one with its number
    heartbeat: float  # Unix seconds

    @property
    def alive(self) -> bool:
        """Whether this process may still be at work."""
        if time.time() - self.heartbeat > STALE_SECONDS:
            return False
        return self.host != socket.gethostname() or self._runs_here()

    def _runs_here(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            gone = process.status() == psutil.STATUS_ZOMBIE
            age = abs(process.create_time() - self.process_started)
        except psutil.NoSuchProcess:
            return False
        return not gone and age < CLOCK_SLACK_SECONDS


class Lease:
    """A held lease. `beat()` every few seconds keeps it; it is released by `Campaign.lease`."""

    def __init__(self, database: Database, campaign_id: int, campaign: str) -> None:
        self._database = database
        self._campaign_id = campaign_id
        self._campaign = campaign
        self._token = uuid.uuid4().hex

    def take(self, owner: str) -> None:
        """Takes the lease, or raises `StorageError` naming the live process that has it."""
        with self._database.writing() as connection:
            held = holder(connection, self._campaign_id)
            if held is not None and held.alive:
                raise StorageError(
                    f"campaign {self._campaign!r} is being grown by process {held.pid} on "
                    f"{held.host} ({held.owner}); wait for it, stop it, or grow another with "
                    "--campaign NAME"
                )
            mine = LeaseTable.campaign_id == self._campaign_id
            connection.execute(delete(LeaseTable).where(mine))
            now = time.time()
            connection.execute(
                insert(LeaseTable).values(
                    campaign_id=self._campaign_id,
                    token=self._token,
                    owner=owner,
                    pid=os.getpid(),
                    host=socket.gethostname(),
                    process_started=psutil.Process().create_time(),
                    heartbeat=now,
                )
            )
            used = update(CampaignTable).where(CampaignTable.id == self._campaign_id)
            connection.execute(used.values(used=now))

    def beat(self) -> None:
        """Says that the holder lives; raises `StorageError` if the lease was lost."""
        with self._database.writing() as connection:
            self.confirm(connection)
            mine = update(LeaseTable).where(LeaseTable.token == self._token)
            connection.execute(mine.values(heartbeat=time.time()))

    def confirm(self, connection: Connection) -> None:
        """Raises `StorageError` unless the lease is held, now and to the transaction's end."""
        mine = select(LeaseTable.pid).where(LeaseTable.token == self._token).with_for_update()
        if connection.scalar(mine) is not None:
            return
        held = holder(connection, self._campaign_id)
        taker = f"process {held.pid} on {held.host}" if held else "another process"
        raise StorageError(
            f"campaign {self._campaign!r} was taken over by {taker} while this one did not answer "
            "for a minute; nothing was lost, leave the work to it"
        )

    def release(self) -> None:
        """Gives the lease back, if it is still held."""
        with self._database.writing() as connection:
            connection.execute(delete(LeaseTable).where(LeaseTable.token == self._token))


def holder(connection: Connection, campaign_id: int) -> Holder | None:
    """Who holds the lease of a campaign, alive or not."""
    row = connection.execute(
        select(LeaseTable).where(LeaseTable.campaign_id == campaign_id)
    ).one_or_none()
    if row is None:
        return None
    return Holder(
        owner=row.owner,
        pid=row.pid,
        host=row.host,
        process_started=row.process_started,
        heartbeat=row.heartbeat,
    )
