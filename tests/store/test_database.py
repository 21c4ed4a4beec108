from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from palmette.errors import StorageError
from palmette.store import Store
from palmette.testing.example_records import (
    example_candidate,
    example_config,
    example_result,
    example_trial_spec,
)

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a store #1 100%.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def refusal(url: str, *, create: bool = True, timeout_seconds: float = 10.0) -> str:
    with pytest.raises(StorageError) as refused:
        Store(url, create, timeout_seconds=timeout_seconds)
    return str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("palmette.db", "'palmette.db' is not a storage URL; did you mean sqlite:///palmette.db?"),
        ("", "'' is not a storage URL (a storage URL looks like sqlite:///palmette.db"),
        ("mysql://localhost/x", "a store lives in SQLite or PostgreSQL, not in 'mysql'"),
        ("sqlite+quince:///x.db", "there is no driver 'sqlite+quince'"),
        ("sqlite://", "is a store in memory, which would be lost with the process"),
        ("sqlite:///:memory:", "is a store in memory"),
        ("sqlite://p.db", "names a host, which SQLite has none of; did you mean sqlite:///p.db?"),
        ("sqlite:///p.db?timeout=3", "has options or a driver that a store does not take"),
        ("sqlite:///file:p?uri=true", "has options or a driver that a store does not take"),
        ("sqlite+aiosqlite:///p.db", "has options or a driver that a store does not take"),
        ("sqlite:///\udcff.db", "is no name that SQLite can open"),
        ("postgresql+psycopg2://localhost/x", "with psycopg, not with 'psycopg2'"),
        ("postgresql://me:secret@:port/x", "'postgresql://me:***@:port/x' is not a storage URL"),
    ],
)
def test_a_bad_url_is_refused(url: str, said: str) -> None:
    assert said in refusal(url)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    said = refusal("postgresql://me:secret@localhost/x")
    assert "wants the driver psycopg, which is not installed" in said
    assert "pip install 'psycopg[binary]'" in said
    assert "secret" not in said


def test_a_directory_is_refused(tmp_path: Path) -> None:
    said = refusal(f"sqlite:///{tmp_path}")
    assert f"is a directory; name a file in it: sqlite:///{tmp_path}/palmette.db" in said


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    said = refusal(f"sqlite:///{tmp_path}/no/such/palmette.db")
    assert f"make it first: mkdir -p {tmp_path}/no/such" in said


def test_reading_makes_no_store(url: str, tmp_path: Path) -> None:
    assert refusal(url, create=False) == (
        f"there is no store at {url}; run `palmette grow` first, or name another with --storage"
    )
    assert list(tmp_path.iterdir()) == []


def test_reading_prepares_no_store(url: str, path: Path) -> None:
    path.touch()
    assert "is empty; run `palmette grow`, which prepares it" in refusal(url, create=False)
    assert path.read_bytes() == b""


def test_a_reader_cannot_write(url: str) -> None:
    with Store(url) as store:
        store.create_campaign(example_config())
    with Store(url, create=False) as reader:
        with pytest.raises(AssertionError, match="opened for reading"):
            reader.latest().set_state("running")
        with (
            pytest.raises(StorageError, match="no permission"),
            reader._database.reading() as connection,
        ):
            connection.exec_driver_sql("DELETE FROM campaign")


@pytest.mark.parametrize("create", [True, False])
def test_what_is_no_database_is_refused(url: str, path: Path, create: bool) -> None:
    path.write_text("a shopping list, long enough to be looked at\n" * 40)
    assert f"{url} is not a database; name another file" in refusal(url, create=create)
    assert path.read_text().startswith("a shopping list")


@pytest.mark.parametrize("create", [True, False])
def test_a_database_of_something_else_is_refused(url: str, path: Path, create: bool) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipe (quince INTEGER)")
    connection.close()
    assert "is a database of something else (it has the tables recipe)" in refusal(
        url, create=create
    )


def test_a_damaged_store_is_told(url: str, path: Path) -> None:
    with Store(url) as store:
        store.create_campaign(example_config())
    bytes_before = bytearray(path.read_bytes())
    bytes_before[100:2000] = b"\xa5" * 1900  # the first page: the list of tables
    path.write_bytes(bytes_before)
    said = refusal(url)
    assert f"the store {url} is damaged" in said
    assert f"`sqlite3 {path} .recover`" in said


@pytest.mark.parametrize("create", [True, False])
def test_a_locked_store_is_told(url: str, path: Path, create: bool) -> None:
    with Store(url) as store:
        store.create_campaign(example_config())
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    said = refusal(url, create=create, timeout_seconds=0.1)
    assert "has been locked by another program for 0.1 s; close that program or wait" in said
    blocker.close()
    with Store(url, create) as store:
        assert store.campaigns() == ["first"]


def test_a_lock_in_the_middle_of_a_campaign_loses_nothing(url: str, path: Path) -> None:
    with Store(url, timeout_seconds=0.1) as store:
        campaign = store.create_campaign(example_config())
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"locked by another program for 0\.1 s"):
            campaign.add_candidate(example_candidate())
        assert campaign.candidates() == []  # reading goes on
        blocker.close()
        campaign.add_candidate(example_candidate())
        assert campaign.candidates() == [example_candidate()]


def test_a_full_disk_loses_nothing(url: str) -> None:
    with Store(url) as store:
        campaign = store.create_campaign(example_config())
        campaign.propose(example_candidate(), [example_trial_spec(seed=s) for s in (1, 2)], [])
        campaign.start(1, 0.0)
        campaign.finish(1, example_result(), 1.0)
        campaign.start(2, 1.0)
        with store._database.reading() as connection:  # the one connection of the pool
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        big = example_result(machine="x" * 100_000)
        with pytest.raises(StorageError, match=r"the disk that holds the store .* is full"):
            campaign.finish(2, big, 2.0)
        assert [trial.state for trial in campaign.trials()] == ["done", "running"]
        with store._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        campaign.finish(2, big, 2.0)
        assert campaign.trials()[1].result == big


def test_a_full_disk_at_the_first_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sqlite3.connect

    def small(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = plain(*arguments, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 3")
        assert isinstance(connection, sqlite3.Connection)
        return connection

    monkeypatch.setattr("palmette.store.database.sqlite3.connect", small)
    url = f"sqlite:///{tmp_path}/palmette.db"
    assert "is full; make room, then run the same command again" in refusal(url)
    monkeypatch.undo()
    with Store(url) as store:  # what was begun there is no obstacle
        assert store.campaigns() == []


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users can reach, as pytest's own is not."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.fixture
def as_ordinary_user() -> Iterator[None]:
    """Rights do not bind root: become nobody for the test."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)
    os.setegid(0)


@pytest.fixture
def unwritable_store(open_directory: Path) -> str:
    url = f"sqlite:///{open_directory}/palmette.db"
    with Store(url) as store:
        store.create_campaign(example_config())
    (open_directory / "palmette.db").chmod(0o444)
    open_directory.chmod(0o555)
    return url


@pytest.mark.usefixtures("as_ordinary_user")
def test_writing_without_permission_is_refused(unwritable_store: str) -> None:
    said = refusal(unwritable_store)
    assert f"no permission to open the store {unwritable_store}; change the rights" in said


@pytest.mark.usefixtures("as_ordinary_user")
def test_a_new_store_in_a_closed_directory_is_refused(unwritable_store: str) -> None:
    assert "no permission" in refusal(unwritable_store.replace("palmette", "new"))


@pytest.mark.usefixtures("as_ordinary_user")
def test_a_store_on_read_only_ground_is_read(unwritable_store: str) -> None:
    with Store(unwritable_store, create=False) as reader:
        assert reader.latest().config == example_config()
