"""Anthropic's wire shapes: messages, whole and as an event stream, and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from examples.stand_in.answer import Answer, Prompt
from examples.stand_in.openai_protocol import pieces, seed_of, text_of, tokens
from examples.stand_in.script import Failure

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def prompt(body: Mapping[str, Any]) -> Prompt:
    """Read a messages request."""
    user: dict[str, Any] = next((m for m in reversed(body.get("messages") or []) if m.get("role") == "user"), {})
    choice = body.get("tool_choice") or {}
    forced = choice.get("name") if choice.get("type") == "tool" else None
    schema = next((tool.get("input_schema") for tool in body.get("tools") or () if tool.get("name") == forced), None)
    mode = "tool_call" if forced else "plain"
    return Prompt(text_of(body.get("system")), text_of(user.get("content")), schema, forced, mode, seed_of(body))


def error(failure: Failure) -> dict[str, Any]:
    """Return an error body."""
    kind = ERROR_TYPES.get(failure.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": failure.message}}


def message(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """Return a message."""
    seed = seed_of(body)
    text = answer.refusal or answer.text
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
        for call in answer.tool_calls
    ]
    written = text + "".join(call.arguments for call in answer.tool_calls)
    finish = "tool_calls" if answer.tool_calls else "content_filter" if answer.refusal else answer.finish_reason
    return {
        "id": f"msg_{seed[:24]}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": blocks,
        "stop_reason": STOP_REASONS[finish],
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens(orjson.dumps([body.get("system"), body.get("messages")]).decode()),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": tokens(written),
        },
    }


def message_stream(body: Mapping[str, Any], answer: Answer) -> Iterator[bytes]:
    """Yield the server-sent events of a streamed message."""
    whole = message(body, answer)
    usage = {**whole["usage"], "output_tokens": 1}
    yield _event("message_start", message={**whole, "content": [], "stop_reason": None, "usage": usage})
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty, deltas = (
                {**block, "text": ""},
                [{"type": "text_delta", "text": part} for part in pieces(block["text"])],
            )
        else:
            parts = pieces(orjson.dumps(block["input"]).decode())
            empty, deltas = (
                {**block, "input": {}},
                [{"type": "input_json_delta", "partial_json": part} for part in parts],
            )
        yield _event("content_block_start", index=index, content_block=empty)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=end, usage={"output_tokens": whole["usage"]["output_tokens"]})
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))
