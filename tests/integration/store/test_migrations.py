"""Migrations of the definition store, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from storage.sql.changes import read_changes
from storage.sql.engine import Database, StoreSchemaError, StoreUnavailable, open_database
from storage.sql.measurements import MeasurementRuns, NewMeasurement
from storage.sql.migrations import check_current, upgrade
from storage.sql.revision import read_revision
from storage.sql.tables import metadata
from tests.integration.store.conftest import NOW
from tests.services.waiting import PATIENCE_S


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    """The models and the migrations are written twice; Alembic finds no difference between them."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [each for each in compare_metadata(context, metadata) if "remove_table" not in str(each[0])]
    mine = {"store_revision", "team_revisions", "evaluations", "evaluation_versions", "audit_log"}
    assert [each for each in differences if any(table in str(each) for table in mine)] == []


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        before = read_revision(connection)
    assert upgrade(database) == []
    with database.read() as connection:
        assert read_revision(connection) == before
    check_current(database)


def test_many_processes_upgrading_at_once_take_turns(dsn: str) -> None:
    databases = [open_database(dsn, statement_timeout_s=PATIENCE_S) for _ in range(8)]
    barrier = threading.Barrier(len(databases))

    def run(database: Database) -> list[str]:
        barrier.wait()
        return upgrade(database)

    with ThreadPoolExecutor(len(databases)) as pool:
        applied = list(pool.map(run, databases))
    assert sorted(map(len, applied), reverse=True)[1:] == [0] * 7
    check_current(databases[0])
    for database in databases:
        database.close()


def test_a_migration_that_fails_half_way_leaves_the_store_as_it_was(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the next start does all of it."""
    from alembic import op

    real, calls = op.create_table, []

    def failing(name: str, *columns: Any, **options: Any) -> Any:
        calls.append(name)
        if name == "audit_log":
            raise RuntimeError("power cut")
        return real(name, *columns, **options)

    monkeypatch.setattr(op, "create_table", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade(empty)
    assert len(calls) > 1
    with pytest.raises(StoreSchemaError, match="gavel init"):
        check_current(empty)
    monkeypatch.undo()
    assert upgrade(empty)[0] == "0001"
    check_current(empty)


def test_a_store_that_was_not_set_up_is_told_apart_from_one_without_evaluations(empty: Database) -> None:
    with pytest.raises(StoreSchemaError, match="gavel init"):
        check_current(empty)
    with pytest.raises((StoreSchemaError, StoreUnavailable)):
        read_changes(empty, None)


def test_a_store_of_a_newer_release_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (check_current, upgrade):
        with pytest.raises(StoreSchemaError, match="newer release"):
            attempt(database)


def test_measurements_of_before_are_found_by_their_dataset(database: Database) -> None:
    store = MeasurementRuns(database)
    ids = []
    for params in (
        {"dataset": "d1"},
        {"golden_set": "g", "golden_set_version": 1},
        {"dataset": "d2"},
        {"dataset": "d1"},
    ):
        new = NewMeasurement(
            team_id=1, evaluation_id="e", kind="consistency", versions=(1,), repeats=2, params=params, items=()
        )
        ids.append(store.create(new, actor="key:1", now=NOW + timedelta(minutes=len(ids))).id)
    with database.write() as connection:
        connection.execute(text("DROP TABLE console_sent_forms"))
        connection.execute(text("DROP INDEX ix_measurement_runs_dataset"))
        connection.execute(text("ALTER TABLE measurement_runs DROP COLUMN dataset"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0017'"))
    assert upgrade(database) == ["0018", "0019"]
    assert [each.id for each in store.of_dataset(1, "d1", limit=5)] == [ids[3], ids[0]]
    assert [each.id for each in store.of_dataset(1, "d2", limit=5)] == [ids[2]]
    assert store.of_dataset(2, "d1", limit=5) == []
    golden = store.get(1, ids[1])
    assert golden is not None
    assert golden.dataset is None
    newest = (NOW + timedelta(minutes=3), ids[3])
    assert [each.id for each in store.of_dataset(1, "d1", limit=5, behind=newest)] == [ids[0]]
