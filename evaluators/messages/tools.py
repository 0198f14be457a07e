"""Catalogues of the tools that a model could call, in one form and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evaluators.messages.json_text import from_json, to_json
from evaluators.messages.scrub import scrubbed

_GROUPS = ("functionDeclarations", "function_declarations")
_INNER = ("function", "toolSpec", "custom")
_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema")


class Tool(NamedTuple):
    """One offered tool. `schema` is the JSON schema of its arguments, None if it has none."""

    name: str
    description: str
    schema: Mapping[str, Any] | None


def read_tools(value: Any) -> list[Tool]:
    """Return the tools of a catalogue that have a name.

    Known are the shapes of OpenAI (chat and responses), Anthropic, Gemini, Bedrock, MCP and the Vercel AI SDK, an
    object of tools by name, and each as JSON in a text.
    """
    return [tool for tool in map(_tool, _declared(value)) if tool is not None]


def render_tools(value: Any) -> list[str]:
    """Return each tool of a catalogue as `- name: description (arg, optional_arg?)`; one of another shape as JSON."""
    if isinstance(value, str) and value and from_json(value) is None:
        return [scrubbed(value)]
    return [scrubbed(f"- {_text(declared)}") for declared in _declared(value)]


def _declared(value: Any) -> Iterator[Any]:
    """Yield the declarations of single tools."""
    if isinstance(value, str):
        value = from_json(value)
    if not value:
        return
    if isinstance(value, Mapping) and isinstance(value.get("tools"), list):
        value = value["tools"]
    elif isinstance(value, Mapping) and _tool(value) is None and _is_table(value):
        value = [{"name": name, **tool} for name, tool in value.items()]
    for tool in value if isinstance(value, list) else [value]:
        groups = [tool[key] for key in _GROUPS if isinstance(tool.get(key), list)] if isinstance(tool, Mapping) else []
        yield from groups[0] if groups else [tool]


def _is_table(value: Mapping[str, Any]) -> bool:
    """Whether an object has tools by their names, as the Vercel AI SDK takes them."""
    known = {"description", *_SCHEMAS}
    return all(isinstance(tool, Mapping) and tool.keys() & known for tool in value.values())


def _tool(declared: Any) -> Tool | None:
    if not isinstance(declared, Mapping):
        return Tool(declared, "", None) if isinstance(declared, str) and declared else None
    function = next((declared[key] for key in _INNER if isinstance(declared.get(key), Mapping)), declared)
    name, kind = function.get("name"), declared.get("type")
    if not isinstance(name, str) or not name:
        # A tool that the provider runs is often named by its type alone.
        return Tool(kind, "", None) if isinstance(kind, str) and set(declared) == {"type"} else None
    description = function.get("description")
    schema = next((function[key] for key in _SCHEMAS if isinstance(function.get(key), Mapping)), None)
    wrapped = schema.get("json") or schema.get("jsonSchema") if schema is not None else None  # Bedrock, Vercel
    schema = wrapped if isinstance(wrapped, Mapping) else schema
    return Tool(name, " ".join(description.split()) if isinstance(description, str) else "", schema)


def _text(declared: Any) -> str:
    tool = _tool(declared)
    if tool is None:
        return to_json(declared)
    text = f"{tool.name}: {tool.description}" if tool.description else tool.name
    arguments = _arguments(tool.schema) if tool.schema is not None else []
    return f"{text} ({', '.join(arguments)})" if arguments else text


def _arguments(schema: Mapping[str, Any]) -> list[str]:
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, Mapping):
        return []
    needed = set(map(str, required)) if isinstance(required, list) else set()
    return [str(name) if name in needed else f"{name}?" for name in properties]
