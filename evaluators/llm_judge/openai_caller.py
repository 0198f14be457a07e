"""Calls through the `openai` package, with its own retries off: retries, deadlines and pacing are ours.

The package takes a second to load. Only what makes calls imports this module: a matcher or a sink starts without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import httpx2
import openai

from evaluators.llm_judge.caller import Completion, Timeouts
from evaluators.llm_judge.classification import classify_status
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.limited import (
    ACCEPTED_ENCODINGS,
    ReplyTooLarge,
    ReplyUnreadable,
    limit_replies,
)
from evaluators.llm_judge.providers import Endpoint
from evaluators.llm_judge.reply import read_completion, read_models

JUDGE_HEADER = "X-Gavel-Judge"
"""Sent with every call, so that a gateway that logs calls can tell ours."""


class Connections(Protocol):
    """How endpoints are connected to. It comes from outside, because the operator decides which may be called."""

    def is_checked(self, endpoint: Endpoint) -> bool:
        """Return whether only an address that was checked may be connected to."""

    def transport(self, limits: httpx2.Limits) -> httpx2.AsyncBaseTransport:
        """Return the transport for such endpoints. It raises `PermissionError` for an address that it refuses."""


_HEADERS = {"Accept-Encoding": ACCEPTED_ENCODINGS}


class OpenAICaller:
    """Calls through the `openai` package. Belongs to one event loop.

    Args:
        max_reply_bytes: of a reply's body, unpacked.
        max_connections: at a time, to all endpoints.
        now: epoch seconds, to read dates in `Retry-After`.
        transport: of HTTP; tests pass their own.
        connections: None connects to every endpoint as it is given.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        max_reply_bytes: int,
        max_connections: int = 1000,
        now: Callable[[], float] = time.time,
        transport: httpx2.AsyncBaseTransport | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._now = now
        timeout = httpx2.Timeout(timeouts.read_s, connect=timeouts.connect_s)
        limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        hooks = {"response": [limit_replies(max_reply_bytes)]}
        # A redirect could lead from an address that was checked to one that was not.
        self._http = openai.DefaultAsyncHttpxClient(
            timeout=timeout,
            limits=limits,
            transport=transport,
            follow_redirects=False,
            event_hooks=hooks,
        )
        self._connections = connections
        self._checked_http = (
            openai.DefaultAsyncHttpxClient(
                timeout=timeout,
                transport=connections.transport(limits),
                follow_redirects=False,
                event_hooks=hooks,
            )
            if connections is not None
            else self._http
        )
        self._clients: dict[str, openai.AsyncOpenAI] = {}

    def _client(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        identity = endpoint.identity()
        client = self._clients.get(identity)
        if client is None:
            if len(self._clients) >= 1000:
                self._clients.clear()  # most belong to keys that were replaced, and all share the connections
            client = self._clients[identity] = self._open(endpoint)
        return client

    def _open(self, endpoint: Endpoint) -> openai.AsyncOpenAI:
        # An endpoint without a key, such as Ollama, still gets a header, which it ignores.
        key = endpoint.api_key or "none"
        checked = self._connections is not None and self._connections.is_checked(endpoint)
        http = self._checked_http if checked else self._http
        if endpoint.azure_endpoint is not None:
            return openai.AsyncAzureOpenAI(
                api_key=key,
                azure_endpoint=endpoint.azure_endpoint,
                api_version=endpoint.api_version,
                max_retries=0,
                http_client=http,
            )
        return openai.AsyncOpenAI(api_key=key, base_url=endpoint.base_url, max_retries=0, http_client=http)

    async def complete(self, endpoint: Endpoint, payload: Mapping[str, Any], *, marker: str) -> Completion:
        """See `Caller.complete`."""
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                raw = await self._client(endpoint).chat.completions.with_raw_response.create(
                    **payload, extra_headers={JUDGE_HEADER: marker, **_HEADERS}
                )
                reply = raw.http_response
                content = reply.content
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError, PermissionError) as error:
            raise self._failure(error) from error
        sent = payload.get("messages", ())
        return read_completion(content, sent=sent, headers=reply.headers, now_s=self._now())

    async def embed(self, endpoint: Endpoint, model: str, texts: Sequence[str]) -> bytes:
        """Return the body of the answer to a request for embeddings, unread.

        Raises:
            ProviderFailure: there is no answer.
        """
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                raw = await self._client(endpoint).embeddings.with_raw_response.create(
                    model=model, input=list(texts), encoding_format="float", extra_headers=_HEADERS
                )
                content: bytes = raw.http_response.content
                return content
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError, PermissionError) as error:
            raise self._failure(error) from error

    async def list_models(self, endpoint: Endpoint) -> list[str]:
        """See `Caller.list_models`."""
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                raw = await self._client(endpoint).models.with_raw_response.list(extra_headers=_HEADERS)
                content = raw.http_response.content
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError, PermissionError) as error:
            raise self._failure(error) from error
        return read_models(content)

    def _failure(self, error: Exception) -> ProviderFailure:
        if isinstance(error, openai.APIStatusError):
            reply = error.response
            return classify_status(reply.status_code, reply.text, reply.headers, now_s=self._now())
        for cause in (error, error.__cause__, error.__context__):
            if isinstance(cause, ReplyTooLarge | ReplyUnreadable):
                return ProviderFailure("unavailable", str(cause), status=200)
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return ProviderFailure("unavailable", f"no answer within {self._timeouts.call_s:g} s")
        if isinstance(error, PermissionError):
            return ProviderFailure("forbidden", str(error))
        cause = error.__cause__ or error
        return ProviderFailure("unavailable", f"connection failed: {type(cause).__name__}")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._checked_http.aclose()
