"""What the API asks of judges: whether a key works, which key and model an evaluation gets, a run to try out."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from pydantic import SecretStr

from api.errors import Invalid
from config.definitions import Evaluation, EvaluationDraft, ModelConfiguration, patch_draft, to_raw
from config.model_resolution import ResolvedModel, TeamKeys, Unresolved, resolve_model
from config.outbound import ForbiddenAddress, check_url
from config.outputs import CategoricalOutput, NumericOutput
from config.prices import load_prices
from config.secrets import SecretBox
from config.settings import Settings
from config.store.engine import Database
from config.store.evaluations import Evaluations
from config.store.judging_tables import provider_keys
from config.store.provider_keys import KeyNotFound, KeyState, OpenKey, ProviderKey, ProviderKeys
from config.store.tables import evaluations
from evaluators.generation import Generation
from evaluators.llm_judge import (
    PROVIDERS,
    Endpoint,
    EndpointError,
    Judge,
    JudgeRequest,
    OutputContract,
    Patience,
    RunOutcome,
    make_endpoint,
    transcribe,
)
from evaluators.llm_judge.budget import MemoryBudgets
from evaluators.llm_judge.cache import MemoryCache
from evaluators.llm_judge.check import ModelCheck, check_model
from evaluators.llm_judge.client import Timeouts
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.gates import GateLimits, Gates
from evaluators.llm_judge.ladder import Ladder
from evaluators.llm_judge.openai_caller import OpenAICaller

_T = TypeVar("_T")
_TIMEOUTS = Timeouts(connect_s=5.0, read_s=15.0, call_s=20.0)
_PATIENCE = Patience(run_s=30.0, attempts=2, retry_max_s=2.0, queue_s=10.0)
_INVALID = frozenset({"unauthorized", "forbidden"})


@dataclass(frozen=True, slots=True)
class Dependent:
    """An evaluation that names a key."""

    id: str
    name: str
    enabled: bool


class JudgeAccess:
    """Keys, models and endpoints of all teams; each method names the team and sees no other."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.keys = ProviderKeys(
            database, SecretBox(settings.secret_keys), trial_eval_limit=settings.judge.trial_eval_limit
        )

    def key_names(self, team_id: int, key_ids: set[str]) -> Mapping[str, str]:
        """Return the names of the team's keys among `key_ids`, by id. One query."""
        query = sa.select(provider_keys.c.id, provider_keys.c.name).where(
            provider_keys.c.team_id == team_id, provider_keys.c.id.in_(key_ids)
        )
        with self._database.read() as connection:
            return {row.id: row.name for row in connection.execute(query)}

    def known_models(self, provider: str) -> list[str]:
        """Return the models of a provider that have a price, its default model first."""
        default = PROVIDERS[provider].default_model
        priced = load_prices(self._settings.judge.prices_path).prices.get(provider, {})
        names = [name for name in priced if not name.endswith("*") and name != default]
        return [default, *names] if default is not None else names

    def dependents(self, team_id: int, key_id: str) -> list[Dependent]:
        """Return the team's evaluations that name a key, by name. One query."""
        row = evaluations.c
        query = (
            sa.select(row.id, row.name, row.enabled)
            .where(
                row.team_id == team_id,
                row.deleted.is_(False),
                row.model_configuration["provider_key_id"].as_string() == key_id,
            )
            .order_by(row.name, row.id)
        )
        with self._database.read() as connection:
            return [Dependent(found.id, found.name, found.enabled) for found in connection.execute(query)]

    def delete_key(
        self, team_id: int, key: ProviderKey, replacement: ProviderKey | None, *, actor: str, now: datetime
    ) -> None:
        """Delete a key. Evaluations that name it use `replacement`, or stop as `provider_key_deleted`.

        The evaluations come first: if this ends half-way, the key is still there and it can be done again.
        """
        repository = Evaluations(self._database)
        for dependent in self.dependents(team_id, key.id):
            if replacement is not None:
                repoint = partial(_with_key, key_id=replacement.id)
                repository.update(team_id, dependent.id, repoint, actor=actor, now=now)
            elif dependent.enabled:
                detail = f"the provider key {key.name!r} was deleted; choose another"
                repository.set_status(
                    team_id, dependent.id, "error", actor=actor, now=now, reason="provider_key_deleted", detail=detail
                )
        was_active = self.keys.config(team_id, now=now).active_provider_key_id == key.id
        if was_active and replacement is not None and replacement.state == "ok":
            self.keys.set_active_key(team_id, replacement.id, now=now)
        self.keys.delete(team_id, key.id)

    def check_key(self, team_id: int, draft: EvaluationDraft) -> None:
        """Refuse a pinned key that is not the team's, or is another provider's. Raises `Invalid`."""
        chosen = draft.model_configuration
        if chosen is None or chosen.provider_key_id is None:
            return
        attr = "model_configuration__provider_key_id"
        try:
            key = self.keys.get(team_id, str(chosen.provider_key_id))
        except KeyNotFound as error:
            raise Invalid("There is no such provider key in this team.", code="does_not_exist", attr=attr) from error
        if key.provider != chosen.provider:
            raise Invalid(f"This key is for {key.provider}, not for {chosen.provider}.", attr=attr)

    def check_enabled(self, team_id: int, draft: EvaluationDraft, *, now: datetime) -> None:
        """Refuse an LLM judge that is enabled while no key and model can be had for it. Raises `Invalid`."""
        self.check_key(team_id, draft)
        if draft.enabled and draft.evaluation_type == "llm_judge":
            try:
                self.resolve(team_id, draft.model_configuration, now=now)
            except Unresolved as error:
                raise Invalid(f"It cannot be enabled: {error.detail}.", code=error.code, attr="enabled") from error

    def resolve(self, team_id: int, chosen: ModelConfiguration | None, *, now: datetime) -> ResolvedModel:
        """Return the key and the model that serve `chosen`, as the judge role finds them.

        Raises:
            Unresolved: there is none, or only a trial that is used up.
        """
        config = self.keys.config(team_id, now=now)
        pinned = str(chosen.provider_key_id) if chosen and chosen.provider_key_id else None
        found: dict[str, OpenKey] = {}
        for key_id in {pinned, config.active_provider_key_id} - {None}:
            with suppress(KeyNotFound):
                found[str(key_id)] = self.keys.open(team_id, str(key_id))
        resolved = resolve_model(chosen, TeamKeys(found, config.active_provider_key_id), self._settings.judge)
        if resolved.endpoint.key_type == "trial" and config.trial_evals_remaining == 0:
            detail = "the team's trial runs are used up; add a provider key"
            raise Unresolved("trial_limit_reached", "trial_limit_reached", detail)
        return resolved

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
                    check_url(url, allowed=self._settings.judge.allowed_hosts, setting="judge.allowed_hosts")
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
            attr = "azure_endpoint" if provider == "azure_openai" else "base_url"
            raise Invalid(str(error), code="required", attr=attr) from error

    def validate(self, endpoint: Endpoint) -> tuple[KeyState, str | None]:
        """Ask the provider whether the key works, by listing models. Blocks up to twenty seconds."""
        try:
            self.models(endpoint)
        except ProviderFailure as failure:
            # A gateway without a list of models has still taken the key.
            if failure.kind in ("model_not_found", "bad_request"):
                return "ok", None
            return ("invalid" if failure.kind in _INVALID else "error"), failure.detail
        return "ok", None

    def models(self, endpoint: Endpoint) -> list[str]:
        """Return the models that a key reaches. Blocks up to twenty seconds. Raises `ProviderFailure`."""

        async def ask() -> list[str]:
            caller = OpenAICaller(_TIMEOUTS, max_connections=4)
            try:
                return await caller.list_models(endpoint)
            finally:
                await caller.close()

        return asyncio.run(ask())

    def judge(self, requests: Sequence[JudgeRequest]) -> list[RunOutcome]:
        """Make runs to try something out: at the same time, no cache, no budget. Trial runs count."""

        async def run_all(judge: Judge) -> list[RunOutcome]:
            return list(await asyncio.gather(*(judge.run(request) for request in requests)))

        return asyncio.run(self._with_judge(run_all, concurrency=len(requests) or 1))

    def check_model(self, endpoint: Endpoint, model: str, *, team_id: int) -> ModelCheck:
        """Judge a trivial answer by a model: one small call, which shows in which form the model answers."""
        return asyncio.run(self._with_judge(lambda judge: check_model(judge, endpoint, model, team_id=team_id)))

    async def _with_judge(self, use: Callable[[Judge], Awaitable[_T]], *, concurrency: int = 1) -> _T:
        caller = OpenAICaller(_TIMEOUTS, max_connections=16)
        loop = asyncio.get_running_loop()
        judge = Judge(
            caller,
            Gates(GateLimits(concurrency=concurrency), clock=loop.time, random=random.random),
            Ladder(time.time),
            budgets=MemoryBudgets(lambda: datetime.now(UTC)),
            trial=_StoredTrial(self.keys),
            cache=MemoryCache(1, 1.0, time.monotonic),
            price=load_prices(self._settings.judge.prices_path).cost,
            patience=_PATIENCE,
            random=random.random,
            nonce=lambda: secrets.token_hex(16),
        )
        try:
            return await use(judge)
        finally:
            await caller.close()


def _with_key(current: Evaluation, *, key_id: str) -> EvaluationDraft:
    chosen = to_raw(current)["model_configuration"]
    return patch_draft(current, {"model_configuration": {**chosen, "provider_key_id": key_id}})


class _StoredTrial:
    """The trial of the store, for a judge that runs in a thread of its own."""

    def __init__(self, keys: ProviderKeys) -> None:
        self._keys = keys

    async def take(self, team_id: int) -> bool:
        return self._keys.take_trial(team_id, now=datetime.now(UTC))

    async def give_back(self, team_id: int) -> None:
        self._keys.give_back_trial(team_id)


def contract_of(draft: EvaluationDraft) -> OutputContract:
    """Return the verdict that a definition asks for."""
    output = draft.output_config
    if isinstance(output, NumericOutput):
        return OutputContract(
            type="numeric", allows_na=output.allows_na, minimum=output.min, maximum=output.max, step=output.step
        )
    if isinstance(output, CategoricalOutput):
        return OutputContract(
            type="categorical",
            allows_na=output.allows_na,
            options=tuple((option.key, option.label) for option in output.options),
            multiple=output.selection_mode == "multiple",
        )
    return OutputContract(allows_na=output.allows_na)


def request_of(
    team_id: int, draft: EvaluationDraft, resolved: ResolvedModel, generation: Generation, *, evaluation_id: str
) -> JudgeRequest:
    """Return the run that judges `generation` as the definition says."""
    return JudgeRequest(
        team_id=team_id,
        evaluation_id=evaluation_id,
        fingerprint=draft.fingerprint_of_judging(),
        criteria=draft.prompt or "",
        contract=contract_of(draft),
        endpoint=resolved.endpoint,
        model=resolved.model,
        transcript=transcribe(generation.input, generation.output, generation.properties.get("$ai_tools")),
        errored=generation.properties.get("$ai_is_error") is True,
        cache=False,
    )
