"""The definition store, proved on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update

from config.definitions import EvaluationDraft, parse_draft, patch_draft
from config.migrations import check_current, upgrade
from config.store.changes import read_changes
from config.store.engine import Database, StoreSchemaError, StoreUnavailable, open_database
from config.store.evaluations import (
    EvaluationConflict,
    EvaluationExists,
    EvaluationNotFound,
    EvaluationQuery,
    Evaluations,
)
from config.store.revision import read_revision
from config.store.tables import evaluation_versions, evaluations, metadata

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


# -- migrations -----------------------------------------------------------------------------------------


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
    databases = [open_database(dsn, statement_timeout_s=60) for _ in range(8)]
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


# -- what is stored -------------------------------------------------------------------------------------

HOSTILE = "'; DROP TABLE evaluations; -- %_\\ \u2028 Ünï 🎉"


def test_what_is_stored_is_what_comes_back(store: Evaluations) -> None:
    given = draft(
        name=HOSTILE,
        description=HOSTILE * 100,
        enabled=True,
        output_type="numeric",
        output_config={"min": 0, "max": 0.1, "passing_rule": {"operator": "gte", "threshold": 0.05}},
        conditions=[
            {"id": HOSTILE[:50], "rollout_percentage": 12.34, "properties": [{"key": "k", "value": [1, "2", None]}]}
        ],
        model_configuration={"provider": "custom", "model": "m"},
        budget={"usd": 0.000001, "period": "month"},
        sampling_cohort="independent",
    )
    made = store.create(7, given, actor="me", now=NOW)
    found = store.get(7, made.id)
    assert found == made
    assert found.draft() == given
    assert found.created_at == NOW
    assert found.created_at.utcoffset() == timedelta(0)
    assert (found.version, found.status, found.created_by) == (1, "active", "me")


def test_a_time_of_another_zone_is_stored_as_the_same_instant(store: Evaluations) -> None:
    from zoneinfo import ZoneInfo

    berlin = NOW.astimezone(ZoneInfo("Europe/Berlin"))
    assert store.create(1, draft(), actor=None, now=berlin).created_at == NOW
    with pytest.raises(Exception, match="no time zone"):
        store.create(1, draft(), actor=None, now=NOW.replace(tzinfo=None))


def test_a_change_that_alters_judging_makes_a_version_and_others_do_not(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="ann", now=NOW)
    later = NOW + timedelta(hours=1)

    def edit(**changes: Any) -> Any:
        return store.update(1, made.id, lambda e: patch_draft(e, changes), actor="bob", now=later)

    renamed = edit(name="Kind", enabled=True, conditions=[])
    assert (renamed.version, renamed.fingerprint) == (1, made.fingerprint)
    prompted = edit(evaluation_config={"prompt": "Is it kind?"})
    assert prompted.version == 2
    assert prompted.fingerprint != made.fingerprint
    assert edit(output_config={"allows_na": True}).version == 3
    assert edit(model_configuration={"provider": "openai", "model": "m"}).version == 4
    back = edit(evaluation_config={"prompt": "Is it?"}, output_config={"allows_na": False}, model_configuration=None)
    assert (back.version, back.fingerprint) == (5, made.fingerprint)
    versions = store.versions(1, made.id)
    assert [v.version for v in versions] == [5, 4, 3, 2, 1]
    assert versions[-1].definition["evaluation_config"] == {"prompt": "Is it?"}
    assert (versions[-1].created_by, versions[-2].created_by) == ("ann", "bob")
    assert versions[-2].created_at == later


def test_a_change_of_nothing_is_none(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)
    again = store.update(1, made.id, lambda e: e.draft(), actor="you", now=NOW + timedelta(days=1))
    assert again == made
    assert len(store.history(1, made.id)) == 1


def test_status_and_enabled_move_together_and_enabling_clears_the_reason(store: Evaluations) -> None:
    made = store.create(1, draft(enabled=True), actor="me", now=NOW)
    failed = store.set_status(1, made.id, "error", actor="judge", now=NOW, reason="model_not_found", detail="gone")
    assert (failed.enabled, failed.status, failed.status_reason, failed.status_reason_detail) == (
        False,
        "error",
        "model_not_found",
        "gone",
    )
    renamed = store.update(1, made.id, lambda e: patch_draft(e, {"name": "x"}), actor="me", now=NOW)
    assert (renamed.status, renamed.status_reason) == ("error", "model_not_found")
    enabled = store.update(1, made.id, lambda e: patch_draft(e, {"enabled": True}), actor="me", now=NOW)
    assert (enabled.status, enabled.status_reason, enabled.status_reason_detail) == ("active", None, None)
    paused = store.update(1, made.id, lambda e: patch_draft(e, {"enabled": False}), actor="me", now=NOW)
    assert (paused.enabled, paused.status) == (False, "paused")


def test_a_recovery_does_not_undo_a_persons_pause(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)
    after = store.set_status(1, made.id, "active", actor="judge", now=NOW, only_from=("error",))
    assert after == made


def test_the_database_itself_refuses_active_without_enabled(store: Evaluations, database: Database) -> None:
    made = store.create(1, draft(enabled=True), actor="me", now=NOW)
    with pytest.raises(Exception, match="active_means_enabled"), database.write() as connection:
        connection.execute(update(evaluations).where(evaluations.c.id == made.id).values(status="error"))


def test_the_audit_trail_says_who_changed_what_when(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="ann", now=NOW)
    later = NOW + timedelta(hours=1)
    store.update(1, made.id, lambda e: patch_draft(e, {"name": "Kind"}), actor="bob", now=later)
    store.set_status(1, made.id, "error", actor="judge", now=later, reason="hog_error", detail="5 in a row")
    store.update(1, made.id, lambda e: patch_draft(e, {"deleted": True}), actor="eve", now=later)
    trail = store.history(1, made.id)
    assert [(e.actor, e.action) for e in trail] == [
        ("eve", "deleted"),
        ("judge", "status"),
        ("bob", "updated"),
        ("ann", "created"),
    ]
    assert trail[2].changes == {"name": ["Helpful", "Kind"]}
    assert trail[2].at == later
    assert store.history(2, made.id) == []
    assert len(store.history(1, made.id, limit=1, offset=1)) == 1


def test_a_deleted_evaluation_is_hidden_but_its_versions_stay_and_it_can_be_restored(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)
    store.update(1, made.id, lambda e: patch_draft(e, {"deleted": True}), actor="me", now=NOW)
    with pytest.raises(EvaluationNotFound):
        store.get(1, made.id)
    with pytest.raises(EvaluationNotFound):
        store.set_status(1, made.id, "active", actor="me", now=NOW)
    assert store.page(1, EvaluationQuery()).count == 0
    assert list(store.each(1)) == []
    assert len(store.versions(1, made.id)) == 1
    assert store.get(1, made.id, include_deleted=True).deleted
    store.update(1, made.id, lambda e: patch_draft(e, {"deleted": False}), actor="me", now=NOW, include_deleted=True)
    assert store.get(1, made.id).id == made.id


# -- teams ----------------------------------------------------------------------------------------------


def test_no_operation_reaches_another_teams_evaluation(store: Evaluations) -> None:
    mine = store.create(1, draft(), actor="me", now=NOW)

    def rename(e: EvaluationDraft) -> EvaluationDraft:
        return patch_draft(e, {"name": "stolen"})

    attempts: list[Callable[[], object]] = [
        lambda: store.get(2, mine.id),
        lambda: store.get(2, mine.id, include_deleted=True),
        lambda: store.update(2, mine.id, rename, actor="eve", now=NOW),
        lambda: store.set_status(2, mine.id, "error", actor="eve", now=NOW),
        lambda: store.versions(2, mine.id),
    ]
    for attempt in attempts:
        with pytest.raises(EvaluationNotFound):
            attempt()
    assert store.page(2, EvaluationQuery(ids=[mine.id])).count == 0
    assert list(store.each(2)) == []
    assert store.get(1, mine.id) == mine


@pytest.mark.parametrize("identity", ["", "x", "\x00", "' OR 1=1 --", "\ud800", "1" * 10_000])
def test_an_id_that_is_none_is_not_found(store: Evaluations, identity: str) -> None:
    store.create(1, draft(), actor="me", now=NOW)
    with pytest.raises(EvaluationNotFound):
        store.get(1, identity)
    assert store.page(1, EvaluationQuery(ids=[identity])).count == 0


def test_an_id_is_found_in_any_spelling(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)
    assert store.get(1, made.id.upper()).id == made.id
    assert store.page(1, EvaluationQuery(ids=[made.id.upper()])).count == 1


def test_a_search_for_what_no_database_takes_finds_nothing(store: Evaluations) -> None:
    store.create(1, draft(), actor="me", now=NOW)
    for search in ("\x00", "\ud800"):
        assert store.page(1, EvaluationQuery(search=search)).count == 0


def test_an_id_that_is_taken_is_refused_whoever_has_it(store: Evaluations) -> None:
    mine = store.create(1, draft(), actor="me", now=NOW)
    for team in (1, 2):
        with pytest.raises(EvaluationExists):
            store.create(team, draft(), actor="me", now=NOW, evaluation_id=mine.id)
    assert store.page(2, EvaluationQuery()).count == 0


# -- lists ----------------------------------------------------------------------------------------------


def test_lists_filter_search_and_order(store: Evaluations) -> None:
    for position, (name, enabled) in enumerate([("beta 100%", True), ("Alpha_1", False), ("gamma", True)]):
        store.create(1, draft(name=name, enabled=enabled), actor="me", now=NOW + timedelta(seconds=position))

    def names(**query: Any) -> list[str]:
        return [e.name for e in store.page(1, replace(EvaluationQuery(), **query)).results]

    assert names() == ["gamma", "Alpha_1", "beta 100%"]
    assert names(order_by=("created_at",)) == ["beta 100%", "Alpha_1", "gamma"]
    assert names(enabled=False) == ["Alpha_1"]
    assert names(search="ALPHA") == ["Alpha_1"]
    assert names(search="0%") == ["beta 100%"]
    assert names(search="_") == ["Alpha_1"]
    assert names(search="is there") == []
    assert names(evaluation_type="hog") == []
    assert names(ids=[]) == []


def test_pages_hold_every_row_once_even_where_the_order_ties(store: Evaluations) -> None:
    for _ in range(25):
        store.create(1, draft(), actor="me", now=NOW)
    for order in ("created_at", "-created_at", "name", "-updated_at"):
        seen: list[str] = []
        for offset in range(0, 30, 7):
            page = store.page(1, EvaluationQuery(order_by=(order,), limit=7, offset=offset))
            assert page.count == 25
            seen += [e.id for e in page.results]
        assert len(seen) == len(set(seen)) == 25


def test_a_page_takes_two_statements_whatever_its_size(store: Evaluations, database: Database) -> None:
    for _ in range(30):
        store.create(1, draft(), actor="me", now=NOW)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert len(store.page(1, EvaluationQuery(limit=30)).results) == 30
    assert len([each for each in statements if each.startswith("SELECT")]) == 2


# -- concurrency ----------------------------------------------------------------------------------------


def test_a_stale_writer_is_told_and_changes_nothing(store: Evaluations) -> None:
    made = store.create(1, draft(), actor="me", now=NOW)

    def rename(name: str, **expected: int) -> Any:
        return store.update(1, made.id, lambda e: patch_draft(e, {"name": name}), actor="me", now=NOW, **expected)

    rename("first", expected_revision=made.revision)
    with pytest.raises(EvaluationConflict) as caught:
        rename("second", expected_revision=made.revision)
    assert caught.value.current.name == "first"
    with pytest.raises(EvaluationConflict):
        rename("second", expected_version=2)
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
    """Readers poll while writers write; what they gather from changes alone equals the store in the end."""
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
