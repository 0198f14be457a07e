"""The one pass over the results that a report's figures are made of: counts in cells.

The results are counted by everything that any figure needs, and these counts are then summed for each view of them:
over time, by score, by model, by prompt version, by condition set. The values of a dimension are narrowed to its most
frequent ones first, so the number of counts, and with it the memory of the query, is bounded whatever the results
hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from storage.clickhouse.query import PassRule, Where, rows, to_microseconds, verdict_expression

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

BUCKETS = 48
BINS = 20
VALUES = 8
"""Most values of one dimension that are told apart; all others are `OTHER`."""
OTHER = "(other)"
MAX_VERSIONS = 8

_PROMPT = "if(prompt_name = '', '', concat(prompt_name, if(prompt_version = '', '', concat(' ', prompt_version))))"
DIMENSIONS = {"model": "evaluation_model", "prompt version": _PROMPT, "condition set": "condition_id"}
"""Name of a dimension → its expression. The model is the judge's; results of Hog code have none."""


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """The time that a report covers: `start` is in it, `end` is not."""

    start: datetime
    end: datetime

    @property
    def before(self) -> ReportPeriod:
        """The period of the same length before this one."""
        return ReportPeriod(self.start - (self.end - self.start), self.start)

    @property
    def bucket(self) -> timedelta:
        """The width of one of its `BUCKETS`."""
        return max(timedelta(seconds=1), (self.end - self.start) / BUCKETS)


@dataclass(frozen=True, slots=True)
class Cell:
    """Counts of the results of one version that have one key in one view.

    Attributes:
        current: in the period, not in the one before.
        view: `time` (the key is the number of a bucket), `score` (the number of a bin, or -1 without a score), or a
            dimension (the key is its value). Every result is in one cell of each view.
        verdict: `pass`, `fail`, `scored`, `not_applicable` or `skipped`.
    """

    fingerprint: str
    version: int
    current: bool
    view: str
    key: str
    verdict: str
    skip_reason: str
    results: int
    score_sum: float
    score_squares: float
    cost_usd: float
    priced: int
    input_tokens: int
    output_tokens: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Shape:
    """The frequent values of each dimension, and the range of scores."""

    values: dict[str, list[str]]
    lowest: float | None
    highest: float | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the judge's calls of one version in the period, in seconds. They are approximate."""

    fingerprint: str
    p50_s: float
    p95_s: float


def read_shape(client: Client, team_id: int, evaluation_id: str, period: ReportPeriod) -> Shape:
    """Return the frequent values and the range of scores of the period and of the one before."""
    where = _where(team_id, evaluation_id, period.before.start, period.end)
    frequent = ", ".join(f"topK({VALUES})({text}) AS `{name}`" for name, text in DIMENSIONS.items())
    query = f"""
        SELECT {frequent}, min(numeric_result) AS lowest, max(numeric_result) AS highest
        FROM evaluation_results WHERE {where.text}
    """
    found = rows(client, query, where.values)[0]
    return Shape({name: list(found[name]) for name in DIMENSIONS}, found["lowest"], found["highest"])


def read_cells(
    client: Client, team_id: int, evaluation_id: str, period: ReportPeriod, shape: Shape, rule: PassRule
) -> list[Cell]:
    """Return the cells of the period and of the one before. Each distinct result counts once."""
    where = _where(team_id, evaluation_id, period.before.start, period.end)
    passes = rule.bind(where)
    where.values |= {
        "start_us": to_microseconds(period.start),
        "bucket_us": int(period.bucket / timedelta(microseconds=1)),
        "lowest": shape.lowest or 0.0,
        "width": _bin_width(shape),
    }
    narrowed = []
    for position, (name, text) in enumerate(DIMENSIONS.items()):
        where.values[f"values{position}"] = shape.values[name]
        narrowed.append(f"if(has({{values{position}:Array(String)}}, {text}), {text}, '{OTHER}') AS key{position}")
    views = ", ".join(f"('{name}', key{position})" for position, name in enumerate(DIMENSIONS))
    query = f"""
        SELECT
            fingerprint, version, current, pair.1 AS view, pair.2 AS key, verdict, skip_reason,
            sum(cube.results) AS results, sum(cube.score_sum) AS score_sum, sum(cube.score_squares) AS score_squares,
            sum(cube.cost_usd) AS cost_usd, sum(cube.priced) AS priced,
            sum(cube.input_tokens) AS input_tokens, sum(cube.output_tokens) AS output_tokens,
            max(cube.newest) AS newest
        FROM ({_cube(where.text, passes, ", ".join(narrowed))}) AS cube
        ARRAY JOIN [('time', toString(bucket)), ('score', toString(score_bin)), {views}] AS pair
        GROUP BY fingerprint, version, current, view, key, verdict, skip_reason
    """
    return [Cell(**{**row, "current": bool(row["current"])}) for row in rows(client, query, where.values)]


def _cube(condition: str, passes: str, dimensions: str) -> str:
    """Return the query that reads the results once and counts them by everything that any view needs."""
    return f"""
        SELECT
            fingerprint, evaluation_version AS version, at >= {{start_us:Int64}} AS current,
            if(current, least({BUCKETS - 1}, intDiv(at - {{start_us:Int64}}, {{bucket_us:Int64}})), 0) AS bucket,
            {dimensions},
            {verdict_expression("passes")} AS verdict,
            skip_reason,
            if(isNull(score), -1, toInt32(least({BINS - 1},
                greatest(0, floor((assumeNotNull(score) - {{lowest:Float64}}) / {{width:Float64}}))))) AS score_bin,
            count() AS results, max(moment) AS newest,
            sum(ifNull(score, 0)) AS score_sum, sum(ifNull(score, 0) * ifNull(score, 0)) AS score_squares,
            sum(ifNull(cost, 0)) AS cost_usd, countIf(isNotNull(cost)) AS priced,
            sum(ifNull(tokens_in, 0)) AS input_tokens, sum(ifNull(tokens_out, 0)) AS output_tokens
        FROM
        (
            SELECT
                fingerprint, evaluation_version, evaluation_model, prompt_name, prompt_version, condition_id, outcome,
                skip_reason, {passes} AS passes, numeric_result AS score, cost_usd AS cost, input_tokens AS tokens_in,
                output_tokens AS tokens_out, timestamp AS moment, toUnixTimestamp64Micro(timestamp) AS at
            FROM evaluation_results FINAL
            WHERE {condition}
        )
        GROUP BY fingerprint, version, current, bucket, key0, key1, key2, verdict, skip_reason, score_bin
    """


def read_latencies(client: Client, team_id: int, evaluation_id: str, period: ReportPeriod) -> list[Latency]:
    """Return the percentiles of each version. A repeated row counts twice, which moves them by nothing to speak of."""
    where = _where(team_id, evaluation_id, period.start, period.end)
    query = f"""
        SELECT fingerprint, quantilesTDigest(0.5, 0.95)(assumeNotNull(latency_s)) AS found
        FROM evaluation_results WHERE {where.text} AND isNotNull(latency_s) GROUP BY fingerprint
    """
    return [Latency(row["fingerprint"], *map(float, row["found"])) for row in rows(client, query, where.values)]


def count_until(client: Client, team_id: int, evaluation_id: str, start: datetime, end: datetime, enough: int) -> int:
    """Return how many distinct results that were not skipped lie in a period; it stops counting at `enough`."""
    where = _where(team_id, evaluation_id, start, end)
    where.values["enough"] = enough
    query = f"""
        SELECT count() AS found FROM
        (SELECT DISTINCT uuid FROM evaluation_results WHERE {where.text} AND NOT skipped LIMIT {{enough:UInt32}})
    """
    return int(rows(client, query, where.values)[0]["found"])


def score_bounds(shape: Shape) -> list[float]:
    """Return the bounds of the score bins, `BINS` + 1 of them; none without scores."""
    if shape.lowest is None:
        return []
    width = _bin_width(shape)
    return [shape.lowest + width * each for each in range(BINS + 1)]


def _bin_width(shape: Shape) -> float:
    if shape.lowest is None or shape.highest is None or shape.highest <= shape.lowest:
        return 1.0 / BINS
    return (shape.highest - shape.lowest) / BINS


def _where(team_id: int, evaluation_id: str, start: datetime, end: datetime) -> Where:
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.add("evaluation_id = {evaluation_id:String}", evaluation_id=evaluation_id)
    where.between(start, end)
    return where
