"""Groups say how many there are, and whether older results were left out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from storage.clickhouse import connect, groups, migrate
from storage.clickhouse.groups import count_groups
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection
from tests.unit.storage.clickhouse.test_recent_and_outcomes import NOW, row

SELECTION = ResultSelection(1, evaluation_id="e")
RESULTS = 80


def insert(client: Client, table: str, rows: list[dict[str, Any]]) -> None:
    client.insert(table, [list(each.values()) for each in rows], column_names=list(rows[0]))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """80 results of 80 generations; 40 values of the model, and as many of the property `city`."""
    folder: Path = tmp_path_factory.mktemp("clickhouse")
    found = connect(f"chdb://{folder}/data")
    migrate(found)
    chance = random.Random(1)
    results = [
        row(evaluation, chance, place) | {"target_event_id": f"g{place}", "model": f"m{place % 40:02}"}
        for evaluation in ("e", "unruled")
        for place in range(RESULTS)
    ]
    events = [
        {
            "uuid": f"g{place}", "event": "$ai_generation", "team_id": 1, "distinct_id": "a",
            "timestamp": NOW - timedelta(minutes=11 * place), "properties": json.dumps({"city": f"c{place % 40:02}"}),
        }
        for place in range(RESULTS)
    ]  # fmt: skip
    insert(found, "evaluation_results", results)
    insert(found, "ai_events", events)
    yield found
    found.close()


@pytest.mark.parametrize("by", ["model", "city"])
def test_the_largest_groups_come_with_the_count_of_all(client: Client, by: str) -> None:
    found = count_groups(client, SELECTION, PassRule(), by)
    assert (len(found.rows), found.groups, found.results, found.newest) == (30, 40, RESULTS, False)
    assert set(found.rows[0]) == {"value", "passed", "failed", "scored", "undecided"}


@pytest.mark.parametrize("by", ["provider", "country"])
def test_a_score_that_no_rule_decides_is_a_verdict(client: Client, by: str) -> None:
    """Every seventh result is a skip, every fifth of the others is N/A, and the rest are scores."""
    selection = ResultSelection(1, evaluation_id="unruled")
    undecided = sum(1 for place in range(RESULTS) if place % 7 == 0 or place % 5 == 0)
    [unread] = count_groups(client, selection, PassRule(), by).rows
    assert (unread["passed"], unread["failed"]) == (0, 0)
    assert (unread["scored"], unread["undecided"]) == (RESULTS - undecided, undecided)
    [read] = count_groups(client, selection, PassRule(operator="gte", threshold=2.0), by).rows
    assert (read["scored"], read["undecided"]) == (0, undecided)
    assert read["passed"] + read["failed"] == RESULTS - undecided


def test_a_property_says_that_only_the_newest_results_are_counted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "NEWEST", 50)
    found = count_groups(client, SELECTION, PassRule(), "city")
    assert (found.groups, found.results, found.newest) == (40, 50, True)
    assert not count_groups(client, SELECTION, PassRule(), "model").newest, "a column is counted whole"


def test_no_results_are_no_groups(client: Client) -> None:
    found = count_groups(client, ResultSelection(2, evaluation_id="e"), PassRule(), "model")
    assert (list(found.rows), found.groups, found.results, found.newest) == ([], 0, 0, False)
