"""The newest results over all evaluations of a team, page by page, from the table that is ordered by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from storage.clickhouse.query import ANY_CONFIDENCE, ConfidenceRange, PageEnd, PassRule, Where, rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_COPIES = 2
"""Rows that are read at once per row of a page, because a result that was written again lies there twice or more."""


@dataclass(frozen=True, slots=True)
class RecentResult:
    """One result in short.

    Attributes:
        outcome: before polarity and passing rules.
        reasoning: its first 300 characters.
        model: that made the generation; `evaluation_model` judged it.
        confidence: 0 to 1; None where the judge gave none.
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
    confidence: float | None


_COLUMNS = ", ".join(RecentResult.__dataclass_fields__)


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
        confidence: a result without one is in no range.
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
    confidence: ConfidenceRange = ANY_CONFIDENCE


def newest(
    client: Client, selection: RecentSelection, *, limit: int, behind: PageEnd | None = None,
    ahead: PageEnd | None = None,
) -> list[RecentResult]:  # fmt: skip
    """Return up to `limit` results, newest first, each once: the newest, or those next to a place in the list.

    Args:
        behind: only older ones than this. ahead: only newer ones, those that are nearest to it.
    """
    found: dict[str, RecentResult] = {}
    place, at_once = behind if ahead is None else ahead, limit * _COPIES
    while len(found) < limit:
        part = _next_rows(client, selection, place, at_once, backwards=ahead is not None)
        for row in part:
            known = found.get(row["uuid"])
            if known is None and len(found) == limit:
                break
            if known is None or known.confidence is None:  # a copy from before there was a column may lack it
                found[row["uuid"]] = RecentResult(**row)
        if len(part) < at_once:
            break
        place = PageEnd(part[-1]["timestamp"], part[-1]["uuid"])
    return list(found.values()) if ahead is None else list(found.values())[::-1]


def _next_rows(
    client: Client, selection: RecentSelection, place: PageEnd | None, limit: int, *, backwards: bool
) -> list[dict[str, Any]]:
    """Return rows next to a place in the list, nearest first; from its beginning for None. Copies are among them."""
    where = _where(selection)
    if place is not None:
        where.beyond(">" if backwards else "<", place)
    query = f"""
        SELECT {_COLUMNS} FROM evaluation_results_recent WHERE {where.text}
        ORDER BY {"timestamp, uuid" if backwards else "timestamp DESC, uuid DESC"} LIMIT {{rows:UInt32}}
    """
    return rows(client, query, {**where.values, "rows": limit})


def _where(selection: RecentSelection) -> Where:
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=selection.team_id)
    where.between(selection.start, selection.end)
    for name in ("evaluation_id", "outcome", "model", "prompt_version", "trigger"):
        where.add(f"{name} = {{{name}:String}}", **{name: getattr(selection, name)})
    where.add("positionCaseInsensitiveUTF8(reasoning, {text:String}) > 0", text=selection.text)
    selection.confidence.bind(where)
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
