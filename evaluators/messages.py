"""Readable text from the message and tool shapes that providers and their SDKs log.

Known are: OpenAI chat completions (messages and choices), OpenAI responses (items), Anthropic messages
(content blocks), Gemini (contents, candidates and parts), OpenTelemetry GenAI (parts), LangChain messages,
and bare strings. What is not known is rendered as JSON; nothing is dropped but known metadata such as ids
and token counts. Pure: no I/O, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_MAX_DEPTH = 8
"""Content nested deeper than this is rendered as JSON; no provider nests more than three levels."""

_WRAPPERS = ("messages", "choices", "candidates", "contents", "output", "input", "generations")
_SYSTEM_KEYS = ("system", "instructions", "systemInstruction", "system_instruction")
_METADATA = frozenset(
    {
        "id",
        "object",
        "created",
        "created_at",
        "completed_at",
        "model",
        "usage",
        "usageMetadata",
        "modelVersion",
        "responseId",
        "system_fingerprint",
        "service_tier",
        "status",
        "type",
        "stop_reason",
        "stop_sequence",
        "temperature",
        "top_p",
        "max_tokens",
        "max_output_tokens",
        "finish_reason",
        "stream",
        "promptFeedback",
        "error",
        "incomplete_details",
        "parallel_tool_calls",
        "previous_response_id",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "metadata",
        "truncation",
        "store",
        "user",
        "background",
    }
)
"""Keys beside the messages that say nothing of what was said. A wrapper with any other key is rendered as JSON."""

_LANGCHAIN_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "system": "system"}
_MEDIA = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "image_file": "image",
    "audio": "audio",
    "input_audio": "audio",
    "output_audio": "audio",
    "video": "video",
    "video_url": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "media": "image",
}
_CALL_TYPES = frozenset(
    {"tool_use", "server_tool_use", "mcp_tool_use", "function", "function_call", "tool_call", "custom_tool_call"}
)
_RESULT_TYPES = frozenset(
    {"tool_result", "mcp_tool_result", "function_call_output", "tool_call_response", "custom_tool_call_output"}
)
_THINKING_TYPES = frozenset({"thinking", "reasoning", "redacted_thinking"})


class _Line(NamedTuple):
    """One rendered message: who said it, and what."""

    role: str
    text: str

    def __str__(self) -> str:
        return f"{self.role}: {self.text}" if self.role else self.text


def render_input(value: Any) -> str:
    """Return a generation's input as text, one message per line as `role: text`.

    Text keeps its own line breaks. None gives an empty string.
    """
    return "\n".join(render_messages(value))


def render_output(value: Any) -> str:
    """Return a generation's output as text, in the same way as `render_input`."""
    return "\n".join(render_messages(value, default_role="assistant"))


def render_messages(value: Any, *, default_role: str = "user") -> list[str]:
    """Return each message of `value` as one text, in order.

    Args:
        value: decoded JSON of any shape.
        default_role: of messages in a list that name none.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    return [str(line) for line in _lines(value, default_role, 0)]


def render_tools(value: Any) -> list[str]:
    """Return each tool of a catalogue as `- name: description (arg, optional_arg?)`.

    OpenAI (chat and responses), Anthropic, Gemini and MCP shapes; a tool of another shape as JSON.
    """
    if not value:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping) and isinstance(value.get("tools"), list):
        value = value["tools"]
    tools = value if isinstance(value, list) else [value]
    return [f"- {text}" for tool in tools for text in _tool_texts(tool)]


def to_json(value: Any) -> str:
    """Return compact JSON of any decoded JSON value, however deeply it is nested."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except RecursionError:
        return "".join(_json_pieces(value))


def _json_pieces(value: Any) -> Iterable[str]:
    """Yield JSON piece by piece without recursion, for values nested deeper than the interpreter's stack."""
    closing = object()
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple) and len(item) == 2 and item[0] is closing:
            yield item[1]
        elif isinstance(item, Mapping):
            yield "{"
            stack.append((closing, "}"))
            for position, (key, inner) in reversed(list(enumerate(item.items()))):
                stack.append(inner)
                stack.append((closing, ("," if position else "") + json.dumps(str(key), ensure_ascii=False) + ":"))
        elif isinstance(item, list | tuple):
            yield "["
            stack.append((closing, "]"))
            for position, inner in reversed(list(enumerate(item))):
                stack.append(inner)
                if position:
                    stack.append((closing, ","))
        else:
            yield json.dumps(item, ensure_ascii=False, default=str)


# -- messages -------------------------------------------------------------------------------------------


def _lines(value: Any, default_role: str, depth: int) -> list[_Line]:
    if value is None:
        return []
    if depth > _MAX_DEPTH:
        return [_Line("", to_json(value))]
    if isinstance(value, str):
        return [_Line(default_role, value)]
    if isinstance(value, list):
        return _list_lines(value, default_role, depth)
    if isinstance(value, Mapping):
        return _mapping_lines(value, default_role, depth)
    return [_Line("", to_json(value))]


def _list_lines(items: Sequence[Any], default_role: str, depth: int) -> list[_Line]:
    if items and all(_is_bare_block(item) for item in items):
        # A list of content blocks without a message around them: one message.
        return _message_lines({"role": default_role, "content": items}, default_role, depth + 1)
    return [line for item in items for line in _lines(item, default_role, depth + 1)]


def _is_bare_block(item: Any) -> bool:
    """Whether `item` is a content block and not a message or an item of its own."""
    if not isinstance(item, Mapping) or "role" in item or "message" in item:
        return False
    kind = _kind(item)
    if kind == "text" or kind in _MEDIA or kind in _THINKING_TYPES or kind in ("tool_use", "output_text", "input_text"):
        return True
    return not kind and set(item) == {"text"}


def _kind(item: Mapping[str, Any]) -> str:
    """Return the `type` of a message or block; empty if it has none that is a text."""
    kind = item.get("type")
    return kind if isinstance(kind, str) else ""


def _mapping_lines(item: Mapping[str, Any], default_role: str, depth: int) -> list[_Line]:
    message = item.get("message")
    if isinstance(message, Mapping) and "role" not in item:
        return _lines(message, "assistant", depth + 1)  # a choice of a chat completion
    content = item.get("content")
    if isinstance(content, Mapping) and "parts" in content and "role" not in item:
        return _lines(content, "assistant", depth + 1)  # a candidate of Gemini
    if "role" in item or _kind(item) == "message" or _kind(item) in _LANGCHAIN_ROLES:
        return _message_lines(item, default_role, depth)
    if _kind(item) in _RESULT_TYPES or _kind(item) == "tool":
        return [_tool_result(item, depth)]
    if _kind(item) in _CALL_TYPES:
        return [_Line("assistant", _tool_call(item))]
    if _kind(item) in _THINKING_TYPES:
        return [_Line("assistant", _thinking(item, depth))]
    wrapped = _unwrap(item, default_role, depth)
    if wrapped is not None:
        return wrapped
    if "parts" in item or "content" in item or "tool_calls" in item or set(item) <= {"text", "index", "finish_reason"}:
        return _message_lines(item, default_role, depth)
    return [_Line("", to_json(item))]


def _unwrap(item: Mapping[str, Any], default_role: str, depth: int) -> list[_Line] | None:
    """Return the messages inside a request or response object, or None if it is no such object."""
    inner = [key for key in _WRAPPERS if isinstance(item.get(key), list)]
    if len(inner) != 1 or any(key not in inner and key not in _SYSTEM_KEYS and key not in _METADATA for key in item):
        return None
    role = "assistant" if inner[0] in ("choices", "candidates", "output", "generations") else default_role
    lines: list[_Line] = []
    for key in _SYSTEM_KEYS:
        if item.get(key):
            lines += _message_lines({"role": "system", "content": item[key]}, "system", depth + 1)
    return lines + _list_lines(item[inner[0]], role, depth + 1)


def _message_lines(message: Mapping[str, Any], default_role: str, depth: int) -> list[_Line]:
    role = _role(message, default_role)
    call_id = message.get("tool_call_id")
    if role in ("tool", "function") and "parts" not in message and not _holds_results(message.get("content")):
        return [_tool_result(message if call_id else {**message, "tool_call_id": message.get("name")}, depth)]
    pieces: list[str] = []
    results: list[_Line] = []
    content = next((message[key] for key in ("content", "parts", "text") if message.get(key) is not None), None)
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, Mapping) and _is_result(block):
            results.append(_tool_result(block, depth + 1))
        else:
            pieces.append(_block(block, depth + 1))
    for key, label in (("reasoning_content", "thinking"), ("refusal", "refusal")):
        said = message.get(key)
        pieces.append(f"[{label}] {said}" if isinstance(said, str) and said else "")
    if isinstance(message.get("audio"), Mapping):
        pieces.append(_media("audio", message["audio"]))
    calls = message.get("tool_calls")
    pieces += [_tool_call(call) for call in (calls if isinstance(calls, list) else [calls]) if call]
    if message.get("function_call"):
        pieces.append(_tool_call(message["function_call"]))
    text = " ".join(piece for piece in pieces if piece)
    if not text and not results and content in (None, "", []):
        unknown = {key: value for key, value in message.items() if key not in _KNOWN_MESSAGE_KEYS and value}
        return [_Line(role, to_json(unknown) if unknown else "")]
    return results + ([_Line(role, text)] if text or not results else [])


_KNOWN_MESSAGE_KEYS = frozenset(
    {"role", "type", "content", "parts", "text", "tool_calls", "function_call", "refusal", "reasoning_content", "audio"}
    | {"finish_reason", "index", "id", "status", "name"}
)


def _role(message: Mapping[str, Any], default_role: str) -> str:
    role = message.get("role")
    if not isinstance(role, str) or not role.strip():
        role = _LANGCHAIN_ROLES.get(str(message.get("type")), default_role)
    # A role is one short word on one line, whatever was sent: it must not look like another message.
    role = " ".join(role.replace(":", " ").split())[:40]
    return "assistant" if role == "model" else role


def _holds_results(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(block, Mapping) and _is_result(block) for block in content)


def _is_result(block: Mapping[str, Any]) -> bool:
    return _kind(block) in _RESULT_TYPES or "functionResponse" in block or "function_response" in block


def _block(block: Any, depth: int) -> str:
    """Return one content block as text."""
    if block is None:
        return ""
    if isinstance(block, str):
        return block
    if depth > _MAX_DEPTH or not isinstance(block, Mapping):
        return _blocks(block, depth) if isinstance(block, list) and depth <= _MAX_DEPTH else to_json(block)
    kind = _kind(block)
    if kind in _THINKING_TYPES:
        return _thinking(block, depth)
    if kind in _CALL_TYPES:
        return _tool_call(block)
    if kind in _MEDIA or kind in ("blob", "uri"):
        return _media(_MEDIA.get(kind, "file"), block)
    call = block.get("functionCall") or block.get("function_call")
    if call is not None:
        return _tool_call(call)
    data = next((block[k] for k in ("inlineData", "inline_data", "fileData", "file_data") if k in block), None)
    if data is not None:
        return _media("file", data)
    if kind == "refusal" and isinstance(block.get("refusal"), str):
        return f"[refusal] {block['refusal']}"
    for key in ("text", "content"):
        if isinstance(block.get(key), str) and (kind or set(block) <= {"text", "content", "thought"}):
            return str(block[key])
    if isinstance(block.get("parts"), list):
        return _blocks(block["parts"], depth)
    return to_json(block)


def _blocks(content: Any, depth: int) -> str:
    """Return the content of a message or a tool result as one text."""
    if isinstance(content, list):
        return " ".join(piece for block in content if (piece := _block(block, depth + 1)))
    return _block(content, depth)


def _media(kind: str, block: Any) -> str:
    """Return the placeholder of what cannot be shown as text; its data is never put into a prompt."""
    if isinstance(block, Mapping):
        mime = block.get("mimeType") or block.get("mime_type") or block.get("media_type") or block.get("modality") or ""
        for known in ("image", "audio", "video"):
            if str(mime).startswith(known):
                kind = known
        transcript = block.get("transcript")
        if isinstance(transcript, str) and transcript:
            return f"[{kind}] {transcript}"
    return f"[{kind}]"


def _thinking(block: Mapping[str, Any], depth: int) -> str:
    for key in ("thinking", "text", "content", "summary", "reasoning"):
        if block.get(key):
            return f"[thinking] {_blocks(block[key], depth + 1)}"
    return "[thinking]"


def _tool_call(call: Any) -> str:
    """Return `[tool_call <id>: name(args)]`."""
    if not isinstance(call, Mapping):
        return to_json(call)
    inner = call.get("function")
    function = inner if isinstance(inner, Mapping) else call
    name = function.get("name")
    if name is None:
        return to_json(call)
    arguments = next((function[k] for k in ("arguments", "args", "input", "parameters") if k in function), None)
    text = arguments if isinstance(arguments, str) else "" if arguments is None else to_json(arguments)
    call_id = call.get("call_id") or call.get("id") or call.get("tool_call_id")
    return f"[tool_call {call_id}: {name}({text})]" if call_id else f"[tool_call: {name}({text})]"


def _tool_result(result: Mapping[str, Any], depth: int) -> _Line:
    """Return `tool[<id>]: …`."""
    inner = result.get("functionResponse") or result.get("function_response")
    if isinstance(inner, Mapping):
        result = inner
    keys = ("tool_call_id", "tool_use_id", "call_id", "id", "name")
    call_id = next((result[key] for key in keys if result.get(key)), None)
    content = next((result[k] for k in ("content", "output", "response", "result") if result.get(k) is not None), None)
    role = "tool" if call_id is None else f"tool[{' '.join(str(call_id).split())[:200]}]"
    return _Line(role, _blocks(content, depth + 1))


# -- tools ----------------------------------------------------------------------------------------------


def _tool_texts(tool: Any) -> list[str]:
    if not isinstance(tool, Mapping):
        return [tool if isinstance(tool, str) else to_json(tool)]
    declared = tool.get("functionDeclarations") or tool.get("function_declarations")
    if isinstance(declared, list):
        return [text for function in declared for text in _tool_texts(function)]
    inner = tool.get("function")
    function = inner if isinstance(inner, Mapping) else tool
    name = function.get("name")
    if not isinstance(name, str):
        kind = tool.get("type")
        return [kind] if isinstance(kind, str) and set(tool) == {"type"} else [to_json(tool)]
    description = function.get("description")
    text = f"{name}: {' '.join(description.split())}" if isinstance(description, str) and description else name
    schema_keys = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
    schema = next((function[key] for key in schema_keys if isinstance(function.get(key), Mapping)), None)
    arguments = _arguments(schema) if schema is not None else []
    return [f"{text} ({', '.join(arguments)})" if arguments else text]


def _arguments(schema: Mapping[str, Any]) -> list[str]:
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, Mapping):
        return []
    needed = set(map(str, required)) if isinstance(required, list) else set()
    return [str(name) if name in needed else f"{name}?" for name in properties]
