"""The steps of juries and cascades, as their results hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from storage.clickhouse.query import rows
from storage.clickhouse.results import ResultSelection
from storage.clickhouse.verdicts import WindowOf

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class HowJudged:
    """The part of a result that says how it was judged.

    Attributes:
        steps: of a jury or a cascade, as `$ai_evaluation_steps` has them.
        truncated: whether the judge read less than the whole conversation.
        truncated_to: the most characters of it that the judge was given; None if the result does not say.
        suspected_injection: whether the conversation seems to talk to the judge.
    """

    confidence: float | None
    steps: tuple[dict[str, Any], ...]
    truncated: bool
    truncated_to: int | None
    suspected_injection: bool


def how_judged(client: Client, selection: ResultSelection, *, limit: int) -> dict[str, HowJudged]:
    """Return by the uuid of each result of a selection how it was judged, for at most `limit` of them."""
    where = selection.where()
    where.values["limit"] = limit
    query = f"""
        SELECT uuid, JSONExtract(properties, '$ai_evaluation_confidence', 'Nullable(Float64)') AS confidence,
            JSONExtractRaw(properties, '$ai_evaluation_steps') AS steps,
            JSONExtractBool(properties, '$ai_evaluation_truncated') AS truncated,
            JSONExtract(properties, '$ai_evaluation_truncated_to', 'Nullable(UInt64)') AS truncated_to,
            JSONExtractBool(properties, '$ai_evaluation_suspected_injection') AS suspected
        FROM evaluation_results FINAL WHERE {where.text} LIMIT {{limit:UInt32}}
    """
    return {
        row["uuid"]: HowJudged(
            row["confidence"],
            tuple(_steps(row["steps"])),
            bool(row["truncated"]),
            row["truncated_to"] or None,
            bool(row["suspected"]),
        )
        for row in rows(client, query, where.values)
    }


def sample_steps(client: Client, window: WindowOf, limit: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield target and steps of up to `limit` results of a window, drawn by the hash of their ids."""
    where = window.where()
    where.add("JSONHas(properties, '$ai_evaluation_steps')")
    where.values["limit"] = limit
    query = f"""
        SELECT target_event_id, JSONExtractRaw(properties, '$ai_evaluation_steps') AS steps
        FROM evaluation_results FINAL WHERE {where.text} ORDER BY sipHash64(uuid) LIMIT {{limit:UInt32}}
    """
    for row in rows(client, query, where.values):
        yield row["target_event_id"], _steps(row["steps"])


def _steps(raw: str) -> list[dict[str, Any]]:
    found = orjson.loads(raw or "[]")
    return [step for step in found if isinstance(step, dict)] if isinstance(found, list) else []
