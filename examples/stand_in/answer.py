"""An answer before it is written in a protocol, and the rules by which the stand-in finds it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from examples.stand_in.judge import is_verdict_schema, judge

ANSWER_HEADER = "x-stand-in-answer"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One assistant turn."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    refusal: str | None = None
    sure: float | None = None
    """Probability of the verdict that a judge's answer gives, for callers that ask for log probabilities."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The parts of a request that all protocols have.

    Attributes:
        schema: the JSON Schema that the answer shall fit, wherever the request says so; None for free text.
        forced_tool: name of the tool that must be called with the answer as arguments.
        mode: json_schema, tool_call, json_mode or plain.
    """

    system: str
    user: str
    schema: Mapping[str, Any] | None
    forced_tool: str | None
    mode: str
    seed: str


def answer_to(prompt: Prompt, headers: Mapping[str, str]) -> Answer:
    """Return the right answer: the one that the request brings in `x-stand-in-answer`, a verdict, or a plain reply."""
    if scripted := headers.get(ANSWER_HEADER):
        return decode_answer(scripted)
    schema = prompt.schema or schema_in_text(prompt.system) or schema_in_text(prompt.user)
    if schema is None or not is_verdict_schema(schema):
        return Answer(text=_plain_reply(prompt))
    text = orjson.dumps(judge(prompt.system, prompt.user, schema)).decode()
    if prompt.forced_tool:
        return Answer(
            tool_calls=(ToolCall(f"call_{prompt.seed[:16]}", prompt.forced_tool, text),), finish_reason="tool_calls"
        )
    return Answer(text=text)


def encode_answer(answer: Mapping[str, Any]) -> str:
    """Return the header value that makes the stand-in give this answer (`text`, `tool_calls`, `finish_reason`, …)."""
    return base64.b64encode(orjson.dumps(answer)).decode()


def decode_answer(header: str) -> Answer:
    """Read what `encode_answer` wrote."""
    raw = orjson.loads(base64.b64decode(header))
    calls = tuple(ToolCall(**call) for call in raw.pop("tool_calls", ()))
    return Answer(tool_calls=calls, **raw)


def treated(answer: Answer, action: Mapping[str, Any]) -> Answer:
    """Return the answer as a misbehaving model gives it (see `script.MISBEHAVIOURS`)."""
    text = answer.text or "".join(call.arguments for call in answer.tool_calls)
    match action["do"]:
        case "answer":
            finish = action.get("finish_reason", "stop")
            return Answer(text=action.get("content", ""), finish_reason=finish, sure=action.get("sure"))
        case "empty_answer":
            return Answer()
        case "not_json":
            return Answer(text="Overall I would say that this looks fine to me, although opinions may differ.")
        case "fenced":
            return Answer(text=f"Sure! Here is my assessment:\n\n```json\n{text}\n```\n\nLet me know if you need more.")
        case "truncated":
            return Answer(text=text[: len(text) // 2], finish_reason="length")
        case "refusal":
            return Answer(refusal="I'm sorry, but I can't help with that.")
        case "filtered_finish":
            return Answer(finish_reason="content_filter")
    return answer


def schema_in_text(text: str) -> Mapping[str, Any] | None:
    """Return the first verdict schema that stands in a prompt as JSON, for callers without structured output."""
    for start in re.finditer(r"\{", text):
        value = _object_at(text, start.start())
        if isinstance(value, dict) and is_verdict_schema(value):
            return value
    return None


def _object_at(text: str, start: int) -> Any:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            try:
                return orjson.loads(text[start : position + 1])
            except orjson.JSONDecodeError:
                return None
    return None


def _plain_reply(prompt: Prompt) -> str:
    question = " ".join(prompt.user.split()[:20])
    if prompt.mode == "json_mode" or prompt.schema is not None:
        return orjson.dumps({"answer": f"This is a stand-in's answer to: {question}"}).decode()
    return f"This is a stand-in's answer to: {question}"
