"""The newest results over all evaluations of a team, page by page, from the table that is ordered by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from storage.clickhouse.query import PassRule, Where, rows, to_microseconds

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_COPIES = 2
"""Rows that are read per row of a page, because a result that was written again lies there twice."""
PREVIEW_CHARS = 300


@dataclass(frozen=True, slots=True)
class RecentResult:
    """One result in short.

    Attributes:
        outcome: before polarity and passing rules.
        reasoning: its first 300 characters.
        model: that made the generation; `evaluation_model` judged it.
    """

    uuid: str
    timestamp: datetime
    evaluation_id: str
    evaluation_name: str
    evaluation_version: int
    runtime: str
    trigger: str
    outcome: str
    skip_reason: str
    result_type: str
    numeric_result: float | None
    categorical_result: list[str]
    reasoning: str
    target_event_id: str
    trace_id: str
    model: str
    prompt_name: str
    prompt_version: str
    evaluation_model: str
    cost_usd: float | None
    latency_s: float | None


_COLUMNS = ", ".join(RecentResult.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class PageEnd:
    """Where a page ends: the next one begins behind this result."""

    timestamp: datetime
    uuid: str


@dataclass(frozen=True, slots=True)
class Decided:
    """Only passes, or only fails, under the rules of the evaluations.

    Attributes:
        passing: which of the two.
        rules: of evaluations whose results read otherwise than "true passes", by id.
    """

    passing: bool
    rules: Mapping[str, PassRule]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentSelection:
    """Which results. Unset fields select everything; times are aware, `end` is excluded.

    Attributes:
        decided: only passes or fails; None takes everything.
        text: must be in the reasoning's first 300 characters, in any case.
    """

    team_id: int
    start: datetime
    end: datetime
    evaluation_id: str | None = None
    decided: Decided | None = None
    outcome: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    trigger: str | None = None
    text: str | None = None


def newest(
    client: Client, selection: RecentSelection, *, limit: int, behind: PageEnd | None = None
) -> list[RecentResult]:
    """Return up to `limit` results, newest first, each once."""
    where = _where(selection)
    if behind is not None:
        where.add(
            "(timestamp, uuid) < (fromUnixTimestamp64Micro({key_us:Int64}, 'UTC'), {key_uuid:String})",
            key_us=to_microseconds(behind.timestamp),
            key_uuid=behind.uuid,
        )
    query = f"""
        SELECT {_COLUMNS} FROM evaluation_results_recent WHERE {where.text}
        ORDER BY timestamp DESC, uuid DESC LIMIT {{rows:UInt32}}
    """
    found: dict[str, RecentResult] = {}
    for row in rows(client, query, {**where.values, "rows": limit * _COPIES}):
        found.setdefault(row["uuid"], RecentResult(**row))
        if len(found) == limit:
            break
    return list(found.values())


def _where(selection: RecentSelection) -> Where:
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=selection.team_id)
    where.between(selection.start, selection.end)
    for name in ("evaluation_id", "outcome", "model", "prompt_version", "trigger"):
        where.add(f"{name} = {{{name}:String}}", **{name: getattr(selection, name)})
    where.add("positionCaseInsensitiveUTF8(reasoning, {text:String}) > 0", text=selection.text)
    if selection.decided is not None:
        _add_decided(where, selection.decided)
    return where


def _add_decided(where: Where, decided: Decided) -> None:
    """Add the condition that a result passes, or fails. Evaluations with one rule share a term."""
    together: dict[tuple[Any, ...], tuple[PassRule, list[str]]] = {}
    for evaluation_id, rule in decided.rules.items():
        key = (rule.true_is_failure, rule.operator, rule.threshold, tuple(rule.categories or ()))
        together.setdefault(key, (rule, []))[1].append(evaluation_id)
    wanted = "true" if decided.passing else "false"
    where.values |= {"others": list(decided.rules), "wanted": wanted}
    terms = ["(evaluation_id NOT IN {others:Array(String)} AND outcome = {wanted:String})"]
    for place, (rule, ids) in enumerate(together.values()):
        own = Where()
        passes = rule.bind(own)
        for name, value in own.values.items():
            passes = passes.replace(f"{{{name}:", f"{{{name}_{place}:")
            where.values[f"{name}_{place}"] = value
        where.values[f"ids_{place}"] = ids
        terms.append(f"(evaluation_id IN {{ids_{place}:Array(String)}} AND {passes} = {wanted})")
    where.terms.append(f"({' OR '.join(terms)})")
