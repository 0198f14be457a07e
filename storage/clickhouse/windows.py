"""Tumbling windows of results, as ClickHouse has them: every distinct result, in the window of its time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from storage.clickhouse.query import PassRule, Where, rows
from storage.clickhouse.results import ResultSelection

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

WindowSize = Literal["minute", "hour", "day"]
SIZES_S: dict[WindowSize, int] = {"minute": 60, "hour": 3_600, "day": 86_400}
SCORE_BINS = 20
"""Equal bins of scores from the version's minimum to its maximum."""
LATENCY_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds, excluded, of the bins of judge latency; the last bin is open."""
MOST_CATEGORIES = 100
"""Categories that a window counts by name."""


@dataclass(frozen=True, slots=True)
class ResultWindow:
    """The results of one version of an evaluation in one window. Counts are of distinct results.

    Attributes:
        skipped: by reason.
        score_sum: of `score_count` scores; `scores` counts them per bin, and is empty where the version has no bounds.
        categories: by key, the most frequent ones.
        cost_usd: None if no result had a price.
        latency_sum_s: of `latency_count` results; `latencies` counts them per bin.
    """

    start: datetime
    evaluation_version: int
    fingerprint: str
    runs: int
    passed: int
    failed: int
    scored: int
    not_applicable: int
    skipped: dict[str, int]
    score_count: int
    score_sum: float
    scores: list[int]
    categories: dict[str, int]
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_count: int
    latency_sum_s: float
    latencies: list[int] = field(default_factory=list)


def find_windows(
    client: Client,
    selection: ResultSelection,
    rule: PassRule,
    *,
    size: WindowSize,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[ResultWindow], int]:
    """Return a page of the windows that have results, the newest first, and how many there are in all."""
    where = selection.where()
    passes = rule.bind(where)
    where.values |= {"size": SIZES_S[size], "limit": limit, "offset": offset}
    found = rows(
        client,
        f"""
        SELECT
            toUnixTimestamp(toStartOfInterval(timestamp, toIntervalSecond({{size:UInt32}}), 'UTC')) AS start_s,
            evaluation_version, fingerprint,
            count() OVER () AS windows,
            count() AS runs,
            countIf(passes = true) AS passed,
            countIf(passes = false) AS failed,
            countIf(outcome IN ('true', 'false', 'scored') AND isNull(passes)) AS scored,
            countIf(outcome = 'not_applicable') AS not_applicable,
            sumMapIf([skip_reason], [toUInt64(1)], outcome = 'skipped') AS skips,
            countIf(isNotNull(score)) AS score_count,
            sum(ifNull(score, 0)) AS score_sum,
            sumMapIf([bin], [toUInt64(1)], bin >= 0) AS bins,
            sumMap(categories, arrayMap(_ -> toUInt64(1), categories)) AS keys,
            sum(ifNull(tokens_in, 0)) AS input_tokens,
            sum(ifNull(tokens_out, 0)) AS output_tokens,
            countIf(isNotNull(cost)) AS priced,
            sum(ifNull(cost, 0)) AS cost_usd,
            countIf(isNotNull(latency)) AS latency_count,
            sum(ifNull(latency, 0)) AS latency_sum_s,
            sumMapIf([slot], [toUInt64(1)], isNotNull(latency)) AS slots
        FROM
        (
            SELECT
                timestamp, evaluation_version, fingerprint, outcome, skip_reason, {passes} AS passes,
                if(outcome = 'skipped' OR NOT isFinite(numeric_result), NULL, numeric_result) AS score,
                numeric_result_min AS low, numeric_result_max AS high,
                if(isNotNull(score) AND low < high,
                    toInt64(greatest(0, least({SCORE_BINS - 1}, floor((score - low) / (high - low) * {SCORE_BINS})))),
                    -1) AS bin,
                if(outcome = 'skipped', [], categorical_result) AS categories,
                input_tokens AS tokens_in, output_tokens AS tokens_out, cost_usd AS cost, latency_s AS latency,
                arrayCount(bound -> bound <= ifNull(latency_s, 0), {list(LATENCY_BOUNDS_S)}) AS slot
            FROM evaluation_results FINAL
            WHERE {where.text}
        )
        GROUP BY start_s, evaluation_version, fingerprint
        ORDER BY start_s DESC, evaluation_version DESC, fingerprint
        LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}
        """,
        where.values,
    )
    if found:
        return [_window(row) for row in found], int(found[0]["windows"])
    return [], _count(client, selection, size) if offset else 0


def _count(client: Client, selection: ResultSelection, size: WindowSize) -> int:
    where = selection.where()
    where.values["size"] = SIZES_S[size]
    query = f"""
        SELECT uniqExact(toStartOfInterval(timestamp, toIntervalSecond({{size:UInt32}}), 'UTC'),
            evaluation_version, fingerprint) AS windows
        FROM evaluation_results FINAL WHERE {where.text}
    """
    return int(rows(client, query, where.values)[0]["windows"])


def _window(row: dict[str, Any]) -> ResultWindow:
    reasons, skips = row["skips"]
    bins, scores = row["bins"]
    keys, chosen = row["keys"]
    slots, timed = row["slots"]
    by_choice = sorted(zip(keys, chosen, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return ResultWindow(
        start=datetime.fromtimestamp(int(row["start_s"]), UTC),
        evaluation_version=int(row["evaluation_version"]),
        fingerprint=row["fingerprint"],
        runs=int(row["runs"]),
        passed=int(row["passed"]),
        failed=int(row["failed"]),
        scored=int(row["scored"]),
        not_applicable=int(row["not_applicable"]),
        skipped=dict(zip(reasons, map(int, skips), strict=True)),
        score_count=int(row["score_count"]),
        score_sum=float(row["score_sum"]),
        scores=_spread(bins, scores, SCORE_BINS),
        categories={key: int(count) for key, count in by_choice[:MOST_CATEGORIES]},
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
        cost_usd=float(row["cost_usd"]) if row["priced"] else None,
        latency_count=int(row["latency_count"]),
        latency_sum_s=float(row["latency_sum_s"]),
        latencies=_spread(slots, timed, len(LATENCY_BOUNDS_S) + 1),
    )


def _spread(places: list[int], counts: list[int], size: int) -> list[int]:
    """Return the counts of all bins; no bins at all if nothing was counted."""
    if not places:
        return []
    spread = [0] * size
    for place, count in zip(places, counts, strict=True):
        spread[int(place)] = int(count)
    return spread


_FRESH = (
    "uuid, team_id, evaluation_id, evaluation_version, fingerprint, toUnixTimestamp(timestamp) AS at_s, result_type, "
    "result, numeric_result, numeric_result_min, numeric_result_max, categorical_result, applicable, skipped, "
    "skip_reason, trigger, input_tokens, output_tokens, cost_usd, latency_s"
)


def fresh_results(client: Client, since: datetime, *, limit: int) -> list[dict[str, Any]]:
    """Return the results of all teams that were inserted since `since`, the oldest inserted first.

    Args:
        limit: most results; with more, the newest are missing, and the last row's `inserted_s` says how far it went.
    """
    where = Where()
    where.between(since, None, column="ingested_at")
    where.values["limit"] = limit
    query = f"""
        SELECT {_FRESH}, toUnixTimestamp(ingested_at) AS inserted_s
        FROM evaluation_results FINAL WHERE {where.text}
        ORDER BY ingested_at, uuid LIMIT {{limit:UInt32}}
    """
    return rows(client, query, where.values)
