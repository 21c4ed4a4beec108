from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect

from palmette.errors import StorageError
from palmette.records import Event, TrialSpec
from palmette.store import Store
from palmette.store.exams import ExamRoom
from palmette.store.migrate import HEAD, VERSION_TABLE, alembic_config
from palmette.store.schema import Table
from palmette.testing.example_records import example_config, example_thought


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return create_engine(f"sqlite:///{tmp_path / 'palmette.db'}")


def stamp(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", (revision,))
    connection.commit()
    connection.close()


def test_the_head_is_the_newest_file() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == [HEAD]


def test_upgrading_from_nothing_gives_the_schema(engine: Engine) -> None:
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Table.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*Table.metadata.tables, VERSION_TABLE}
    engine.dispose()


def test_a_store_is_made_by_the_migrations(engine: Engine, tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'palmette.db'}").close()
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_postgresql_would_get_columns_wide_enough() -> None:
    config = alembic_config()
    config.output_buffer = printed = io.StringIO()
    config.cmd_opts = type("Options", (), {"x": ["dialect=postgresql"]})()  # as from `alembic -x`
    command.upgrade(config, "head", sql=True)
    text = printed.getvalue()
    assert "state_bytes BIGINT" in text
    assert "elapsed_seconds DOUBLE PRECISION" in text
    assert f"UPDATE {VERSION_TABLE} SET version_num='{HEAD}'" in text


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_store_is_refused(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "palmette.db"
    Store(f"sqlite:///{path}").close()
    stamp(path, "9999")
    with pytest.raises(StorageError) as refused:
        Store(f"sqlite:///{path}", create)
    assert str(refused.value) == (
        f"the store sqlite:///{path} was written by a newer palmette (its schema is '9999', this "
        f"one knows up to '{HEAD}'); run: pip install --upgrade palmette"
    )


def test_an_older_store_is_for_writers_to_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "palmette.db"
    Store(f"sqlite:///{path}").close()
    monkeypatch.setattr("palmette.store.migrate.HEAD", "9999")  # as a later version has it
    with pytest.raises(StorageError, match="written by an older palmette; run `palmette grow`"):
        Store(f"sqlite:///{path}", create=False)


@pytest.mark.parametrize(
    ("revision", "unknown"),
    [
        ("0002", {"thought", "prompt", "draw", "exam", "ledger", "canary"}),
        ("0003", {"draw", "exam", "ledger", "canary"}),
    ],
)
def test_an_upgrade_keeps_what_an_older_store_holds(
    engine: Engine, tmp_path: Path, revision: str, unknown: set[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    event = Event(seconds=1.0, kind="start", detail={})
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), revision)
        tables = set(inspect(connection).get_table_names())
    assert unknown == set(Table.metadata.tables) - tables
    engine.dispose()
    fill(tmp_path / "palmette.db")
    with pytest.raises(StorageError, match="written by an older palmette; run `palmette grow`"):
        Store(url, create=False)
    with Store(url) as store:
        campaign = store.campaign("first")
        assert campaign.config == example_config()
        assert campaign.events() == [event]
        assert campaign.thoughts() == []
        campaign.add_thought(example_thought(), "a prompt")
        assert campaign.thoughts() == [example_thought()]
        # It began without a commitment, and none is made up for it afterwards.
        assert store.create_campaign(example_config(), draw=True).draws() == []
        room = ExamRoom(store)
        assert (room.exams(), room.ledger()) == ([], [])
        assert campaign.commit_draw().number == 1


def fill(path: Path) -> None:
    """A campaign and an event, as a store of any version holds them."""
    connection = sqlite3.connect(path)
    row = ("first", example_config().model_dump_json(), "stopped", "", 0.0, 0.0)
    connection.execute(
        "INSERT INTO campaign (name, config, state, budget, elapsed_seconds, used) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        row,
    )
    connection.execute(
        "INSERT INTO event (campaign_id, seconds, kind, detail) VALUES (1, 1.0, 'start', '{}')"
    )
    connection.commit()
    connection.close()


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "palmette.db"
    path.touch()
    with Store(f"sqlite:///{path}") as store:
        assert store.campaigns() == []


def test_a_trial_key_is_what_it_always_was() -> None:
    """Stores hold keys: a change of `TrialSpec` that moves them would run every trial again."""
    spec = TrialSpec(
        genome="g",
        expression="lm(pre(glu()))",
        rung="1",
        rung_digest="r",
        parameters=1,
        tokens=2,
        batch_size=3,
        length=4,
        evaluation_tokens=5,
        suite="pocket",
        suite_digest="s",
        seed=6,
        learning_rate=0.1,
        numerics=1,
    )
    assert spec.key == "acb55583fa98f76ec70b96ebfe323dad4959137d8bbc5ffab4294e1e8c942a79"
