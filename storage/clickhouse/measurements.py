"""Results of measurements. They are in a table of their own, which nothing reads that reads results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from quality.consensus import Verdict
from storage.clickhouse.query import PassRule, Where, rows
from storage.clickhouse.verdicts import verdict_of

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class RunCounts:
    """The results of a run so far. `over_budget`: skips because a budget was used up."""

    done: int
    skipped: int
    over_budget: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class MeasuredVerdict:
    """One result of a measurement. `verdict` is None for N/A; `skipped` tells a run without a verdict."""

    item: str
    version: int
    repeat: int
    verdict: Verdict
    skipped: bool
    skip_reason: str
    reasoning: str
    cost_usd: float | None
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class MeasuredOutcome:
    """How many results of a version of a run say the same. `outcome` is before polarity and passing rules."""

    run_id: str
    version: int
    outcome: str
    result_type: str
    score: float | None
    categories: tuple[str, ...]
    results: int


def count_outcomes(
    client: Client, team_id: int, evaluation_ids: Sequence[str], run_ids: Sequence[str]
) -> list[MeasuredOutcome]:
    """Return the counts of the results of runs, which are runs of these evaluations."""
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.add("evaluation_id IN {evaluation_ids:Array(String)}", evaluation_ids=list(evaluation_ids))
    where.add("measurement_id IN {run_ids:Array(String)}", run_ids=list(run_ids))
    query = f"""
        SELECT measurement_id, evaluation_version, outcome, result_type, numeric_result, categorical_result,
               count() AS results
        FROM evaluation_measurements FINAL WHERE {where.text}
        GROUP BY measurement_id, evaluation_version, outcome, result_type, numeric_result, categorical_result
    """
    return [
        MeasuredOutcome(
            row["measurement_id"], int(row["evaluation_version"]), row["outcome"], row["result_type"],
            row["numeric_result"], tuple(row["categorical_result"]), int(row["results"]),
        )
        for row in rows(client, query, where.values)
    ]  # fmt: skip


def count_run(client: Client, team_id: int, evaluation_id: str, run_id: str) -> RunCounts:
    """Return the counts of a run."""
    where = _of_run(team_id, evaluation_id, run_id)
    query = f"""
        SELECT count() AS done, countIf(skipped) AS skips, countIf(skip_reason = 'over_budget') AS over_budget,
               sum(ifNull(cost_usd, 0)) AS cost
        FROM evaluation_measurements FINAL WHERE {where.text}
    """
    found = rows(client, query, where.values)[0]
    return RunCounts(int(found["done"]), int(found["skips"]), int(found["over_budget"]), float(found["cost"]))


def results_of_run(client: Client, team_id: int, evaluation_id: str, run_id: str) -> list[MeasuredVerdict]:
    """Return the results of a run by item, version and repeat."""
    where = _of_run(team_id, evaluation_id, run_id)
    query = f"""
        SELECT item, evaluation_version, repeat, outcome, result_type, numeric_result, categorical_result,
               skip_reason, reasoning, cost_usd, latency_s
        FROM evaluation_measurements FINAL WHERE {where.text} ORDER BY item, evaluation_version, repeat
    """
    return [_measured(row) for row in rows(client, query, where.values)]


def passes_by_item(results: Iterable[MeasuredVerdict], rule: PassRule) -> dict[str, bool | None]:
    """Return by item whether its verdict passes; None for a skip, N/A, and a verdict that no rule decides."""
    return {each.item: None if each.skipped or each.verdict is None else rule.passes(each.verdict) for each in results}


def draw_targets(
    client: Client, team_id: int, evaluation_id: str, after: datetime, before: datetime, run_id: str, n: int
) -> list[tuple[str, str]]:
    """Return up to `n` judged generations of a window with their traces, drawn by a hash of the run's own."""
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.add("evaluation_id = {evaluation_id:String}", evaluation_id=evaluation_id)
    where.between(after, before)
    where.values |= {"run": run_id, "n": n}
    query = f"""
        SELECT target_event_id, any(trace_id) AS trace FROM evaluation_results WHERE {where.text}
        GROUP BY target_event_id ORDER BY sipHash64(concat({{run:String}}, target_event_id)) LIMIT {{n:UInt32}}
    """
    return [(row["target_event_id"], row["trace"]) for row in rows(client, query, where.values)]


def _of_run(team_id: int, evaluation_id: str, run_id: str) -> Where:
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.add("evaluation_id = {evaluation_id:String}", evaluation_id=evaluation_id)
    where.add("measurement_id = {measurement_id:String}", measurement_id=run_id)
    return where


def _measured(row: dict[str, Any]) -> MeasuredVerdict:
    return MeasuredVerdict(
        row["item"], int(row["evaluation_version"]), int(row["repeat"]), verdict_of(row), row["outcome"] == "skipped",
        row["skip_reason"], row["reasoning"], row["cost_usd"], row["latency_s"],
    )  # fmt: skip
