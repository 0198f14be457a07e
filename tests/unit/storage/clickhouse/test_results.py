from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from processor.sink.rows import RESULTS
from storage.clickhouse.query import UNREAD, PassRule
from storage.clickhouse.results import (
    ResultSelection,
    Summary,
    count_results,
    evaluations_with_results,
    existing_ids,
    find_results,
    summarise,
)
from tests.services.records import Record, result_id, result_row
from tests.services.stored_results import count_copies, result_ids

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TEAM = ResultSelection(team_id=1)


def store(client: Client, *bodies: bytes) -> None:
    rows = [RESULTS.decode(Record(body, at=n)) for n, body in enumerate(bodies)]
    client.insert(
        RESULTS.table,
        list(zip(*rows, strict=True)),
        column_names=RESULTS.columns,
        column_type_names=RESULTS.types,
        column_oriented=True,
        settings={"async_insert": 0},
    )


def boolean_mix() -> list[bytes]:
    """3 true, 2 false, 1 N/A, 2 skips for two reasons."""
    nothing: dict[str, Any] = {"evaluation_result": None}
    return [
        *(result_row(n, evaluation_result=True) for n in range(3)),
        *(result_row(n, evaluation_result=False) for n in range(3, 5)),
        result_row(5, **nothing, evaluation_allows_na=True, evaluation_applicable=False),
        result_row(6, **nothing, evaluation_skipped=True, evaluation_skip_reason="hog_error"),
        result_row(7, **nothing, evaluation_skipped=True, evaluation_skip_reason="content_filtered"),
    ]


def test_a_skip_is_no_fail_and_na_is_no_pass(client: Client) -> None:
    store(client, *boolean_mix())
    found = summarise(client, TEAM, UNREAD)
    assert (found.runs, found.passed, found.failed, found.scored, found.not_applicable) == (8, 3, 2, 0, 1)
    assert found.skipped == {"hog_error": 1, "content_filtered": 1}
    assert found.decided == 5
    assert found.pass_rate == 0.6
    assert found.interval == pytest.approx((0.2307, 0.8824), abs=1e-4)


def test_polarity_is_applied_when_results_are_read(client: Client) -> None:
    """`true_is_failure` turns passes and fails around, and nothing else."""
    store(client, *boolean_mix())
    rule = PassRule(true_is_failure=True)
    found = summarise(client, TEAM, rule)
    assert (found.passed, found.failed, found.not_applicable, sum(found.skipped.values())) == (2, 3, 1, 2)
    assert {r.uuid for r in find_results(client, TEAM, rule, verdict="fail")} == {result_id(n) for n in range(3)}


def test_of_ten_thousand_ids_those_that_exist_are_found(client: Client) -> None:
    store(client, *boolean_mix())
    there = {result_id(n) for n in (0, 3, 7)}
    assert existing_ids(client, there | {result_id(n) for n in range(100, 10_100)}) == there
    assert existing_ids(client, [result_id(8)]) == existing_ids(client, []) == set()


def test_of_some_evaluations_those_with_a_result_are_found(client: Client) -> None:
    mine, other = "0190c0de-0000-7000-8000-000000000001", "0190c0de-0000-7000-8000-000000000002"
    assert evaluations_with_results(client, [mine, other]) == set()
    store(client, *boolean_mix())
    assert evaluations_with_results(client, [mine, other]) == {mine}
    assert evaluations_with_results(client, [other]) == evaluations_with_results(client, []) == set()


@pytest.mark.parametrize("hostile", ["') OR ('a' = 'a", "", "x", "0" * 35, f"{result_id(1)},", result_id(1).upper()])
def test_an_id_that_is_none_is_refused_before_it_is_asked_for(client: Client, hostile: str) -> None:
    with pytest.raises(ValueError, match="is not a UUID"):
        existing_ids(client, [result_id(1), hostile])


def test_results_written_twice_count_once_in_every_read(client: Client) -> None:
    for _ in range(3):
        store(client, *boolean_mix())
    assert summarise(client, TEAM, UNREAD).runs == 8
    assert count_results(client, TEAM, UNREAD) == len(find_results(client, TEAM, UNREAD)) == 8
    copies = count_copies(client)
    assert (copies.ids, copies.visible) == (8, 8)
    assert set(result_ids(client).values()) == {1}


def test_an_empty_selection_has_no_rate_and_no_figures(client: Client) -> None:
    found = summarise(client, ResultSelection(team_id=404), UNREAD)
    assert found == Summary()
    assert found.pass_rate is None
    assert found.interval is None


def test_numeric_verdicts_pass_by_their_rule_or_are_just_scored(client: Client) -> None:
    scores = [
        result_row(n, evaluation_result_type="numeric", evaluation_result=None, evaluation_numeric_result=n)
        for n in range(10)
    ]
    store(client, *scores)
    assert summarise(client, TEAM, UNREAD).scored == 10
    assert summarise(client, TEAM, UNREAD).pass_rate is None
    at_least = summarise(client, TEAM, PassRule(operator="gte", threshold=7))
    assert (at_least.passed, at_least.failed, at_least.scored) == (3, 7, 0)
    at_most = summarise(client, TEAM, PassRule(operator="lte", threshold=0))
    assert (at_most.passed, at_most.failed) == (1, 9)


def test_categorical_verdicts_pass_if_all_their_categories_do(client: Client) -> None:
    kinds = [["good"], ["bad", "good"], ["bad"], ["o'dd"]]
    store(
        client,
        *(
            result_row(
                n, evaluation_result_type="categorical", evaluation_result=None, evaluation_categorical_result=kind
            )
            for n, kind in enumerate(kinds)
        ),
    )
    found = summarise(client, TEAM, PassRule(categories=["good", "o'dd"]))
    assert (found.passed, found.failed) == (2, 2)
    assert {r.verdict for r in find_results(client, TEAM, UNREAD)} == {"scored"}


def test_latency_tokens_and_cost_are_of_the_runs_that_called_a_model(client: Client) -> None:
    store(
        client,
        result_row(0),
        *(
            result_row(n, evaluation_latency=n / 10, input_tokens=100, output_tokens=n, evaluation_cost_usd=0.25)
            for n in range(1, 11)
        ),
    )
    found = summarise(client, TEAM, UNREAD)
    assert (found.latency_p50_s, found.latency_p95_s) == (0.6, 1.0)
    assert (found.input_tokens, found.output_tokens, found.cost_usd) == (1000, 55, 2.5)


def test_results_come_newest_first_in_pages_that_neither_overlap_nor_miss(client: Client) -> None:
    store(client, *(result_row(n, row={"timestamp": f"2026-11-20 10:00:{n % 5:02d}"}) for n in range(23)))
    pages = [find_results(client, TEAM, UNREAD, limit=10, offset=start) for start in (0, 10, 20)]
    found = [result for page in pages for result in page]
    assert [len(page) for page in pages] == [10, 10, 3]
    assert {r.uuid for r in found} == {result_id(n) for n in range(23)}
    assert [r.timestamp for r in found] == sorted((r.timestamp for r in found), reverse=True)
    assert found[0].timestamp == datetime(2026, 11, 20, 10, 0, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (ResultSelection(1), {0, 1, 2}),
        (ResultSelection(2), {3}),
        (ResultSelection(1, evaluation_id="other"), {1}),
        (ResultSelection(1, trace_id="trace-2"), {2}),
        (ResultSelection(1, uuid=result_id(0)), {0}),
        (ResultSelection(2, uuid=result_id(0)), set()),
        (ResultSelection(1, backfill_id="b"), {1}),
        (ResultSelection(1, trigger="backfill"), {1}),
        (ResultSelection(1, after=datetime(2026, 11, 20, 11, tzinfo=UTC)), {2}),
        (ResultSelection(1, before=datetime(2026, 11, 20, 11, tzinfo=UTC)), {0, 1}),
        (ResultSelection(1, trace_id="' OR 1 = 1 --"), set()),
        (ResultSelection(1, trace_id="\\' OR true"), set()),
        (ResultSelection(1, trace_id="{team_id:Int64}"), set()),
    ],
)
def test_a_selection_is_just_what_it_says_and_no_way_into_the_query(
    client: Client, selection: ResultSelection, expected: set[int]
) -> None:
    store(
        client,
        result_row(0),
        result_row(1, evaluation_id="other", evaluation_trigger="backfill", evaluation_backfill_id="b"),
        result_row(2, row={"timestamp": "2026-11-20 11:00:00.000000"}),
        result_row(3, row={"team_id": 2}),
    )
    assert {r.uuid for r in find_results(client, selection, UNREAD)} == {result_id(n) for n in expected}
    assert count_results(client, selection, UNREAD) == summarise(client, selection, UNREAD).runs == len(expected)


def test_versions_can_be_told_apart(client: Client) -> None:
    store(client, result_row(0), result_row(1, evaluation_fingerprint="e" * 64, evaluation_version=4))
    assert summarise(client, ResultSelection(1, fingerprint="e" * 64), UNREAD).runs == 1


def test_a_failed_query_raises_and_never_reads_as_zero(client: Client) -> None:
    client.command("DROP TABLE evaluation_results")
    with pytest.raises(Exception, match="UNKNOWN_TABLE"):
        summarise(client, TEAM, UNREAD)
