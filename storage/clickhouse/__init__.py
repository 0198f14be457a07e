"""ClickHouse: connecting by DSN, the tables and their migrations, and reading results back."""

from __future__ import annotations

from storage.clickhouse.connect import connect
from storage.clickhouse.errors import (
    BadDsn,
    ClickHouseProblem,
    DirectoryInUse,
    RightsMissing,
    SchemaMismatch,
    Unreachable,
)
from storage.clickhouse.migrate import Migration, check, load_migrations, migrate, release_expected

RESULTS_TABLE = "evaluation_results"
ARCHIVE_TABLE = "ai_events"
LABELS_TABLE = "evaluation_labels"
MEASUREMENTS_TABLE = "evaluation_measurements"

__all__ = [
    "ARCHIVE_TABLE",
    "LABELS_TABLE",
    "MEASUREMENTS_TABLE",
    "RESULTS_TABLE",
    "BadDsn",
    "ClickHouseProblem",
    "DirectoryInUse",
    "Migration",
    "RightsMissing",
    "SchemaMismatch",
    "Unreachable",
    "check",
    "connect",
    "load_migrations",
    "migrate",
    "release_expected",
]
