"""Calls to providers: one method, which answers or raises `ProviderFailure`.

The `openai` package does the talking, with its own retries off: retries, deadlines and pacing are ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import openai
import orjson

from evaluators.llm_judge.failures import ProviderFailure, classify_status
from evaluators.llm_judge.providers import Endpoint

JUDGE_HEADER = "X-Gavel-Judge"
"""Sent with every call, so that a gateway that logs calls can tell ours."""


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


class OpenAICaller:
    """Calls through the `openai` package. Belongs to one event loop.

    Args:
        transport: of HTTP; tests pass their own.
        now: epoch seconds, to read dates in `Retry-After`.
        max_connections: at a time, to all endpoints.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        now: Callable[[], float] = time.time,
        max_connections: int = 1000,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._now = now
        timeout = httpx2.Timeout(timeouts.read_s, connect=timeouts.connect_s)
        limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        # A redirect could lead from an address that was checked to one that was not.
        self._http = openai.DefaultAsyncHttpxClient(
            timeout=timeout, limits=limits, transport=transport, follow_redirects=False
        )
        self._clients: dict[str, openai.AsyncOpenAI] = {}

    def _client(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        identity = endpoint.identity()
        client = self._clients.get(identity)
        if client is None:
            if len(self._clients) >= 1000:
                self._clients.clear()  # of keys long replaced; they share the connections
            client = self._clients[identity] = self._open(endpoint)
        return client

    def _open(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        # An endpoint without a key, such as Ollama, still gets a header, which it ignores.
        key = endpoint.api_key or "none"
        if endpoint.azure_endpoint is not None:
            return openai.AsyncAzureOpenAI(
                api_key=key,
                azure_endpoint=endpoint.azure_endpoint,
                api_version=endpoint.api_version,
                max_retries=0,
                http_client=self._http,
            )
        return openai.AsyncOpenAI(api_key=key, base_url=endpoint.base_url, max_retries=0, http_client=self._http)

    async def complete(self, endpoint: Endpoint, payload: Mapping[str, Any], *, marker: str) -> Completion:
        """See `Caller.complete`."""
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                raw = await self._client(endpoint).chat.completions.with_raw_response.create(
                    **payload, extra_headers={JUDGE_HEADER: marker}
                )
                content = raw.http_response.content
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError) as error:
            raise self._failure(error) from error
        return read_completion(content)

    async def list_models(self, endpoint: Endpoint) -> list[str]:
        """See `Caller.list_models`."""
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                raw = await self._client(endpoint).models.with_raw_response.list()
                content = raw.http_response.content
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError) as error:
            raise self._failure(error) from error
        reply = _decode(content)
        data = reply.get("data") if isinstance(reply, dict) else reply
        return [str(model["id"]) for model in data or () if isinstance(model, dict) and "id" in model]

    def _failure(self, error: Exception) -> ProviderFailure:
        if isinstance(error, openai.APIStatusError):
            return classify_status(error.status_code, error.body, error.response.headers, now_s=self._now())
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return ProviderFailure("unavailable", f"no answer within {self._timeouts.call_s:g} s")
        cause = error.__cause__ or error
        return ProviderFailure("unavailable", f"connection failed: {type(cause).__name__}")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def _decode(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ProviderFailure("unavailable", "the reply is not JSON; is the base URL the API's?") from error


def read_completion(content: bytes) -> Completion:
    """Read the body of a successful reply.

    Raises:
        ProviderFailure: it is no chat completion with a choice.
    """
    reply = _decode(content)
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
