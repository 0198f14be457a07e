"""The tables of conventions: what each instrumentation records becomes the same properties."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.otlp.mapping import is_ai, kind_of, plan_of_span, to_event
from ingest.otlp.span import Span, SpanEvent, UnreadableSpan
from ingest.rows import Event

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
START_NS = int(datetime(2026, 11, 1, 10, tzinfo=UTC).timestamp()) * 1_000_000_000
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
HELLO, HI = {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}


def span(*events: SpanEvent, parent: str = PARENT, name: str = "chat", **changes: Any) -> Span:
    values: dict[str, Any] = {"attributes": {}, "resource": {}, **changes}
    return Span(TRACE, SPAN, parent, name, START_NS, START_NS + 1_500_000_000, events=list(events), **values)


def event_of(given: Span, team: int = 7) -> Event:
    plan = plan_of_span(given)
    name, convention = kind_of(given, plan)
    kept = ("service.", "deployment.environment")
    return to_event(given, plan, name, convention, team_id=team, now=NOW, kept=kept, dropped=("$ip",))


def properties_of(given: Span) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event_of(given).properties)
    return found


@pytest.mark.parametrize(
    ("attributes", "kind", "library"),
    [
        ({"gen_ai.operation.name": "chat"}, "$ai_generation", "genai"),
        ({"gen_ai.operation.name": "text_completion"}, "$ai_generation", "genai"),
        ({"gen_ai.operation.name": "generate_content"}, "$ai_generation", "genai"),
        ({"gen_ai.operation.name": "anthropic_messages"}, "$ai_generation", "genai"),
        ({"gen_ai.operation.name": "embeddings"}, "$ai_embedding", "genai"),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.request.model": "m"}, "$ai_span", "genai"),
        ({"openinference.span.kind": "LLM"}, "$ai_generation", "openinference"),
        ({"openinference.span.kind": "EMBEDDING"}, "$ai_embedding", "openinference"),
        ({"openinference.span.kind": "CHAIN"}, "$ai_span", "openinference"),
        ({"ai.operationId": "ai.generateText.doGenerate"}, "$ai_generation", "vercel"),
        ({"ai.operationId": "ai.streamText.doStream"}, "$ai_generation", "vercel"),
        ({"ai.operationId": "ai.embed.doEmbed"}, "$ai_embedding", "vercel"),
        ({"ai.operationId": "ai.generateText"}, "$ai_span", "vercel"),
        ({"llm.request.type": "chat"}, "$ai_generation", "openllmetry"),
        ({"llm.request.type": "embedding"}, "$ai_embedding", "openllmetry"),
        ({"traceloop.span.kind": "workflow"}, "$ai_span", "openllmetry"),
        ({"langfuse.observation.type": "generation", "gen_ai.operation.name": "x"}, "$ai_generation", "langfuse"),
        ({"langfuse.observation.type": "span", "gen_ai.operation.name": "chat"}, "$ai_span", "langfuse"),
        ({"logfire.msg": "m"}, "$ai_span", "logfire"),
        ({"pydantic_ai.all_messages": "[]"}, "$ai_span", "logfire"),
        ({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}, "$ai_generation", "genai"),
        ({"gen_ai.request.model": "m"}, "$ai_span", "genai"),
    ],
)
def test_the_first_rule_that_applies_says_what_a_span_is(attributes: dict[str, Any], kind: str, library: str) -> None:
    given = span(attributes=attributes)
    event = event_of(given)
    assert event.name == kind
    assert json.loads(event.properties)["$ai_lib"] == f"opentelemetry/{library}"


def test_a_span_without_a_parent_is_a_trace() -> None:
    assert event_of(span(parent="", attributes={"traceloop.span.kind": "workflow"})).name == "$ai_trace"


def test_spans_of_other_applications_are_told_apart() -> None:
    def is_one(given: Span) -> bool:
        return is_ai(given, plan_of_span(given))

    assert not is_one(span(attributes={"http.request.method": "GET", "aim": 1, "llm": 1}))
    assert is_one(span(attributes={"llm.vendor": "x"}))
    assert is_one(span(SpanEvent("gen_ai.choice", {})))


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CASES: dict[str, tuple[Span, dict[str, Any]]] = {
    "GenAI, current": (
        span(
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-5-mini",
                "gen_ai.response.model": "gpt-5-mini-2026",
                "gen_ai.input.messages": json.dumps([HELLO]),
                "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be brief"}]),
                "gen_ai.output.messages": json.dumps([{**HI, "finish_reason": "stop"}]),
                "gen_ai.usage.input_tokens": 3,
                "gen_ai.usage.output_tokens": 5,
                "gen_ai.usage.cache_read.input_tokens": 2,
                "gen_ai.request.temperature": 0.5,
                "gen_ai.conversation.id": "conversation",
                "gen_ai.tool.definitions": json.dumps([{"name": "f"}]),
            }
        ),
        {
            "$ai_provider": "openai",
            "$ai_model": "gpt-5-mini-2026",
            "$ai_input": [{"role": "system", "parts": [{"type": "text", "content": "be brief"}]}, HELLO],
            "$ai_output_choices": [{**HI, "finish_reason": "stop"}],
            "$ai_stop_reason": "stop",
            "$ai_input_tokens": 3,
            "$ai_output_tokens": 5,
            "$ai_cache_read_input_tokens": 2,
            "$ai_model_parameters": {"temperature": 0.5},
            "$ai_session_id": "conversation",
            "$ai_tools": [{"name": "f"}],
        },
    ),
    "GenAI, deprecated events": (
        span(
            SpanEvent("gen_ai.system.message", {"gen_ai.system": "openai", "content": "be brief"}),
            SpanEvent("gen_ai.user.message", {"content": "hello"}),
            SpanEvent("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": json.dumps(HI)}),
            attributes={"gen_ai.system": "openai", "gen_ai.operation.name": "chat", "gen_ai.usage.prompt_tokens": 3},
        ),
        {
            "$ai_provider": "openai",
            "$ai_input": [{"role": "system", "content": "be brief"}, HELLO],
            "$ai_output_choices": [{**HI, "finish_reason": "stop"}],
            "$ai_stop_reason": "stop",
            "$ai_input_tokens": 3,
        },
    ),
    "GenAI, event with details": (
        span(
            SpanEvent(
                "gen_ai.client.inference.operation.details",
                {"gen_ai.input.messages": [HELLO], "gen_ai.output.messages": [HI]},
            ),
            attributes={"gen_ai.operation.name": "chat"},
        ),
        {"$ai_input": [HELLO], "$ai_output_choices": [HI]},
    ),
    "OpenInference": (
        span(
            attributes={
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-5-mini",
                "llm.provider": "openai",
                "llm.input_messages.1.message.role": "user",
                "llm.input_messages.1.message.contents.0.message_content.type": "text",
                "llm.input_messages.1.message.contents.0.message_content.text": "hello",
                "llm.input_messages.0.message.role": "system",
                "llm.input_messages.0.message.content": "be brief",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c",
                "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
                "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "x",
                "llm.token_count.prompt": 3,
                "llm.token_count.completion": 5,
                "llm.invocation_parameters": '{"temperature": 0}',
                "llm.tools.0.tool.json_schema": '{"name": "f"}',
                "input.value": "left as it is",
                "session.id": "s",
                "user.id": "u",
            }
        ),
        {
            "$ai_model": "gpt-5-mini",
            "$ai_provider": "openai",
            "$ai_input": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            ],
            "$ai_output_choices": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "x"}}],
                }
            ],
            "$ai_input_tokens": 3,
            "$ai_output_tokens": 5,
            "$ai_model_parameters": {"temperature": 0},
            "$ai_tools": [{"name": "f"}],
            "$ai_session_id": "s",
            "input.value": "left as it is",
        },
    ),
    "OpenLLMetry": (
        span(
            attributes={
                "llm.request.type": "chat",
                "gen_ai.system": "OpenAI",
                "gen_ai.request.model": "gpt-5-mini",
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "hello",
                "gen_ai.prompt.name": "greeting",
                "gen_ai.prompt.10000.role": "user",
                "gen_ai.completion.3.role": "assistant",
                "gen_ai.completion.3.content": "hi",
                "gen_ai.completion.3.finish_reason": "stop",
                "llm.request.functions.0.name": "f",
                "llm.request.functions.0.parameters": '{"type": "object"}',
                "traceloop.association.properties.session_id": "s",
            }
        ),
        {
            "$ai_input": [HELLO],
            "$ai_output_choices": [{**HI, "finish_reason": "stop"}],
            "$ai_prompt_name": "greeting",
            "$ai_stop_reason": "stop",
            "$ai_tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "$ai_session_id": "s",
            "gen_ai.prompt.10000.role": "user",
        },
    ),
    "Vercel AI SDK": (
        span(
            attributes={
                "ai.operationId": "ai.generateText.doGenerate",
                "ai.model.id": "gpt-5-mini",
                "ai.model.provider": "openai.chat",
                "ai.prompt.messages": json.dumps([HELLO]),
                "ai.prompt.tools": ['{"name": "f"}'],
                "ai.response.text": "hi",
                "ai.response.toolCalls": json.dumps([{"toolCallId": "c", "toolName": "f", "args": '{"a": 1}'}]),
                "ai.response.finishReason": "stop",
                "ai.usage.promptTokens": 3,
                "ai.usage.completionTokens": 5,
                "ai.settings.maxRetries": 2,
                "ai.telemetry.metadata.posthog_distinct_id": "u",
                "ai.telemetry.metadata.sessionId": "s",
            }
        ),
        {
            "$ai_model": "gpt-5-mini",
            "$ai_provider": "openai.chat",
            "$ai_input": [HELLO],
            "$ai_output_choices": [{**HI, "tool_calls": [CALL]}],
            "$ai_tools": [{"name": "f"}],
            "$ai_stop_reason": "stop",
            "$ai_input_tokens": 3,
            "$ai_output_tokens": 5,
            "$ai_model_parameters": {"maxRetries": 2},
            "$ai_session_id": "s",
        },
    ),
    "Langfuse": (
        span(
            attributes={
                "langfuse.observation.type": "generation",
                "langfuse.observation.input": json.dumps([HELLO]),
                "langfuse.observation.output": "hi",
                "langfuse.observation.model.name": "gpt-5-mini",
                "langfuse.observation.usage_details": '{"input": 3, "output": 5}',
                "langfuse.observation.cost_details": '{"total": 0.25}',
                "langfuse.session.id": "s",
            }
        ),
        {
            "$ai_input": [HELLO],
            "$ai_output_choices": "hi",
            "$ai_model": "gpt-5-mini",
            "$ai_input_tokens": 3,
            "$ai_output_tokens": 5,
            "$ai_total_cost_usd": 0.25,
            "$ai_session_id": "s",
        },
    ),
    "Logfire": (
        span(
            attributes={
                "gen_ai.operation.name": "chat",
                "events": json.dumps(
                    [
                        {"event.name": "gen_ai.user.message", "content": "hello", "role": "user"},
                        {"event.name": "gen_ai.choice", "index": 0, "message": HI},
                    ]
                ),
                "operation.cost": 0.5,
            }
        ),
        {"$ai_input": [HELLO], "$ai_output_choices": [HI], "$ai_total_cost_usd": 0.5},
    ),
    "a tool": (
        span(
            name="execute_tool f",
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "f",
                "gen_ai.tool.call.arguments": '{"a": 1}',
                "gen_ai.tool.call.result": "done",
            },
        ),
        {"$ai_span_name": "f", "$ai_input_state": {"a": 1}, "$ai_output_state": "done"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_convention_becomes_the_same_properties(case: str) -> None:
    given, expected = CASES[case]
    found = properties_of(given)
    assert {name: found.get(name) for name in expected} == expected


def test_used_attributes_are_removed_and_the_others_stay() -> None:
    found = properties_of(
        span(
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.response.model": "a",
                "gen_ai.request.model": "b",
                "custom": 5,
                "$ip": "192.0.2.1",
                "$ai_provider": "explicit",
                "gen_ai.system": "other",
            },
            resource={"service.name": "shop", "host.name": "h"},
        )
    )
    assert found["$ai_model"] == "a"
    assert "gen_ai.response.model" not in found
    assert (found["gen_ai.request.model"], found["custom"], found["service.name"]) == ("b", 5, "shop")
    assert {"$ip", "host.name"} & found.keys() == set()
    assert found["$ai_provider"] == "explicit"


def test_ids_time_and_latency_are_the_spans_own() -> None:
    event = event_of(span(attributes={"gen_ai.operation.name": "chat"}))
    found = json.loads(event.properties)
    assert (found["$ai_trace_id"], found["$ai_span_id"], found["$ai_parent_id"]) == (TRACE, SPAN, PARENT)
    assert (found["$ai_latency"], found["$ai_span_name"], found["$ai_ingestion_source"]) == (1.5, "chat", "otel")
    assert event.timestamp == datetime(2026, 11, 1, 10, tzinfo=UTC)


def test_a_span_that_is_sent_again_is_the_same_event_and_another_teams_is_not() -> None:
    given = span(attributes={"gen_ai.operation.name": "chat"})
    assert event_of(given).uuid == event_of(given).uuid
    assert event_of(given, team=8).uuid != event_of(given).uuid


def test_without_a_user_a_conversation_stays_together() -> None:
    in_session = span(attributes={"gen_ai.operation.name": "chat", "session.id": "s"})
    other_trace = Span("f" * 32, SPAN, "", "", START_NS, START_NS, {"gen_ai.operation.name": "chat", "session.id": "s"})
    assert event_of(in_session).distinct_id == event_of(other_trace).distinct_id
    assert event_of(span(attributes={"gen_ai.operation.name": "chat", "user.id": 5})).distinct_id == "5"
    by_resource = span(attributes={"gen_ai.operation.name": "chat"}, resource={"user.id": "u"})
    assert event_of(by_resource).distinct_id == "u"


@pytest.mark.parametrize(
    ("events", "changes", "expected"),
    [
        ([], {"status_message": "it broke"}, ("it broke", 500)),
        ([], {"status_message": "HTTP 429 Too Many Requests"}, ("HTTP 429 Too Many Requests", 429)),
        ([], {"attributes": {"http.response.status_code": 503}}, ("", 503)),
        (
            [SpanEvent("exception", {"exception.type": "ValueError", "exception.message": "bad"})],
            {"status_message": "other"},
            ("ValueError: bad", 500),
        ),
    ],
)
def test_a_failed_span_says_so(events: list[SpanEvent], changes: dict[str, Any], expected: tuple[str, int]) -> None:
    found = properties_of(span(*events, failed=True, **changes))
    assert found["$ai_is_error"] is True
    assert (found["$ai_error"], found["$ai_http_status"]) == expected
    assert "$ai_is_error" not in properties_of(span())


def test_a_clock_far_ahead_is_not_believed() -> None:
    ahead = span()
    ahead.start_ns += 10**9 * 86_400 * 2
    assert event_of(ahead).timestamp == NOW


def test_values_may_hold_what_json_cannot() -> None:
    found = properties_of(span(attributes={"llm.a": "x\0y", "llm.b": float("nan"), "llm\0c": 1}))
    assert (found["llm.a"], found["llm.b"], found["llm\ufffdc"]) == ("x\ufffdy", None, 1)


def test_values_nested_too_deeply_are_one_rejected_span() -> None:
    with pytest.raises(UnreadableSpan):
        event_of(span(attributes={"gen_ai.operation.name": "chat", "gen_ai.prompt": "[" * 500 + "]" * 500}))


@pytest.mark.parametrize(
    "names",
    [
        ["gen_ai.prompt.0", "gen_ai.prompt.0.role"],
        ["gen_ai.prompt.0.role", "gen_ai.prompt.0"],
        ["gen_ai.prompt." + ".".join("0" * 500)],
        ["gen_ai.prompt.99999999999999999999.role", "gen_ai.prompt.٣.role", "gen_ai.prompt..role"],
    ],
)
def test_strange_indexed_names_are_left_as_they_are(names: list[str]) -> None:
    found = properties_of(span(attributes={"gen_ai.operation.name": "chat", **dict.fromkeys(names, "x")}))
    assert found["$ai_lib"]


@pytest.mark.parametrize(
    "prompt",
    [
        {"system": "be kind", "messages": [HELLO, HI, {"role": "user", "content": "and then?"}]},
        {"system": "be kind", "prompt": "and then?"},
    ],
)
def test_the_wrapper_of_a_vercel_call_shows_its_last_question_and_its_answer(prompt: Any) -> None:
    """The spans below it hold the whole conversation, which it repeats."""
    wrapper = span(
        attributes={
            "ai.operationId": "ai.generateText",
            "ai.prompt": json.dumps(prompt),
            "ai.response.text": "hi",
        }
    )
    properties = json.loads(event_of(wrapper).properties)
    assert properties["$ai_input_state"] == [{"role": "user", "content": "and then?"}]
    assert properties["$ai_output_state"] == [{"role": "assistant", "content": "hi"}]
    assert "$ai_input" not in properties
    assert not {"ai.prompt", "ai.response.text"} & properties.keys()
