"""One open database: how it is reached, and what its errors mean to a person.

SQLite is opened in write-ahead mode, so readers never wait for the writer nor it for them. Readers
open the file read-only. Transactions that write begin with BEGIN IMMEDIATE: they wait for the lock
at their start, where waiting is safe, and not in their middle, where SQLite could only refuse.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from palmette.errors import StorageError

WRITES = "palmette_writes"  # an execution option of a connection
HIDDEN = True  # neither a log nor a traceback shows values: secrets of sealed tasks are among them


class Database:
    """A SQLite file or a PostgreSQL database, open for writing or only for reading.

    `writing()` and `reading()` are one transaction each: all of it happens, or none of it.
    Everything that goes wrong on the way is a `StorageError` with the next step.
    """

    def __init__(self, url: str, *, read_only: bool, timeout_seconds: float) -> None:
        self.location = _location(url)
        self.read_only = read_only
        self.timeout_seconds = timeout_seconds
        self.path = _file(self.location)
        self.shown = self.location.render_as_string() if self.path is None else url
        if self.path is None:
            self.engine = self._server()
        else:
            self._check_file(self.path)
            self.engine = self._sqlite(self.path)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store throughout."""
        with self.explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes."""
        assert not self.read_only, "this store was opened for reading"
        with self.explained(), self.engine.connect() as plain:
            connection = plain.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the database's errors into sentences."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise StorageError(self._sentence(error)) from error

    def close(self) -> None:
        """Lets go of all connections."""
        self.engine.dispose()

    # --- SQLite ---

    def _check_file(self, path: Path) -> None:
        try:
            there, directory = path.exists(), path.is_dir()
            home = path.parent.is_dir()
        except PermissionError as error:
            raise StorageError(_no_permission(self.shown)) from error
        if directory:
            raise StorageError(
                f"{self.shown} is a directory; name a file in it: sqlite:///{path / 'palmette.db'}"
            )
        if not there and self.read_only:
            raise StorageError(
                f"there is no store at {self.shown}; run `palmette grow` first, or name another "
                "with --storage"
            )
        if not home:
            raise StorageError(
                f"the store {self.shown} wants the directory {path.parent}, which is not there; "
                f"make it first: mkdir -p {path.parent}"
            )

    def _sqlite(self, path: Path) -> Engine:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?{self._mode(path)}",
                uri=True,
                timeout=self.timeout_seconds,
                isolation_level=None,  # transactions are begun below, not by the driver
                check_same_thread=False,  # the pool hands it to one thread at a time
            )
            try:
                connection.execute("PRAGMA foreign_keys = ON")
                if not self.read_only:
                    connection.execute("PRAGMA journal_mode = WAL")
                    # A killed process loses nothing; a power cut may lose the last few trials.
                    connection.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error:
                connection.close()
                raise
            return connection

        engine = create_engine(
            "sqlite://", creator=connect, poolclass=QueuePool, hide_parameters=HIDDEN
        )

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get(WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _mode(self, path: Path) -> str:
        if not self.read_only:
            return "mode=rwc"
        log = path.with_name(path.name + "-wal")
        effective = os.access in os.supports_effective_ids
        if not log.exists() and not os.access(path.parent, os.W_OK, effective_ids=effective):
            # Even a reader makes a shared-memory file, which it cannot here; but a store without
            # a log has no writer, so that the file may be read as it stands.
            return "mode=ro&immutable=1"
        return "mode=ro"

    # --- PostgreSQL ---

    def _server(self) -> Engine:
        try:
            engine = create_engine(self.location, pool_pre_ping=True, hide_parameters=HIDDEN)
        except ModuleNotFoundError as error:
            raise StorageError(
                f"{self.shown} wants the driver {error.name}, which is not installed; run: "
                "pip install 'psycopg[binary]'"
            ) from error
        if self.read_only:
            return engine.execution_options(postgresql_readonly=True)
        return engine

    # --- errors ---

    def _sentence(self, error: DBAPIError | sqlite3.Error) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            return self._sqlite_sentence(cause)
        first_line = str(cause).strip().partition("\n")[0]
        if isinstance(error, DBAPIError) and not error.statement:
            return f"cannot reach the store {self.shown}: {first_line}; does its server run?"
        return f"the store {self.shown} refused: {first_line}"

    def _sqlite_sentence(self, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
        shown = self.shown
        if code == sqlite3.SQLITE_BUSY:
            return (
                f"the store {shown} has been locked by another program for "
                f"{self.timeout_seconds:g} s; close that program or wait for it, then run the "
                "same command again (nothing is lost)"
            )
        if code == sqlite3.SQLITE_FULL:
            return (
                f"the disk that holds the store {shown} is full; make room, then run the same "
                "command again (what was stored before is safe)"
            )
        if code == sqlite3.SQLITE_NOTADB:
            return f"{shown} is not a database; name another file with --storage"
        if code == sqlite3.SQLITE_CORRUPT:
            return (
                f"the store {shown} is damaged ({error}); save what can be read with "
                f"`sqlite3 {self.path} .recover`, or name another with --storage"
            )
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return _no_permission(shown)
        return f"the store {shown} answered: {error}; look at its disk, then try again"


def locate(url: str) -> Path | None:
    """The file of a SQLite store; None for a server's. `StorageError` for a bad URL."""
    return _file(_location(url))


def _location(text: str) -> URL:
    example = "a storage URL looks like sqlite:///palmette.db or postgresql://user@host/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        meant = f"; did you mean sqlite:///{text}?" if text and "://" not in text else ""
        raise StorageError(f"{_masked(text)!r} is not a storage URL{meant} ({example})") from error
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise StorageError(f"a store lives in SQLite or PostgreSQL, not in {backend!r}; {example}")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        url.get_dialect()
    except NoSuchModuleError as error:
        raise StorageError(f"there is no driver {url.drivername!r}; {example}") from error
    except ModuleNotFoundError:
        pass  # a known driver that is not installed: said when it is opened
    if backend == "sqlite":
        _check_sqlite(text, url, example)
    elif url.get_driver_name() != "psycopg":
        raise StorageError(
            f"palmette reaches PostgreSQL with psycopg, not with {url.get_driver_name()!r}; "
            "write postgresql://"
        )
    return url


def _check_sqlite(text: str, url: URL, example: str) -> None:
    """Refuses what would be ignored, or would make a file that nobody meant."""
    if url.host:
        raise StorageError(
            f"{text!r} names a host, which SQLite has none of; did you mean "
            f"sqlite:///{url.host}{'/' + url.database if url.database else ''}?"
        )
    if url.database in (None, "", ":memory:"):
        raise StorageError(
            f"{text!r} is a store in memory, which would be lost with the process; {example}"
        )
    if url.query or url.database.startswith("file:") or url.get_driver_name() != "pysqlite":
        raise StorageError(
            f"{text!r} has options or a driver that a store does not take; write sqlite:/// and "
            "the file's name"
        )
    try:
        url.database.encode()
    except UnicodeEncodeError as error:
        raise StorageError(
            f"{text!r} is no name that SQLite can open; name a file in plain letters"
        ) from error


def _masked(text: str) -> str:
    """A URL that could not be read, without its password."""
    return re.sub(r"(://[^/@]*?):[^/]*@", r"\1:***@", text)


def _file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    assert url.database is not None
    return Path(url.database).absolute()  # a change of directory moves neither it nor its weights


def _no_permission(shown: str) -> str:
    return (
        f"no permission to open the store {shown}; change the rights of the file and of its "
        "directory, or name another with --storage"
    )
