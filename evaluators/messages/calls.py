"""Calls of tools and their results in one normal form, from the objects of every provider and SDK that is known.

A call has a name, arguments and an id; a result has an id and content. The tables say under which keys each of them
stands. A type that ends like a known one counts too (`FunctionCallContent`, `web_search_call`, `mcp_tool_result`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evaluators.messages.fields import first, stem, tag
from evaluators.messages.normal import ChatPart, result_role

CALL_LISTS = (
    "tool_calls", "toolCalls", "toolInvocations", "toolExecutionRequests", "function_call", "toolRequests",
    "tool_requests", "executed_tools",
)  # fmt: skip
"""Fields of a message that hold its calls, beside its content."""
MORE_CALL_LISTS = ("invalid_tool_calls",)
"""Fields that hold calls which the fields of `CALL_LISTS` do not have."""
RESULT_LISTS = ("toolResponses", "tool_responses", "toolResults", "tool_results", "responses")
"""Fields of a message that hold results of tools."""

_NAMES = ("name", "toolName", "tool_name", "functionName", "function_name", "function", "tool")
_CLEAR_NAMES = ("toolName", "tool_name", "functionName", "function_name")
_CLEAR_IDS = ("call_id", "callId", "tool_call_id", "toolCallId", "toolUseId", "tool_use_id")
_OTHER_IDS = ("id", "ref", "tool_id", "toolId")
"""Fields that hold the id of a call, and those that may hold another one."""
_RESULT_IDS = (*_CLEAR_IDS, "ref", "tool_id", "toolId", "id", "name", "tool_name", "toolName")
_ARGUMENTS = (
    "arguments", "args", "input", "parameters", "rawInput", "action", "server_tool_call", "tool_kwargs", "tool_args",
    "kwargs",
)  # fmt: skip
_RESULTS = ("output", "outputs", "result", "results", "response", "error", "errorText")
_CONTENTS = (
    "content", "output", "outputs", "response", "result", "results", "server_tool_call_response", "responseData",
    "tool_return", "value",
)  # fmt: skip
_FAILURES = ("error", "errorText", "text")
_CALL_KEYS = (
    "functionCall", "function_call", "toolUse", "toolCall", "tool_call", "toolInvocation", "toolRequest",
    "tool_request", "executableCode", "executable_code",
)  # fmt: skip
_INNER = (*_CALL_KEYS, "function", "custom")
_RESULT_KEYS = (
    "functionResponse", "function_response", "toolResult", "toolResponse", "tool_response", "codeExecutionResult",
    "code_execution_result", "tool_call_result",
)  # fmt: skip
"""Keys under which a block holds its call or its result, as its only key or beside its type."""
_CALL_STEMS = frozenset({"function", "dynamictool", "mcpapprovalrequest"})
_CALL_ENDS = ("tooluse", "toolcall", "functioncall", "toolrequest", "toolinvocation")
_RESULT_STEMS = frozenset({"functionmessage", "retryprompt", "mcpapprovalresponse", "toolerror"})
_RESULT_ENDS = (
    "toolresult", "toolreturn", "toolresponse", "tooloutput", "functionresult", "functionresponse", "calloutput",
    "callresult", "callresponse", "toolexecutionresult", "functionexecutionresult",
)  # fmt: skip
_CLIENT_RUN = ("function_call", "tool_call", "custom_tool_call", "computer_call", "local_shell_call")
_LEVELS = 3
"""How deep a call stands in the objects around it; no SDK needs more."""
_METADATA = frozenset({
    *_CLEAR_IDS, *_OTHER_IDS, *_RESULTS,
    "type", "part_kind", "block_type", "kind", "$type", "content_type", "status", "state", "index",
    "name", "toolName", "tool_name", "server_label", "container_id", "providerExecuted", "providerMetadata",
    "callProviderMetadata", "timestamp", "signature", "thoughtSignature", "thought_signature", "cache_control",
    "caller", "namespace", "function_name", "functionName", "plugin_name", "pluginName", "metadata", "modelId",
    "ai_model_id", "inner_content", "encoding", "informationalOnly", "additionalProperties", "annotations",
    "message_type",
})  # fmt: skip
"""Fields of a call that are not its arguments, if it names none."""


class CallWithResult(NamedTuple):
    """A call, and the content of its result where the provider logs both in one object; None if it does not."""

    part: ChatPart
    result: Any


def is_call(item: Mapping[str, Any]) -> bool:
    """Return whether a block is a call of a tool, whoever runs the tool."""
    kind = tag(item)
    if kind == "function" and "content" in item and not item.keys() & {"function", "arguments"}:
        return False  # LangChain's message of a function's result
    root = stem(kind)
    if root in _CALL_STEMS or root.endswith(_CALL_ENDS) or kind.endswith("_call"):
        return True
    if kind.startswith("tool_") and "toolCallId" in item and not _is_result_kind(kind, item):
        return True  # a part of Vercel's UI messages, `tool-<name>`
    if kind:
        return False
    if any(isinstance(item.get(key), Mapping) for key in _CALL_KEYS):
        return True
    if any(isinstance(item.get(key), str) for key in _CLEAR_NAMES):
        return first(item, _ARGUMENTS) is not None
    return isinstance(item.get("name"), str) and ("arguments" in item or item.keys() >= {"args", "id"})


def is_result(item: Mapping[str, Any]) -> bool:
    """Return whether a block is a tool's result."""
    kind = tag(item)
    if _is_result_kind(kind, item):
        return True
    if not kind and any(isinstance(item.get(key), str) for key in _CLEAR_IDS):
        return first(item, _CONTENTS) is not None and first(item, _ARGUMENTS) is None
    return any(isinstance(item.get(key), Mapping) for key in _RESULT_KEYS)


def _is_result_kind(kind: str, item: Mapping[str, Any]) -> bool:
    root = stem(kind)
    if root in _RESULT_STEMS or root.endswith(_RESULT_ENDS):
        return True
    return kind in ("toolmessage", "functionmessage") or (kind.endswith("_result") and "call_id" in item)


def is_calls(items: Any) -> bool:
    """Return whether a list holds nothing but calls and results."""
    return isinstance(items, list) and bool(items) and all(
        isinstance(item, Mapping) and (is_result(item) or is_call(item)) for item in items
    )  # fmt: skip


def call_of(outer: Mapping[str, Any], *, named_by_type: bool = False) -> CallWithResult | None:
    """Return the call that a block is, or None if it names no tool.

    Args:
        named_by_type: whether a tool may be named by the block's type alone, as in lists of executed tools.
    """
    levels = list(_levels(outer, _INNER))
    call, kind = levels[-1], tag(outer)
    name = next((found for level in reversed(levels) if (found := _name(level))), "")
    if not name and len(levels) > 1 and "code" in call:
        name = "executable_code"
    name = name or _name_of_kind(outer, kind) or (kind if named_by_type else "")
    if not name:
        return None
    found_ids = (first(level, keys) for keys in (_CLEAR_IDS, _OTHER_IDS) for level in levels)
    call_id = next((found for found in found_ids if found is not None), None)
    arguments = first(call, _ARGUMENTS)
    if arguments is None:
        arguments = {key: value for key, value in call.items() if key not in _METADATA and value is not None} or None
        if isinstance(arguments, dict) and arguments.get("function") == name:
            arguments = {key: value for key, value in arguments.items() if key != "function"} or None
    by_provider = _is_by_provider(outer, kind) or named_by_type
    part = ChatPart("call", "", name, "" if call_id is None else str(call_id), arguments, by_provider)
    if kind.startswith("invalid"):
        return CallWithResult(part, None)
    return CallWithResult(
        part, next((found for level in levels if (found := first(level, _RESULTS)) is not None), None)
    )


def _levels(outer: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    """Yield an object and the objects within it, along the first of `keys` that holds one."""
    item: Mapping[str, Any] | None = outer
    for _ in range(_LEVELS):
        if item is None:
            return
        yield item
        item = next((item[key] for key in keys if isinstance(item.get(key), Mapping)), None)


def _name(item: Mapping[str, Any]) -> str:
    name = next((item[key] for key in _NAMES if isinstance(item.get(key), str) and item[key]), "")
    plugin = first(item, ("pluginName", "plugin_name"))
    # Semantic Kernel offers a plugin's function to the model under both names.
    return f"{plugin}-{name}" if isinstance(plugin, str) and plugin and "name" not in item else name


def _is_by_provider(item: Mapping[str, Any], kind: str) -> bool:
    """Whether a call is of a tool that the provider runs, which need not stand in the catalogue under its name."""
    if item.get("providerExecuted") is True or kind.startswith(("mcp_", "server_tool", "builtin_tool")):
        return True
    if "executableCode" in item or "executable_code" in item:
        return True
    return kind.endswith("_call") and kind not in (*_CLIENT_RUN, "invalid_tool_call")


def _name_of_kind(item: Mapping[str, Any], kind: str) -> str:
    """Return the tool that a built-in call names by its type alone, such as `web_search_call`."""
    raw = item.get("type")
    if kind.startswith("tool_") and isinstance(raw, str) and "toolCallId" in item:
        return raw[len("tool-") :]
    name = kind.removesuffix("_call")
    return "" if name == kind or name in ("tool", "function", "custom_tool", "server_tool", "builtin_tool") else name


def result_of(result: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the role of a result's message, `tool[<id>]`, and the result's content."""
    levels = list(_levels(result, _RESULT_KEYS))
    item = levels[-1]
    calls = [found for level in levels for key in ("origin", "call") if isinstance(found := level.get(key), Mapping)]
    call_id = next((found for level in (*reversed(levels), *calls) if (found := first(level, _RESULT_IDS))), None)
    content = first(item, _CONTENTS)
    return result_role(call_id), first(item, _FAILURES) if content is None else content
