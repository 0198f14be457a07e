"""Stored evaluations, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from config.definitions import EvaluationDraft, patch_draft
from storage.sql.engine import Database
from storage.sql.evaluation_changes import EvaluationExists, EvaluationNotFound, evaluations
from storage.sql.evaluation_queries import EvaluationQuery
from storage.sql.evaluations import Evaluations
from tests.integration.store.conftest import NOW, draft

# -- stored evaluations ----------------------------------------------------------------------------------

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


def test_a_page_takes_four_statements_whatever_its_size_and_one_when_known(
    store: Evaluations, database: Database
) -> None:
    for _ in range(30):
        store.create(1, draft(), actor="me", now=NOW)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert len(store.page(1, EvaluationQuery(limit=30)).results) == 30
    assert len([each for each in statements if each.startswith("SELECT")]) == 4
    statements.clear()
    assert len(store.page(1, EvaluationQuery(limit=30)).results) == 30
    assert [each.partition(" ")[0] for each in statements] == ["SELECT"]  # and no BEGIN around it
