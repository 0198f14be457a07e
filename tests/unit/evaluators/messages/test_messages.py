"""Every shape of messages and tools that providers and their SDKs log is readable text; nothing is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.messages import (
    read_conversation,
    recognition,
    render_input,
    render_messages,
    render_output,
    render_tools,
    to_json,
)
from tests.services.cache import CHECKOUT

GENERATIONS = CHECKOUT / "examples" / "generations"

SHAPES: dict[str, tuple[Any, list[str]]] = {
    "openai chat": (
        [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "assistant", "content": "A cat.", "refusal": None},
        ],
        [
            "system: Be brief.",
            "user: What is it? [image]",
            'assistant: [tool_call c1: look({"at": "it"})]',
            "tool[c1]: a cat",
            "assistant: A cat.",
        ],
    ),
    "openai choices": (
        [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "audio": {"id": "a", "data": "AAAA", "transcript": "spoken"},
                },
                "finish_reason": "stop",
            }
        ],
        ["assistant: Hi [audio] spoken"],
    ),
    "openai response object": (
        {
            "id": "r",
            "object": "response",
            "model": "m",
            "output": [
                {"type": "reasoning", "id": "x", "summary": [{"type": "summary_text", "text": "thinking aloud"}]},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
                },
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "seen"},
                {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ],
        },
        [
            "assistant: [thinking] thinking aloud",
            "assistant: Hi",
            "assistant: [tool_call c1: look({})]",
            "tool[c1]: seen",
            "assistant: [refusal] No.",
        ],
    ),
    "anthropic": (
        {
            "system": "Be brief.",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
                        {"type": "text", "text": "What?"},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "content": [{"type": "text", "text": "a cat"}, {"type": "image", "source": {}}],
                        },
                        {"type": "text", "text": "And?"},
                    ],
                },
            ],
        },
        [
            "system: Be brief.",
            "user: [image] What?",
            'assistant: [thinking] hm I look. [tool_call t1: look({"at":1})]',
            "tool[t1]: a cat [image]",
            "user: And?",
        ],
    ),
    "gemini": (
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [{"text": "What?"}, {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}],
                },
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"at": 1}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"seen": "cat"}}}]},
            ],
        },
        [
            "system: Be brief.",
            "user: What? [audio]",
            'assistant: [tool_call: look({"at":1})]',
            'tool[look]: {"seen":"cat"}',
        ],
    ),
    "gemini candidates": (
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "A cat."}]}, "finishReason": "STOP"}],
            "modelVersion": "g",
        },
        ["assistant: A cat."],
    ),
    "opentelemetry parts": (
        [
            {
                "role": "user",
                "parts": [
                    {"type": "text", "content": "What?"},
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
                ],
                "finish_reason": "tool_call",
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "a cat"}]},
        ],
        ["user: What? [image]", 'assistant: [thinking] hm [tool_call c1: look({"at":1})]', "tool[c1]: a cat"],
    ),
    "langchain": (
        [
            {"type": "human", "content": "What?"},
            {"type": "ai", "content": "A cat."},
            {"type": "tool", "tool_call_id": "c1", "content": "r"},
        ],
        ["user: What?", "assistant: A cat.", "tool[c1]: r"],
    ),
    "content blocks alone": ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["user: a b"]),
    "a string": ("just text\nwith a line", ["just text\nwith a line"]),
    "unknown object": ({"query": "x", "top_k": 3}, ['{"query":"x","top_k":3}']),
    "unknown beside messages": (
        {"messages": [{"role": "user", "content": "x"}], "secret": 1},
        ['state: {"secret":1}', "user: x"],
    ),
    "a graph's state": (
        {"messages": [{"type": "human", "content": "x"}, {"type": "ai", "content": "y"}], "step": 1, "next": []},
        ['state: {"step":1}', "user: x", "assistant: y"],
    ),
    "updates of a graph's nodes": (
        {
            "agent": {"messages": [{"type": "ai", "content": "y"}]},
            "tools": {"messages": [{"type": "tool", "content": "r", "tool_call_id": "c"}]},
        },
        ["assistant: y", "tool[c]: r"],
    ),
    "an update of a graph's node": ({"agent": {"messages": [{"type": "ai", "content": "y"}]}}, ["assistant: y"]),
    "messages as pairs": ({"messages": [["system", "s"], ["human", "x"]], "step": None}, ["system: s", "user: x"]),
    "a history beside a question": (
        {"input": "And?", "chat_history": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        ["user: x", "assistant: y", "user: And?"],
    ),
    "input and output": (
        {"output": [{"role": "assistant", "content": "y"}], "input": [{"role": "user", "content": "x"}]},
        ["user: x", "assistant: y"],
    ),
    "a response with fields of a gateway": (
        {"choices": [{"message": {"role": "assistant", "content": "y"}}], "x_groq": {"id": 1}},
        ['state: {"x_groq":{"id":1}}', "assistant: y"],
    ),
    "unknown block": ([{"role": "user", "content": [{"type": "novel", "x": 1}]}], ['user: {"type":"novel","x":1}']),
    "message with unknown fields only": ([{"role": "user", "novel": {"x": 1}}], ['user: {"novel":{"x":1}}']),
    "scalars": ([1, None, True, "x"], ["1", "true", "user: x"]),
    "nothing": (None, []),
    "an empty list": ([], []),
    "an empty message": ([{"role": "user", "content": ""}], ["user: "]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_one_line_per_message(name: str) -> None:
    value, expected = SHAPES[name]
    assert render_messages(value) == expected


def test_a_state_beside_messages_was_not_told() -> None:
    reply = read_conversation(
        {"messages": [{"role": "assistant", "content": "y"}], "step": 1}, default_role="assistant"
    )
    assert (reply.told(), reply.words()) == ("y", "y")


def test_base64_is_never_put_into_a_prompt() -> None:
    for value, _ in SHAPES.values():
        assert "AAAA" not in render_input(value)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_vector_as_content_is_one_value(role: str) -> None:
    assert render_messages([{"role": role, "content": [0.5] * 200}]) == [f"{role}: [200 numbers]"]


def test_a_list_without_roles_is_the_users_in_an_input_and_the_models_in_an_output() -> None:
    assert render_input(["x"]) == "user: x"
    assert render_output(["x"]) == "assistant: x"


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (
            [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "Does\n it.",
                        "parameters": {"properties": {"a": {}, "b": {}}, "required": ["a"]},
                    },
                }
            ],
            ["- f: Does it. (a, b?)"],
        ),
        ([{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}], ["- f"]),
        ([{"name": "f", "description": "d", "input_schema": {"properties": {"a": {}}}}], ["- f: d (a?)"]),
        (
            [
                {
                    "functionDeclarations": [
                        {"name": "f"},
                        {"name": "g", "parameters": {"properties": {"a": {}}, "required": ["a"]}},
                    ]
                }
            ],
            ["- f", "- g (a)"],
        ),
        ({"tools": [{"name": "f"}]}, ["- f"]),
        ([{"type": "web_search"}], ["- web_search"]),
        ([{"novel": 1}], ['- {"novel":1}']),
        (["f", 3], ["- f", "- 3"]),
        (None, []),
        ([], []),
    ],
)
def test_tool_catalogues_of_all_providers_are_one_line_per_tool(tools: Any, expected: list[str]) -> None:
    assert render_tools(tools) == expected


def captured() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(GENERATIONS.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if row["event"] == "$ai_generation":
                yield file.name, json.loads(row["properties"])


def texts(value: Any) -> Iterator[str]:
    """Yield the texts of people and models anywhere in a value: long strings that are neither ids nor data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("text", "content", "arguments") or isinstance(inner, dict | list):
                yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_captured_generations_are_rendered_without_losing_a_word() -> None:
    seen = 0
    for name, properties in captured():
        rendered = (
            render_input(properties.get("$ai_input")) + "\n" + render_output(properties.get("$ai_output_choices"))
        )
        for text in (*texts(properties.get("$ai_input")), *texts(properties.get("$ai_output_choices"))):
            assert text in rendered, f"{name}: {text[:80]!r} is missing"
        seen += 1
    assert seen > 500


def test_captured_generations_are_of_known_shapes() -> None:
    """Nothing that the real SDKs send falls back to JSON, and every line says who speaks."""
    for name, properties in captured():
        for value, role in ((properties.get("$ai_input"), "user"), (properties.get("$ai_output_choices"), "assistant")):
            for line in render_messages(value, default_role=role):
                who = line.partition(": ")[0]
                assert who.partition("[")[0] in ("system", "user", "assistant", "tool", "developer"), (
                    f"{name}: {line[:80]}"
                )
                assert '"role":' not in line
        for line in render_tools(properties.get("$ai_tools")):
            assert not line.startswith("- {"), f"{name}: {line[:80]}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "parts",
                    "messages",
                    "choices",
                    "message",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "output",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_no_value_is_too_strange_to_be_rendered(value: Any) -> None:
    assert isinstance(render_input(value), str)
    assert isinstance(render_output(value), str)
    assert all(isinstance(line, str) for line in render_tools(value))


@given(JSON)
def test_json_written_by_hand_equals_the_librarys(value: Any) -> None:
    from evaluators.messages.json_text import _json_pieces

    assert json.loads("".join(_json_pieces(value))) == json.loads(to_json(value))


def test_nesting_deeper_than_the_stack_is_rendered() -> None:
    value: Any = "x"
    for _ in range(50_000):
        value = [{"a": value}]
    assert render_input(value).count("[") >= 49_990


def test_a_text_of_very_many_numbers_is_not_asked_number_by_number_whether_it_is_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(recognition, "is_message", asked.append)
    text = str([7] * 100_000)
    assert [part.text for part in read_conversation(text).messages[0].parts] == [text]
    assert asked == []
