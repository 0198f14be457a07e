"""The items of a run: sampled from ClickHouse, filtered as events are matched live, and read as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conditions import EventRow, Matcher, RowError, Target, compile_matcher, parse_conditions
from config.definitions import check_condition, compile_condition
from evaluators.generation import Generation
from evaluators.messages import read_conversation, scrubbed
from processor.events.generation import to_generation
from reports.clustering.text import MAX_CHARS, Item, clean
from storage.clickhouse.rows import GENERATION, RESULT, RowSelection, rows_by_id
from storage.clickhouse.sampling import SampledResult, sample_events, sample_traces
from storage.sql.clustering import AnalysisLevel

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_CHUNK_BYTES = 16 * 1024 * 1024
_CHUNK_ITEMS = 500
_LARGEST_BYTES = 8 * 1024 * 1024
"""Properties of a larger item are not read."""
_CANDIDATES = 5
"""Items that are looked at, per item wanted, where filters may leave some out."""
_INPUT_SHARE = MAX_CHARS // 2


def filter_matcher(*filter_lists: Any) -> Matcher | None:
    """Return the matcher of events that meet all filters of all lists; None if there are no filters.

    Raises:
        ConditionError: a filter is not valid.
    """
    filters = [
        each for given in filter_lists for each in (given if isinstance(given, list) else [given] if given else [])
    ]
    if not filters:
        return None
    sets = parse_conditions([{"id": "filters", "properties": filters}], compile_expression=check_condition)
    return compile_matcher([Target(id="filters", conditions=sets)], compile_expression=compile_condition)


def read_items(
    client: Client, level: AnalysisLevel, selection: RowSelection, matcher: Matcher | None, limit: int
) -> list[Item]:
    """Return up to `limit` items of a time range that have text. The same range gives the same ones.

    Args:
        selection: of a team and a time range.
        matcher: a trace is taken if its first event meets it.
    """
    selection = replace(selection, event=RESULT if level == "evaluation" else GENERATION)
    wanted = limit if matcher is None else limit * _CANDIDATES
    sample = sample_traces if level == "trace" else sample_events
    found: list[Item] = []
    for chunk in _chunks(sample(client, selection, wanted)):
        ids = {event for each in chunk for event in (each.first, each.last)}
        events = {row.uuid: row for row in rows_by_id(client, selection, list(ids))}
        for candidate in chunk:
            item = _item(level, candidate, events, matcher)
            if item is not None:
                found.append(item)
                if len(found) == limit:
                    return found
    return found


def _chunks(candidates: Sequence[SampledResult]) -> Iterator[list[SampledResult]]:
    """Yield candidates in chunks, so that memory is bounded however large the events are."""
    chunk: list[SampledResult] = []
    size = 0
    for each in candidates:
        if each.size_bytes > _LARGEST_BYTES:
            continue
        if chunk and (size + each.size_bytes > _CHUNK_BYTES or len(chunk) == _CHUNK_ITEMS):
            yield chunk
            chunk, size = [], 0
        chunk.append(each)
        size += each.size_bytes
    if chunk:
        yield chunk


def _item(
    level: AnalysisLevel, candidate: SampledResult, events: dict[str, EventRow], matcher: Matcher | None
) -> Item | None:
    first, last = events.get(candidate.first), events.get(candidate.last)
    if first is None or last is None:
        return None
    try:
        if matcher is not None and not matcher.match(first).matched:
            return None
        begin, end = to_generation(first), to_generation(last)
    except RowError:
        return None
    text = _verdict_text(begin) if level == "evaluation" else exchange_text(begin, end)
    trace = begin.properties.get("$ai_trace_id")
    return Item(candidate.id, clean(trace, 200) if isinstance(trace, str) else "", text) if text else None


def exchange_text(begin: Generation, end: Generation) -> str:
    """Return the last message of a person in the first generation, and the answer of the last one.

    System prompts are left out, because all generations of a product share them.
    """
    asked = [
        message for message in read_conversation(begin.input).messages if message.role not in ("system", "developer")
    ]
    people = [message for message in asked if message.role == "user"] or asked
    answers = read_conversation(end.output, default_role="assistant").messages
    question = clean(scrubbed(_content(people[-1])), _INPUT_SHARE) if people else ""
    answer = clean(scrubbed(_content(answers[-1])), _INPUT_SHARE) if answers else ""
    return f"{question}\n{answer}".strip()


def _content(message: Any) -> str:
    text = str(message)
    _, separator, rest = text.partition(": ")
    return rest if separator else text


def _verdict_text(result: Generation) -> str:
    """Return the name of the evaluation, its verdict, and the reasoning."""
    properties = result.properties
    verdict = properties.get("$ai_evaluation_skip_reason") or properties.get("$ai_evaluation_result")
    shown = str(verdict).lower() if isinstance(verdict, bool | str) else ""
    parts = (properties.get("$ai_evaluation_name"), shown, properties.get("$ai_evaluation_reasoning"))
    return clean("\n".join(str(part) for part in parts if part))
