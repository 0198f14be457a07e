"""The cost of one edit to a processor whose team has thousands of evaluations, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from config.definitions import load_stored, parse_draft, patch_draft
from storage.snapshot import Snapshot, SnapshotPoller
from storage.sql import changes as changes_module
from storage.sql.changes import read_changes
from storage.sql.engine import Database
from storage.sql.evaluation_changes import evaluations
from storage.sql.evaluations import Evaluations
from storage.sql.revision import store_revision

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIZE = 3000


def fill(database: Database, size: int) -> str:
    """Make a team of `size` Hog evaluations and return the id of the first."""
    made = Evaluations(database).create(
        1,
        parse_draft(
            {"name": "n", "enabled": True, "evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
        ),
        actor="me",
        now=NOW,
    )
    with database.write() as connection:
        row = dict(connection.execute(select(evaluations)).mappings().one())
        copies = [{**row, "id": f"ffffffff-0000-7000-8000-{n:012d}", "name": f"n{n}"} for n in range(1, size)]
        connection.execute(insert(evaluations), copies)
    return made.id


def seen(poller: SnapshotPoller) -> Snapshot:
    assert poller.poll()
    snapshot = poller.current
    assert snapshot is not None
    return snapshot


def test_one_edit_in_a_team_of_thousands_reads_one_row(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three statements, whatever the size of the team; every other evaluation stays the object that it was."""
    edited = fill(database, SIZE)
    store = Evaluations(database)
    poller = SnapshotPoller(partial(read_changes, database))
    before = seen(poller).teams[1]
    assert (len(before.evaluations), before.enabled) == (SIZE, SIZE)
    store.update(
        1, edited, lambda e: patch_draft(e, {"evaluation_config": {"source": "return false"}}), actor="me", now=NOW
    )

    statements: list[str] = []
    read: list[str] = []

    def count(row: Any) -> Any:
        read.append(row["id"])
        return load_stored(row)

    monkeypatch.setattr(changes_module, "load_stored", count)
    event.listen(database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    after = seen(poller).teams[1]
    selects = [each for each in statements if each.startswith("SELECT")]
    assert read == [edited]
    assert len(selects) == 3
    changed = [
        old.definition.id for old, new in zip(before.evaluations, after.evaluations, strict=True) if old is not new
    ]
    assert changed == [edited]
    assert after.by_id[edited].definition.source == "return false"

    statements.clear()
    assert seen(poller).teams[1] is after
    assert len([each for each in statements if each.startswith("SELECT")]) == 1, "a look at an unchanged store"


def test_deleted_disabled_and_restored_evaluations_reach_the_snapshot_as_single_rows(database: Database) -> None:
    edited = fill(database, 5)
    store = Evaluations(database)
    poller = SnapshotPoller(partial(read_changes, database))
    first = seen(poller)
    for patch, there, enabled in (
        ({"enabled": False}, True, 4),
        ({"deleted": True}, False, 4),
        ({"deleted": False, "enabled": True}, True, 5),
    ):
        store.update(1, edited, partial(patch_draft, changes=patch), actor="me", now=NOW, include_deleted=True)
        snapshot = seen(poller)
        assert (edited in snapshot.teams[1].by_id, snapshot.teams[1].enabled) == (there, enabled)
        others = {key: each for key, each in first.teams[1].by_id.items() if key != edited}
        assert all(snapshot.teams[1].by_id[key] is each for key, each in others.items())


def test_a_store_that_was_replaced_leaves_nothing_of_the_old_one(database: Database) -> None:
    """A restored backup may hold an older row under a revision that was seen already."""
    edited = fill(database, 5)
    poller = SnapshotPoller(partial(read_changes, database))
    seen(poller)
    with database.write() as connection:
        connection.execute(update(evaluations).where(evaluations.c.id == edited).values(name="restored"))
        connection.execute(evaluations.delete().where(evaluations.c.id.like("%000000000001")))
        connection.execute(update(store_revision).values(store_id="another"))
    team = seen(poller).teams[1]
    assert len(team.evaluations) == 4
    assert team.by_id[edited].definition.name == "restored"
