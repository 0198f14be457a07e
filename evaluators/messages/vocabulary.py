"""The names that providers and SDKs give to messages, to roles and to the fields beside them."""

from __future__ import annotations

from evaluators.messages.calls import CALL_LISTS, MORE_CALL_LISTS, RESULT_LISTS
from evaluators.messages.reasoning import THOUGHTS

WRAPPERS = (
    "messages", "choices", "candidates", "contents", "output", "outputs", "input", "generations", "results",
    "chat_history",
)  # fmt: skip
SOURCE_KEYS = ("citations", "search_results")
REPLIES = frozenset({"choices", "candidates", "output", "outputs", "generations", "results"})
SYSTEM_KEYS = ("system", "instructions", "systemInstruction", "system_instruction", "preamble")
LONE_TEXTS = ("generated_text", "completion", "outputText", "generation", "output_text", "response", "output", "input")
"""Keys whose text is the whole of a completion or a prompt, if nothing but metadata stands beside it."""

METADATA = frozenset({
    "id", "object", "created", "created_at", "createdAt", "completed_at", "model", "modelId", "model_name", "usage",
    "usageMetadata", "usage_metadata", "modelVersion", "model_version", "responseId", "response_id",
    "system_fingerprint", "service_tier", "status", "type", "kind", "temperature", "top_p", "topP", "max_tokens",
    "maxTokens", "max_output_tokens", "stream", "promptFeedback", "prompt_feedback", "error", "incomplete_details",
    "parallel_tool_calls", "previous_response_id", "tools", "tool_choice", "toolChoice", "toolConfig",
    "inferenceConfig", "generationConfig", "text", "reasoning", "metadata", "truncation", "store", "user", "background",
    "finish_reason", "finishReason", "stop_reason", "stopReason", "stop_sequence", "done", "done_reason",
    "completionReason", "index", "logprobs", "metrics", "ResponseMetadata", "trace", "safetyRatings",
    "safety_ratings", "finishMessage", "finish_message", "avgLogprobs", "avg_logprobs", "tokenCount", "token_count",
    "groundingMetadata", "grounding_metadata", "citationMetadata", "citation_metadata", "createTime", "create_time",
    "provider", "response_metadata", "llm_output", "run", "prompt_token_count", "generation_token_count",
    "inputTextTokenCount", "stop", "top_logprobs", "max_tool_calls", "prompt_cache_key", "safety_identifier",
    "prompt_cache_retention", "conversation", "billing", "presence_penalty", "frequency_penalty", "seed", "n",
    "provider_name", "provider_details", "provider_response_id", "timestamp",
    "run_id", "total_duration",
    "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration", "generation_id",
    "response_type", "meta", "is_finished", "prompt", "sdkHttpResponse", "sdk_http_response", "parsed",
    "automaticFunctionCallingHistory", "automatic_function_calling_history", "format", "conversationId",
    "additionalProperties", "continuationToken", "rawRepresentation", "author", "invocationId", "invocation_id",
})  # fmt: skip
"""Keys beside the messages that say nothing of what was said. A wrapper with any other key is rendered as JSON."""

ROLES = {
    "human": "user", "humanmessage": "user", "humanmessagechunk": "user", "usermessage": "user", "textmessage": "",
    "ai": "assistant", "aimessage": "assistant", "aimessagechunk": "assistant", "assistantmessage": "assistant",
    "model": "assistant", "bot": "assistant", "chatbot": "assistant",
    "systemmessage": "system", "systemmessagechunk": "system", "context": "system", "system_prompt": "system",
    "user_prompt": "user", "toolmessage": "tool", "functionmessage": "function", "user_message": "user",
    "assistant_message": "assistant", "system_message": "system", "agent": "assistant", "tool_response": "tool",
    "tool_call": "assistant",
}  # fmt: skip
"""The names that SDKs give to roles, where they differ from ours."""
ROLE_TAGS = frozenset({*ROLES, "system", "user", "assistant", "tool", "developer", "function"}) - {"textmessage"}
CONTENTS = ("content", "parts", "blocks", "text", "message", "items", "contents", "textContent")
FINISH = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "completionReason")
MESSAGE_KEYS = frozenset({
    "role", "content", "parts", "blocks", "items", "message", "tool_calls", "toolCalls", "function_call", "refusal",
    "audio", "images", "annotations", "citations", "name", "tool_call_id", "additional_kwargs", "example",
    "contents", "files", "sources", "warnings", "reasoning_details", "textContent", *THOUGHTS, *CALL_LISTS,
    *MORE_CALL_LISTS, *RESULT_LISTS,
})  # fmt: skip
MASTRA_KEYS = frozenset({
    "text", "files", "reasoning", "reasoningText", "sources", "toolCalls", "toolResults", "warnings", "finishReason",
    "usage", "object",
})  # fmt: skip
