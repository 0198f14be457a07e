"""Generations and traces as pages show them: turns, verdicts and figures, all within bounds that pages name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from api.http.errors import NotFound
from api.schemas.actions import ResultShown, Why
from api.services.cursors import read_cursor, to_cursor
from api.services.excerpt import MOST_VALUES, NO_EXCERPT, Excerpt, excerpt_of
from api.services.results import shown
from api.services.turns import MAX_PAGE, Talk, TextPlace, Turn, everything_read, tools_of
from api.services.unread import Unread, unread_of
from api.services.verdicts import explained, stored_rule
from conditions import EventRow, RowError
from config.definitions import Evaluation
from evaluators.messages import to_json
from processor.events.generation import parse_timestamp, to_generation
from storage.clickhouse.query import UNREAD
from storage.clickhouse.results import ResultSelection, StoredResult, evaluations_on, find_results
from storage.clickhouse.rows import GENERATION, RowSelection, find_row, oldest_generations
from storage.clickhouse.steps import HowJudged, how_judged
from storage.sql.evaluation_outlines import Outline

MAX_TRACE = 10
"""Generations of a trace that a page shows."""
_MAX_TRACE_CHARS = 16 * 1024 * 1024
"""Size at which a page of a trace ends early: an event may have 8 MiB."""
MAX_VERDICTS = 300
"""Verdicts of one generation that its page shows."""
_MAX_PROPERTIES = 60
_FIGURES = {
    "Model": "$ai_model", "Provider": "$ai_provider", "Input tokens": "$ai_input_tokens",
    "Output tokens": "$ai_output_tokens", "Latency (s)": "$ai_latency", "Cost (USD)": "$ai_total_cost_usd",
    "HTTP status": "$ai_http_status", "Error": "$ai_error", "Trace": "$ai_trace_id", "Session": "$ai_session_id",
    "Prompt": "$ai_prompt_name", "Prompt version": "$ai_prompt_version",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """A generation as a page shows it.

    Attributes:
        excerpt: the part of the conversation that was read.
        turns: of it, within the bounds of `Talk.turns`; `hidden` more are left out.
        figures: name to value, those that were logged.
        properties: name to value of other small properties; `more_properties` are left out.
        tools: that were offered; `more_tools` are left out.
        unread: what a judge did not read; None if it read everything, or if none is asked for.
        problem: why the event cannot be decoded; empty if it can.
    """

    uuid: str
    at: datetime | None
    trace_id: str = ""
    distinct_id: str = ""
    excerpt: Excerpt = NO_EXCERPT
    turns: tuple[Turn, ...] = ()
    hidden: int = 0
    figures: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    more_properties: int = 0
    tools: tuple[str, ...] = ()
    more_tools: int = 0
    unread: Unread | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class VerdictShown:
    """One verdict of a page, with the id and the name of its evaluation."""

    evaluation_id: str
    name: str
    result: ResultShown


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The newest verdicts of a generation or a trace. `more`: there are others, which are left out."""

    rows: tuple[VerdictShown, ...] = ()
    more: bool = False

    def opened(self, one: VerdictShown) -> Verdicts:
        """Return these with `one` in front, which can be older than all of them."""
        return Verdicts((one, *(each for each in self.rows if each.result.id != one.result.id)), self.more)


@dataclass(frozen=True, slots=True)
class TracePart:
    """Some generations of a trace, oldest first.

    Attributes:
        cursor: where the next page begins; None on the last one.
    """

    shown: tuple[Shown, ...]
    cursor: str | None


def find_generation(client: Client, team_id: int, uuid: str) -> EventRow | None:
    """Return the generation with this id, or None."""
    return find_row(client, team_id, uuid, event=GENERATION)


def archived_generation(client: Client, team_id: int, uuid: str) -> EventRow:
    """Return the generation with this id. Raises `NotFound`."""
    row = find_generation(client, team_id, uuid)
    if row is None:
        raise NotFound("The archive of this team has no such generation.")
    return row


def trace_part(client: Client, team_id: int, trace_id: str, *, cursor: str, readable: bool) -> TracePart:
    """Return the generations of a trace behind `cursor`, at most ten.

    Args:
        readable: whether the reader may see events; otherwise there are only their ids and times.

    Raises:
        Invalid: for a cursor that is not one.
    """
    selection = RowSelection(team_id, event=GENERATION, trace_id=trace_id)
    found: list[Shown] = []
    size = 0
    end = ""
    for row in oldest_generations(client, selection, behind=read_cursor(cursor), page=4):
        if len(found) == MAX_TRACE or size > _MAX_TRACE_CHARS:
            return TracePart(tuple(found), end)
        size += len(row.properties or "")
        moment = parse_timestamp(row.timestamp)
        end = to_cursor(moment, row.uuid)
        found.append(show_generation(row, of=MAX_TRACE) if readable else Shown(row.uuid, moment))
    return TracePart(tuple(found), None)


def show_generation(
    row: EventRow, *, start: int = 0, entry: int = 0, budget: int = MAX_PAGE, of: int = 1, limit: int | None = None
) -> Shown:
    """Return the generation as a page shows it, from turn `start` on.

    Args:
        entry: how many entries of the conversation there are before those that are read; see `Excerpt`.
        budget: characters of all turns of the page, which this generation shares with the others.
        of: how many generations the page has.
        limit: most characters that a judge was given; None if nothing is to be marked as unread.
    """
    try:
        generation = to_generation(row)
        at = parse_timestamp(row.timestamp)
    except RowError as error:
        return Shown(row.uuid, None, distinct_id=row.distinct_id, problem=str(error))
    properties = generation.properties
    part = excerpt_of(generation.input, generation.output, start=entry, most=MOST_VALUES // of)
    talk = Talk(part.given, part.answer, properties.get("$ai_output_tokens"), before=part.start)
    unread = unread_of(talk, properties.get("$ai_tools"), limit) if limit and part.is_whole else None
    marks = everything_read if unread is None else unread.of
    turns, hidden = talk.turns(start=start, budget=budget // of, cut=of > 1, unread_of=marks)
    tools, more_tools = tools_of(properties.get("$ai_tools"))
    rest = [
        (str(key)[:200], value)
        for key, value in properties.items()
        if key not in _FIGURES.values() and not isinstance(value, list | dict) and not str(key).startswith("$ai_")
    ]
    return Shown(
        uuid=row.uuid,
        at=at,
        trace_id=_short(properties.get("$ai_trace_id") or ""),
        distinct_id=row.distinct_id,
        excerpt=part,
        turns=turns,
        hidden=hidden,
        figures={
            name: _short(properties[key]) for name, key in _FIGURES.items() if properties.get(key) not in (None, "")
        },
        properties={key: _short(value) for key, value in rest[:_MAX_PROPERTIES]},
        more_properties=max(0, len(rest) - _MAX_PROPERTIES),
        tools=tools,
        more_tools=more_tools,
        unread=unread,
    )


def rest_of_message(
    row: EventRow, number: int, place: TextPlace, *, entry: int = 0, limit: int | None = None
) -> Turn | None:
    """Return a message of a generation from a place on; None for a number that no message has.

    Args:
        entry: as for `show_generation`.
        limit: most characters that a judge was given; None if nothing is to be marked as unread.
    """
    try:
        generation = to_generation(row)
    except RowError:
        return None
    part = excerpt_of(generation.input, generation.output, start=entry)
    talk = Talk(part.given, part.answer, before=part.start)
    unread = (
        unread_of(talk, generation.properties.get("$ai_tools"), limit) if limit is not None and part.is_whole else None
    )
    return talk.rest(number, place, everything_read if unread is None else unread.of)


def verdicts_of(
    client: Client, team_id: int, outlines: Mapping[str, Outline], *, event: str | None = None,
    trace: str | None = None, limit: int = MAX_VERDICTS,
) -> Verdicts:  # fmt: skip
    """Return the newest verdicts of a generation, or of a trace."""
    selection = ResultSelection(team_id, target_event_id=event, trace_id=trace)
    found = find_results(client, selection, UNREAD, limit=limit + 1)
    return Verdicts(tuple(_verdict(each, outlines) for each in found[:limit]), len(found) > limit)


def _verdict(stored: StoredResult, outlines: Mapping[str, Outline]) -> VerdictShown:
    result = shown(stored)
    outline = outlines.get(stored.evaluation_id)
    if outline is not None and result.verdict in ("pass", "fail", "scored"):
        rule = stored_rule(outline.output_type, outline.output_config)
        outcome = "scored" if stored.result is None else "true" if stored.result else "false"
        passes = rule.reads(outcome, stored.result_type, stored.numeric_result, stored.categorical_result)
        verdict = "scored" if passes is None else "pass" if passes else "fail"
        result = result.model_copy(update={"verdict": verdict})
    return VerdictShown(stored.evaluation_id, stored.evaluation_name, result)


def how_judged_on(client: Client, team_id: int, verdicts: Iterable[Verdicts]) -> dict[str, HowJudged]:
    """Return by the uuid of each verdict how it was judged: its steps and how sure the judge was."""
    uuids = [row.result.id for each in verdicts for row in each.rows]
    return how_judged(client, ResultSelection(team_id, uuids=uuids), limit=len(uuids)) if uuids else {}


def judged_on(client: Client, team_id: int, event: str) -> set[str]:
    """Return the ids of the evaluations that have a result for a generation."""
    return evaluations_on(client, team_id, event)


def one_verdict(client: Client, team_id: int, outlines: Mapping[str, Outline], uuid: str) -> VerdictShown | None:
    """Return one verdict by its id, or None if there is no such result."""
    found = find_results(client, ResultSelection(team_id, uuid=uuid), UNREAD, limit=1)
    return _verdict(found[0], outlines) if found else None


def why_on(evaluation: Evaluation, row: EventRow, *, readable: bool) -> Why:
    """Explain why an evaluation runs on a generation, or does not. Errors and arguments are those of `explained`."""
    return explained(evaluation, row, [], readable=readable)


def raw_json(row: EventRow) -> str:
    """Return the event as it was archived, as JSON."""
    return to_json({name: getattr(row, name) for name in row.__struct_fields__})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return text[:400]
