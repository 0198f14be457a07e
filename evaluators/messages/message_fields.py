"""Reads the fields of one message: its role, its content, and the calls, results and media beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.messages.blocks import joined, read_block, read_blocks, read_call, read_result, sources
from evaluators.messages.calls import CALL_LISTS, MORE_CALL_LISTS, RESULT_LISTS, is_result
from evaluators.messages.fields import first, tag
from evaluators.messages.json_text import from_json
from evaluators.messages.normal import ChatPart
from evaluators.messages.reasoning import THOUGHTS
from evaluators.messages.recognition import is_mastra, is_text_blocks
from evaluators.messages.thinking import split_thinking
from evaluators.messages.vocabulary import CONTENTS, ROLE_TAGS, ROLES


def role_of(message: Mapping[str, Any], default_role: str) -> str:
    """Return a message's role, one short word on one line."""
    role = message.get("role")
    if isinstance(role, Mapping):
        role = first(role, ("label", "Label", "value"))
    if not isinstance(role, str) or not role.strip():
        kind = tag(message)
        role = kind if kind in ROLE_TAGS else message.get("source") if kind == "textmessage" else default_role
        role = role if isinstance(role, str) else default_role
    # A role is one short word on one line, whatever was sent: it must not look like another message.
    role = " ".join(role.replace(":", " ").split())[:40]
    small = role.lower().removeprefix("messagerole.").replace("-", "_")
    return ROLES.get(small) or (small if small in ROLE_TAGS else role)


def holds_results(message: Mapping[str, Any], content: Any) -> bool:
    """Return whether the content of a tool's message is of results, each with its own id."""
    if "parts" in message and "content" not in message:
        return True
    return isinstance(content, list) and any(isinstance(block, Mapping) and is_result(block) for block in content)


def content_of(message: Mapping[str, Any]) -> Any:
    """Return a message's content; where a text stands beside parts that are more than it, as in Vercel's, the parts."""
    content = first(message, CONTENTS)
    parts = message.get("parts")
    if isinstance(content, str) and isinstance(parts, list) and parts:
        said = joined(parts, 1)
        return parts if content in said else [content, *parts]
    return content


def content_parts(content: Any, role: str, depth: int) -> list[ChatPart]:
    """Return the parts of a message's content."""
    if isinstance(content, str):
        inner = from_json(content) if content[:1] in ("[", "{") else None
        if isinstance(inner, list) and is_text_blocks(inner):
            return read_blocks(inner, depth + 1)
        if isinstance(inner, Mapping) and is_mastra(inner):
            return [*thoughts(inner, depth), *content_parts(inner["text"], role, depth), *beside(inner, depth, set())]
        if role == "assistant":
            return split_thinking(content)
    if isinstance(content, Mapping) and isinstance(first(content, ("parts", "content")), list | str):
        return read_blocks(first(content, ("parts", "content")), depth + 1)  # Mastra, Gemini's systemInstruction
    if isinstance(content, list) and role == "assistant":
        parts = read_blocks(content, depth + 1)
        return without_thinking(parts)
    return read_blocks(content, depth + 1)


def thoughts(message: Mapping[str, Any], depth: int) -> list[ChatPart]:
    """Return the reasoning that stands beside a message's content."""
    for source in (message, message.get("additional_kwargs")):
        if isinstance(source, Mapping):
            said = next((source[key] for key in THOUGHTS if isinstance(source.get(key), str) and source[key]), None)
            if said is not None:
                return [ChatPart("thinking", said)]
    details = first(message, ("reasoning_details", "reasoning"))
    if isinstance(details, list):
        parts = read_blocks(details, depth + 1)
        return [ChatPart("thinking", " ".join(part.text for part in parts if part.text))] if parts else []
    return []


def beside(message: Mapping[str, Any], depth: int, known: set[str]) -> list[ChatPart]:
    """Return the parts beside a message's content: refusal, media, sources, and the calls whose ids are not known."""
    parts: list[ChatPart] = []
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(ChatPart("refusal", refusal))
    if isinstance(message.get("audio"), Mapping):
        parts += read_block({"type": "audio", **message["audio"]}, depth + 1)
    for key, kind in (
        ("images", "image"),
        ("files", "file"),
        ("attachments", "file"),
        ("experimental_attachments", "file"),
    ):
        held = message.get(key)
        for one in held if isinstance(held, list) else ():
            typed = {"type": kind, **(one if isinstance(one, Mapping) else {"data": one})}
            parts += read_block(typed, depth + 1)
    calls = _calls(message, depth, known)
    parts += sources(message.get("annotations"), message.get("citations"), message.get("sources"))
    return parts + calls


def _calls(message: Mapping[str, Any], depth: int, known: set[str]) -> list[ChatPart]:
    """Return the calls beside a message's content: LangChain and Vercel repeat those that stand in it as well."""
    found: list[ChatPart] = []
    more = message.get("additional_kwargs")
    for source in (message, more if isinstance(more, Mapping) else {}):
        for key in CALL_LISTS:
            found += _calls_in(source.get(key), key, known, depth)
        if found:
            break
    for key in MORE_CALL_LISTS:
        found += _calls_in(message.get(key), key, known, depth)
    return found


def _calls_in(held: Any, key: str, known: set[str], depth: int) -> list[ChatPart]:
    found: list[ChatPart] = []
    for call in held if isinstance(held, list) else [held]:
        parts = read_call(call, depth + 1, named_by_type=key == "executed_tools") if call else []
        if not any(part.kind == "call" and part.call_id in known for part in parts):
            found += parts
    return found


def results_beside(message: Mapping[str, Any], role: str, depth: int) -> list[ChatPart]:
    """Return the results of tools that stand beside a message's content."""
    return [
        read_result(one, depth + 1)
        for key in RESULT_LISTS
        if isinstance(message.get(key), list) and (key != "responses" or role == "tool")
        for one in message[key]
        if isinstance(one, Mapping)
    ]


def without_thinking(parts: Sequence[ChatPart]) -> list[ChatPart]:
    """Return the parts of a reply, with thinking that stands in their texts apart."""
    return [one for part in parts for one in (split_thinking(part.text) if part.kind == "text" else (part,))]
