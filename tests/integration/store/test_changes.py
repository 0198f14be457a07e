"""Concurrent writers of the definition store and the readers of its changes, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from config.definitions import EvaluationDraft, patch_draft
from storage.sql.changes import read_changes
from storage.sql.engine import Database, StoreUnavailable, open_database
from storage.sql.evaluation_changes import evaluation_versions, evaluations
from storage.sql.evaluations import EvaluationConflict, Evaluations, Expected
from storage.sql.migrations import check_current
from storage.sql.revision import read_revision
from tests.integration.store.conftest import NOW, draft

# -- concurrency ----------------------------------------------------------------------------------------


def test_a_stale_writer_is_told_and_changes_nothing(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)

    def rename(name: str, expected: Expected) -> Any:
        renamed = partial(patch_draft, changes={"name": name})
        return store.update(1, made.id, renamed, actor="me", now=NOW, expected=expected)

    rename("first", Expected(revision=made.revision))
    with pytest.raises(EvaluationConflict) as caught:
        rename("second", Expected(revision=made.revision))
    assert caught.value.current.name == "first"
    with pytest.raises(EvaluationConflict):
        rename("second", Expected(version=2))
    assert store.get(1, made.id).name == "first"


def test_concurrent_writers_lose_no_change_and_revisions_count_every_one(
    store: Evaluations, database: Database
) -> None:
    """Each writer appends to the description; in the end every letter is there, in as many revisions."""
    made = store.create(1, draft(), actor="me", now=NOW)
    other = store.create(2, draft(), actor="me", now=NOW)

    def append(number: int) -> int:
        team, identity = (1, made.id) if number % 2 else (2, other.id)
        return store.update(
            team, identity, lambda e: patch_draft(e, {"description": e.description + "x"}), actor="me", now=NOW
        ).revision

    with ThreadPoolExecutor(8) as pool:
        revisions = list(pool.map(append, range(40)))
    assert len(set(revisions)) == 40
    assert len(store.get(1, made.id).description) == 20
    assert len(store.get(2, other.id).description) == 20
    with database.read() as connection:
        assert read_revision(connection).number == max(revisions)


def test_a_reader_never_misses_a_change_that_a_revision_covers(store: Evaluations, database: Database) -> None:
    """Readers poll while writers write; changes alone give them the definitions of the store."""
    done = threading.Event()
    seen: dict[str, str] = {}

    def read() -> None:
        revision = None
        while True:
            last = done.is_set()
            changes = read_changes(database, revision)
            if changes is not None:
                revision = changes.revision
                for team in changes.teams.values():
                    seen.update({e.id: e.name for e in team.evaluations})
            if last:
                return

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: store.create(n % 3, draft(name=f"n{n}"), actor="me", now=NOW), range(40)))
    done.set()
    reader.join()
    assert seen == {e.id: e.name for e in made}


def test_a_failure_within_a_change_leaves_nothing_behind(store: Evaluations, database: Database) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)

    def fail(_: EvaluationDraft) -> EvaluationDraft:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        store.update(1, made.id, fail, actor="me", now=NOW)
    with database.read() as connection:
        assert read_revision(connection).number == made.revision
    store.update(1, made.id, lambda e: patch_draft(e, {"name": "after"}), actor="me", now=NOW)


def test_a_writer_that_waits_too_long_for_the_lock_is_told_so(dsn: str, database: Database) -> None:
    impatient = open_database(dsn, statement_timeout_s=0.3)
    store = Evaluations(impatient)
    with database.write() as connection:
        connection.execute(text("UPDATE store_revision SET revision = revision"))
        with pytest.raises(StoreUnavailable):
            store.create(1, draft(), actor="me", now=NOW)
    assert store.create(1, draft(), actor="me", now=NOW).version == 1
    impatient.close()


# -- changes --------------------------------------------------------------------------------------------


def test_changes_name_only_the_teams_that_changed(store: Evaluations, database: Database) -> None:
    first = store.create(1, draft(), actor="me", now=NOW)
    store.create(2, draft(), actor="me", now=NOW)
    everything = read_changes(database, None)
    assert everything is not None
    assert (set(everything.teams), everything.complete) == ({1, 2}, True)
    assert read_changes(database, everything.revision) is None
    store.update(1, first.id, lambda e: patch_draft(e, {"deleted": True}), actor="me", now=NOW)
    changes = read_changes(database, everything.revision)
    assert changes is not None
    assert not changes.complete
    assert {team: len(found.evaluations) for team, found in changes.teams.items()} == {1: 0}


def test_a_store_that_was_restored_or_replaced_is_read_anew(store: Evaluations, database: Database) -> None:
    store.create(1, draft(), actor="me", now=NOW)
    before = read_changes(database, None)
    assert before is not None
    for number, identity in ((before.revision.number - 1, before.revision.store_id), (before.revision.number, "other")):
        with database.write() as connection:
            connection.execute(
                text("UPDATE store_revision SET revision = :r, store_id = :s"), {"r": number, "s": identity}
            )
        changes = read_changes(database, before.revision)
        assert changes is not None
        assert changes.complete


def test_a_row_that_was_spoilt_by_hand_is_reported_and_hides_no_other(store: Evaluations, database: Database) -> None:
    good = store.create(1, draft(), actor="me", now=NOW)
    bad = store.create(1, draft(), actor="me", now=NOW)
    with database.write() as connection:
        connection.execute(update(evaluations).where(evaluations.c.id == bad.id).values(conditions=[{"id": 5}]))
    changes = read_changes(database, None)
    assert changes is not None
    team = changes.teams[1]
    assert [e.id for e in team.evaluations] == [good.id]
    assert list(team.unreadable) == [bad.id]
    assert "conditions" in team.unreadable[bad.id]


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.write() as connection:
        connection.execute(
            insert(evaluation_versions).values(
                evaluation_id="none", version=1, team_id=1, fingerprint="f", definition={}, created_at=NOW
            )
        )
    with database.read() as connection:
        assert connection.execute(select(evaluation_versions)).all() == []


def test_an_error_of_the_store_names_no_password() -> None:
    database = open_database("postgresql://u:hunter2@127.0.0.1:1/d", connect_timeout_s=1)
    with pytest.raises(StoreUnavailable) as caught:
        check_current(database)
    assert "hunter2" not in str(caught.value)
    database.close()
