"""The definition store, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.definitions import EvaluationDraft, parse_draft
from storage.sql.engine import Database, open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def draft(name: str = "Helpful", **fields: Any) -> EvaluationDraft:
    return parse_draft(
        {"name": name, "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it?"}, **fields}
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/folder/gavel.db"
    found: str = request.getfixturevalue("postgres_dsn")
    return found


@pytest.fixture
def empty(dsn: str) -> Iterator[Database]:
    database = open_database(dsn, pool_size=20, statement_timeout_s=20)
    yield database
    database.close()


@pytest.fixture
def database(empty: Database) -> Database:
    upgrade(empty)
    return empty


@pytest.fixture
def store(database: Database) -> Evaluations:
    return Evaluations(database)
