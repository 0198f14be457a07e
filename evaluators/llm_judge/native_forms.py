"""Recognises replies in a provider's own form: the base URL leads to another of its APIs than chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evaluators.llm_judge.failures import ProviderFailure

Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """An API of a provider, how its replies are recognised, and the base URL that speaks chat completions instead."""

    api: str
    holds: Callable[[Reply], bool]
    address: str = ""


def _list_of(reply: Reply, name: str, *keys: str) -> bool:
    """Whether a reply has a list of this name, whose first object has one of the keys."""
    items = reply.get(name)
    first = items[0] if isinstance(items, list) and items else None
    return isinstance(first, Mapping) and (not keys or any(key in first for key in keys))


def _is(reply: Reply, name: str, kind: type) -> bool:
    return isinstance(reply.get(name), kind)


_FORMS = (
    _Form(
        "Anthropic's Messages",
        lambda reply: (
            reply.get("type") in ("message", "completion") and (_is(reply, "content", list) or "completion" in reply)
        ),
        "https://api.anthropic.com/v1/",
    ),
    _Form(
        "Gemini's generateContent",
        lambda reply: _is(reply, "candidates", list),
        "https://generativelanguage.googleapis.com/v1beta/openai/",
    ),
    _Form(
        "Ollama's own",
        lambda reply: _is(reply, "done", bool) and (_is(reply, "message", dict) or _is(reply, "response", str)),
        "http://HOST:11434/v1",
    ),
    _Form(
        "OpenAI's Responses",
        lambda reply: reply.get("object") == "response" or _list_of(reply, "output", "type", "content"),
        "https://api.openai.com/v1",
    ),
    _Form(
        "Bedrock's Converse",
        lambda reply: "stopReason" in reply and _is(reply, "output", dict),
        "https://bedrock-runtime.REGION.amazonaws.com/openai/v1",
    ),
    _Form(
        "Cohere's own",
        lambda reply: (
            ("finish_reason" in reply and _is(reply, "message", dict)) or ("generation_id" in reply and "text" in reply)
        ),
        "https://api.cohere.ai/compatibility/v1",
    ),
    _Form("text generation's own", lambda reply: "generated_text" in reply, "http://HOST:PORT/v1"),
    _Form(
        "llama.cpp's own",
        lambda reply: _is(reply, "content", str) and ("tokens_predicted" in reply or _is(reply, "stop", bool)),
        "http://HOST:PORT/v1",
    ),
    _Form(
        "Cloudflare's own",
        lambda reply: _is(reply, "result", dict) and "response" in reply["result"],
        "https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1",
    ),
    _Form("a text generation", lambda reply: _list_of(reply, "results", "generated_text", "outputText", "text")),
    _Form(
        "a text generation",
        lambda reply: _list_of(reply, "generations") or _list_of(reply, "outputs", "text", "message"),
    ),
    _Form("a prediction", lambda reply: _is(reply, "predictions", list)),
    _Form("a list of models or embeddings", lambda reply: reply.get("object") == "list" and _is(reply, "data", list)),
)


def native_form(reply: Any) -> ProviderFailure | None:
    """Return the failure that a reply in another API's form means; None if it is not known as one."""
    if isinstance(reply, list) and reply:
        reply = reply[0]
    if not isinstance(reply, Mapping) or reply.get("error"):
        return None
    form = next((form for form in _FORMS if form.holds(reply)), None)
    if form is None:
        return None
    such = f", such as {form.address}" if form.address else ""
    detail = (
        f"the reply is in the form of {form.api} API and not a chat completion; set the base URL to the provider's "
        f"OpenAI-compatible address{such}"
    )
    return ProviderFailure("wrong_address", detail, status=200)
