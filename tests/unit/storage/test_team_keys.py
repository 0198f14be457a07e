"""Every part of the product finds the same key, model and budgets for a team, and none hands out another trial."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from api.services.team_models import TeamModels
from config.definitions import Evaluation, ModelConfiguration
from config.model_resolution import ResolvedModel, StoredKeys, resolve_model
from config.settings import Settings
from processor.judge.keys import KeyDirectory
from processor.replay.plan import team_keys_of
from reports.clustering.run import ClusteringWork
from reports.evaluation_reports.prose import ProseWriter
from storage.sql.budgets import scopes_of
from storage.sql.engine import Database, open_database
from storage.sql.migrations import upgrade
from storage.sql.provider_keys import NewKey, ProviderKeys
from tests.services.cache import CHECKOUT
from tests.unit.config.test_judge_request import calls, product_modules
from tests.unit.processor.judge.room import TEAM, evaluation

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(found)
    yield found
    found.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    judge: Any = {"trial_eval_limit": 0}
    return Settings(data_dir=tmp_path, secret_keys=(SecretStr(Fernet.generate_key().decode()),), judge=judge)


def added(keys: ProviderKeys, team: int, name: str, *, active: bool = False) -> str:
    secret = SecretStr(f"sk-{name}-0123456789")
    return keys.create(
        team,
        NewKey(provider="openai", name=name, api_key=secret, state="ok"),
        actor=None,
        now=NOW,
        set_as_active=active,
    ).id


def found_by_each(settings: Settings, database: Database, definition: Evaluation) -> dict[str, ResolvedModel]:
    """Return the model of `definition` as each part of the product resolves it."""
    keys, chosen = ProviderKeys.of(settings, database), definition.model_configuration
    directory = KeyDirectory(lambda: StoredKeys(keys.open_all(), keys.configs()), settings.judge, None)
    asyncio.run(directory.ensure(1))
    writer = ProseWriter(settings, database, now=lambda: NOW)
    return {
        "live runs": directory.resolve(definition),
        "the API": TeamModels(settings, keys).resolve(TEAM, chosen, now=NOW),
        "replays": resolve_model(chosen, team_keys_of(settings, database)(TEAM), settings.judge),
        "written reports": writer._resolve(definition),
    }


def test_all_find_the_active_key_and_the_pinned_one(settings: Settings, database: Database) -> None:
    keys = ProviderKeys.of(settings, database)
    added(keys, TEAM + 1, "another team's", active=True)
    active, pinned = added(keys, TEAM, "active", active=True), added(keys, TEAM, "pinned")
    for key_id, configuration in (
        (active, None),
        (active, {"provider": "openai", "model": "m"}),
        (pinned, {"provider": "openai", "model": "m", "provider_key_id": pinned}),
    ):
        definition = evaluation(model_configuration=configuration)
        found = found_by_each(settings, database, definition)
        assert {each.endpoint.key_id for each in found.values()} == {key_id}
        assert len(set(found.values())) == 1, found
    endpoint, model = ClusteringWork(settings, database)._model(TEAM)
    assert endpoint is not None
    assert (endpoint.key_id, model) == (active, "gpt-5-mini")


def test_a_key_of_another_team_is_not_found(settings: Settings, database: Database) -> None:
    keys = ProviderKeys.of(settings, database)
    other = added(keys, TEAM + 1, "another team's", active=True)
    assert keys.team_keys(TEAM, [other]).keys == {}
    assert keys.team_keys(TEAM).active is None
    chosen = ModelConfiguration.model_validate({"provider": "openai", "model": "m", "provider_key_id": other})
    assert keys.team_keys(TEAM, chosen.key_ids).keys == {}


def test_all_draw_on_the_same_budgets(settings: Settings, database: Database) -> None:
    keys = ProviderKeys.of(settings, database)
    config = keys.set_team_budget(TEAM, {"tokens": 9_000, "period": "month"}, actor=None, now=NOW)
    definition = evaluation(budget={"usd": 2.0, "period": "day"})
    directory = KeyDirectory(lambda: StoredKeys([], keys.configs()), settings.judge, None)
    asyncio.run(directory.ensure(1))
    writer = ProseWriter(settings, database, now=lambda: NOW)
    expected = scopes_of(definition, config)
    assert [scope.owner for scope in expected] == ["evaluation:e1", f"team:{TEAM}"]
    assert directory.scopes(definition) == writer._scopes(definition) == expected
    assert scopes_of(evaluation(), None) == ()


def test_whoever_makes_a_teams_config_gives_it_the_operators_trial(settings: Settings, database: Database) -> None:
    ClusteringWork(settings, database)._model(TEAM)
    ProseWriter(settings, database, now=lambda: NOW)._scopes(evaluation())
    assert ProviderKeys.of(settings, database).config(TEAM, now=NOW).trial_eval_limit == 0
    assert not ProviderKeys.of(settings, database).take_trial(TEAM, now=NOW)


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("ProviderKeys", set()),
        ("TeamKeys", {"config/model_resolution.py", "storage/sql/provider_keys.py"}),
        ("evaluation_scope", {"storage/sql/budgets.py", "storage/sql/standing.py", "api/services/spending.py"}),
    ],
)
def test_nobody_finds_keys_or_budgets_on_their_own(name: str, only: set[str]) -> None:
    """`ProviderKeys.of` takes the trial limit from the settings; the spending pages show one scope at a time."""
    assert {path for path, tree in product_modules() if calls(tree, name)} <= only
    assert all((CHECKOUT / path).exists() for path in only)
