"""A call of a tool and its result have one normal form, whichever SDK logged them.

`data/calls.yaml` has one call and its result a case, as the SDK writes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluators.messages import read_conversation

CASES = yaml.safe_load((Path(__file__).parent / "data" / "calls.yaml").read_text("utf-8"))


def _arguments(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


@pytest.mark.parametrize("as_list", [False, True], ids=["alone", "in a list"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["sdk"])
def test_a_call_has_its_name_arguments_and_id(case: dict[str, Any], as_list: bool) -> None:
    reply = read_conversation([case["call"]] if as_list else case["call"], default_role="assistant")
    [call] = reply.calls()
    assert (call.name, call.call_id) == ("f", "c")
    assert _arguments(call.arguments) == case.get("arguments", {"a": 1})
    assert {message.role for message in reply.messages} == {"assistant"}
    assert reply.words() == case.get("said", "")
    assert reply.told() == " ".join(filter(None, [case.get("said", ""), str(call)]))
    assert reply.thinking() == case.get("thinking", "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["sdk"])
def test_a_result_is_a_tools_message_with_the_calls_id(case: dict[str, Any]) -> None:
    for logged in (case["result"], [case["result"]], {"messages": [{"role": "user", "content": "x"}, case["result"]]}):
        *_, result = read_conversation(logged).messages
        assert str(result) == f"tool[c]: {case.get('content', 'r')}"


@pytest.mark.parametrize(
    "message",
    [
        {"toolInvocations": [{"state": "result", "toolCallId": "c", "toolName": "f", "args": {"a": 1}, "result": "r"}]},
        {
            "parts": [
                {"type": "tool-f", "toolCallId": "c", "state": "output-available", "input": {"a": 1}, "output": "r"}
            ]
        },
        {
            "parts": [
                {"type": "tool-f", "toolCallId": "c", "state": "output-error", "input": {"a": 1}, "errorText": "r"}
            ]
        },
        {
            "parts": [
                {
                    "type": "tool-invocation",
                    "toolInvocation": {
                        "state": "result",
                        "toolCallId": "c",
                        "toolName": "f",
                        "args": {"a": 1},
                        "result": "r",
                    },
                }
            ]
        },
        {"content": [{"type": "mcp_call", "id": "c", "name": "f", "arguments": '{"a":1}', "output": "r"}]},
        {
            "toolCalls": [{"toolCallId": "c", "toolName": "f", "args": {"a": 1}}],
            "toolResults": [{"toolCallId": "c", "toolName": "f", "result": "r"}],
        },
    ],
    ids=range(6),
)
def test_a_result_in_the_same_message_follows_the_call(message: dict[str, Any]) -> None:
    _, result = messages = read_conversation([{"role": "assistant", "content": "", **message}]).messages
    assert [message.role for message in messages] == ["assistant", "tool[c]"]
    assert str(result) == "tool[c]: r"


def test_tools_that_the_provider_runs_are_named_by_their_type() -> None:
    items = [
        {"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "q"}, "status": "completed"},
        {"type": "computer_call", "id": "i", "call_id": "k", "action": {"type": "click", "x": 1}},
        {"type": "file_search_call", "id": "s", "queries": ["q"], "results": None},
        {"type": "google_search_call", "id": "g", "arguments": {"queries": ["q"]}},
    ]
    assert [call.name for call in read_conversation(items, default_role="assistant").calls()] == [
        "web_search",
        "computer",
        "file_search",
        "google_search",
    ]
    executed = [{"type": "search", "arguments": '{"q":1}', "output": "r", "index": 0}]  # Groq
    reply = read_conversation([{"role": "assistant", "content": "Hi", "executed_tools": executed}])
    [call] = reply.calls()
    assert (call.name, call.arguments, call.by_provider, reply.words()) == ("search", '{"q":1}', True, "Hi")


def test_a_function_of_a_plugin_has_both_names_as_the_model_has() -> None:
    item = {"$type": "FunctionCallContent", "Id": "c", "PluginName": "p", "FunctionName": "f", "Arguments": {"a": 1}}
    [call] = read_conversation([{"Role": {"Label": "assistant"}, "Items": [item]}]).calls()
    assert (call.name, call.arguments) == ("p-f", {"a": 1})


@pytest.mark.parametrize(
    "value",
    [
        {"name": "Ann", "id": 1, "action": "buy"},
        {"name": "Ann", "input": "x"},
        {"tool": "hammer", "output": "nail"},
        {"Text": 1, "Name": "x"},
        {"function": "f", "result": 2},
    ],
    ids=range(5),
)
def test_an_object_of_no_known_shape_stays_json(value: dict[str, Any]) -> None:
    assert read_conversation(value).text() == json.dumps(value, separators=(",", ":"))
