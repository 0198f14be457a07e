"""Calls of providers for the API: keys are checked, models are listed, and runs are made to try out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import SecretStr

from api.http.errors import Invalid
from config.definitions import EvaluationDraft
from config.judge_request import estimate_of, request_of
from config.model_resolution import ResolvedModel
from config.outbound import ForbiddenAddress
from config.outbound.callers import caller_of
from config.outbound.providers import ProviderConnections
from config.prices import load_prices
from config.provider_keys import KeyState
from config.settings import Settings
from evaluators.generation import Generation
from evaluators.llm_judge import (
    PROVIDERS,
    Endpoint,
    EndpointError,
    Judge,
    JudgeRequest,
    Patience,
    RunOutcome,
    make_endpoint,
)
from evaluators.llm_judge.caller import Timeouts
from evaluators.llm_judge.estimate import RunEstimate
from evaluators.llm_judge.failures import Fault, ProviderFailure
from evaluators.llm_judge.model_check import ModelCheck, check_model
from evaluators.llm_judge.one_off import one_off_judge
from evaluators.llm_judge.openai_caller import OpenAICaller
from evaluators.llm_judge.outcome import Price
from storage.sql.provider_keys import ProviderKeys

_T = TypeVar("_T")
_TIMEOUTS = Timeouts(connect_s=5.0, read_s=15.0, call_s=20.0)
_PATIENCE = Patience(run_s=30.0, attempts=2, retry_max_s=2.0, queue_s=10.0)
_AT_ONCE = 16
"""Connections of one request that tries something out."""
_INVALID = frozenset({"unauthorized", "forbidden"})


class JudgeCalls:
    """The calls of providers, with requests as live runs have them. Trial runs are counted in `keys`."""

    def __init__(self, settings: Settings, keys: ProviderKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._connections = ProviderConnections(settings.judge)

    def endpoint(
        self,
        provider: str,
        api_key: SecretStr,
        *,
        base_url: str | None,
        azure_endpoint: str | None,
        api_version: str | None,
    ) -> Endpoint:
        """Return where a team's key is used.

        Raises:
            Invalid: an address is missing, or may not be called.
        """
        if base_url is not None and provider != "custom":
            raise Invalid("base_url is for the provider custom.", attr="base_url")
        for attr, url in (("base_url", base_url), ("azure_endpoint", azure_endpoint)):
            if url is not None:
                try:
                    self._connections.check(url)
                except ForbiddenAddress as error:
                    raise Invalid(str(error), code="forbidden_address", attr=attr) from error
        try:
            return make_endpoint(
                provider,
                api_key.get_secret_value(),
                base_url=base_url,
                azure_endpoint=azure_endpoint,
                api_version=api_version,
                base_urls=self._settings.judge.base_urls,
            )
        except EndpointError as error:
            raise Invalid(str(error), code="required", attr=error.attr) from error

    def validate(self, endpoint: Endpoint, model: str | None = None) -> tuple[KeyState, str | None]:
        """Return whether the key works, and what the provider says if it does not. Blocks up to forty seconds.

        It works if the provider lists its models, or completes a chat where it has no such list, each in the
        provider's own form. Nothing else proves that somebody has looked at the key.

        Args:
            model: for the completion; the provider's default model, or `default`, if None.
        """
        try:
            self.models(endpoint)
        except ProviderFailure as failure:
            if failure.fault not in (Fault.MODEL, Fault.FORM):
                return ("invalid" if failure.kind in _INVALID else "error"), failure.detail
            return self._validate_by_completion(endpoint, model, failure)
        return "ok", None

    def _validate_by_completion(
        self, endpoint: Endpoint, model: str | None, unlisted: ProviderFailure
    ) -> tuple[KeyState, str | None]:
        chosen = model or PROVIDERS[endpoint.provider].default_model or "default"
        payload = {"model": chosen, "messages": [{"role": "user", "content": "Reply with the word ok."}]}

        async def ask() -> None:
            caller = self._caller(max_connections=1)
            try:
                await caller.complete(endpoint, payload, marker="validation")
            finally:
                await caller.close()

        try:
            asyncio.run(ask())
        except ProviderFailure as failure:
            if failure.fault in (Fault.TEXT, Fault.CONTEXT):
                return "ok", None  # refused by the model, which the key therefore reaches
            detail = f"no list of models ({unlisted.detail}), and no completion by {chosen} ({failure.detail})"
            return ("invalid" if failure.kind in _INVALID else "error"), detail
        return "ok", None

    def models(self, endpoint: Endpoint) -> list[str]:
        """Return the models that a key reaches. Blocks up to twenty seconds. Raises `ProviderFailure`."""

        async def ask() -> list[str]:
            caller = self._caller(max_connections=4)
            try:
                return await caller.list_models(endpoint)
            finally:
                await caller.close()

        return asyncio.run(ask())

    def request(
        self, draft: EvaluationDraft, resolved: ResolvedModel, generation: Generation, *, evaluation_id: str
    ) -> JudgeRequest:
        """Return the request that judges `generation` as the definition says."""
        return request_of(draft, resolved, generation, self._settings.judge, evaluation_id=evaluation_id)

    def estimate(
        self, definition: EvaluationDraft, resolved: ResolvedModel | None, generation: Generation, price: Price
    ) -> RunEstimate:
        """Return what the run that judges `generation` would use."""
        return estimate_of(definition, resolved, generation, self._settings.judge, price)

    def judge(self, requests: Sequence[JudgeRequest]) -> list[RunOutcome]:
        """Make runs to try something out: at the same time, no cache, no budget. Trial runs count."""

        async def run_all(judge: Judge) -> list[RunOutcome]:
            return list(await asyncio.gather(*(judge.run(request) for request in requests)))

        return asyncio.run(self._with_judge(run_all, concurrency=len(requests) or 1))

    def judge_in_time(self, requests: Sequence[JudgeRequest], *, begin_for_s: float) -> list[RunOutcome | None]:
        """Make runs as `judge`, sixteen at a time. A run that cannot begin in time is not made and gives None."""

        async def run_all(judge: Judge) -> list[RunOutcome | None]:
            clock = asyncio.get_running_loop().time
            ends, room = clock() + begin_for_s, asyncio.Semaphore(_AT_ONCE)

            async def run(request: JudgeRequest) -> RunOutcome | None:
                async with room:
                    return await judge.run(request) if clock() < ends else None

            return list(await asyncio.gather(*map(run, requests)))

        return asyncio.run(self._with_judge(run_all, concurrency=_AT_ONCE))

    def check_model(self, endpoint: Endpoint, model: str, *, team_id: int) -> ModelCheck:
        """Judge a trivial answer by a model: one small call, which shows in which form the model answers."""
        return asyncio.run(self._with_judge(lambda judge: check_model(judge, endpoint, model, team_id=team_id)))

    def _caller(self, *, max_connections: int) -> OpenAICaller:
        return caller_of(self._settings.judge, max_connections=max_connections, at_most=_TIMEOUTS)

    async def _with_judge(self, use: Callable[[Judge], Awaitable[_T]], *, concurrency: int = 1) -> _T:
        caller = self._caller(max_connections=_AT_ONCE)
        judge = one_off_judge(
            caller,
            price=load_prices(self._settings.judge.prices_path).cost,
            trial=_StoredTrial(self._keys),
            patience=_PATIENCE,
            concurrency=concurrency,
        )
        try:
            return await use(judge)
        finally:
            await caller.close()


class _StoredTrial:
    """The trial of the store, for a judge that runs in a thread of its own."""

    def __init__(self, keys: ProviderKeys) -> None:
        self._keys = keys

    async def take(self, team_id: int) -> bool:
        return self._keys.take_trial(team_id, now=datetime.now(UTC))

    async def give_back(self, team_id: int) -> None:
        self._keys.give_back_trial(team_id)
