"""Which key and which model judge an evaluation.

    Unresolved      none can be found: the reason as the evaluation's status shows it

A pinned key must exist and be usable. Without one the team's active key serves, if it belongs to the provider that
is configured. Without any configuration the active key and its provider's default model serve, and for a team
without a key the operator's trial key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from config.definitions import ModelConfiguration, StatusReason
from config.provider_keys import EvaluationConfig, OpenKey
from config.settings.sections import Judge as JudgeSettings
from config.strategies import ModelStep
from evaluators.llm_judge.providers import PROVIDERS, Endpoint, EndpointError, make_endpoint


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Where an evaluation's calls go, and to which model.

    Attributes:
        steps: of a strategy, one for each of its models in their order; the first of them is this one.
    """

    endpoint: Endpoint
    model: str
    steps: tuple[ResolvedModel, ...] = ()

    @property
    def all(self) -> tuple[ResolvedModel, ...]:
        """Each model that may be asked."""
        return self.steps or (self,)


@dataclass(frozen=True, slots=True)
class TeamKeys:
    """A team's keys by id, and the active one's id."""

    keys: Mapping[str, OpenKey] = field(default_factory=dict)
    active_id: str | None = None

    @property
    def active(self) -> OpenKey | None:
        """The active key; None if the team has none, or it is gone."""
        return self.keys.get(self.active_id) if self.active_id is not None else None


NO_KEYS = TeamKeys()
"""The keys of a team that has none."""


class Unresolved(Exception):
    """No key and model can be found.

    Attributes:
        code: `key_not_found`, `key_invalid`, `provider_key_required` or `no_default_model`.
        reason: the evaluation's status reason.
    """

    def __init__(self, code: str, reason: StatusReason, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.reason: StatusReason = reason
        self.detail = detail


def resolve_model(
    configuration: ModelConfiguration | None,
    team: TeamKeys,
    settings: JudgeSettings,
    *,
    ignore_state: bool = False,
) -> ResolvedModel:
    """Return the key and the model for a configuration; for a strategy those of all its steps.

    Args:
        ignore_state: also take a key that is known not to work, to probe whether it does again.

    Raises:
        Unresolved: there is none, for one of the steps.
    """
    if configuration is not None and configuration.strategy is not None:
        found = [_resolve_one(step, team, settings, ignore_state) for step in configuration.models]
        return replace(found[0], steps=tuple(found))
    return _resolve_one(configuration, team, settings, ignore_state)


def default_models(settings: JudgeSettings) -> set[tuple[str, str]]:
    """Return provider and model of each default: one of them judges an evaluation that names no model."""
    found = {(name, each.default_model) for name, each in PROVIDERS.items() if each.default_model is not None}
    return found if settings.trial_api_key is None else {*found, (settings.trial_provider, settings.trial_model)}


def _resolve_one(
    configuration: ModelConfiguration | ModelStep | None, team: TeamKeys, settings: JudgeSettings, ignore_state: bool
) -> ResolvedModel:
    if configuration is not None and configuration.provider_key_id is not None:
        pinned = team.keys.get(str(configuration.provider_key_id))
        if pinned is None:
            raise Unresolved(
                "key_not_found", "provider_key_deleted", "the provider key of this evaluation is gone; choose another"
            )
        return ResolvedModel(_own(pinned, settings, ignore_state), configuration.model)
    active = team.active
    if configuration is None:
        if active is None:
            return _trial(None, settings)
        model = PROVIDERS[active.key.provider].default_model
        if model is None:
            raise Unresolved(
                "no_default_model",
                "no_default_model",
                f"{active.key.provider} has no default model; name one in model_configuration",
            )
        return ResolvedModel(_own(active, settings, ignore_state), model)
    if active is None:
        return _trial(configuration, settings)
    if active.key.provider != configuration.provider:
        raise Unresolved(
            "provider_key_required",
            "provider_key_required",
            f"the active key is for {active.key.provider}, the evaluation is for {configuration.provider}; add a key",
        )
    return ResolvedModel(_own(active, settings, ignore_state), configuration.model)


def _own(found: OpenKey, settings: JudgeSettings, ignore_state: bool) -> Endpoint:
    key = found.key
    if found.api_key is None:
        raise Unresolved(
            "key_invalid",
            "provider_key_invalid",
            "the stored key cannot be decrypted; store it again or see secret_keys",
        )
    if key.state in ("invalid", "error") and not ignore_state:
        raise Unresolved("key_invalid", "provider_key_invalid", key.error_message or "the provider refused the key")
    try:
        return make_endpoint(
            key.provider,
            found.api_key.get_secret_value(),
            base_url=key.base_url,
            azure_endpoint=key.azure_endpoint,
            api_version=key.api_version,
            base_urls=settings.base_urls,
            key_id=key.id,
        )
    except EndpointError as error:
        raise Unresolved("key_invalid", "provider_key_invalid", str(error)) from error


def _trial(configuration: ModelConfiguration | ModelStep | None, settings: JudgeSettings) -> ResolvedModel:
    if settings.trial_api_key is None:
        raise Unresolved(
            "provider_key_required", "provider_key_required", "the team has no active provider key; add one"
        )
    if configuration is not None and configuration.provider != settings.trial_provider:
        raise Unresolved(
            "provider_key_required",
            "provider_key_required",
            f"the trial serves {settings.trial_provider} only; add a key for {configuration.provider}",
        )
    model = settings.trial_model if configuration is None else configuration.model
    if model not in (settings.trial_model, *settings.trial_models):
        raise Unresolved(
            "provider_key_required",
            "provider_key_required",
            f"the trial serves {', '.join((settings.trial_model, *settings.trial_models))} only; add a key for {model}",
        )
    endpoint = make_endpoint(
        settings.trial_provider,
        settings.trial_api_key.get_secret_value(),
        base_url=settings.trial_base_url,
        base_urls=settings.base_urls,
        key_type="trial",
    )
    return ResolvedModel(endpoint, model)


class StoredKeys(NamedTuple):
    """All keys and configs of the store."""

    keys: Sequence[OpenKey]
    configs: Sequence[EvaluationConfig]


def keys_by_team(stored: StoredKeys, configs: Mapping[int, EvaluationConfig]) -> dict[int, TeamKeys]:
    """Return each team's keys and its active one."""
    keys: dict[int, dict[str, Any]] = {}
    for found in stored.keys:
        keys.setdefault(found.key.team_id, {})[found.key.id] = found
    teams = {}
    for team_id in {*keys, *configs}:
        config = configs.get(team_id)
        teams[team_id] = TeamKeys(keys.get(team_id, {}), None if config is None else config.active_provider_key_id)
    return teams
