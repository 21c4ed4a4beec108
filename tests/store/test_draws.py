from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from palmette.errors import StorageError
from palmette.store import Store, draws
from palmette.store.exams import ExamRoom
from palmette.testing.example_records import example_config


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/palmette.db") as opened:
        yield opened


def rows(tmp_path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(tmp_path / "palmette.db")
    with connection:
        found = connection.execute(statement).fetchall()
    connection.close()
    return found


def test_a_killed_campaign_is_made_with_its_draw_or_not_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(draws, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            store.create_campaign(example_config(), draw=True)
    assert store.campaigns() == []
    assert len(store.create_campaign(example_config(), draw=True).draws()) == 1


def test_nothing_shows_a_secret_that_is_shut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/palmette.db"
    with caplog.at_level(logging.DEBUG, "sqlalchemy.engine"), Store(url) as store:
        campaign = store.create_campaign(example_config(), draw=True)
        told = [campaign.commit_draw(), *campaign.draws()]
    secrets = [str(secret) for (secret,) in rows(tmp_path, "SELECT secret FROM draw")]
    shown = [caplog.text, repr(campaign), repr(vars(campaign)), repr(told)]
    shown += [draw.model_dump_json() for draw in told]
    assert len(set(secrets)) == 2
    assert "INSERT INTO draw" in caplog.text
    assert not [text for text in shown for secret in secrets if secret in text]


def test_an_error_of_the_database_shows_no_secret(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "5ec4e7" * 11
    monkeypatch.setattr("palmette.store.draws.secrets.token_hex", lambda _: secret[:64])
    campaign = store.create_campaign(example_config())
    rows(tmp_path, "ALTER TABLE draw RENAME COLUMN secret TO gone")
    with pytest.raises(StorageError) as refused:
        campaign.commit_draw()
    told = "".join(traceback.format_exception(refused.value))
    assert "draw has no column named secret" in told
    assert secret[:64] not in told


@pytest.mark.parametrize("secret", ["00" * 32, "no hex", ""])
def test_a_secret_that_was_changed_is_not_opened(store: Store, tmp_path: Path, secret: str) -> None:
    campaign = store.create_campaign(example_config(), draw=True)
    rows(tmp_path, f"UPDATE draw SET secret = '{secret}'")
    with pytest.raises(StorageError, match="draw 1 of campaign 'first' is damaged: its secret"):
        ExamRoom(store).open_draw(campaign, 1)
    assert campaign.draws()[0].opened_at is None
