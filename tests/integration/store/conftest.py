"""The definition store, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from config.definitions import EvaluationDraft, parse_draft
from storage.sql.engine import Database
from storage.sql.evaluations import Evaluations

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def draft(name: str = "Helpful", **fields: Any) -> EvaluationDraft:
    return parse_draft(
        {"name": name, "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it?"}, **fields}
    )


@pytest.fixture
def store(database: Database) -> Evaluations:
    return Evaluations(database)
