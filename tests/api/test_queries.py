"""No endpoint asks the store more often because a page is longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from examples.stand_in.client import StandInServer
from storage.sql.api_keys import ApiKeys
from tests.api.conftest import Api


@contextmanager
def counted(api: Api) -> Iterator[list[str]]:
    """Collect the statements that the store is asked."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = api.services.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def fill(api: Api, stand_in: StandInServer, count: int) -> str:
    """Make `count` of everything, each by a key and with a provider key of its own; return an evaluation's id."""
    evaluation = api.hog()
    (event,) = api.events({"$ai_input": "i"})
    dataset = api.ok("POST", "datasets/", 201, json={"name": "d"})
    for number in range(count):
        as_other = api.as_key(api.key("*"))

        def post(path: str, body: Any, client: Any = as_other) -> Any:
            answer = client.post(f"/api/projects/{api.team}/{path}", json=body)
            assert answer.status_code in (200, 201, 202), answer.text
            return answer.json()

        key = post(
            "llm_analytics/provider_keys/",
            {"provider": "custom", "name": "k", "api_key": "sk-count-0123456789", "base_url": stand_in.base_url},
        )
        model = {"provider": "custom", "model": "m", "provider_key_id": key["id"]}
        config = {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}, "model_configuration": model}
        post("evaluations/", {"name": f"e{number}", **config})
        post("datasets/", {"name": f"d{number}"})
        post("dataset_items/", {"dataset": dataset["id"]})
        post(
            "evaluation_runs/",
            {"evaluation_id": evaluation["id"], "target_event_id": event, "timestamp": "2026-01-01T00:00:00Z"},
        )
        window = {"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-02T00:00:00Z"}
        backfill = post(f"evaluations/{evaluation['id']}/backfills/", window)
        post(f"evaluations/{evaluation['id']}/backfills/{backfill['id']}/cancel/", None)
        api.ok(
            "PATCH", f"evaluations/{evaluation['id']}/", json={"evaluation_config": {"source": f"return {number} > 0"}}
        )
        api.result(evaluation, event)
    return str(evaluation["id"])


LISTS = (
    "evaluations/", "evaluations/{id}/versions/", "evaluations/{id}/history/", "evaluations/{id}/backfills/",
    "evaluations/{id}/results/", "evaluation_runs/", "llm_analytics/provider_keys/", "datasets/", "dataset_items/",
    "events/",
)  # fmt: skip


def test_lists_ask_the_store_a_constant_number_of_times(api: Api, stand_in: StandInServer) -> None:
    small = fill(api, stand_in, 2)
    ApiKeys(api.services.database).find("warm", now=datetime.now(UTC))
    counts = {path: _statements(api, path.replace("{id}", small)) for path in LISTS}
    large = fill(api, stand_in, 8)
    # The first time asks for what is not known yet, at once; after it nothing but the list itself is asked for.
    first = {path: _statements(api, path.replace("{id}", large)) for path in LISTS}
    again = {path: _statements(api, path.replace("{id}", large)) for path in LISTS}
    assert max(first.values()) <= 8, first
    assert all(again[path] <= counts[path] for path in LISTS), (again, counts)


def _statements(api: Api, path: str) -> int:
    with counted(api) as statements:
        api.ok("GET", path)
    begins = ("BEGIN", "SELECT 1", "SHOW", "SELECT pg_catalog")
    # The caller's key is looked up once in a while, whatever is asked.
    asked = [text for text in statements if not text.startswith(begins) and "key_hash = " not in text]
    return len(asked)


@pytest.mark.parametrize("order", ["created_at", "-created_at", "-updated_at", "name"])
def test_pages_in_every_order_are_read_from_an_index(api: Api, order: str) -> None:
    """SQLite tells its plan: no sort of all rows for a page of them."""
    if api.services.database.dialect != "sqlite":
        # PostgreSQL chooses by size and sorts a handful of rows; the indexes are the same by migration.
        with api.services.database.read() as connection:
            names = {index["name"] for index in sa.inspect(connection).get_indexes("evaluations")}
        assert {"ix_evaluations_team_created", "ix_evaluations_team_updated", "ix_evaluations_team_name"} <= names
        return
    api.hog()
    with counted(api) as statements:
        api.ok("GET", f"evaluations/?order_by={order}")
    queries = [text for text in statements if "ORDER BY" in text]
    assert len(queries) == 2  # the second one reads a page that is not remembered
    with api.services.database.read() as connection:
        for query in queries:
            given = [api.team] * (query.count("?") - 2)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", (*given, 100, 0)).all()
            assert "USE TEMP B-TREE" not in repr(plan), plan
