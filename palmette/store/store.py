"""A store: the campaigns in one SQLite file or PostgreSQL database."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, insert, select, update

from palmette.errors import StorageError, UnknownNameError
from palmette.records import CampaignConfig, CampaignKind, DesignerConfig
from palmette.store import draws
from palmette.store.campaign import Campaign
from palmette.store.database import Database, locate
from palmette.store.migrate import prepare
from palmette.store.rows import record
from palmette.store.schema import CampaignTable

TOLD = {"corpus", "root_name"}  # for people; the digest of the suite and the root decide
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a campaign's name is a directory's too


class Store:
    """Opens a store. `create=True` makes or upgrades it; `create=False` only reads one.

    timeout_seconds    how long to wait for another program that has locked the file

    Raises `StorageError` for whatever is wrong with the URL, the file, its rights or its version.

    >>> from tempfile import mkdtemp
    >>> with Store(f"sqlite:///{mkdtemp()}/palmette.db") as store:
    ...     store.campaigns()
    []
    """

    def __init__(
        self,
        url: str = "sqlite:///palmette.db",
        create: bool = True,
        *,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.url = url
        self._database = Database(url, read_only=not create, timeout_seconds=timeout_seconds)
        try:
            prepare(self._database)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file or server; campaigns of this store are of no use afterwards."""
        self._database.close()

    @staticmethod
    def exists(url: str) -> bool:
        """Whether there may be a store: a SQLite file that is not there is none.

        Raises `StorageError` for a URL that could never be one.
        """
        path = locate(url)
        return path is None or path.exists()

    @property
    def weights_directory(self) -> Path:
        """Where weights are kept: `palmette.db.weights` beside `palmette.db`."""
        path = self._database.path or Path(f"{self._database.location.database}.db").absolute()
        return path.with_name(path.name + ".weights")

    @property
    def database(self) -> Database:
        """The open database, for `ExamRoom`."""
        return self._database

    def campaigns(self, kind: CampaignKind | None = None) -> list[str]:
        """The names of all campaigns, or of those of a kind, in the order of their making."""
        with self._database.reading() as connection:
            return _names(connection, kind)

    def campaign(self, name: str) -> Campaign:
        """The campaign with this name; `UnknownNameError` if there is none."""
        with self._database.reading() as connection:
            found = _find(connection, name)
            if found is None:
                raise UnknownNameError("campaign", name, _names(connection))
        return self._campaign(*found)

    def latest(self) -> Campaign:
        """The search that was grown last; `StorageError` if there is none.

        Comparisons, exams and what is tuned for an exam are none.
        """
        newest = select(CampaignTable.id, CampaignTable.config).order_by(
            CampaignTable.used.desc(), CampaignTable.id.desc()
        )
        with self._database.reading() as connection:
            for row in connection.execute(newest):
                config = record(CampaignConfig, row.config)
                if config.kind == "grow":
                    return self._campaign(row.id, config)
        raise StorageError(
            f"the store {self._database.shown} holds no campaign yet; run `palmette grow` first"
        )

    def create_campaign(
        self, config: CampaignConfig, load_if_exists: bool = True, *, draw: bool = False
    ) -> Campaign:
        """Makes a campaign, or loads the one that has this name and the same configuration.

        With `draw`, one that is made commits to its sealed tasks in the same write: it has its
        draw from the start, and only one.

        Raises `StorageError` if that one differs (every changed field is named, with both
        values), if `load_if_exists` is False, or for a name that could not be a directory's.
        """
        if not NAME.fullmatch(config.name):
            raise StorageError(
                f"a campaign's name wants up to 100 letters, digits, dots, dashes and underscores "
                f"and begins with a letter or digit, got {config.name!r}"
            )
        with self._database.writing() as connection:
            found = _find(connection, config.name)
            now = time.time()
            if found is None:
                row = insert(CampaignTable).values(
                    name=config.name,
                    config=config.model_dump_json(),
                    state="stopped",
                    budget="",
                    elapsed_seconds=0.0,
                    used=now,
                )
                connection.execute(row)
                found = _find(connection, config.name)
                assert found is not None, "just inserted"
                if draw:
                    draws.commit(connection, found[0])
            elif not load_if_exists:
                raise StorageError(
                    f"there is a campaign {config.name!r} already; choose another name, or "
                    "continue it with load_if_exists=True"
                )
            else:
                _refuse_changes(found[1], config)
                used = update(CampaignTable).where(CampaignTable.id == found[0])
                connection.execute(used.values(used=now))
        return self._campaign(*found)

    def _campaign(self, number: int, config: CampaignConfig) -> Campaign:
        return Campaign(self._database, number, config, self.weights_directory / config.name)


def _names(connection: Connection, kind: CampaignKind | None = None) -> list[str]:
    every = select(CampaignTable.name, CampaignTable.config).order_by(CampaignTable.id)
    rows = connection.execute(every).all()
    return [
        row.name for row in rows if kind is None or record(CampaignConfig, row.config).kind == kind
    ]


def _find(connection: Connection, name: str) -> tuple[int, CampaignConfig] | None:
    row = connection.execute(
        select(CampaignTable.id, CampaignTable.config).where(CampaignTable.name == name)
    ).one_or_none()
    if row is None:
        return None
    return row.id, record(CampaignConfig, row.config)


def _refuse_changes(old: CampaignConfig, new: CampaignConfig) -> None:
    changes = [
        f"  {name}: it has {_short(before)}, this command says {_short(after)}"
        for field, was in old
        if field not in TOLD
        for name, before, after in _changed(field, was, getattr(new, field))
    ]
    if changes:
        raise StorageError(
            f"campaign {old.name!r} was begun with other settings:\n"
            + "\n".join(changes)
            + "\nrun it with the settings that it has, or begin another with --campaign NAME"
        )


def _changed(field: str, old: object, new: object) -> list[tuple[str, object, object]]:
    """What differs, of a record within the configuration each of its fields."""
    if isinstance(old, DesignerConfig) and isinstance(new, DesignerConfig):
        inner = [(f"{field}.{name}", was, getattr(new, name)) for name, was in old]
        return [one for one in inner if one[1] != one[2]]
    return [(field, old, new)] if old != new else []


def _short(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:12] + "…"
    if isinstance(value, DesignerConfig):
        return f"the models {', '.join(value.models)}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else repr(value)
