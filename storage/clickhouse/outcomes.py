"""Reading the hourly rollup: outcomes of evaluations over time, with any passing rule, without reading results.

Hours are added up one by one, because a state of distinct ids is exact only while it is small. The same result in two
hours (a result and its replay) counts twice here and once in `storage.clickhouse.results`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from storage.clickhouse.query import Where, rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_KEY = "fingerprint, evaluation_version, outcome, skip_reason, result_type, score, categories"


@dataclass(frozen=True, slots=True)
class OutcomeCell:
    """Results of one evaluation that one stretch of time, one version and one value have in common.

    Attributes:
        start: of the stretch.
        outcome: `true`, `false`, `scored`, `not_applicable` or `skipped`, before polarity and passing rules.
        score, categories: the value if it is `scored`.
        runs: distinct results.
    """

    evaluation_id: str
    start: datetime
    fingerprint: str
    version: int
    outcome: str
    skip_reason: str
    result_type: str
    score: float
    categories: Sequence[str]
    runs: int
    cost_usd: float
    tokens: int


@dataclass(frozen=True, slots=True)
class JudgeLatency:
    """Seconds that judges of one evaluation took; of evaluations that called a model."""

    p50_s: float
    p95_s: float


def read_cells(
    client: Client,
    team_id: int,
    start: datetime,
    end: datetime,
    *,
    evaluation_ids: Collection[str] | None = None,
    hours: int,
    edge: datetime | None = None,
) -> list[OutcomeCell]:
    """Return the cells from the hour of `start` to `end`, by time.

    Args:
        evaluation_ids: which evaluations; None for all.
        hours: length of a stretch.
        edge: its hour begins a stretch, so that no stretch reaches across it; `start` if not given.
    """
    where = _where(team_id, start, end, evaluation_ids)
    stretch_s, edge_s = hours * 3600, _hour_s(edge or start)
    stretches_before = -(-(edge_s - _hour_s(start)) // stretch_s)
    where.values |= {"stretch_s": stretch_s, "first_s": edge_s - stretches_before * stretch_s}
    place = "intDiv(toUnixTimestamp(hour) - {first_s:Int64}, {stretch_s:Int64})"
    query = f"""
        SELECT evaluation_id, toDateTime({{first_s:Int64}} + {place} * {{stretch_s:Int64}}, 'UTC') AS start,
            {_KEY}, sum(found) AS runs, sum(cost) AS cost_usd, sum(used) AS tokens
        FROM
        (
            SELECT evaluation_id, hour, {_KEY},
                uniqMerge(results) AS found, sum(total_cost_usd) AS cost, sum(total_tokens) AS used
            FROM evaluation_outcomes_hourly
            WHERE {where.text}
            GROUP BY evaluation_id, hour, {_KEY}
        )
        GROUP BY evaluation_id, start, {_KEY}
        ORDER BY start
    """
    return [_cell(row) for row in rows(client, query, where.values)]


def hour_of(moment: datetime) -> datetime:
    """Return the start of the hour of the rollup that holds an aware time."""
    return datetime.fromtimestamp(_hour_s(moment), UTC)


def read_latencies(
    client: Client, team_id: int, start: datetime, end: datetime, evaluation_ids: Collection[str] | None = None
) -> Mapping[str, JudgeLatency]:
    """Return the latencies by evaluation; one that called no model is left out."""
    where = _where(team_id, start, end, evaluation_ids)
    query = f"""
        SELECT evaluation_id, quantilesTDigestMerge(0.5, 0.95)(latency) AS quantiles
        FROM evaluation_outcomes_hourly WHERE {where.text} AND evaluation_model != '' GROUP BY evaluation_id
    """
    found = rows(client, query, where.values)
    return {row["evaluation_id"]: JudgeLatency(*row["quantiles"]) for row in found if row["quantiles"][0] > 0}


def _where(team_id: int, start: datetime, end: datetime, evaluation_ids: Collection[str] | None) -> Where:
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    if evaluation_ids is not None:
        where.add("evaluation_id IN {ids:Array(String)}", ids=list(evaluation_ids))
    where.add("hour >= fromUnixTimestamp({start_s:Int64})", start_s=_hour_s(start))
    where.add("hour < fromUnixTimestamp({end_s:Int64})", end_s=int(end.timestamp()))
    return where


def _hour_s(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600 * 3600


def _cell(row: dict[str, Any]) -> OutcomeCell:
    row["version"] = row.pop("evaluation_version")
    return OutcomeCell(**row)
