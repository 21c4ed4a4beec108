"""Bringing a store to this version of palmette, with Alembic.

A store carries the name of its schema in the table `palmette_version`. Writers bring an older
store up to date in one transaction; a newer one is refused, for its rows may mean other things.
Alembic is imported only where there is something to do: `palmette status` should be quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table

from palmette.errors import StorageError
from palmette.store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"  # the newest file in migrations/versions
VERSION_TABLE = "palmette_version"
LOCATION = "palmette.store:migrations"


def prepare(database: Database) -> None:
    """Makes the tables, or brings them up to date, or (read-only) checks that they are.

    Raises `StorageError` for a store that is newer, older but read-only, or not a store.
    """
    with database.reading() as connection:
        found = _revision(connection, database)
    if found == HEAD:
        return
    if found is not None and found not in _known():
        raise StorageError(
            f"the store {database.shown} was written by a newer palmette (its schema is "
            f"{found!r}, this one knows up to {HEAD!r}); run: pip install --upgrade palmette"
        )
    if database.read_only:
        state = "is empty" if found is None else "was written by an older palmette"
        raise StorageError(
            f"the store {database.shown} {state}; run `palmette grow`, which prepares it"
        )
    from alembic import command

    with database.writing() as connection:
        # Asked again under the lock: another process may have been quicker.
        if _revision(connection, database) != HEAD:
            command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings for the packaged migrations, run on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", LOCATION)
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection, database: Database) -> str | None:
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise StorageError(
                f"{database.shown} is a database of something else (it has the tables "
                f"{', '.join(sorted(tables)[:5])}); name another with --storage"
            )
        return None
    version = table(VERSION_TABLE, column("version_num"))
    return connection.scalar(select(version.c.version_num))


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(alembic_config())
    return {script.revision for script in scripts.walk_revisions()}
