"""Counts the recent results of evaluations: rate, verdicts, latency and cost of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from storage.clickhouse.query import VerdictRule, Where, rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class Activity:
    """The results of one evaluation in a stretch of time.

    Attributes:
        scored: verdicts that no passing rule decides.
        latency_p95_s: of runs that called a model; None without any.
        cost_usd: of runs with a price.
    """

    evaluation_id: str
    evaluation_name: str
    runs: int
    passed: int
    failed: int
    scored: int
    not_applicable: int
    skipped: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    cost_usd: float

    @property
    def pass_rate(self) -> float | None:
        """The share of passes among passes and fails, or None if there are none."""
        decided = self.passed + self.failed
        return self.passed / decided if decided else None


def recent_activity(client: Client, team_id: int, rule: VerdictRule, *, after: datetime, limit: int) -> list[Activity]:
    """Return what a team's evaluations did since `after`, those with the most results first."""
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.between(after, None)
    passes = rule.bind(where)
    where.values["limit"] = limit
    found = rows(
        client,
        f"""
        SELECT
            toString(evaluation_id) AS evaluation_id,
            any(toString(evaluation_name)) AS evaluation_name,
            count() AS runs,
            countIf(passes = true) AS passed,
            countIf(passes = false) AS failed,
            countIf(outcome IN ('true', 'false', 'scored') AND isNull(passes)) AS scored,
            countIf(outcome = 'not_applicable') AS not_applicable,
            countIf(outcome = 'skipped') AS skipped,
            quantileOrNullIf(0.5)(took, isNotNull(took)) AS latency_p50_s,
            quantileOrNullIf(0.95)(took, isNotNull(took)) AS latency_p95_s,
            sum(ifNull(cost, 0)) AS cost_usd
        FROM
        (
            SELECT evaluation_id, evaluation_name, outcome, latency_s AS took, cost_usd AS cost, {passes} AS passes
            FROM evaluation_results FINAL
            WHERE {where.text}
        )
        GROUP BY evaluation_id
        ORDER BY runs DESC, evaluation_id
        LIMIT {{limit:UInt32}}
        """,
        where.values,
    )
    return [Activity(**row) for row in found]
