"""Generations and traces as pages show them: turns of bounded size, with the figures of the generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from api.schemas.actions import ResultShown, Why
from api.services.results import shown
from api.services.verdicts import explained, stored_rule
from conditions import EventRow, RowError
from config.definitions import Evaluation
from evaluators.messages import ChatMessage, ChatPart, read_conversation, read_tools, to_json
from processor.events.generation import parse_timestamp, to_generation
from storage.clickhouse.results import ResultSelection, find_results
from storage.clickhouse.rows import GENERATION, RowSelection, find_row, newest_rows
from storage.clickhouse.steps import HowJudged, how_judged
from storage.sql.evaluation_outlines import Outline

MAX_TURNS = 200
MAX_TEXT = 64 * 1024
"""Characters of one part of a message that a page shows at first; the whole text is in the download."""
MAX_TRACE = 50
_FIGURES = {
    "Model": "$ai_model", "Provider": "$ai_provider", "Input tokens": "$ai_input_tokens",
    "Output tokens": "$ai_output_tokens", "Latency (s)": "$ai_latency", "Cost (USD)": "$ai_total_cost_usd",
    "HTTP status": "$ai_http_status", "Error": "$ai_error", "Trace": "$ai_trace_id", "Session": "$ai_session_id",
    "Prompt": "$ai_prompt_name", "Prompt version": "$ai_prompt_version",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConversationPiece:
    """One part of a message.

    Attributes:
        kind: `text`, `thinking`, `refusal`, `call`, `result`, `media` or `sources`.
        text: at most `MAX_TEXT` characters.
        name, call_id: of a tool call or its result.
        cut: how many characters are left out.
        answered: of a call, whether a result with its id follows.
    """

    kind: str
    text: str
    name: str = ""
    call_id: str = ""
    cut: int = 0
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation. `number` counts from 1 over input and output."""

    number: int
    role: str
    pieces: tuple[ConversationPiece, ...]

    @property
    def folded(self) -> bool:
        """Whether it is shown closed at first, as system prompts are."""
        return self.role in ("system", "developer")


@dataclass(frozen=True, slots=True)
class Shown:
    """A generation as a page shows it.

    Attributes:
        turns: at most 200; `hidden` more are left out.
        figures: name to value, those that were logged.
        properties: name to value of all other small properties.
        problem: why the event cannot be decoded; empty if it can.
    """

    uuid: str
    at: datetime | None
    trace_id: str
    distinct_id: str
    turns: tuple[Turn, ...]
    hidden: int
    figures: Mapping[str, str]
    properties: Mapping[str, str]
    tools: tuple[str, ...]
    problem: str = ""


def find_generation(client: Client, team_id: int, uuid: str) -> EventRow | None:
    """Return the generation with this id, or None."""
    return find_row(client, team_id, uuid, event=GENERATION)


def trace_rows(client: Client, team_id: int, trace_id: str) -> list[EventRow]:
    """Return the generations of a trace, oldest first, at most 50."""
    found: list[EventRow] = []
    for row in newest_rows(client, RowSelection(team_id, event=GENERATION, trace_id=trace_id)):
        found.append(row)
        if len(found) == MAX_TRACE:
            break
    return found[::-1]


def show_generation(row: EventRow, *, start: int = 0) -> Shown:
    """Return the generation as a page shows it, from turn `start` on."""
    try:
        generation = to_generation(row)
        at = parse_timestamp(row.timestamp)
    except RowError as error:
        return Shown(row.uuid, None, "", row.distinct_id, (), 0, {}, {}, (), str(error))
    properties = generation.properties
    turns, hidden = turns_of(generation.input, generation.output, start=start)
    figures = {name: _short(properties[key]) for name, key in _FIGURES.items() if properties.get(key) not in (None, "")}
    rest = {
        str(key)[:200]: _short(value)
        for key, value in properties.items()
        if key not in _FIGURES.values() and not isinstance(value, list | dict) and not str(key).startswith("$ai_")
    }
    return Shown(
        uuid=row.uuid,
        at=at,
        trace_id=_short(properties.get("$ai_trace_id") or ""),
        distinct_id=row.distinct_id,
        turns=turns,
        hidden=hidden,
        figures=figures,
        properties=dict(list(rest.items())[:60]),
        tools=tools_of(properties.get("$ai_tools")),
    )


def turns_of(given: Any, answer: Any, *, start: int = 0) -> tuple[tuple[Turn, ...], int]:
    """Return at most 200 turns of an input and its output from turn `start` on, and how many more there are."""
    messages = [
        *read_conversation(given).messages,
        *read_conversation(answer, default_role="assistant").messages,
    ]
    answered = {part.call_id for message in messages for part in message.parts if part.kind == "result"}
    part = messages[start : start + MAX_TURNS]
    turns = tuple(_turn(start + place, message, answered) for place, message in enumerate(part, 1))
    return turns, max(0, len(messages) - start - MAX_TURNS)


def output_text(properties: Mapping[str, Any]) -> str:
    """Return what the model of a generation answered, as one text."""
    turns, _ = turns_of(None, properties.get("$ai_output_choices") or properties.get("$ai_output"))
    return " ".join(piece.text for turn in turns for piece in turn.pieces)


def tools_of(raw: Any) -> tuple[str, ...]:
    """Return the names and descriptions of the tools that were offered, at most 100."""
    return tuple(f"{tool.name}: {tool.description}"[:500] for tool in read_tools(raw)[:100])


def verdicts_of(
    client: Client, team_id: int, outlines: Mapping[str, Outline], *, event: str | None = None, trace: str | None = None
) -> list[tuple[str, str, ResultShown]]:
    """Return every verdict of a generation or a trace as (evaluation id, its name, result), newest first."""
    selection = ResultSelection(team_id, target_event_id=event, trace_id=trace)
    found = []
    for stored in find_results(client, selection, limit=300):
        result = shown(stored)
        outline = outlines.get(stored.evaluation_id)
        if outline is not None and result.verdict in ("pass", "fail", "scored"):
            rule = stored_rule(outline.output_type, outline.output_config)
            outcome = "scored" if stored.result is None else "true" if stored.result else "false"
            passes = rule.reads(outcome, stored.result_type, stored.numeric_result, stored.categorical_result)
            verdict = "scored" if passes is None else "pass" if passes else "fail"
            result = result.model_copy(update={"verdict": verdict})
        found.append((stored.evaluation_id, stored.evaluation_name, result))
    return found


def how_judged_on(client: Client, team_id: int, event: str) -> dict[str, HowJudged]:
    """Return by the uuid of each result of a generation how it was judged: its steps and how sure the judge was."""
    return how_judged(client, ResultSelection(team_id, target_event_id=event))


def result_event(client: Client, team_id: int, uuid: str) -> str | None:
    """Return the id of the generation that a result is of, or None if there is no such result."""
    found = find_results(client, ResultSelection(team_id, uuid=uuid), limit=1)
    return found[0].target_event_id if found else None


def why_on(evaluation: Evaluation, row: EventRow) -> Why:
    """Explain why an evaluation runs on a generation, or does not. Raises `Invalid`."""
    return explained(evaluation, row, [])


def raw_json(row: EventRow) -> str:
    """Return the event as it was archived, as JSON."""
    return to_json({name: getattr(row, name) for name in row.__struct_fields__})


def _turn(number: int, message: ChatMessage, answered: set[str]) -> Turn:
    return Turn(number, message.role or "text", tuple(_piece(part, answered) for part in message.parts))


def _piece(part: ChatPart, answered: set[str]) -> ConversationPiece:
    text = part.text
    if part.kind == "call":
        arguments = part.arguments
        text = arguments if isinstance(arguments, str) else "" if arguments is None else to_json(arguments)
    return ConversationPiece(
        kind=part.kind,
        text=text[:MAX_TEXT],
        name=part.name[:200],
        call_id=part.call_id[:200],
        cut=max(0, len(text) - MAX_TEXT),
        answered=part.call_id in answered,
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return text[:400]
