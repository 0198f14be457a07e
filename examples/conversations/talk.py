"""Has the conversations, through the wrappers of the real `posthog` SDK."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from posthog import Posthog
from posthog.ai.anthropic import Anthropic
from posthog.ai.langchain import CallbackHandler
from posthog.ai.openai import OpenAI

from examples.conversations.corpus import Conversation, Turn
from examples.conversations.tools import anthropic_tools, chat_tools, responses_tools
from examples.stand_in.answer import ANSWER_HEADER, encode_answer

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="

Message = dict[str, Any]


class Talker:
    """Has conversations; the events that the SDK makes of them go to where `posthog` sends."""

    def __init__(self, posthog: Posthog, base_url: str) -> None:
        self._posthog = posthog
        self._base_url = base_url
        self._openai = OpenAI(posthog_client=posthog, base_url=f"{base_url}/v1", api_key="sk-capture", max_retries=0)
        self._anthropic = Anthropic(posthog_client=posthog, base_url=base_url, api_key="sk-capture", max_retries=0)

    def close(self) -> None:
        """Close the connections to the provider."""
        self._openai.close()
        self._anthropic.close()

    def embed(self, text: str, *, distinct_id: str, trace_id: str) -> None:
        """Have one text embedded."""
        self._openai.embeddings.create(
            model="text-embedding-3-small", input=text, posthog_distinct_id=distinct_id, posthog_trace_id=trace_id
        )

    def have(self, conversation: Conversation, *, distinct_id: str, trace_id: str, session_id: str) -> None:
        """Have one conversation from its first turn to its last. A failure that it is meant to have is no error."""
        properties: dict[str, Any] = {"$ai_session_id": session_id, "feature": conversation.name}
        if conversation.prompt_name:
            properties |= {
                "$ai_prompt_name": conversation.prompt_name,
                "$ai_prompt_version": conversation.prompt_version,
            }
        tracked = {
            "posthog_distinct_id": distinct_id,
            "posthog_trace_id": trace_id,
            "posthog_properties": properties,
        }
        family = conversation.via.removesuffix("_stream")
        have: dict[str, Callable[[Conversation, dict[str, Any]], None]] = {
            "chat": self._chat,
            "responses": self._responses,
            "anthropic": self._claude,
            "langchain": self._chain,
        }
        try:
            have[family](conversation, tracked)
        except (openai.OpenAIError, anthropic.AnthropicError):
            if conversation.fails is None:
                raise

    def _chat(self, conversation: Conversation, tracked: dict[str, Any]) -> None:
        messages: list[Message] = [{"role": "system", "content": conversation.system}] if conversation.system else []
        options: dict[str, Any] = {"model": conversation.model, **tracked}
        if conversation.model.startswith("gpt-4"):
            options["temperature"] = 0.2
        if conversation.tools:
            options["tools"] = chat_tools(conversation.tools)
        if conversation.wants_json:
            options["response_format"] = {"type": "json_object"}
        if conversation.max_tokens:
            options["max_completion_tokens"] = conversation.max_tokens
        streams = conversation.via.endswith("_stream")
        if streams:
            options |= {"stream": True, "stream_options": {"include_usage": True}}

        def ask(answer: dict[str, Any]) -> None:
            reply: Any = self._openai.chat.completions.create(
                messages=list(messages), extra_headers=_headers(conversation, answer), **options
            )
            if streams:
                list(reply)

        for turn in conversation.turns:
            messages.append({"role": "user", "content": _chat_content(conversation, turn.user)})
            for number, call in enumerate(turn.calls):
                made = _tool_call(conversation, len(messages), number, call.name, call.arguments)
                ask({"tool_calls": [made]})
                function = {"name": call.name, "arguments": call.arguments}
                asked = {"id": made["id"], "type": "function", "function": function}
                messages.append({"role": "assistant", "content": None, "tool_calls": [asked]})
                messages.append({"role": "tool", "tool_call_id": made["id"], "content": call.result})
            ask(dict(turn.answer))
            messages.append({"role": "assistant", "content": _said(turn)})

    def _responses(self, conversation: Conversation, tracked: dict[str, Any]) -> None:
        items: list[Message] = []
        options: dict[str, Any] = {"model": conversation.model, **tracked}
        if conversation.system:
            options["instructions"] = conversation.system
        if conversation.tools:
            options["tools"] = responses_tools(conversation.tools)
        if conversation.wants_json:
            options["text"] = {"format": {"type": "json_object"}}
        streams = conversation.via.endswith("_stream")

        def ask(answer: dict[str, Any]) -> None:
            headers = _headers(conversation, answer)
            given: Any = items[0]["content"] if len(items) == 1 else list(items)
            reply: Any = self._openai.responses.create(input=given, stream=streams, extra_headers=headers, **options)
            if streams:
                list(reply)

        for turn in conversation.turns:
            items.append({"role": "user", "content": turn.user})
            for number, call in enumerate(turn.calls):
                made = _tool_call(conversation, len(items), number, call.name, call.arguments)
                ask({"tool_calls": [made]})
                named = {"call_id": made["id"], "name": call.name, "arguments": call.arguments}
                items.append({"type": "function_call", **named})
                items.append({"type": "function_call_output", "call_id": made["id"], "output": call.result})
            ask(dict(turn.answer))
            items.append({"role": "assistant", "content": _said(turn)})

    def _claude(self, conversation: Conversation, tracked: dict[str, Any]) -> None:
        messages: list[Any] = []
        options: dict[str, Any] = {
            "model": conversation.model,
            "max_tokens": conversation.max_tokens or 1024,
            **tracked,
        }
        if conversation.system:
            options["system"] = conversation.system
        if conversation.tools:
            options["tools"] = anthropic_tools(conversation.tools)
        streams = conversation.via.endswith("_stream")
        if streams:
            options["stream"] = True

        def ask(answer: dict[str, Any]) -> None:
            headers = _headers(conversation, answer)
            reply: Any = self._anthropic.messages.create(messages=list(messages), extra_headers=headers, **options)
            if streams:
                list(reply)

        for turn in conversation.turns:
            messages.append({"role": "user", "content": turn.user})
            for number, call in enumerate(turn.calls):
                made = _tool_call(conversation, len(messages), number, call.name, call.arguments)
                ask({"tool_calls": [made]})
                use = {"type": "tool_use", "id": made["id"], "name": call.name, "input": json.loads(call.arguments)}
                result = {"type": "tool_result", "tool_use_id": made["id"], "content": call.result}
                messages.append({"role": "assistant", "content": [use]})
                messages.append({"role": "user", "content": [result]})
            ask(dict(turn.answer))
            messages.append({"role": "assistant", "content": _said(turn)})

    def _chain(self, conversation: Conversation, tracked: dict[str, Any]) -> None:
        (turn,) = conversation.turns
        handler = CallbackHandler(
            client=self._posthog,
            distinct_id=tracked["posthog_distinct_id"],
            trace_id=tracked["posthog_trace_id"],
            properties=tracked["posthog_properties"],
        )
        model = ChatOpenAI(
            model=conversation.model,
            base_url=f"{self._base_url}/v1",
            api_key="sk-capture",
            max_retries=0,
            default_headers=_headers(conversation, dict(turn.answer)),
        )
        prompt = ChatPromptTemplate.from_messages([("system", "{instructions}"), ("user", "{question}")])
        given = {"instructions": conversation.system, "question": turn.user}
        (prompt | model).invoke(given, config={"callbacks": [handler]})


def _headers(conversation: Conversation, answer: dict[str, Any]) -> dict[str, str]:
    headers = {ANSWER_HEADER: encode_answer(answer)}
    return headers | {"x-stand-in": conversation.fails} if conversation.fails else headers


def _chat_content(conversation: Conversation, text: str) -> Any:
    if not conversation.with_image:
        return text
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PIXEL}}]


def _tool_call(conversation: Conversation, place: int, number: int, name: str, arguments: str) -> dict[str, str]:
    prefix = "toolu" if conversation.via.startswith("anthropic") else "call"
    digest = hashlib.sha256(arguments.encode()).hexdigest()[:20]
    return {"id": f"{prefix}_{place:02}{number:02}{digest}", "name": name, "arguments": arguments}


def _said(turn: Turn) -> str:
    return turn.answer.get("text") or turn.answer.get("refusal") or "…"
