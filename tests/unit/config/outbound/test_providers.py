"""Endpoints that a team wrote are reached by checked connections only; the operator's own are called as they are."""

from __future__ import annotations

import asyncio

import pytest

from config.outbound.callers import caller_of
from config.outbound.providers import ProviderConnections
from config.settings.sections import Judge
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.providers import PROVIDERS, Endpoint, make_endpoint
from tests.unit.config.outbound.test_connections import Listener, listening

MODELS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n" + b'{"data": [{"id": "mini"}]}'
)


def models(endpoint: Endpoint, judge: Judge) -> list[str]:
    async def ask() -> list[str]:
        caller = caller_of(judge)
        try:
            return await caller.list_models(endpoint)
        finally:
            await caller.close()

    return asyncio.run(ask())


def custom(server: Listener, **fields: str) -> Endpoint:
    return make_endpoint("custom", "k", base_url=f"http://127.0.0.1:{server.port}/v1", **fields)


def test_a_teams_endpoint_inside_the_network_is_not_connected_to() -> None:
    with listening(MODELS) as server:
        with pytest.raises(ProviderFailure, match=r"judge\.allowed_hosts") as refused:
            models(custom(server), Judge())
        assert refused.value.kind == "forbidden"
        azure = make_endpoint("azure_openai", "k", azure_endpoint=f"http://127.0.0.1:{server.port}")
        with pytest.raises(ProviderFailure, match=r"judge\.allowed_hosts"):
            models(azure, Judge())
        assert server.received == []


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8"])
def test_an_operator_can_allow_it(allowed: str) -> None:
    with listening(MODELS) as server:
        assert models(custom(server), Judge(allowed_hosts=(allowed,))) == ["mini"]


def test_the_operators_own_endpoints_are_called_as_they_are() -> None:
    with listening(MODELS) as server:
        assert models(custom(server, key_type="trial"), Judge()) == ["mini"]
        gateway = Judge(base_urls={"openai": f"http://127.0.0.1:{server.port}/v1"})
        assert models(make_endpoint("openai", "k", base_urls=gateway.base_urls), gateway) == ["mini"]


def test_what_is_checked() -> None:
    connections = ProviderConnections(Judge(allowed_hosts=("ollama.internal",)))
    for provider, known in PROVIDERS.items():
        if known.base_url is not None:
            assert not connections.is_checked(make_endpoint(provider, "k"))
    assert not connections.is_checked(make_endpoint("custom", "k", base_url="http://Ollama.internal:11434/v1"))
    for url in ("https://llm.example.com/v1", "http://ollama.internal.evil.example/v1", "http://[/"):
        assert connections.is_checked(make_endpoint("custom", "k", base_url=url))


def test_a_name_that_does_not_resolve_now_is_an_outage_and_no_refusal() -> None:
    with pytest.raises(ProviderFailure) as failed:
        models(make_endpoint("custom", "k", base_url="http://nowhere.invalid/v1"), Judge())
    assert failed.value.kind == "unavailable"
