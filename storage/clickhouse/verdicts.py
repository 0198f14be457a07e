"""The verdicts of one version on labelled generations, and the totals of its window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from quality.consensus import Verdict
from storage.clickhouse.query import PassRule, Where, rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SLICES = {
    "model": "model",
    "provider": "provider",
    "prompt_name": "prompt_name",
    "prompt_version": "prompt_version",
    "condition": "condition_id",
    "trigger": "trigger",
    "evaluation_model": "evaluation_model",
}
"""Names by which pairs are sliced → the columns of results. Any other name is a property of the generation."""

_HEX_CHARS = 200_000
"""Most ids in one query, so that its text stays below ClickHouse's limit of 256 KiB."""


@dataclass(frozen=True, slots=True)
class JudgedTarget:
    """The newest result of one version on one generation.

    Attributes:
        verdict: None for N/A. skipped: the run gave no verdict.
        sliced_by: the value of the column that was asked for.
    """

    result_id: str
    target_event_id: str
    timestamp: datetime
    verdict: Verdict
    skipped: bool
    sliced_by: str


@dataclass(frozen=True, slots=True)
class WindowOf:
    """All results of one version in a window: `after` is included, `before` excluded."""

    team_id: int
    evaluation_id: str
    fingerprint: str
    after: datetime
    before: datetime

    def where(self) -> Where:
        """Return the condition, with its values."""
        where = _of_version(self.team_id, self.evaluation_id, self.fingerprint)
        where.between(self.after, self.before)
        return where


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """The outcomes of a window."""

    passed: int
    failed: int
    scored: int
    not_applicable: int
    skipped: int

    @property
    def decided(self) -> int:
        """Passes and fails."""
        return self.passed + self.failed


def _of_version(team_id: int, evaluation_id: str, fingerprint: str) -> Where:
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.add("evaluation_id = {evaluation_id:String}", evaluation_id=evaluation_id)
    where.add("fingerprint = {fingerprint:String}", fingerprint=fingerprint)
    return where


def count_window(client: Client, window: WindowOf, rule: PassRule) -> WindowCounts:
    """Return the outcomes of a window under `rule`."""
    where = window.where()
    passes = rule.bind(where)
    query = f"""
        SELECT countIf(passes = true) AS passed, countIf(passes = false) AS failed,
               countIf(outcome IN ('true', 'false', 'scored') AND isNull(passes)) AS scored,
               countIf(outcome = 'not_applicable') AS not_applicable, countIf(outcome = 'skipped') AS skipped
        FROM (SELECT outcome, {passes} AS passes FROM evaluation_results FINAL WHERE {where.text})
    """
    return WindowCounts(**{name: int(count) for name, count in rows(client, query, where.values)[0].items()})


def sample_scores(client: Client, window: WindowOf, limit: int) -> list[float]:
    """Return up to `limit` scores of a window, drawn by the hash of their results' ids."""
    where = window.where()
    where.add("outcome = 'scored' AND isNotNull(numeric_result)")
    where.values["limit"] = limit
    query = f"""
        SELECT assumeNotNull(numeric_result) AS score FROM evaluation_results FINAL WHERE {where.text}
        ORDER BY sipHash64(uuid) LIMIT {{limit:UInt32}}
    """
    return [float(row["score"]) for row in rows(client, query, where.values)]


def judged_targets(
    client: Client, team_id: int, evaluation_id: str, fingerprint: str, targets: Sequence[str], *,
    sliced_by: str = "",
) -> list[JudgedTarget]:  # fmt: skip
    """Return the newest result of a version on each of `targets` that has one.

    Args:
        sliced_by: a name of `SLICES` whose column is returned too.
    """
    column = SLICES.get(sliced_by, "''")
    found: list[JudgedTarget] = []
    for condition in _among("target_event_id", targets):
        where = _of_version(team_id, evaluation_id, fingerprint)
        where.add(condition)
        query = f"""
            SELECT uuid, target_event_id, timestamp, outcome, result_type, result, numeric_result, categorical_result,
                   toString({column}) AS sliced_by
            FROM evaluation_results FINAL WHERE {where.text}
            ORDER BY timestamp DESC, uuid LIMIT 1 BY target_event_id
        """  # own text and hexadecimal ids; other values are bound
        found += [_judged(row) for row in rows(client, query, where.values)]
    return found


def verdict_of(row: dict[str, Any]) -> Verdict:
    """Return the verdict of a row with outcome, result_type and results; None for N/A and a skip."""
    if row["outcome"] in ("true", "false"):
        return bool(row["outcome"] == "true")
    if row["outcome"] == "scored":
        numeric = row["result_type"] == "numeric"
        return float(row["numeric_result"]) if numeric else frozenset(row["categorical_result"])
    return None


def _judged(row: dict[str, Any]) -> JudgedTarget:
    skipped = row["outcome"] == "skipped"
    return JudgedTarget(
        row["uuid"], row["target_event_id"], row["timestamp"], verdict_of(row), skipped, row["sliced_by"]
    )


@dataclass(frozen=True, slots=True)
class Text:
    """The archived text of one generation: characters of its output, and the value of a property."""

    output_chars: int
    prop: str


def texts_of(client: Client, team_id: int, targets: Sequence[str], prop: str = "") -> dict[str, Text]:
    """Return lengths of outputs, and one property, of the generations that the archive has."""
    found: dict[str, Text] = {}
    for condition in _among("uuid", targets):
        where = Where()
        where.add("team_id = {team_id:Int64}", team_id=team_id)
        where.add(condition)
        where.values["prop"] = prop
        query = f"""
            SELECT uuid, lengthUTF8(JSONExtractRaw(properties, '$ai_output_choices')) AS chars,
                   trim(BOTH '"' FROM JSONExtractRaw(properties, {{prop:String}})) AS prop
            FROM ai_events WHERE {where.text} LIMIT 1 BY uuid
        """  # own text and hexadecimal ids; other values are bound
        found |= {row["uuid"]: Text(int(row["chars"]), row["prop"]) for row in rows(client, query, where.values)}
    return found


def _among(column: str, values: Sequence[str]) -> Iterator[str]:
    """Yield conditions that `column` is one of `values`, as many as it takes.

    The values stand in the query's text as hexadecimal digits: a server takes bound values only up to the length of an
    address. A set on the right side of IN is looked up by the primary key.
    """
    part: list[str] = []
    size = 0
    for value in values:
        digits = value.encode("utf-8", "replace").hex()
        if part and size + len(digits) > _HEX_CHARS:
            yield _condition(column, part)
            part, size = [], 0
        part.append(digits)
        size += len(digits) + 1
    if part:
        yield _condition(column, part)


def _condition(column: str, digits: Sequence[str]) -> str:
    return f"{column} IN (SELECT unhex(arrayJoin(splitByChar(',', '{','.join(digits)}'))))"  # only hexadecimal digits
