"""Every source of every property, and which of several sources wins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from ingest.otlp import conventions
from ingest.otlp.readers import MAX_INDEX
from ingest.otlp.span import SpanEvent
from tests.unit.ingest.otlp.spans import (
    event_of,
    properties_of,
    span,
)


class Given(NamedTuple):
    """One source of a property: the attributes and events that hold it, and the value that it becomes."""

    key: str
    how: str
    attributes: dict[str, Any]
    expected: Any
    events: tuple[SpanEvent, ...] = ()


def plain(*keys: str, value: Any = None) -> list[Given]:
    """Return sources whose values are taken as they are, each with a value of its own."""
    return [Given(key, "value", {key: value or f"of {key}"}, value or f"of {key}") for key in keys]


def number(*keys: str) -> list[Given]:
    return [Given(key, "value", {key: place}, place) for place, key in enumerate(keys, start=1)]


def inside(key: str, field: str, value: float) -> Given:
    """Return a source whose value is a field of a JSON object."""
    return Given(key, "field", {key: json.dumps({field: value})}, value)


def texts(*keys: str) -> list[Given]:
    """Return sources whose values are JSON texts."""
    return [Given(key, "value", {key: json.dumps([{"of": key}])}, [{"of": key}]) for key in keys]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "parts": [{"type": "text", "content": "be brief"}]}
WITH_SYSTEM = {"gen_ai.system_instructions": '[{"type": "text", "content": "be brief"}]'}
DETAILS = "gen_ai.client.inference.operation.details"
MESSAGES = tuple(
    SpanEvent(f"gen_ai.{role}.message", {"content": role, "gen_ai.system": "openai"})
    for role in ("system", "user", "assistant", "tool")
)
CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}, "id": "c"}
INDEXED_CALL = {"tool_call.id": "c", "tool_call.function.name": "f", "tool_call.function.arguments": "x"}
LOGGED = [
    {"event.name": "gen_ai.user.message", "content": "logged", "role": "user"},
    {"event.name": "gen_ai.choice", "message": {"role": "assistant", "content": "logged"}},
]


def under(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in fields.items()}


SOURCES: dict[str, list[Given]] = {
    "$ai_input": [
        Given("gen_ai.input.messages", "input_messages",
              {"gen_ai.input.messages": json.dumps([user("now")]), **WITH_SYSTEM}, [SYSTEM, user("now")]),
        Given("gen_ai.input.messages", "details_input", {}, [SYSTEM, user("details")],
              (SpanEvent(DETAILS, {"gen_ai.input.messages": json.dumps([user("details")]), **WITH_SYSTEM}),)),
        Given("gen_ai.*.message", "message_events", {},
              [{"role": role, "content": role} for role in ("system", "user", "assistant", "tool")], MESSAGES),
        Given("gen_ai.prompt", "event_value", {}, [user("event")],
              (SpanEvent("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps([user("event")])}),)),
        *texts("gen_ai.prompt"),
        Given("llm.input_messages", "indexed_messages",
              under("llm.input_messages.2.message", {
                  "role": "tool", "tool_call_id": "c", "name": "f",
                  "contents.0.message_content.type": "text", "contents.0.message_content.text": "done"})
              | under("llm.input_messages.0.message", {"role": "assistant"} | under("tool_calls.0", INDEXED_CALL)),
              [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "x"}}]},
               {"role": "tool", "tool_call_id": "c", "name": "f", "content": [{"type": "text", "text": "done"}]}]),
        Given("llm.prompts", "indexed_text", {"llm.prompts.0.prompt.text": "a", "llm.prompts.1.prompt.text": "b"},
              ["a", "b"]),
        *texts("input.value"),
        Given("gen_ai.prompt", "indexed_messages",
              under("gen_ai.prompt.0", {"role": "assistant", "content": "", "tool_calls.0.id": "c",
                                        "tool_calls.0.name": "f", "tool_calls.0.arguments": "x"})
              | under("gen_ai.prompt.1", {"role": "tool", "content": "done", "tool_call_id": "c"}),
              [{"role": "assistant", "content": "",
                "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "x"}}]},
               {"role": "tool", "content": "done", "tool_call_id": "c"}]),
        Given("llm.prompts", "indexed_messages", under("llm.prompts.0", user("go")), [user("go")]),
        *texts("ai.prompt.messages"),
        Given("ai.prompt", "vercel_prompt", {"ai.prompt": json.dumps({"system": "s", "messages": [user("vercel")]})},
              [{"role": "system", "content": "s"}, user("vercel")]),
        *texts("langfuse.observation.input"),
        Given("events", "logged_input", {"events": json.dumps(LOGGED)}, [user("logged")]),
    ],
    "$ai_output_choices": [
        Given("gen_ai.output.messages", "output_messages", {"gen_ai.output.messages": json.dumps([said("now")])},
              [said("now")]),
        Given("gen_ai.output.messages", "details_output", {}, [said("details")],
              (SpanEvent(DETAILS, {"gen_ai.output.messages": [said("details")]}),)),
        Given("gen_ai.choice", "choice_events", {}, [{**said("choice"), "finish_reason": "stop"}],
              (SpanEvent("gen_ai.choice", {"finish_reason": "stop", "message": json.dumps(said("choice"))}),),
              ),
        Given("gen_ai.completion", "event_value", {}, [said("event")],
              (SpanEvent("gen_ai.content.completion", {"gen_ai.completion": json.dumps([said("event")])}),)),
        *texts("gen_ai.completion"),
        Given("llm.output_messages", "indexed_messages", under("llm.output_messages.0.message", said("oi")),
              [said("oi")]),
        Given("llm.choices", "indexed_text", {"llm.choices.0.completion.text": "a"}, ["a"]),
        *texts("output.value"),
        Given("gen_ai.completion", "indexed_messages", under("gen_ai.completion.0", said("oll")), [said("oll")]),
        Given("llm.completions", "indexed_messages", under("llm.completions.0", said("go")), [said("go")]),
        Given("ai.response", "vercel_answer",
              {"ai.response.text": "hi",
               "ai.response.toolCalls": '[{"toolCallId": "c", "toolName": "f", "input": "{}"}]'},
              [{**said("hi"), "tool_calls": [CALL]}]),
        Given("ai.result", "vercel_answer", {"ai.result.object": '{"a": 1}'}, [said('{"a": 1}')]),
        *texts("langfuse.observation.output"),
        Given("events", "logged_output", {"events": json.dumps(LOGGED)}, [said("logged")]),
    ],
    "$ai_input_state": [
        *texts("gen_ai.tool.call.arguments", "input.value", "traceloop.entity.input", "ai.toolCall.args"),
        Given("ai.prompt", "vercel_question",
              {"ai.prompt": json.dumps({"messages": [user("a"), said("b"), user("c")]})}, [user("c")]),
        *texts("tool_arguments", "langfuse.observation.input"),
    ],
    "$ai_output_state": [
        *texts("gen_ai.tool.call.result", "output.value", "traceloop.entity.output", "ai.toolCall.result"),
        Given("ai.response", "vercel_answer", {"ai.response.text": "hi"}, [said("hi")]),
        *texts("tool_response", "final_result", "langfuse.observation.output"),
    ],
    "$ai_tools": [
        *texts("gen_ai.tool.definitions"),
        Given("llm.tools", "indexed_schema", {"llm.tools.0.tool.json_schema": '{"name": "f"}'}, [{"name": "f"}]),
        Given("llm.request.functions", "indexed_functions", under("llm.request.functions.0", {"name": "f"}),
              [{"type": "function", "function": {"name": "f"}}]),
        Given("ai.prompt.tools", "json_texts", {"ai.prompt.tools": ['{"name": "v"}']}, [{"name": "v"}]),
    ],
    "$ai_model": plain(
        "gen_ai.response.model", "gen_ai.request.model", "llm.response.model_name", "llm.model_name",
        "embedding.model_name", "llm.response.model", "llm.request.model", "ai.response.model", "ai.model.id",
        "langfuse.observation.model.name", "model_name",
    ),
    "$ai_provider": plain(
        "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor", "ai.model.provider"
    ),
    "$ai_input_tokens": [
        *number("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
                "llm.usage.prompt_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        inside("langfuse.observation.usage_details", "input", 30),
    ],
    "$ai_output_tokens": [
        *number("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
                "llm.usage.completion_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens"),
        inside("langfuse.observation.usage_details", "output", 50),
    ],
    "$ai_cache_read_input_tokens": number(
        "gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.cache_read_input_tokens", "ai.usage.cachedInputTokens",
    ),
    "$ai_cache_creation_input_tokens": number(
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "llm.token_count.prompt_details.cache_write", "gen_ai.usage.cache_creation_input_tokens",
    ),
    "$ai_reasoning_tokens": number(
        "gen_ai.usage.reasoning.output_tokens", "llm.token_count.completion_details.reasoning",
        "gen_ai.usage.reasoning_tokens", "ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens",
    ),
    "$ai_stop_reason": [
        Given("gen_ai.response.finish_reasons", "first", {"gen_ai.response.finish_reasons": ["length", "stop"]},
              "length"),
        Given("$ai_output_choices", "finish_reason",
              {"gen_ai.output.messages": json.dumps([{**said("x"), "finish_reason": "tool_call"}])}, "tool_call"),
        *plain("llm.finish_reason", "llm.response.finish_reason", "llm.response.stop_reason",
               "ai.response.finishReason"),
    ],
    "$ai_model_parameters": [
        Given("gen_ai.request.", "prefix", {"gen_ai.request.temperature": 0.5, "gen_ai.request.model": "m"},
              {"temperature": 0.5}),
        Given("llm.invocation_parameters", "value", {"llm.invocation_parameters": '{"top_p": 1}'}, {"top_p": 1}),
        Given("ai.settings.", "prefix", {"ai.settings.maxRetries": 2}, {"maxRetries": 2}),
        Given("langfuse.observation.model.parameters", "value", {"langfuse.observation.model.parameters": '{"a": 1}'},
              {"a": 1}),
    ],
    "$ai_total_cost_usd": [
        *number("gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.cost.total"),
        inside("langfuse.observation.cost_details", "total", 0.5),
        *number("operation.cost"),
    ],
    "$ai_prompt_name": plain(
        "gen_ai.prompt.name", "traceloop.prompt.key", "ai.telemetry.metadata.$ai_prompt_name",
        "langfuse.observation.prompt.name",
    ),
    "$ai_prompt_version": plain(
        "llm.prompt_template.version", "traceloop.prompt.version", "ai.telemetry.metadata.$ai_prompt_version",
        "langfuse.observation.prompt.version",
    ),
    "$ai_base_url": plain("server.address"),
    "$ai_session_id": plain(
        "langfuse.session.id", "session.id", "traceloop.association.properties.session_id",
        "ai.telemetry.metadata.$ai_session_id", "ai.telemetry.metadata.sessionId", "anthropic.session.id",
        "eve.session.id", "gen_ai.conversation.id",
    ),
    "distinct_id": plain(
        "ai.telemetry.metadata.posthog_distinct_id", "posthog.distinct_id", "user.id", "enduser.id",
        "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId", "langfuse.user.id",
    ),
}  # fmt: skip
"""Property → its sources, the first that is set wins. Written from the conventions, not from the tables of the code."""
TABLES: dict[str, tuple[conventions.Source, ...]] = {
    **conventions.GENERATION_PROPERTIES,
    **conventions.SPAN_PROPERTIES,
    **conventions.PROPERTIES,
    **conventions.OF_SPAN_OR_RESOURCE,
}


def test_every_source_of_the_tables_has_a_case() -> None:
    assert {name: [(each.key, each.how) for each in sources] for name, sources in TABLES.items()} == {
        name: [(each.key, each.how) for each in given] for name, given in SOURCES.items()
    }


def made_of(name: str, given: list[Given], **extra: Any) -> Any:
    """Return the property that a span with all these sources has."""
    kind = "execute_tool" if name in conventions.SPAN_PROPERTIES else "chat"
    attributes: dict[str, Any] = {"gen_ai.operation.name": kind, **extra}
    for each in reversed(given):
        attributes |= each.attributes
    event = event_of(span(attributes, *(inner for each in given for inner in each.events)))
    return event.distinct_id if name == "distinct_id" else json.loads(event.properties).get(name)


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, sources in SOURCES.items() for place in range(len(sources))]
)
def test_each_source_becomes_its_property_and_wins_over_the_later_ones(name: str, place: int) -> None:
    sources = SOURCES[name]
    expected = sources[place].expected
    assert made_of(name, [sources[place]]) == expected
    assert made_of(name, sources[place:]) == expected
    if name != "distinct_id":
        assert made_of(name, sources[place:], **{name: "explicit"}) == "explicit"


@pytest.mark.parametrize("name", ["$ai_session_id", "distinct_id"])
def test_a_session_and_a_person_may_be_of_the_resource(name: str) -> None:
    for given in SOURCES[name]:
        for of_span, expected in (({}, given.expected), ({"gen_ai.conversation.id": "x", "user.id": "x"}, "x")):
            event = event_of(span({"gen_ai.operation.name": "chat", **of_span}, resource=given.attributes))
            found = event.distinct_id if name == "distinct_id" else json.loads(event.properties)[name]
            assert found == expected, given.key


def test_an_index_from_10_000_on_and_a_name_that_is_no_index_are_left() -> None:
    attributes = {f"gen_ai.prompt.{index}.content": "x" for index in (MAX_INDEX, "name", "-1", "1e3")}
    last = {f"gen_ai.prompt.{MAX_INDEX - 1}.content": "last"}
    found = properties_of(span({"gen_ai.operation.name": "chat", **attributes, **last}))
    assert found["$ai_input"] == [{"content": "last"}]
    assert attributes.items() <= found.items()


def test_instructions_do_not_come_before_a_system_message() -> None:
    messages = [{"role": "system", "content": "mine"}, user("x")]
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(messages), **WITH_SYSTEM}
    assert properties_of(span(attributes))["$ai_input"] == messages
