"""Every value that decides what a span is, and which of several rules decides."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.otlp.mapping import is_ai, plan_of_span
from ingest.otlp.span import SpanEvent
from tests.unit.ingest.otlp.spans import (
    event_of,
    span,
)

GENERATIONS = {
    "langfuse.observation.type": ["generation", "GENERATION"],
    "openinference.span.kind": ["LLM"],
    "ai.operationId": ["ai.generateText.doGenerate", "ai.streamText.doStream", "ai.generateObject.doGenerate"],
    "gen_ai.operation.name": [
        "chat", "text_completion", "completion", "generate_content", "acompletion", "responses", "aresponses",
        "anthropic_messages",
    ],
    "llm.request.type": ["chat", "completion", "acompletion"],
}  # fmt: skip
EMBEDDINGS = {
    "langfuse.observation.type": ["embedding"],
    "openinference.span.kind": ["EMBEDDING"],
    "ai.operationId": ["ai.embed.doEmbed", "ai.embedMany.doEmbed"],
    "gen_ai.operation.name": ["embeddings", "embedding", "aembedding"],
    "llm.request.type": ["embedding", "embeddings"],
}
SPANS = {
    "langfuse.observation.type": ["span", "agent", "tool", "event"],
    "openinference.span.kind": ["CHAIN", "TOOL", "AGENT", "RETRIEVER", "RERANKER", "GUARDRAIL"],
    "ai.operationId": ["ai.generateText", "ai.streamText", "ai.toolCall", "ai.embed"],
    "gen_ai.operation.name": ["invoke_agent", "execute_tool", "create_agent", "retrieval", "plan", ""],
    "llm.request.type": ["rerank", "unknown"],
    "traceloop.span.kind": ["workflow", "task", "agent", "tool"],
    "gen_ai.tool.name": ["search"],
    "pydantic_ai.all_messages": ["[]"],
    "logfire.msg": ["agent run"],
}
KINDS = {"$ai_generation": GENERATIONS, "$ai_embedding": EMBEDDINGS, "$ai_span": SPANS}
A_MODEL_AND_TOKENS = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}


@pytest.mark.parametrize(
    ("kind", "attribute", "value"),
    [(kind, name, value) for kind, table in KINDS.items() for name, values in table.items() for value in values],
)
def test_each_value_of_a_rule(kind: str, attribute: str, value: str) -> None:
    given = {attribute: value, **A_MODEL_AND_TOKENS}  # which would make a generation of it
    assert event_of(span(given)).name == kind
    assert event_of(span(given, parent="")).name == ("$ai_trace" if kind == "$ai_span" else kind)


def test_the_first_rule_decides() -> None:
    names = list(SPANS)
    for place, name in enumerate(names):
        first = (GENERATIONS.get(name) or SPANS[name])[0]
        expected = "$ai_generation" if name in GENERATIONS else "$ai_span"
        assert (
            event_of(span({**{later: SPANS[later][-1] for later in names[place + 1 :]}, name: first})).name == expected
        )


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.request.model": "m", "gen_ai.input.messages": "[]"},
        {"gen_ai.response.model": "m", "gen_ai.completion.0.content": "hi"},
        {"llm.model_name": "m", "llm.input_messages.0.message.role": "user"},
        {"llm.response.model": "m", "llm.usage.completion_tokens": 1},
        {"llm.model_name": "m", "llm.token_count.completion": 1},
        {"ai.model.id": "m", "ai.usage.outputTokens": 1},
        {"ai.response.model": "m", "ai.usage.completionTokens": 1},
    ],
)
def test_a_model_with_messages_or_tokens_is_a_generation(attributes: dict[str, Any]) -> None:
    assert event_of(span(attributes)).name == "$ai_generation"
    for name in attributes:
        assert event_of(span({name: attributes[name], "llm.other": 1})).name == "$ai_span"


@pytest.mark.parametrize(
    "event",
    [
        "gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message",
        "gen_ai.choice", "gen_ai.client.inference.operation.details", "gen_ai.content.prompt",
        "gen_ai.content.completion",
    ],
)  # fmt: skip
def test_messages_may_be_events(event: str) -> None:
    assert event_of(span({"gen_ai.request.model": "m"}, SpanEvent(event, {}))).name == "$ai_generation"
    assert event_of(span({"gen_ai.request.model": "m"}, SpanEvent("exception", {}))).name == "$ai_span"
    assert event_of(span({}, SpanEvent(event, {}))).name == "$ai_span"


PREFIXES = ("gen_ai.", "llm.", "ai.", "openinference.", "traceloop.", "pydantic_ai.", "langfuse.", "eve.", "anthropic.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_names_of_llm_applications(prefix: str) -> None:
    for attributes, expected in (({f"{prefix}x": 1}, True), ({prefix.removesuffix("."): 1, f"x.{prefix}x": 1}, False)):
        given = span(attributes)
        assert is_ai(given, plan_of_span(given)) is expected
