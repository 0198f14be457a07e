"""OpenAI's wire shapes: chat completions, responses, embeddings, models, errors; whole and as event streams."""

from __future__ import annotations

import hashlib
import re
import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping
from math import log
from typing import Any

import orjson

from examples.stand_in.answer import Answer, Prompt, ToolCall
from examples.stand_in.script import Failure

CREATED = 1_767_225_600
"""Every answer is made at the same second, so that captures reproduce."""

MODELS = ("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4.1", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small")

MODES = {"json_schema": "json_schema", "json_object": "json_mode"}


def seed_of(body: Mapping[str, Any]) -> str:
    """Return a hex digest of the request, the source of all ids in its answer."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return (len(text) + 3) // 4


def chat_prompt(body: Mapping[str, Any]) -> Prompt:
    """Read a chat completion request."""
    messages = [message for message in body.get("messages") or [] if isinstance(message, dict)]
    system = "\n".join(text_of(m.get("content")) for m in messages if m.get("role") in ("system", "developer"))
    user = next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    format_ = body.get("response_format") or {}
    return _prompt(body, system, user, format_.get("type"), (format_.get("json_schema") or {}).get("schema"))


def responses_prompt(body: Mapping[str, Any]) -> Prompt:
    """Read a responses request."""
    given = body.get("input") or ""
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    system = "\n".join(
        [body.get("instructions") or ""]
        + [text_of(m.get("content")) for m in messages if m.get("role") in ("system", "developer")]
    )
    user = next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    format_ = (body.get("text") or {}).get("format") or {}
    return _prompt(body, system, user, format_.get("type"), format_.get("schema"))


def _prompt(body: Mapping[str, Any], system: str, user: str, format_type: str | None, schema: Any) -> Prompt:
    choice, forced = body.get("tool_choice"), None
    if isinstance(choice, dict):
        forced = (choice.get("function") or choice).get("name")
    elif choice == "required" and len(body.get("tools") or ()) == 1:
        forced = (body["tools"][0].get("function") or body["tools"][0]).get("name")
    if forced:
        tools = [tool.get("function") or tool for tool in body.get("tools") or ()]
        schema = next((tool.get("parameters") for tool in tools if tool.get("name") == forced), None)
    mode = "tool_call" if forced else MODES.get(format_type or "", "plain")
    return Prompt(system, user, schema, forced, mode, seed_of(body))


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or a list of blocks."""
    if isinstance(content, list):
        return "\n".join(str(block.get("text", "")) if isinstance(block, dict) else str(block) for block in content)
    return content if isinstance(content, str) else ""


def error(failure: Failure) -> dict[str, Any]:
    """Return an error body."""
    fields = {"message": failure.message, "type": failure.type, "param": failure.param, "code": failure.code}
    return {"error": fields}


def chat_completion(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """Return a chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": answer.refusal}
    if answer.tool_calls:
        message["tool_calls"] = [_chat_tool_call(call) for call in answer.tool_calls]
    logprobs = _logprobs(answer.text, answer.sure) if body.get("logprobs") and answer.sure else None
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": _finish(answer)}
    return {**_chat_head(body, "chat.completion"), "choices": [choice], "usage": _chat_usage(body, answer)}


def _logprobs(text: str, sure: float) -> dict[str, Any]:
    """Return the tokens of an answer, each word one; true and false stand beside each other with the rest of `sure`."""
    content = []
    for token in re.findall(r"\s*\w+|\s*[^\w\s]", text):
        other = {"true": "false", "false": "true", "pass": "fail", "fail": "pass"}.get(token.strip())
        chosen = {"token": token, "logprob": log(sure) if other else 0.0}
        others = [{"token": f" {other}", "logprob": log(1 - sure)}] if other and sure < 1 else []
        content.append({**chosen, "top_logprobs": [chosen, *others]})
    return {"content": content, "refusal": None}


def chat_stream(body: Mapping[str, Any], answer: Answer) -> Iterator[bytes]:
    """Yield the server-sent events of a streamed chat completion."""
    head = _chat_head(body, "chat.completion.chunk")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": piece} for piece in pieces(answer.text)]
    for index, call in enumerate(answer.tool_calls):
        deltas.append(
            {
                "tool_calls": [
                    {"index": index, **_chat_tool_call(call), "function": {"name": call.name, "arguments": ""}}
                ]
            }
        )
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in pieces(call.arguments)
        ]
    for delta in deltas:
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish(answer)}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": _chat_usage(body, answer)})
    yield b"data: [DONE]\n\n"


def _chat_head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{seed_of(body)[:24]}",
        "object": kind,
        "created": CREATED,
        "model": body.get("model"),
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    }


def _chat_tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.tool_calls and answer.finish_reason == "stop" else answer.finish_reason


def _chat_usage(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    asked, answered = _token_counts(body.get("messages"), answer)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _token_counts(given: Any, answer: Answer) -> tuple[int, int]:
    answered = answer.text + "".join(call.name + call.arguments for call in answer.tool_calls)
    return tokens(orjson.dumps(given).decode()), tokens(answered)


def response(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """Return an object of the responses API."""
    asked, answered = _token_counts([body.get("instructions"), body.get("input")], answer)
    incomplete = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish_reason)
    return {
        "id": f"resp_{seed_of(body)[:32]}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if incomplete else "completed",
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body.get("model"),
        "output": _response_items(body, answer),
        "parallel_tool_calls": True,
        "temperature": body.get("temperature", 1.0),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "text": body.get("text", {"format": {"type": "text"}}),
        "usage": {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answered,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + answered,
        },
    }


def _response_items(body: Mapping[str, Any], answer: Answer) -> list[dict[str, Any]]:
    seed = seed_of(body)
    items: list[dict[str, Any]] = []
    if answer.refusal or answer.text or not answer.tool_calls:
        refusal = {"type": "refusal", "refusal": answer.refusal}
        part = refusal if answer.refusal else {"type": "output_text", "text": answer.text, "annotations": []}
        message = {
            "type": "message",
            "id": f"msg_{seed[:32]}",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
        items.append(message)
    for index, call in enumerate(answer.tool_calls):
        named = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        items.append({"type": "function_call", "id": f"fc_{index}{seed[:31]}", "status": "completed", **named})
    return items


def response_stream(body: Mapping[str, Any], answer: Answer) -> Iterator[bytes]:
    """Yield the server-sent events of a streamed response."""
    whole = response(body, answer)
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for index, item in enumerate(whole["output"]):
        place = {"item_id": item["id"], "output_index": index}
        empty = {**item, "status": "in_progress", **({"content": []} if "content" in item else {"arguments": ""})}
        events.append({"type": "response.output_item.added", "output_index": index, "item": empty})
        events += _item_events(item, place)
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    kind = "response.completed" if whole["status"] == "completed" else "response.incomplete"
    events.append({"type": kind, "response": whole})
    for number, event in enumerate(events):
        yield b"event: %s\n%s" % (event["type"].encode(), _event({**event, "sequence_number": number}))


def _item_events(item: dict[str, Any], place: dict[str, Any]) -> list[dict[str, Any]]:
    if item["type"] == "function_call":
        text, family = item["arguments"], "response.function_call_arguments"
        return [{"type": f"{family}.delta", **place, "delta": piece} for piece in pieces(text)] + [
            {"type": f"{family}.done", **place, "arguments": text, "name": item["name"]}
        ]
    part = item["content"][0]
    place = {**place, "content_index": 0}
    if part["type"] == "refusal":
        return [{"type": "response.refusal.done", **place, "refusal": part["refusal"]}]
    extra: dict[str, Any] = {"logprobs": []}
    return [
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, **extra, "delta": piece} for piece in pieces(part["text"])),
        {"type": "response.output_text.done", **place, **extra, "text": part["text"]},
        {"type": "response.content_part.done", **place, "part": part},
    ]


def embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return one vector of 16 numbers per text, made from its digest."""
    texts = body.get("input") or []
    texts = [texts] if isinstance(texts, str) else texts
    vectors = [_vector(str(text)) for text in texts]
    as_text = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": b64encode(struct.pack("<16f", *v)).decode() if as_text else v}
        for i, v in enumerate(vectors)
    ]
    count = sum(tokens(str(text)) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": body.get("model"), "data": data, "usage": usage}


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [round((high * 256 + low) / 32768 - 1, 6) for high, low in zip(digest[::2], digest[1::2], strict=True)]


def model(name: str) -> dict[str, Any]:
    """Return the description of one model."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "stand-in"}


def models() -> dict[str, Any]:
    """Return the list of models."""
    return {"object": "list", "data": [model(name) for name in MODELS]}


def pieces(text: str, size: int = 24) -> list[str]:
    """Cut a text as a stream brings it."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def _event(value: object) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(value)
