"""The two tables behind the console's pages, against the results themselves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from storage.clickhouse import connect, migrate
from storage.clickhouse.outcomes import read_cells, read_latencies
from storage.clickhouse.query import UNREAD, ConfidenceRange, PassRule
from storage.clickhouse.recent import Decided, PageEnd, RecentSelection, newest
from storage.clickhouse.results import ResultSelection, find_results

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
RULES = {
    "plain": PassRule(),
    "polar": PassRule(true_is_failure=True),
    "score": PassRule(operator="gte", threshold=0.7),
    "low": PassRule(operator="lte", threshold=2),
    "kinds": PassRule(categories=("good", "fine")),
    "unruled": PassRule(),
}


def row(evaluation: str, chance: random.Random, place: int) -> dict[str, Any]:
    moment = NOW - timedelta(minutes=11 * place)
    found: dict[str, Any] = {
        "uuid": str(uuid4()), "team_id": 1, "distinct_id": "a", "timestamp": moment, "created_at": moment,
        "record_time": moment, "start_time": moment, "evaluation_id": evaluation, "evaluation_name": evaluation,
        "evaluation_type": "online", "runtime": "hog", "result_type": "boolean", "result": None,
        "numeric_result": None, "categorical_result": [], "applicable": None, "skipped": False, "skip_reason": "",
        "reasoning": f"Because of {place}.", "target_event_id": "e", "target_id": "e", "trigger": "live",
        "properties": "{}", "evaluation_version": 1, "fingerprint": "f", "evaluation_model": "m", "latency_s": 1.5,
        "cost_usd": 0.25, "input_tokens": 10, "output_tokens": 2, "confidence": None,
    }  # fmt: skip
    if place % 3 == 0:
        found["confidence"] = place / 100
    if place % 7 == 0:
        return found | {"skipped": True, "skip_reason": "hog_error"}
    if place % 5 == 0:
        return found | {"applicable": False}
    if evaluation in ("score", "low", "unruled"):
        score = chance.choice((0.7, 0.6999, 2.0, 2.0001, 5.0))
        return found | {"result_type": "numeric", "numeric_result": score}
    if evaluation == "kinds":
        chosen = chance.choice((["good"], ["bad"], ["good", "fine"], ["fine", "bad"]))
        return found | {"result_type": "categorical", "categorical_result": chosen}
    return found | {"result": chance.random() < 0.5}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("clickhouse")
    found = connect(f"chdb://{folder}/data")
    migrate(found)
    chance = random.Random(1)
    rows = [row(evaluation, chance, place) for evaluation in RULES for place in range(60)]
    for part in (rows, rows[:40]):  # the second insert repeats results, as a replay does
        found.insert("evaluation_results", [list(each.values()) for each in part], column_names=list(rows[0]))
    yield found
    found.close()


def selection(**more: Any) -> RecentSelection:
    return RecentSelection(team_id=1, start=NOW - timedelta(days=3), end=NOW + timedelta(hours=1), **more)


def test_pages_show_each_result_once_and_in_order(client: Client) -> None:
    seen: list[str] = []
    behind: PageEnd | None = None
    while page := newest(client, selection(), limit=50, behind=behind):
        seen += [each.uuid for each in page]
        behind = PageEnd(page[-1].timestamp, page[-1].uuid)
    expected = [each.uuid for each in find_results(client, ResultSelection(1), UNREAD, limit=1000)]
    assert seen == expected
    assert len(seen) == 360


@pytest.mark.parametrize("passing", [True, False])
def test_decided_results_are_those_that_the_rules_decide(client: Client, passing: bool) -> None:
    rules = {name: rule for name, rule in RULES.items() if rule != PassRule()}
    found = {each.uuid for each in newest(client, selection(decided=Decided(passing, rules)), limit=400)}
    expected = {
        each.uuid
        for name, rule in RULES.items()
        for each in find_results(
            client, ResultSelection(1, evaluation_id=name), rule, verdict="pass" if passing else "fail", limit=400
        )
    }
    assert found == expected
    assert expected


def test_filters_narrow_the_list(client: Client) -> None:
    assert {each.outcome for each in newest(client, selection(outcome="skipped"), limit=100)} == {"skipped"}
    assert len(newest(client, selection(text="because of 13"), limit=100)) == len(RULES)
    assert newest(client, selection(model="none"), limit=10) == []
    assert newest(client, RecentSelection(team_id=2, start=NOW - timedelta(days=9), end=NOW), limit=10) == []


@pytest.mark.parametrize(
    "wanted",
    [ConfidenceRange(0.3), ConfidenceRange(None, 0.12), ConfidenceRange(0.12, 0.3), ConfidenceRange(0.27, 0.27),
     ConfidenceRange(0.0), ConfidenceRange(0.6, 0.9)],
)  # fmt: skip
def test_a_range_of_confidence_has_both_ends_and_no_result_without_one(client: Client, wanted: ConfidenceRange) -> None:
    everything = newest(client, selection(), limit=400)
    expected = [each.uuid for each in everything if each.confidence in wanted]
    assert [each.uuid for each in newest(client, selection(confidence=wanted), limit=400)] == expected
    stored = find_results(client, ResultSelection(1, confidence=wanted), UNREAD, limit=400)
    assert [each.uuid for each in stored] == expected
    assert all(each.confidence is not None for each in stored)
    assert bool(expected) is (wanted.least != 0.6)


@pytest.mark.parametrize("ends", [(-0.01, None), (None, 1.01), (float("nan"), None), (None, float("inf")), (0.6, 0.5)])
def test_a_range_of_confidence_is_between_0_and_1(ends: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValueError, match="confidence"):
        ConfidenceRange(*ends)


def test_results_that_lie_there_many_times_do_not_end_the_list(client: Client) -> None:
    """Each replay of a stretch writes its results again."""
    chance = random.Random(2)
    rows = [row("plain", chance, place) | {"team_id": 3} for place in range(60)]
    for _ in range(5):
        client.insert("evaluation_results", [list(each.values()) for each in rows], column_names=list(rows[0]))
    wanted, expected = replace(selection(), team_id=3), [each["uuid"] for each in rows]
    assert [each.uuid for each in newest(client, wanted, limit=25)] == expected[:25]
    assert [each.uuid for each in newest(client, wanted, limit=100)] == expected
    behind = PageEnd(rows[40]["timestamp"], rows[40]["uuid"])
    assert [each.uuid for each in newest(client, wanted, limit=25, ahead=behind)] == expected[15:40]


@pytest.mark.parametrize("name", list(RULES))
def test_the_rollup_counts_as_the_results_do(client: Client, name: str) -> None:
    rule = RULES[name]
    cells = read_cells(client, 1, NOW - timedelta(days=3), NOW + timedelta(hours=1), evaluation_ids=[name], hours=6)
    counted: dict[str, int] = {}
    for cell in cells:
        passes = rule.reads(cell.outcome, cell.result_type, cell.score, cell.categories)
        kind = "pass" if passes else "fail" if passes is False else cell.outcome
        counted[kind] = counted.get(kind, 0) + cell.runs
    expected: dict[str, int] = {}
    for each in find_results(client, ResultSelection(1, evaluation_id=name), rule, limit=1000):
        expected[each.verdict] = expected.get(each.verdict, 0) + 1
    assert counted == expected


@pytest.mark.parametrize("hours", [1, 7, 30])
def test_no_stretch_reaches_across_the_edge(client: Client, hours: int) -> None:
    """The stretches on both sides of the edge have the same sums as hours have, wherever the edge lies."""
    start, edge, end = NOW - timedelta(days=2), NOW - timedelta(hours=4, minutes=20), NOW + timedelta(hours=1)

    def sums(hours: int, edge: datetime | None = None) -> tuple[int, int]:
        cells = read_cells(client, 1, start, end, hours=hours, edge=edge)
        middle = NOW - timedelta(hours=5)
        later = sum(cell.runs for cell in cells if cell.start >= middle)
        return sum(cell.runs for cell in cells) - later, later

    assert sums(hours, edge) == sums(1)
    assert min(sums(1)) > 0


def test_latencies_are_of_models(client: Client) -> None:
    found = read_latencies(client, 1, NOW - timedelta(days=3), NOW + timedelta(hours=1))
    assert set(found) == set(RULES)
    assert found["plain"].p95_s == pytest.approx(1.5)
