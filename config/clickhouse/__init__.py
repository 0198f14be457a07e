"""ClickHouse: connecting by DSN, the tables and their migrations, and reading results back."""

from __future__ import annotations

from config.clickhouse.connect import connect
from config.clickhouse.errors import BadDsn, ClickHouseProblem, DirectoryInUse, SchemaMismatch, Unreachable
from config.clickhouse.migrate import Migration, check, load_migrations, migrate

RESULTS_TABLE = "evaluation_results"
ARCHIVE_TABLE = "ai_events"

__all__ = [
    "ARCHIVE_TABLE",
    "RESULTS_TABLE",
    "BadDsn",
    "ClickHouseProblem",
    "DirectoryInUse",
    "Migration",
    "SchemaMismatch",
    "Unreachable",
    "check",
    "connect",
    "load_migrations",
    "migrate",
]
