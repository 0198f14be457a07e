"""Results of one evaluation counted by a column of theirs, or by a property of the generations that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.clickhouse.query import VerdictRule, rows, verdict_expression
from storage.clickhouse.results import ResultSelection

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

COLUMNS = ("model", "prompt_version", "prompt_name", "provider", "evaluation_model", "trigger", "condition_id")
NEWEST = 5_000
_GROUPS = 30


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """The largest groups.

    Attributes:
        rows: `value`, `passed`, `failed`, `scored` (no passing rule decides) and `undecided` (N/A and skips) per group,
            most results first, at most 30.
        groups: how many groups there are.
        results: how many results are in them.
        newest: whether these are only the newest ones of the period.
    """

    rows: Sequence[dict[str, Any]]
    groups: int
    results: int
    newest: bool


def count_groups(client: Client, selection: ResultSelection, rule: VerdictRule, by: str) -> GroupCounts:
    """Return the largest groups.

    Args:
        by: one of `COLUMNS`, or the name of a property, for which only the newest 5 000 results are read.
    """
    where = selection.where()
    verdict = verdict_expression(rule.bind(where))
    limit = "" if by in COLUMNS else f"ORDER BY timestamp DESC LIMIT {NEWEST}"
    # A name out of the tuple above stands in the text itself; any other one is bound.
    value = f"toString({by})" if by in COLUMNS else "''"
    inner = f"""
        SELECT {value} AS value, target_event_id AS event, {verdict} AS verdict
        FROM evaluation_results FINAL WHERE {where.text} {limit}
    """
    if by not in COLUMNS:
        where.values["property"] = by
        inner = f"""
            WITH found AS ({inner})
            SELECT events.value AS value, found.event AS event, found.verdict AS verdict
            FROM found LEFT JOIN
            (
                SELECT uuid, any(if(JSONHas(properties, {{property:String}}),
                    left(JSONExtractString(properties, {{property:String}})
                        || if(JSONType(properties, {{property:String}}) = 'String', '',
                              JSONExtractRaw(properties, {{property:String}})), 200), '(none)')) AS value
                FROM ai_events
                WHERE team_id = {{team_id:Int64}} AND uuid IN (SELECT event FROM found)
                GROUP BY uuid
            ) AS events ON events.uuid = found.event
        """
    query = f"""
        SELECT value, countIf(verdict = 'pass') AS passed, countIf(verdict = 'fail') AS failed,
            countIf(verdict = 'scored') AS scored, countIf(verdict IN ('not_applicable', 'skipped')) AS undecided,
            count() OVER () AS groups, sum(count()) OVER () AS results
        FROM ({inner}) GROUP BY value ORDER BY count() DESC, value LIMIT {_GROUPS}
    """
    found = rows(client, query, where.values)
    groups, results = [max((row.pop(name) for row in found), default=0) for name in ("groups", "results")]
    return GroupCounts(found, groups, results, newest=by not in COLUMNS and results >= NEWEST)
