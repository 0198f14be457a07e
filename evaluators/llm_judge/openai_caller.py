"""Calls through the `openai` package, with its own retries off: retries, deadlines and pacing are ours.

The package takes a second to load. Only what makes calls imports this module: a matcher or a sink starts without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import openai

from evaluators.llm_judge.client import Completion, Timeouts, decode_reply, read_completion
from evaluators.llm_judge.failures import ProviderFailure, classify_status
from evaluators.llm_judge.providers import Endpoint

JUDGE_HEADER = "X-Gavel-Judge"
"""Sent with every call, so that a gateway that logs calls can tell ours."""


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
        reply = decode_reply(content)
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
