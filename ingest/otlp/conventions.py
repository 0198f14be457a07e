"""The conventions of OpenTelemetry instrumentations as data: which event a span is, and where each property comes from.

docs/sending-events.md shows these tables; `make docs` puts them there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

EventName = Literal["$ai_generation", "$ai_embedding", "$ai_span", "$ai_trace"]
Convention = Literal["GenAI", "OpenInference", "OpenLLMetry", "Vercel AI SDK", "Langfuse", "Logfire"]

LIBRARIES: dict[Convention, str] = {
    "GenAI": "genai",
    "OpenInference": "openinference",
    "OpenLLMetry": "openllmetry",
    "Vercel AI SDK": "vercel",
    "Langfuse": "langfuse",
    "Logfire": "logfire",
}
"""Convention → its name in `$ai_lib`, after `opentelemetry/`."""

AI_PREFIXES = (
    "gen_ai.", "llm.", "ai.", "openinference.", "traceloop.", "pydantic_ai.", "langfuse.", "eve.", "anthropic.",
)  # fmt: skip
"""A span without an attribute that begins so, and without an event `gen_ai.*`, is none of an LLM application."""


class KindRule(NamedTuple):
    """A span with `attribute` is a generation or an embedding if its value is (or ends in) one of these."""

    attribute: str
    convention: Convention
    generation: tuple[str, ...] = ()
    embedding: tuple[str, ...] = ()
    by_ending: bool = False


KIND_RULES: tuple[KindRule, ...] = (
    KindRule("langfuse.observation.type", "Langfuse", ("generation",), ("embedding",)),
    KindRule("openinference.span.kind", "OpenInference", ("llm",), ("embedding",)),
    KindRule("ai.operationId", "Vercel AI SDK", (".dogenerate", ".dostream"), (".doembed",), by_ending=True),
    KindRule(
        "gen_ai.operation.name", "GenAI",
        ("chat", "text_completion", "completion", "generate_content", "acompletion", "responses", "aresponses",
         "anthropic_messages"),
        ("embeddings", "embedding", "aembedding"),
    ),
    KindRule(
        "llm.request.type", "OpenLLMetry", ("chat", "completion", "acompletion"), ("embedding", "embeddings")
    ),
    KindRule("traceloop.span.kind", "OpenLLMetry"),
    KindRule("gen_ai.tool.name", "GenAI"),
    KindRule("pydantic_ai.", "Logfire"),
    KindRule("logfire.msg", "Logfire"),
)  # fmt: skip
"""The first rule whose attribute a span has decides. Values are compared in lower case. A name that ends in a dot
stands for every attribute that begins so."""

How = Literal[
    "value", "input_messages", "output_messages", "details_input", "details_output", "message_events", "choice_events",
    "event_value", "indexed_messages", "indexed_text", "indexed_schema", "indexed_functions", "vercel_prompt",
    "vercel_question", "vercel_answer", "logged_input", "logged_output", "prefix", "first", "finish_reason", "field",
    "json_texts",
]  # fmt: skip
"""How a source is read: `ingest.otlp.readers` has a function for each."""


class Source(NamedTuple):
    """One place that a property may come from. `part` is a field or event inside it, where `how` needs one."""

    convention: Convention
    key: str
    how: How = "value"
    part: str = ""


def _plain(convention: Convention, *keys: str) -> tuple[Source, ...]:
    return tuple(Source(convention, key) for key in keys)


INPUT: tuple[Source, ...] = (
    Source("GenAI", "gen_ai.input.messages", "input_messages"),
    Source("GenAI", "gen_ai.input.messages", "details_input", "gen_ai.client.inference.operation.details"),
    Source("GenAI", "gen_ai.*.message", "message_events"),
    Source("GenAI", "gen_ai.prompt", "event_value", "gen_ai.content.prompt"),
    Source("GenAI", "gen_ai.prompt"),
    Source("OpenInference", "llm.input_messages", "indexed_messages"),
    Source("OpenInference", "llm.prompts", "indexed_text", "prompt.text"),
    Source("OpenInference", "input.value"),
    Source("OpenLLMetry", "gen_ai.prompt", "indexed_messages"),
    Source("OpenLLMetry", "llm.prompts", "indexed_messages"),
    Source("Vercel AI SDK", "ai.prompt.messages"),
    Source("Vercel AI SDK", "ai.prompt", "vercel_prompt"),
    Source("Langfuse", "langfuse.observation.input"),
    Source("Logfire", "events", "logged_input"),
)
OUTPUT: tuple[Source, ...] = (
    Source("GenAI", "gen_ai.output.messages", "output_messages"),
    Source("GenAI", "gen_ai.output.messages", "details_output", "gen_ai.client.inference.operation.details"),
    Source("GenAI", "gen_ai.choice", "choice_events"),
    Source("GenAI", "gen_ai.completion", "event_value", "gen_ai.content.completion"),
    Source("GenAI", "gen_ai.completion"),
    Source("OpenInference", "llm.output_messages", "indexed_messages"),
    Source("OpenInference", "llm.choices", "indexed_text", "completion.text"),
    Source("OpenInference", "output.value"),
    Source("OpenLLMetry", "gen_ai.completion", "indexed_messages"),
    Source("OpenLLMetry", "llm.completions", "indexed_messages"),
    Source("Vercel AI SDK", "ai.response", "vercel_answer"),
    Source("Vercel AI SDK", "ai.result", "vercel_answer"),
    Source("Langfuse", "langfuse.observation.output"),
    Source("Logfire", "events", "logged_output"),
)

GENERATION_PROPERTIES: dict[str, tuple[Source, ...]] = {"$ai_input": INPUT, "$ai_output_choices": OUTPUT}
"""Properties of generations and embeddings alone."""

SPAN_PROPERTIES: dict[str, tuple[Source, ...]] = {
    "$ai_input_state": (
        *_plain("GenAI", "gen_ai.tool.call.arguments"), *_plain("OpenInference", "input.value"),
        *_plain("OpenLLMetry", "traceloop.entity.input"), *_plain("Vercel AI SDK", "ai.toolCall.args"),
        Source("Vercel AI SDK", "ai.prompt", "vercel_question"),
        *_plain("Logfire", "tool_arguments"), *_plain("Langfuse", "langfuse.observation.input"),
    ),
    "$ai_output_state": (
        *_plain("GenAI", "gen_ai.tool.call.result"), *_plain("OpenInference", "output.value"),
        *_plain("OpenLLMetry", "traceloop.entity.output"), *_plain("Vercel AI SDK", "ai.toolCall.result"),
        Source("Vercel AI SDK", "ai.response", "vercel_answer"),
        *_plain("Logfire", "tool_response", "final_result"), *_plain("Langfuse", "langfuse.observation.output"),
    ),
}  # fmt: skip
"""Properties of spans and traces alone."""

PROPERTIES: dict[str, tuple[Source, ...]] = {
    "$ai_tools": (
        Source("GenAI", "gen_ai.tool.definitions"),
        Source("OpenInference", "llm.tools", "indexed_schema", "tool.json_schema"),
        Source("OpenLLMetry", "llm.request.functions", "indexed_functions"),
        Source("Vercel AI SDK", "ai.prompt.tools", "json_texts"),
    ),
    "$ai_model": (
        *_plain("GenAI", "gen_ai.response.model", "gen_ai.request.model"),
        *_plain("OpenInference", "llm.response.model_name", "llm.model_name", "embedding.model_name"),
        *_plain("OpenLLMetry", "llm.response.model", "llm.request.model"),
        *_plain("Vercel AI SDK", "ai.response.model", "ai.model.id"),
        *_plain("Langfuse", "langfuse.observation.model.name"), *_plain("Logfire", "model_name"),
    ),
    "$ai_provider": (
        *_plain("GenAI", "gen_ai.provider.name", "gen_ai.system"),
        *_plain("OpenInference", "llm.provider", "llm.system"), *_plain("OpenLLMetry", "llm.vendor"),
        *_plain("Vercel AI SDK", "ai.model.provider"),
    ),
    "$ai_input_tokens": (
        *_plain("GenAI", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        *_plain("OpenInference", "llm.token_count.prompt"), *_plain("OpenLLMetry", "llm.usage.prompt_tokens"),
        *_plain("Vercel AI SDK", "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        Source("Langfuse", "langfuse.observation.usage_details", "field", "input"),
    ),
    "$ai_output_tokens": (
        *_plain("GenAI", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        *_plain("OpenInference", "llm.token_count.completion"), *_plain("OpenLLMetry", "llm.usage.completion_tokens"),
        *_plain("Vercel AI SDK", "ai.usage.outputTokens", "ai.usage.completionTokens"),
        Source("Langfuse", "langfuse.observation.usage_details", "field", "output"),
    ),
    "$ai_cache_read_input_tokens": (
        *_plain("GenAI", "gen_ai.usage.cache_read.input_tokens"),
        *_plain("OpenInference", "llm.token_count.prompt_details.cache_read"),
        *_plain("OpenLLMetry", "gen_ai.usage.cache_read_input_tokens"),
        *_plain("Vercel AI SDK", "ai.usage.cachedInputTokens"),
    ),
    "$ai_cache_creation_input_tokens": (
        *_plain("GenAI", "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
        *_plain("OpenInference", "llm.token_count.prompt_details.cache_write"),
        *_plain("OpenLLMetry", "gen_ai.usage.cache_creation_input_tokens"),
    ),
    "$ai_reasoning_tokens": (
        *_plain("GenAI", "gen_ai.usage.reasoning.output_tokens"),
        *_plain("OpenInference", "llm.token_count.completion_details.reasoning"),
        *_plain("OpenLLMetry", "gen_ai.usage.reasoning_tokens"),
        *_plain("Vercel AI SDK", "ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
    ),
    "$ai_stop_reason": (
        Source("GenAI", "gen_ai.response.finish_reasons", "first"),
        Source("GenAI", "$ai_output_choices", "finish_reason"),
        *_plain("OpenInference", "llm.finish_reason"),
        *_plain("OpenLLMetry", "llm.response.finish_reason", "llm.response.stop_reason"),
        *_plain("Vercel AI SDK", "ai.response.finishReason"),
    ),
    "$ai_model_parameters": (
        Source("GenAI", "gen_ai.request.", "prefix", "gen_ai.request.model"),
        Source("OpenInference", "llm.invocation_parameters"),
        Source("Vercel AI SDK", "ai.settings.", "prefix"),
        Source("Langfuse", "langfuse.observation.model.parameters"),
    ),
    "$ai_total_cost_usd": (
        *_plain("GenAI", "gen_ai.usage.cost", "gen_ai.cost.total_cost"), *_plain("OpenInference", "llm.cost.total"),
        Source("Langfuse", "langfuse.observation.cost_details", "field", "total"), Source("Logfire", "operation.cost"),
    ),
    "$ai_prompt_name": (
        *_plain("GenAI", "gen_ai.prompt.name"), *_plain("OpenLLMetry", "traceloop.prompt.key"),
        *_plain("Vercel AI SDK", "ai.telemetry.metadata.$ai_prompt_name"),
        *_plain("Langfuse", "langfuse.observation.prompt.name"),
    ),
    "$ai_prompt_version": (
        *_plain("OpenInference", "llm.prompt_template.version"), *_plain("OpenLLMetry", "traceloop.prompt.version"),
        *_plain("Vercel AI SDK", "ai.telemetry.metadata.$ai_prompt_version"),
        *_plain("Langfuse", "langfuse.observation.prompt.version"),
    ),
    "$ai_base_url": _plain("GenAI", "server.address"),
}  # fmt: skip
"""Properties of all events. The first source that is set wins."""

OF_SPAN_OR_RESOURCE: dict[str, tuple[Source, ...]] = {
    "$ai_session_id": (
        *_plain("Langfuse", "langfuse.session.id"), *_plain("OpenInference", "session.id"),
        *_plain("OpenLLMetry", "traceloop.association.properties.session_id"),
        *_plain("Vercel AI SDK", "ai.telemetry.metadata.$ai_session_id", "ai.telemetry.metadata.sessionId"),
        *_plain("GenAI", "anthropic.session.id", "eve.session.id", "gen_ai.conversation.id"),
    ),
    "distinct_id": (
        *_plain("Vercel AI SDK", "ai.telemetry.metadata.posthog_distinct_id"),
        *_plain("GenAI", "posthog.distinct_id", "user.id", "enduser.id"),
        *_plain("OpenLLMetry", "traceloop.association.properties.user_id"),
        *_plain("Vercel AI SDK", "ai.telemetry.metadata.userId"), *_plain("Langfuse", "langfuse.user.id"),
    ),
}  # fmt: skip
"""Looked for in the span first, then in its resource."""

SPAN_NAMES = (
    "gen_ai.tool.name",
    "ai.toolCall.name",
    "tool.name",
    "gen_ai.agent.name",
    "agent.name",
    "ai.telemetry.functionId",
)
HTTP_STATUSES = ("http.response.status_code", "http.status_code", "gen_ai.response.status_code", "error.code")
MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
"""Span event → the role of its message, where the event names none."""
CHOICE_EVENT = "gen_ai.choice"

MODEL_ATTRIBUTES = tuple(source.key for source in PROPERTIES["$ai_model"])
CONTENT_ATTRIBUTES = (
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.role",
    "gen_ai.prompt.0.content", "gen_ai.completion.0.role", "gen_ai.completion.0.content",
    "llm.input_messages.0.message.role", "llm.output_messages.0.message.role", "llm.prompts.0.content",
    "llm.completions.0.content",
    *(source.key for name in ("$ai_input_tokens", "$ai_output_tokens") for source in PROPERTIES[name]),
)  # fmt: skip
CONTENT_EVENTS = frozenset({
    *MESSAGE_EVENTS, CHOICE_EVENT,
    *(source.part for source in (*INPUT, *OUTPUT) if source.part.startswith("gen_ai.")),
})  # fmt: skip
"""A span that no rule decides is a generation if it has a model and one of these attributes or events."""
