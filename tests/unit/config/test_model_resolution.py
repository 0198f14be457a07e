"""Which key and model judge an evaluation, and the reason when none does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from config.definitions import ModelConfiguration
from config.model_resolution import TeamKeys, Unresolved, resolve_model
from config.provider_keys import OpenKey, ProviderKey
from config.settings.sections import Judge

NOW = datetime(2026, 3, 2, tzinfo=UTC)
FIRST, SECOND = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def key(key_id: str = FIRST, *, readable: bool = True, **fields: Any) -> OpenKey:
    values: dict[str, Any] = {
        "id": key_id,
        "team_id": 1,
        "provider": "openai",
        "name": "k",
        "api_key_masked": "****",
        "azure_endpoint": None,
        "api_version": None,
        "base_url": None,
        "state": "ok",
        "error_message": None,
        "created_at": NOW,
        "updated_at": NOW,
        "created_by": None,
        "last_used_at": None,
        **fields,
    }
    return OpenKey(ProviderKey(**values), SecretStr("sk-1") if readable else None)


def team(*found: OpenKey, active: str | None = None) -> TeamKeys:
    return TeamKeys({each.key.id: each for each in found}, active)


def configured(provider: Any = "openai", model: str = "m", pinned: str | None = None) -> ModelConfiguration:
    return ModelConfiguration(provider=provider, model=model, provider_key_id=UUID(pinned) if pinned else None)


def test_a_pinned_key_is_used_even_if_another_one_is_active() -> None:
    found = resolve_model(configured(pinned=SECOND), team(key(), key(SECOND), active=FIRST), Judge())
    assert (found.endpoint.key_id, found.model, found.endpoint.key_type) == (SECOND, "m", "own")


def test_without_a_pin_the_active_key_is_used() -> None:
    found = resolve_model(configured(), team(key(), key(SECOND), active=FIRST), Judge())
    assert found.endpoint.key_id == FIRST
    assert found.endpoint.base_url == "https://api.openai.com/v1"


def test_without_a_configuration_the_active_key_and_its_providers_default_model_are_used() -> None:
    assert resolve_model(None, team(key(), active=FIRST), Judge()).model == "gpt-5-mini"


def test_a_team_without_a_key_judges_on_the_operators_if_there_is_one() -> None:
    judge = Judge(trial_api_key=SecretStr("sk-operator"), trial_models=("gpt-5",))
    found = resolve_model(None, team(), judge)
    assert (found.endpoint.key_type, found.endpoint.key_id, found.model) == ("trial", None, "gpt-5-mini")
    assert resolve_model(configured(model="gpt-5"), team(), judge).model == "gpt-5"


def test_the_trial_serves_only_the_models_that_the_operator_lists() -> None:
    judge = Judge(trial_api_key=SecretStr("sk-operator"), trial_models=("gpt-5-nano",))

    def asked(model: str) -> str:
        return resolve_model(ModelConfiguration(provider="openai", model=model), TeamKeys(), judge).model

    assert [asked(model) for model in ("gpt-5-mini", "gpt-5-nano")] == ["gpt-5-mini", "gpt-5-nano"]
    for dear in ("gpt-5-pro", "o3-pro", "GPT-5-mini", ""):
        with pytest.raises(Unresolved) as refused:
            resolve_model(ModelConfiguration.model_construct(provider="openai", model=dear), TeamKeys(), judge)
        assert (refused.value.code, "gpt-5-nano" in str(refused.value)) == ("provider_key_required", True)


def test_a_team_with_a_key_is_never_on_trial() -> None:
    judge = Judge(trial_api_key=SecretStr("sk-operator"))
    assert resolve_model(configured(), team(key(), active=FIRST), judge).endpoint.key_type == "own"
    with pytest.raises(Unresolved):
        resolve_model(configured("gemini"), team(key(), active=FIRST), judge)


@pytest.mark.parametrize(
    ("configuration", "keys", "code", "reason"),
    [
        (configured(pinned=SECOND), team(key(), active=FIRST), "key_not_found", "provider_key_deleted"),
        (configured(pinned=FIRST), team(key(state="invalid")), "key_invalid", "provider_key_invalid"),
        (configured(pinned=FIRST), team(key(state="error")), "key_invalid", "provider_key_invalid"),
        (configured(pinned=FIRST), team(key(readable=False)), "key_invalid", "provider_key_invalid"),
        (configured(), team(), "provider_key_required", "provider_key_required"),
        (configured(), team(key()), "provider_key_required", "provider_key_required"),
        (configured("gemini"), team(key(), active=FIRST), "provider_key_required", "provider_key_required"),
        (None, team(), "provider_key_required", "provider_key_required"),
        (
            None,
            team(key(provider="custom", base_url="http://x/v1"), active=FIRST),
            "no_default_model",
            "no_default_model",
        ),
    ],
)
def test_each_reason_for_no_model_is_named(configuration: Any, keys: TeamKeys, code: str, reason: str) -> None:
    with pytest.raises(Unresolved) as refused:
        resolve_model(configuration, keys, Judge())
    assert (refused.value.code, refused.value.reason) == (code, reason)


def test_a_key_that_does_not_work_can_be_probed_but_not_used() -> None:
    keys = team(key(state="invalid"), active=FIRST)
    assert resolve_model(configured(), keys, Judge(), ignore_state=True).endpoint.key_id == FIRST


def test_the_operators_gateway_replaces_the_public_endpoint() -> None:
    judge = Judge(base_urls={"openai": "https://gateway/v1"})
    assert resolve_model(configured(), team(key(), active=FIRST), judge).endpoint.base_url == "https://gateway/v1"
