"""Stores for all integration tests: each test runs on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.sql.engine import Database, open_database
from storage.sql.migrations import upgrade
from tests.services.waiting import PATIENCE_S


@pytest.fixture(params=["sqlite", "postgresql"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """DSN of a store that is not there yet (SQLite, in a folder that is not there either) or empty (PostgreSQL)."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/folder/gavel.db"
    found: str = request.getfixturevalue("postgres_dsn")
    return found


@pytest.fixture
def empty(dsn: str) -> Iterator[Database]:
    """A store without tables."""
    database = open_database(dsn, pool_size=20, statement_timeout_s=PATIENCE_S)
    yield database
    database.close()


@pytest.fixture
def database(empty: Database) -> Database:
    """A store with all its tables."""
    upgrade(empty)
    return empty
