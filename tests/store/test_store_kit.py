from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from palmette.testing.exam_room_kit import ExamRoomKit
from palmette.testing.store_kit import StoreKit


class Sqlite:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'a store.db'}"


class Postgresql:
    """On the empty database that PALMETTE_TEST_POSTGRESQL names (its tables are dropped)."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        url = os.environ.get("PALMETTE_TEST_POSTGRESQL")
        if url is None:
            pytest.skip(
                "set PALMETTE_TEST_POSTGRESQL=postgresql+psycopg://… of an empty database "
                "to run the contract there"
            )
        yield url
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()


class TestSqlite(Sqlite, StoreKit):
    pass


class TestExamsOnSqlite(Sqlite, ExamRoomKit):
    pass


class TestPostgresql(Postgresql, StoreKit):
    pass


class TestExamsOnPostgresql(Postgresql, ExamRoomKit):
    pass
