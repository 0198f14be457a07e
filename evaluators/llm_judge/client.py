"""Calls to providers: one method, which answers or raises `ProviderFailure`; and how a reply is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.providers import Endpoint


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer.

    Attributes:
        text: the arguments of the tool call if there is one, else the message's text.
        refused: the model or the provider's filter declined to answer.
        cut_off: the answer ended at the token limit.
        model: that answered, as the provider names it.
    """

    text: str
    refused: bool
    cut_off: bool
    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: to connect, without a byte, and for one call in all."""

    connect_s: float = 5.0
    read_s: float = 60.0
    call_s: float = 90.0


class Caller(Protocol):
    """Calls models."""

    async def complete(self, endpoint: Endpoint, payload: Mapping[str, Any], *, marker: str) -> Completion:
        """Make one call.

        Args:
            payload: parameters of a chat completion.
            marker: the evaluation's id, for the header.

        Raises:
            ProviderFailure: there is no answer.
        """

    async def list_models(self, endpoint: Endpoint) -> list[str]:
        """Return the ids of the endpoint's models.

        Raises:
            ProviderFailure: there is no answer.
        """


def decode_reply(content: bytes) -> Any:
    """Return the JSON of a reply. Raises ProviderFailure if it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ProviderFailure("unavailable", "the reply is not JSON; is the base URL the API's?") from error


def read_completion(content: bytes) -> Completion:
    """Read the body of a successful reply.

    Raises:
        ProviderFailure: it is no chat completion with a choice.
    """
    reply = decode_reply(content)
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ProviderFailure("unavailable", "the reply holds no choice")
    finish = choice.get("finish_reason")
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(
        text=_text(message),
        refused=bool(message.get("refusal")) or finish == "content_filter",
        cut_off=finish == "length",
        model=str(reply.get("model") or ""),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def _text(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            return str(function["arguments"])
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
