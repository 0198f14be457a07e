"""How large a definition may be: refused with the limit and its setting named, where a definition is saved."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.definition_errors import DefinitionError
from config.definition_limits import check_conditions, check_draft
from config.definitions import parse_draft, patch_draft
from config.files import FileEvaluation
from config.settings.sections import Definitions
from storage.apply import apply_definitions
from storage.sql.engine import Database, open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Definitions(
    max_evaluations_per_team=2, max_condition_sets=2, max_filters=3, max_hogql_filters=1, max_values=4, max_bytes=1000
)


def draft(*sets: list[dict[str, Any]], **fields: Any) -> Any:
    conditions = [{"id": str(n), "properties": filters} for n, filters in enumerate(sets)]
    given = {"name": "n", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
    return parse_draft({**given, "conditions": conditions, **fields})


def a_filter(value: Any = "v", **fields: Any) -> dict[str, Any]:
    return {"key": "k", "value": value, **fields}


TOO_LARGE = {
    "max_condition_sets": draft([], [], []),
    "max_filters": draft([a_filter()] * 2, [{"type": "OR", "values": [a_filter()] * 2}]),
    "max_hogql_filters": draft([{"type": "hogql", "key": "true"}] * 2),
    "max_values": draft([a_filter([1, 2, 3, 4, 5])]),
    "max_bytes": draft(evaluation_config={"source": "return true //" + "é" * 500}),
}


@pytest.mark.parametrize("setting", TOO_LARGE)
def test_the_limit_and_its_setting_are_named(setting: str) -> None:
    with pytest.raises(DefinitionError, match=rf"definitions\.{setting} is {getattr(LIMITS, setting)}") as raised:
        check_draft(TOO_LARGE[setting], LIMITS)
    assert raised.value.attr == ("" if setting == "max_bytes" else "conditions")
    check_draft(TOO_LARGE[setting], Definitions())


def test_a_definition_at_every_limit_passes() -> None:
    check_draft(draft([a_filter([1, 2, 3, 4])], [a_filter(), {"type": "hogql", "key": "true"}]), LIMITS)
    check_conditions((), LIMITS)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db", limits=LIMITS)
    upgrade(database)
    return database


def test_what_is_too_large_is_not_saved_by_any_way(database: Database) -> None:
    store = Evaluations(database)
    with pytest.raises(DefinitionError, match="max_filters"):
        store.create(1, TOO_LARGE["max_filters"], actor=None, now=NOW)
    kept = store.create(1, draft([]), actor=None, now=NOW)
    with pytest.raises(DefinitionError, match="max_values"):
        store.update(1, kept.id, lambda _: TOO_LARGE["max_values"], actor=None, now=NOW)
    file = FileEvaluation(TOO_LARGE["max_condition_sets"], None, Path("wrong.yaml"), 7)
    with pytest.raises(DefinitionError, match=r"wrong\.yaml:7: .*max_condition_sets"):
        apply_definitions(database, 1, [file], actor="cli", now=NOW)
    assert list(store.each(1)) == [kept]


def test_a_team_may_not_have_more_evaluations_than_the_limit(database: Database) -> None:
    store = Evaluations(database)
    first, _ = (store.create(1, draft([]), actor=None, now=NOW) for _ in range(2))
    store.create(2, draft([]), actor=None, now=NOW)
    with pytest.raises(DefinitionError, match="max_evaluations_per_team is 2"):
        store.create(1, draft([]), actor=None, now=NOW)
    store.update(1, first.id, lambda each: patch_draft(each, {"deleted": True}), actor=None, now=NOW)
    store.create(1, draft([]), actor=None, now=NOW)
    with pytest.raises(DefinitionError, match="max_evaluations_per_team is 2"):
        store.update(
            1,
            first.id,
            lambda each: patch_draft(each, {"deleted": False}),
            actor=None,
            now=NOW,
            include_deleted=True,
        )


def test_an_evaluation_from_before_a_limit_still_loads_and_can_be_switched_off_and_deleted(
    database: Database, tmp_path: Path
) -> None:
    wide = open_database(f"sqlite:///{tmp_path}/gavel.db")
    draft_on = TOO_LARGE["max_filters"].model_copy(update={"enabled": True})
    old = Evaluations(wide).create(1, draft_on, actor=None, now=NOW)
    store = Evaluations(database)
    for change in ({"enabled": False}, {"deleted": True}):
        store.update(1, old.id, lambda each, to=change: patch_draft(each, to), actor=None, now=NOW)
    assert list(store.each(1)) == []


def test_a_hogql_filter_that_names_an_unknown_global_is_refused_when_it_is_saved() -> None:
    for known in ("properties.a", "person.properties.b", "event", "distinct_id", "let_me"):
        filters = [{"type": "hogql", "key": f"{known} == 'x'"}]
        if known != "let_me":
            draft(filters)
            continue
        with pytest.raises(DefinitionError, match="let_me") as raised:
            draft(filters)
        assert raised.value.attr == "conditions"


def test_a_stored_hogql_filter_with_an_unknown_global_still_loads(database: Database) -> None:
    """It was saved by an older release: it is an error of its evaluation at an event, not of the whole team."""
    store = Evaluations(database)
    kept = store.create(1, draft([{"type": "hogql", "key": "event == 'x'"}]), actor=None, now=NOW)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE evaluations SET conditions = replace(conditions, 'event ==', 'nobody ==')")
    assert store.get(1, kept.id).conditions[0].properties[0].key == "nobody == 'x'"
