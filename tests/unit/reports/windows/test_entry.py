"""Results are read from the topic as they are read from ClickHouse, and anything else is passed over."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from processor.sink.rows import RESULTS
from reports.windows.entry import NotCounted, batches, decode_batch, encode_batch, read_result, read_row
from reports.windows.tally import WindowTally
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection
from storage.clickhouse.windows import ResultWindow, find_windows, fresh_results
from tests.services.records import Record, result_row

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

AT = "2026-11-20 10:00:{:02}.500000"
NOTHING: dict[str, Any] = {"evaluation_result": None}
SCORE = NOTHING | {"evaluation_result_type": "numeric", "evaluation_numeric_result_min": 0.0}
CHOICE = NOTHING | {"evaluation_result_type": "categorical"}


def mixed() -> list[bytes]:
    """Every kind of verdict, some with the figures of a judge."""
    judged = {"evaluation_cost_usd": 0.25, "evaluation_latency": 1.0, "input_tokens": 100, "output_tokens": 10}
    given: list[dict[str, Any]] = [
        {"evaluation_result": True, **judged},
        {"evaluation_result": False, **judged, "evaluation_latency": 70.0},
        {"evaluation_result": True, "evaluation_applicable": True},
        NOTHING | {"evaluation_applicable": False, "evaluation_allows_na": True},
        NOTHING | {"evaluation_skipped": True, "evaluation_skip_reason": "hog_error"},
        NOTHING | {"evaluation_skipped": True, "evaluation_skip_reason": "content_filtered", **judged},
        *(
            SCORE | {"evaluation_numeric_result": score, "evaluation_numeric_result_max": 10.0}
            for score in (0, 0.4, 7.3, 10)
        ),
        SCORE | {"evaluation_numeric_result": 3.0},
        SCORE | {"evaluation_applicable": False},
        CHOICE | {"evaluation_categorical_result": ["polite", "short"]},
        CHOICE | {"evaluation_categorical_result": ["rude"]},
        CHOICE | {"evaluation_categorical_result": []},
    ]
    return [result_row(n, row={"timestamp": AT.format(n)}, **each) for n, each in enumerate(given)]


RULES = [
    PassRule(),
    PassRule(true_is_failure=True),
    PassRule(operator="gte", threshold=7.3),
    PassRule(operator="lte", threshold=0.4),
    PassRule(categories=("polite", "short", "kind")),
]


def store(client: Client, bodies: list[bytes]) -> None:
    rows = [RESULTS.decode(Record(body, at=n)) for n, body in enumerate(bodies)]
    client.insert(
        RESULTS.table,
        list(zip(*rows, strict=True)),
        column_names=RESULTS.columns,
        column_type_names=RESULTS.types,
        column_oriented=True,
        settings={"async_insert": 0},
    )


def tallied(results: list[Any]) -> dict[tuple[float | None, float | None], WindowTally]:
    found: dict[tuple[float | None, float | None], WindowTally] = {}
    for version, entry in results:
        found.setdefault((version.minimum, version.maximum), WindowTally()).add(entry, version)
    return found


def summed(tallies: dict[Any, WindowTally]) -> dict[str, Any]:
    """The figures of all bounds together, as a row of ClickHouse has them."""
    each = list(tallies.values())
    scores = [tally.scores for tally in each if tally.scores]
    slots = [tally.latencies for tally in each if tally.latencies]
    merged: dict[str, Any] = {"skipped": {}, "categories": {}}
    for tally in each:
        for name in merged:
            for key, count in getattr(tally, name).items():
                merged[name][key] = merged[name].get(key, 0) + count
    names = (
        "passed",
        "failed",
        "scored",
        "not_applicable",
        "score_count",
        "score_sum",
        "input_tokens",
        "output_tokens",
    )
    return merged | {
        **{name: sum(getattr(tally, name) for tally in each) for name in names},
        "runs": sum(tally.runs for tally in each),
        "cost_usd": sum(tally.cost_usd for tally in each) if any(tally.priced for tally in each) else None,
        "scores": [sum(column) for column in zip(*scores, strict=True)],
        "latency_count": sum(tally.timed for tally in each),
        "latency_sum_s": sum(tally.latency_sum_s for tally in each),
        "latencies": [sum(column) for column in zip(*slots, strict=True)],
    }


def test_the_live_windows_the_table_and_the_query_have_the_same_figures(client: Client) -> None:
    store(client, mixed())
    for rule in RULES:
        assert_same_figures(client, mixed(), rule)


def assert_same_figures(client: Client, bodies: list[bytes], rule: PassRule) -> None:
    (window,), count = find_windows(client, ResultSelection(1), rule, size="minute")
    assert count == 1
    assert window.start == datetime(2026, 11, 20, 10, tzinfo=UTC)
    rows = fresh_results(client, datetime(2020, 1, 1, tzinfo=UTC), limit=100)
    for results in (
        [read_result(body, lambda *_: rule) for body in bodies],
        [read_row(row, lambda *_: rule) for row in rows],
    ):
        assert len(results) == len(bodies)
        counted = summed(tallied(results))
        for each in fields(ResultWindow):
            if each.name in counted:
                assert getattr(window, each.name) == pytest.approx(counted[each.name]), each.name


def test_windows_are_pages_with_their_number(client: Client) -> None:
    bodies = [result_row(n, row={"timestamp": f"2026-11-20 10:{n:02}:00.000000"}) for n in range(12)]
    store(client, [*bodies, bodies[0]])
    found, count = find_windows(client, ResultSelection(1), PassRule(), size="minute", limit=5, offset=10)
    assert ([window.start.minute for window in found], count) == ([1, 0], 12)
    assert find_windows(client, ResultSelection(1), PassRule(), size="minute", limit=5, offset=20) == ([], 12)
    assert find_windows(client, ResultSelection(2), PassRule(), size="day") == ([], 0)
    (hour,), _ = find_windows(client, ResultSelection(1), PassRule(), size="hour")
    assert (hour.passed, hour.runs) == (12, 12)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "bad_row"),
        (b"\xff\xfe", "bad_row"),
        (b"[" * 100_000, "bad_row"),
        (b'{"event": "$ai_evaluation"}', "bad_row"),
        (result_row(1, row={"event": "$ai_evaluation_shift"}), "other_event"),
        (result_row(1, row={"uuid": "not one"}), "bad_row"),
        (result_row(1, row={"uuid": "abcd"}), "bad_row"),
        (result_row(1, row={"timestamp": "yesterday"}), "bad_row"),
        (result_row(1, row={"properties": "[]"}), "bad_row"),
        (result_row(1, evaluation_id=""), "bad_row"),
        (result_row(1, evaluation_id="x" * 201), "bad_row"),
        (result_row(1, evaluation_fingerprint="x" * 201), "bad_row"),
        (result_row(1, evaluation_numeric_result="7"), "bad_row"),
    ],
)
def test_what_is_no_result_is_passed_over(value: bytes, reason: str) -> None:
    with pytest.raises(NotCounted) as raised:
        read_result(value, lambda *_: PassRule())
    assert raised.value.reason == reason


def test_a_result_with_a_reasoning_of_a_megabyte_is_counted() -> None:
    text = "<script>\u202e\x00" * 100_000
    _, entry = read_result(result_row(1, evaluation_reasoning=text), lambda *_: PassRule())
    assert entry.verdict == "pass"


def test_batches_travel_as_they_are() -> None:
    results = [read_result(body, lambda *_: PassRule()) for body in mixed()]
    gathered = batches(results)
    assert sum(len(batch.entries) for batch in gathered) == len(results)
    assert [decode_batch(encode_batch(batch)) for batch in gathered] == gathered
