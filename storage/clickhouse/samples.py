"""Random samples of results for labelling, in the order of `quality.sampling.label_order`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from storage.clickhouse.query import PassRule, Where, rows
from storage.sql.label_queues import Drawn, Stratum

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_APPLICABLE = "outcome IN ('true', 'false', 'scored')"


@dataclass(frozen=True, slots=True)
class Population:
    """The applicable results of one fingerprint in a window.

    Attributes:
        known_by: results that ClickHouse took later are left out, so that a queue can be extended from the same ones.
    """

    team_id: int
    evaluation_id: str
    fingerprint: str
    after: datetime
    before: datetime
    known_by: datetime

    def where(self) -> Where:
        """Return the condition, with its values."""
        where = Where()
        where.add("team_id = {team_id:Int64}", team_id=self.team_id)
        where.add("evaluation_id = {evaluation_id:String}", evaluation_id=self.evaluation_id)
        where.add("fingerprint = {fingerprint:String}", fingerprint=self.fingerprint)
        where.between(self.after, self.before)
        where.add("ingested_at <= toDateTime({known_by:UInt32}, 'UTC')", known_by=int(self.known_by.timestamp()))
        where.add(_APPLICABLE)
        return where


def whole(client: Client, population: Population) -> tuple[Stratum, ...]:
    """Return the population as one stratum, `all`."""
    where = population.where()
    query = f"SELECT count() AS found FROM evaluation_results FINAL WHERE {where.text}"
    return (Stratum("all", int(rows(client, query, where.values)[0]["found"])),)


def by_verdict(client: Client, population: Population, rule: PassRule) -> tuple[Stratum, ...]:
    """Return the strata `pass` and `fail`."""
    where = population.where()
    passes = rule.bind(where)
    query = f"""
        SELECT countIf(passes = true) AS passed, countIf(passes = false) AS failed
        FROM (SELECT {passes} AS passes FROM evaluation_results FINAL WHERE {where.text})
    """
    found = rows(client, query, where.values)[0]
    return Stratum("pass", int(found["passed"])), Stratum("fail", int(found["failed"]))


def by_score(client: Client, population: Population) -> tuple[Stratum, ...]:
    """Return thirds of the scores: `low`, `middle` and `high`. A third is empty where scores repeat too often."""
    where = population.where()
    scores = f"(SELECT ifNull(numeric_result, 0) AS score FROM evaluation_results FINAL WHERE {where.text})"
    thirds = f"SELECT quantilesExactLow({1 / 3}, {2 / 3})(score) AS bounds FROM {scores}"
    low, high = (float(bound) for bound in rows(client, thirds, where.values)[0]["bounds"])
    where.values |= {"low": low, "high": high}
    count = f"""
        SELECT countIf(score <= {{low:Float64}}) AS low, countIf(score > {{high:Float64}}) AS high,
               count() - low - high AS middle
        FROM {scores}
    """
    counts = rows(client, count, where.values)[0]
    return (
        Stratum("low", int(counts["low"]), up_to=low),
        Stratum("middle", int(counts["middle"]), above=low, up_to=high),
        Stratum("high", int(counts["high"]), above=high),
    )


def draw(
    client: Client, population: Population, queue_id: str, stratum: Stratum, n: int, rule: PassRule
) -> list[Drawn]:
    """Return the first `n` results of a stratum in the queue's order."""
    where = population.where()
    _within(where, stratum, rule)
    return _drawn(client, where, queue_id, n, stratum=stratum.name)


def _within(where: Where, stratum: Stratum, rule: PassRule) -> None:
    if stratum.name in ("pass", "fail"):
        where.add(f"{rule.bind(where)} = {'true' if stratum.name == 'pass' else 'false'}")
    where.add("numeric_result > {above:Float64}", above=stratum.above)
    where.add("numeric_result <= {up_to:Float64}", up_to=stratum.up_to)


_REASONS = {
    "truncated": "truncated",
    "suspected_injection": "JSONExtractBool(properties, '$ai_evaluation_suspected_injection')",
    "low_confidence": "JSONHas(properties, '$ai_evaluation_confidence')",
    "judges": """length(arrayDistinct(arrayMap(step -> JSONExtractRaw(step, 'verdict'), arrayFilter(
        step -> NOT JSONHas(step, 'skip_reason'), JSONExtractArrayRaw(properties, '$ai_evaluation_steps')
    )))) > 1""",
}
"""`judges`: members of a jury or steps of a cascade gave different verdicts. A member that skipped gave none."""
_LEAST_CONFIDENT_FIRST = "JSONExtractFloat(properties, '$ai_evaluation_confidence'), "


def draw_focus(client: Client, population: Population, queue_id: str, reason: str, n: int) -> list[Drawn]:
    """Return results that are worth a look, in the queue's order; the least confident first for `low_confidence`.

    Args:
        reason: `judges`, `truncated`, `suspected_injection` or `low_confidence`.
    """
    where = population.where()
    where.add(_REASONS[reason])
    first = _LEAST_CONFIDENT_FIRST if reason == "low_confidence" else ""
    return _drawn(client, where, queue_id, n, first)


def draw_disagreements(
    client: Client, population: Population, other_fingerprint: str, queue_id: str, n: int, rule: PassRule
) -> list[Drawn]:
    """Return results whose target another version judged otherwise, in the queue's order."""
    where = population.where()
    passes = rule.bind(where)
    where.values["other"] = other_fingerprint
    verdict = f"tuple({passes}, numeric_result, arraySort(categorical_result))"
    where.add(
        f"""(target_event_id, {verdict}) NOT IN (
            SELECT target_event_id, {verdict} FROM evaluation_results FINAL
            WHERE team_id = {{team_id:Int64}} AND evaluation_id = {{evaluation_id:String}}
              AND fingerprint = {{other:String}} AND {_APPLICABLE}
        ) AND target_event_id IN (
            SELECT target_event_id FROM evaluation_results
            WHERE team_id = {{team_id:Int64}} AND evaluation_id = {{evaluation_id:String}}
              AND fingerprint = {{other:String}} AND {_APPLICABLE}
        )"""
    )
    return _drawn(client, where, queue_id, n)


def picked(client: Client, team_id: int, evaluation_id: str, result_ids: Sequence[str]) -> list[Drawn]:
    """Return the results of the evaluation that have these ids, in the order of the ids."""
    values = {"team_id": team_id, "evaluation_id": evaluation_id, "ids": list(result_ids)}
    query = """
        SELECT DISTINCT uuid, target_event_id FROM evaluation_results
        WHERE team_id = {team_id:Int64} AND evaluation_id = {evaluation_id:String} AND uuid IN {ids:Array(String)}
    """
    found = {row["uuid"]: Drawn(row["uuid"], row["target_event_id"], "") for row in rows(client, query, values)}
    return [found[result_id] for result_id in dict.fromkeys(result_ids) if result_id in found]


def _drawn(client: Client, where: Where, queue_id: str, n: int, first: str = "", stratum: str = "") -> list[Drawn]:
    where.values |= {"queue": queue_id, "n": n}
    query = f"""
        SELECT uuid, target_event_id FROM evaluation_results FINAL WHERE {where.text}
        ORDER BY {first}SHA256(concat('label:', {{queue:String}}, ':', uuid)) LIMIT {{n:UInt32}}
    """
    return [Drawn(row["uuid"], row["target_event_id"], stratum) for row in rows(client, query, where.values)]
