"""How a property is read from where a convention keeps it: messages out of indexed names, events, and JSON texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from ingest.otlp.conventions import CHOICE_EVENT, MESSAGE_EVENTS, How, Source
from ingest.otlp.span import Attributes, Span

MAX_INDEX = 10_000
_MAX_PATH = 16
_SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
_decode_json = msgspec.json.Decoder().decode


class ReadValue(NamedTuple):
    """A value, and the attributes that it was made of."""

    value: Any
    used: tuple[str, ...] = ()


ValueReader = Callable[[Span, Source], ReadValue | None]
"""Returns what a source says of a span, or None if it says nothing."""


def reader_of(source: Source) -> ValueReader:
    """Return the function that reads a source."""
    return _READERS[source.how]


_ALWAYS = ""
_EVENTS = "<events>"
_OF_EVENTS = frozenset({"details_input", "details_output", "event_value", "message_events", "choice_events"})


def trigger(source: Source) -> str:
    """Return the name without which `triggers` says that `source` has no value."""
    if source.how == "finish_reason":
        return _ALWAYS
    return _EVENTS if source.how in _OF_EVENTS else source.key.rstrip(".")


def triggers(names: Collection[str], *, has_events: bool) -> set[str]:
    """Return the names of a span's attributes and every part of a name up to a dot, so that few sources are read."""
    found = {_ALWAYS, *names}
    for name in names:
        parts = name.split(".", _MAX_PATH)
        for end in range(1, len(parts)):
            found.add(".".join(parts[:end]))
    if has_events:
        found.add(_EVENTS)
    return found


def as_json(value: Any) -> Any:
    """Return the list or object that a text is JSON of; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return _decode_json(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return value
    return value


def _is_set(value: Any) -> bool:
    return value is not None and value != "" and value != [] and value != {}


def _value(span: Span, source: Source) -> ReadValue | None:
    value = span.attributes.get(source.key)
    return ReadValue(as_json(value), (source.key,)) if _is_set(value) else None


def _field(span: Span, source: Source) -> ReadValue | None:
    value = as_json(span.attributes.get(source.key))
    inner = value.get(source.part) if isinstance(value, Mapping) else None
    return ReadValue(inner) if _is_set(inner) else None


def _first(span: Span, source: Source) -> ReadValue | None:
    value = as_json(span.attributes.get(source.key))
    first = value[0] if isinstance(value, list) and value else value
    return ReadValue(first, (source.key,)) if _is_set(first) else None


def _finish_reason(span: Span, source: Source) -> ReadValue | None:
    """Return the reason that the last message of the output names; `source.key` is the property that holds it."""
    messages = span.attributes.get(source.key)
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, Mapping) and _is_set(message.get("finish_reason")):
            return ReadValue(message["finish_reason"])
    return None


def _prefix(span: Span, source: Source) -> ReadValue | None:
    used = [name for name in span.attributes if name.startswith(source.key) and name != source.part]
    found = {name[len(source.key) :]: as_json(span.attributes[name]) for name in used}
    return ReadValue(found, tuple(used)) if found else None


def _json_texts(span: Span, source: Source) -> ReadValue | None:
    value = as_json(span.attributes.get(source.key))
    if not isinstance(value, list) or not value:
        return None
    return ReadValue([as_json(each) for each in value], (source.key,))


# -- GenAI ----------------------------------------------------------------------------------------------


def _input_messages(span: Span, source: Source) -> ReadValue | None:
    found = _genai_input(span.attributes, source.key)
    return None if found is None else ReadValue(found, (source.key, _SYSTEM_INSTRUCTIONS))


def _genai_input(attributes: Attributes, key: str) -> Any:
    """Return the messages with the system's instructions first, unless a system message leads already."""
    messages = as_json(attributes.get(key))
    system = as_json(attributes.get(_SYSTEM_INSTRUCTIONS))
    if not _is_set(system):
        return messages if _is_set(messages) else None
    rest = messages if isinstance(messages, list) else ([] if messages is None else [messages])
    if rest and isinstance(rest[0], Mapping) and rest[0].get("role") == "system":
        return rest
    parts = system if isinstance(system, list) else [{"type": "text", "content": system}]
    return [{"role": "system", "parts": parts}, *rest]


def _details_input(span: Span, source: Source) -> ReadValue | None:
    for event in span.events:
        if event.name == source.part:
            found = _genai_input(event.attributes, source.key)
            if found is not None:
                return ReadValue(found)
    return None


def _event_value(span: Span, source: Source) -> ReadValue | None:
    """Return an attribute of an event inside the span."""
    for event in span.events:
        if event.name == source.part and _is_set(event.attributes.get(source.key)):
            return ReadValue(as_json(event.attributes[source.key]))
    return None


def _message_events(span: Span, _source: Source) -> ReadValue | None:
    found = [_logged_message(event.name, event.attributes) for event in span.events if event.name in MESSAGE_EVENTS]
    return ReadValue(found) if found else None


def _choice_events(span: Span, _source: Source) -> ReadValue | None:
    found = [_choice(event.attributes) for event in span.events if event.name == CHOICE_EVENT]
    return ReadValue(found) if found else None


def _logged_message(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    message = {key: as_json(value) for key, value in fields.items() if not key.startswith(("gen_ai.", "event."))}
    return {"role": MESSAGE_EVENTS[name], **message}


def _choice(fields: Mapping[str, Any]) -> dict[str, Any]:
    inner = as_json(fields.get("message"))
    message: dict[str, Any] = {"role": "assistant"}
    if isinstance(inner, Mapping):
        message |= inner
    elif _is_set(inner):
        message["content"] = inner
    for name in ("content", "tool_calls", "role", "finish_reason"):
        if _is_set(fields.get(name)):
            message[name] = as_json(fields[name])
    return message


def _logged_events(span: Span, source: Source) -> list[Mapping[str, Any]]:
    events = as_json(span.attributes.get(source.key))
    return [each for each in events if isinstance(each, Mapping)] if isinstance(events, list) else []


def _logged_input(span: Span, source: Source) -> ReadValue | None:
    events = [(str(each.get("event.name")), each) for each in _logged_events(span, source)]
    found = [_logged_message(name, each) for name, each in events if name in MESSAGE_EVENTS]
    return ReadValue(found) if found else None


def _logged_output(span: Span, source: Source) -> ReadValue | None:
    found = [_choice(each) for each in _logged_events(span, source) if each.get("event.name") == CHOICE_EVENT]
    return ReadValue(found, (source.key,)) if found else None


# -- names with an index --------------------------------------------------------------------------------


def _indexed(attributes: Attributes, prefix: str) -> tuple[list[Any], tuple[str, ...]]:
    """Return the list that `prefix.N.…` attributes describe, without gaps, and their names.

    An index is digits only; one from 10 000 on is ignored, and so is a name with too many parts.
    """
    tree: dict[str, Any] = {}
    used: list[str] = []
    start = f"{prefix}."
    for name, value in attributes.items():
        if not name.startswith(start):
            continue
        path = name[len(start) :].split(".")
        if len(path) > _MAX_PATH or not _is_index(path[0]) or not all(map(_is_possible, path)):
            continue
        if _place(tree, path, value):
            used.append(name)
    closed = _close(tree)
    return (closed if isinstance(closed, list) else []), tuple(used)


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= 5 and int(part) < MAX_INDEX


def _is_possible(part: str) -> bool:
    return not (part.isascii() and part.isdigit()) or _is_index(part)


def _place(tree: dict[str, Any], path: list[str], value: Any) -> bool:
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return False  # `a.0` and `a.0.b` are both given; the shorter one came first
        tree = inner
    if isinstance(tree.get(path[-1]), dict):
        return False
    tree[path[-1]] = as_json(value)
    return True


def _close(tree: Any) -> Any:
    """Make lists of the objects whose names are all indexes."""
    if not isinstance(tree, dict) or not tree:
        return tree
    if all(map(_is_index, tree)):
        return [_close(tree[key]) for key in sorted(tree, key=int)]
    return {key: _close(value) for key, value in tree.items()}


def _indexed_messages(span: Span, source: Source) -> ReadValue | None:
    entries, used = _indexed(span.attributes, source.key)
    messages = [_message(each) for each in entries]
    found = [each for each in messages if each is not None]
    return ReadValue(found, used) if found else None


def _message(entry: Any) -> dict[str, Any] | None:
    """Return one message of OpenInference or OpenLLMetry in the shape of OpenAI's."""
    if not isinstance(entry, dict):
        return None
    inner = entry.get("message", entry)
    if not isinstance(inner, dict):
        return None
    message = {name: inner[name] for name in ("role", "content", "tool_call_id", "name") if name in inner}
    if "finish_reason" in inner:
        message["finish_reason"] = inner["finish_reason"]
    parts = inner.get("contents")
    if isinstance(parts, list):
        message["content"] = [each.get("message_content", each) for each in parts if isinstance(each, dict)]
    calls = inner.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [_tool_call(each) for each in calls if isinstance(each, dict)]
    return message if message.keys() - {"finish_reason"} else None


def _tool_call(entry: Mapping[str, Any]) -> dict[str, Any]:
    call = entry.get("tool_call", entry)
    function = call.get("function") if isinstance(call, Mapping) else None
    source = function if isinstance(function, Mapping) else call
    made: dict[str, Any] = {"type": "function", "function": {}}
    if isinstance(call, Mapping) and "id" in call:
        made["id"] = call["id"]
    if isinstance(source, Mapping):
        made["function"] = {name: source[name] for name in ("name", "arguments") if name in source}
    return made


def _indexed_text(span: Span, source: Source) -> ReadValue | None:
    entries, used = _indexed(span.attributes, source.key)
    found = [text for each in entries if (text := _inside(each, source.part)) is not None]
    return ReadValue(found, used) if found else None


def _indexed_functions(span: Span, source: Source) -> ReadValue | None:
    entries, used = _indexed(span.attributes, source.key)
    found = [{"type": "function", "function": each} for each in entries if isinstance(each, dict)]
    return ReadValue(found, used) if found else None


def _inside(value: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


# -- Vercel AI SDK --------------------------------------------------------------------------------------


def _vercel_prompt(span: Span, source: Source) -> ReadValue | None:
    prompt = as_json(span.attributes.get(source.key))
    if not isinstance(prompt, Mapping):
        return ReadValue(prompt, (source.key,)) if _is_set(prompt) else None
    messages: list[Any] = []
    if _is_set(prompt.get("system")):
        messages.append({"role": "system", "content": prompt["system"]})
    given = prompt.get("messages")
    if isinstance(given, list):
        messages += given
    elif _is_set(prompt.get("prompt")):
        messages.append({"role": "user", "content": prompt["prompt"]})
    return ReadValue(messages or dict(prompt), (source.key,))


def _vercel_question(span: Span, source: Source) -> ReadValue | None:
    """Return the last message of the user in the prompt of a wrapper; the spans below it have the whole prompt."""
    found = _vercel_prompt(span, source)
    messages = found.value if found is not None else None
    if not isinstance(messages, list):
        return found
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return ReadValue([message], (source.key,))
    return None


def _vercel_answer(span: Span, source: Source) -> ReadValue | None:
    names = {part: f"{source.key}.{part}" for part in ("text", "toolCalls", "object")}
    text = span.attributes.get(names["text"])
    calls = as_json(span.attributes.get(names["toolCalls"]))
    value = span.attributes.get(names["object"])
    message: dict[str, Any] = {"role": "assistant"}
    if _is_set(text):
        message["content"] = text
    if isinstance(calls, list) and calls:
        message["tool_calls"] = list(_vercel_calls(calls))
    if len(message) == 1 and _is_set(value):
        message["content"] = value
    used = tuple(name for name in names.values() if name in span.attributes)
    return ReadValue([message], used) if len(message) > 1 else None


def _vercel_calls(calls: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for call in calls:
        if isinstance(call, Mapping):
            arguments = call.get("args", call.get("input"))
            function = {"name": call.get("toolName"), "arguments": arguments}
            yield {"id": call.get("toolCallId"), "type": "function", "function": function}


_READERS: dict[How, ValueReader] = {
    "value": _value,
    "field": _field,
    "first": _first,
    "finish_reason": _finish_reason,
    "prefix": _prefix,
    "json_texts": _json_texts,
    "input_messages": _input_messages,
    "output_messages": _value,
    "details_input": _details_input,
    "details_output": _event_value,
    "event_value": _event_value,
    "message_events": _message_events,
    "choice_events": _choice_events,
    "logged_input": _logged_input,
    "logged_output": _logged_output,
    "indexed_messages": _indexed_messages,
    "indexed_text": _indexed_text,
    "indexed_schema": _indexed_text,
    "indexed_functions": _indexed_functions,
    "vercel_prompt": _vercel_prompt,
    "vercel_answer": _vercel_answer,
    "vercel_question": _vercel_question,
}
