"""Reading results back: totals, examples and single results.

Every read is over distinct result ids (`FINAL`), so a result that was written twice counts once. Polarity and
passing rules are applied here, and a skip or N/A enters no rate.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from evaluators.verdict import VerdictName
from quality.intervals import wilson
from storage.clickhouse.query import (
    ANY_CONFIDENCE,
    READ_SETTINGS,
    ConfidenceRange,
    VerdictRule,
    Where,
    property_where,
    rows,
    verdict_expression,
)

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Verdict = VerdictName

_IDS = re.compile(r"[0-9a-f-]{36}(,[0-9a-f-]{36})*")
_EXPORT_FORMATS = {"csv": "CSVWithNames", "jsonl": "JSONEachRow", "parquet": "Parquet"}
_EXPORT_WITHIN_S = 3600
_EQUAL = (
    "evaluation_id", "trace_id", "target_event_id", "uuid", "trigger", "backfill_id", "fingerprint", "model",
    "prompt_version",
)  # fmt: skip
"""Columns that a selection compares."""
PREVIEW_CHARS = 300
"""Characters of the reasoning that the table of the newest results keeps."""
_IDS_AT_ONCE = 4000
"""So that the text stays below ClickHouse's own limit of 256 KiB (`max_query_size`)."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One result as it is stored, with the verdict that the rule makes of it."""

    uuid: str
    team_id: int
    evaluation_id: str
    evaluation_name: str
    timestamp: datetime
    verdict: Verdict
    result_type: str
    result: bool | None
    numeric_result: float | None
    categorical_result: list[str]
    reasoning: str
    skip_reason: str
    runtime: str
    trigger: str
    backfill_id: str
    evaluation_version: int
    fingerprint: str
    condition_id: str
    target_event_id: str
    trace_id: str
    session_id: str
    distinct_id: str
    evaluation_model: str
    evaluation_provider: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    latency_s: float | None
    confidence: float | None


_NAMES = [name for name in StoredResult.__dataclass_fields__ if name != "verdict"]
_COLUMNS = ", ".join(_NAMES)
_TEXTS = frozenset(name for name, kind in StoredResult.__annotations__.items() if kind == "str")
_FOR_SPREADSHEETS = r"if(match({0}, '^[=+@\t\r-]'), concat('\'', {0}), {0}) AS {0}"


@dataclass(frozen=True, slots=True)
class ResultSelection:
    """Which results are read. Unset fields select everything; times are aware, `before` is excluded.

    Attributes:
        fingerprint: of the definition that judged: versions are never averaged together.
        model, prompt_version: of the generation.
        text: is in the reasoning's first 300 characters, in any case, as lists of the newest results have them.
        property_name, property_value: of the generation, as `with_property` reads them.
        confidence: a result without one is in no range.
    """

    team_id: int
    evaluation_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    trace_id: str | None = None
    target_event_id: str | None = None
    uuid: str | None = None
    trigger: str | None = None
    backfill_id: str | None = None
    fingerprint: str | None = None
    uuids: Sequence[str] | None = None
    model: str | None = None
    prompt_version: str | None = None
    text: str | None = None
    property_name: str | None = None
    property_value: str | None = None
    confidence: ConfidenceRange = ANY_CONFIDENCE

    def where(self) -> Where:
        """Return the condition, with its values."""
        where = Where()
        where.add("team_id = {team_id:Int64}", team_id=self.team_id)
        for name in _EQUAL:
            where.add(f"{name} = {{{name}:String}}", **{name: getattr(self, name)})
        preview = f"substringUTF8(reasoning, 1, {PREVIEW_CHARS})"
        where.add(f"positionCaseInsensitiveUTF8({preview}, {{text:String}}) > 0", text=self.text)
        if self.property_name is not None:
            having = property_where(self.team_id, self.property_name, self.property_value)
            where.add(f"target_event_id IN (SELECT uuid FROM ai_events WHERE {having.text})", **having.values)
        if self.uuids is not None:
            where.add("uuid IN {uuids:Array(String)}", uuids=list(self.uuids))
        where.between(self.after, self.before)
        self.confidence.bind(where)
        return where


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcomes of the runs of one selection.

    Attributes:
        runs: all distinct results, skips included.
        scored: verdicts that no passing rule decides.
        skipped: by reason.
        latency_p50_s, latency_p95_s: of runs that called a model; None without any.
        cost_usd: None if no run had a price.
    """

    runs: int = 0
    passed: int = 0
    failed: int = 0
    scored: int = 0
    not_applicable: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    @property
    def decided(self) -> int:
        """The denominator of the pass rate."""
        return self.passed + self.failed

    @property
    def pass_rate(self) -> float | None:
        """The share of passes among decided results, or None if there are none."""
        return self.passed / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson interval (95 %) of the pass rate."""
        return wilson(self.passed, self.decided)


def summarise(client: Client, selection: ResultSelection, rule: VerdictRule) -> Summary:
    """Return the totals of `selection` under `rule`."""
    where = selection.where()
    passes = rule.bind(where)
    found = rows(
        client,
        f"""
        SELECT
            count() AS runs,
            countIf(passes = true) AS passed,
            countIf(passes = false) AS failed,
            countIf(outcome IN ('true', 'false', 'scored') AND isNull(passes)) AS scored,
            countIf(outcome = 'not_applicable') AS not_applicable,
            sumMapIf([skip_reason], [toUInt64(1)], outcome = 'skipped') AS skips,
            countIf(isNotNull(latency_s)) AS timed,
            quantileExactIf(0.5)(ifNull(latency_s, 0), isNotNull(latency_s)) AS latency_p50_s,
            quantileExactIf(0.95)(ifNull(latency_s, 0), isNotNull(latency_s)) AS latency_p95_s,
            sum(ifNull(tokens_in, 0)) AS input_tokens,
            sum(ifNull(tokens_out, 0)) AS output_tokens,
            countIf(isNotNull(cost)) AS priced,
            sum(ifNull(cost, 0)) AS cost_usd
        FROM
        (
            SELECT
                outcome, skip_reason, latency_s, {passes} AS passes,
                input_tokens AS tokens_in, output_tokens AS tokens_out, cost_usd AS cost
            FROM evaluation_results FINAL
            WHERE {where.text}
        )
        """,
        where.values,
    )[0]
    reasons, counts = found.pop("skips")
    timed, priced = found.pop("timed"), found.pop("priced")
    summary = Summary(**found, skipped=dict(zip(reasons, counts, strict=True)))
    if not timed:
        summary = replace(summary, latency_p50_s=None, latency_p95_s=None)
    return summary if priced else replace(summary, cost_usd=None)


def costs_of_backfills(
    client: Client, team_id: int, evaluations: Sequence[str], start: datetime, end: datetime
) -> dict[str, float]:
    """Return the USD of the runs of each backfill by its id; a backfill without a priced run is not in it.

    Args:
        start, end: of the windows of the backfills, whose results have the times of their generations.
    """
    where = Where()
    where.add("team_id = {team:Int64}", team=team_id)
    where.add("evaluation_id IN {evaluations:Array(String)}", evaluations=list(evaluations))
    where.add("backfill_id != ''")
    where.add("isNotNull(cost_usd)")
    where.between(start, end)
    query = f"""
        SELECT backfill_id, sum(assumeNotNull(cost_usd)) AS cost FROM evaluation_results FINAL
        WHERE {where.text} GROUP BY backfill_id
    """
    return {each["backfill_id"]: float(each["cost"]) for each in rows(client, query, where.values)}


def find_results(
    client: Client,
    selection: ResultSelection,
    rule: VerdictRule,
    *,
    verdict: Verdict | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[StoredResult]:
    """Return results of `selection`, newest first, optionally those of one verdict."""
    where = selection.where()
    condition = _verdict_condition(rule, where, verdict)
    where.values |= {"limit": limit, "offset": offset}
    found = rows(
        client,
        f"""
        SELECT {_COLUMNS}, {_verdict_expression(rule, where)} AS verdict
        FROM evaluation_results FINAL
        WHERE {where.text} AND {condition}
        ORDER BY timestamp DESC, uuid DESC
        LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}
        """,
        where.values,
    )
    return [StoredResult(**row) for row in found]


def evaluations_on(client: Client, team_id: int, event: str) -> set[str]:
    """Return the ids of the evaluations that have a result for a generation."""
    where = ResultSelection(team_id, target_event_id=event).where()
    query = f"SELECT DISTINCT evaluation_id FROM evaluation_results WHERE {where.text}"
    return {row["evaluation_id"] for row in rows(client, query, where.values)}


def count_results(
    client: Client, selection: ResultSelection, rule: VerdictRule, *, verdict: Verdict | None = None
) -> int:
    """Return how many results `find_results` has in all."""
    where = selection.where()
    condition = _verdict_condition(rule, where, verdict)
    query = f"SELECT count() AS found FROM evaluation_results FINAL WHERE {where.text} AND {condition}"
    return int(rows(client, query, where.values)[0]["found"])


def export_results(
    client: Client, selection: ResultSelection, rule: VerdictRule, *, form: str,
    verdict: Verdict | None = None, limit: int | None = None, without: Collection[str] = (),
) -> Iterator[bytes]:  # fmt: skip
    """Yield results of `selection`, newest first, as a file of a format, piece by piece.

    A cell of a CSV file that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        form: `csv` (with a header), `jsonl` or `parquet`.
        limit: of rows; None for all.
        without: names of columns that are left out.
    """
    where = selection.where()
    condition = _verdict_condition(rule, where, verdict)
    guarded = _TEXTS if form == "csv" else frozenset[str]()
    columns = ", ".join(
        _FOR_SPREADSHEETS.format(name) if name in guarded else name for name in _NAMES if name not in without
    )
    query = f"""
        SELECT {columns}, {_verdict_expression(rule, where)} AS verdict
        FROM evaluation_results FINAL
        WHERE {where.text} AND {condition}
        ORDER BY timestamp DESC, uuid DESC {"" if limit is None else f"LIMIT {limit:d}"}
    """
    settings = {**READ_SETTINGS, "max_execution_time": _EXPORT_WITHIN_S}
    with client.raw_stream(query, parameters=where.values, settings=settings, fmt=_EXPORT_FORMATS[form]) as stream:
        yield from stream


def _verdict_expression(rule: VerdictRule, where: Where) -> str:
    return verdict_expression(rule.bind(where))


def _verdict_condition(rule: VerdictRule, where: Where, verdict: Verdict | None) -> str:
    if verdict is None:
        return "true"
    where.values["verdict"] = verdict
    return f"{_verdict_expression(rule, where)} = {{verdict:String}}"


def evaluations_with_results(client: Client, evaluation_ids: Collection[str]) -> set[str]:
    """Return which of these evaluations have any result at all; reads nothing of those that have none."""
    query = "SELECT DISTINCT evaluation_id FROM evaluation_results WHERE evaluation_id IN {ids:Array(String)}"
    return {row["evaluation_id"] for row in rows(client, query, {"ids": list(evaluation_ids)})}


def existing_ids(client: Client, ids: Collection[str]) -> set[str]:
    """Return which of these result ids are there, by the index over ids.

    They stand in the query's own text: to bind them takes twice as long as to look for them, and a server takes bound
    values only up to the length of an address.

    Raises:
        ValueError: one is not a UUID in lower case.
    """
    found: set[str] = set()
    wanted = list(ids)
    for first in range(0, len(wanted), _IDS_AT_ONCE):
        text = ",".join(wanted[first : first + _IDS_AT_ONCE])
        if not _IDS.fullmatch(text):
            raise ValueError("a result id is not a UUID in lower case")
        query = f"SELECT DISTINCT uuid FROM evaluation_results WHERE uuid IN splitByChar(',', '{text}')"
        found.update(row["uuid"] for row in rows(client, query, {}))
    return found
