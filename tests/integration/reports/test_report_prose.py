"""Texts that a model writes for reports: keys, budgets, and what is refused. The caller is a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.definitions import Evaluation
from config.settings import Settings
from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.failures import ProviderFailure
from reports.evaluation_reports.prose import ProseWriter
from storage.sql.budgets import Budgets, team_scope
from storage.sql.engine import Database, open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from storage.sql.provider_keys import NewKey, ProviderKeys
from tests.integration.report_rig import TEAM, draft
from tests.unit.reports.evaluation_reports.sample import content

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
GOOD = {"title": "Version 4 passes less", "sections": [{"title": "Rate", "text": "69.9 % passed."}]}


class Answers:
    """A caller that keeps each request and answers with one text, or fails."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.payloads: list[dict[str, object]] = []

    async def complete(self, _endpoint: object, payload: dict[str, object], *, marker: str) -> Completion:
        self.payloads.append(payload)
        assert marker == "evaluation report"
        if self.text is None:
            raise ProviderFailure("unavailable", "no answer")
        return Completion(self.text, refused=False, cut_off=False, model="m", input_tokens=3_000, output_tokens=200)

    async def close(self) -> None:
        pass


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(found)
    yield found
    found.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    from cryptography.fernet import Fernet

    return Settings(data_dir=tmp_path, secret_keys=(SecretStr(Fernet.generate_key().decode()),))


def evaluation(database: Database) -> Evaluation:
    return Evaluations(database).create(TEAM, draft(), actor=None, now=NOW)


def add_key(database: Database, settings: Settings) -> ProviderKeys:
    keys = ProviderKeys.of(settings, database)
    keys.create(
        TEAM,
        NewKey(provider="openai", name="k", api_key=SecretStr("sk-not-a-real-key-0123456789"), state="ok"),
        actor="key:1",
        now=NOW,
        set_as_active=True,
    )
    return keys


def writer(database: Database, settings: Settings, answers: Answers) -> ProseWriter:
    return ProseWriter(settings, database, now=lambda: NOW, caller=lambda: answers)


def test_a_model_writes_from_the_figures_and_its_cost_is_in_the_teams_budget(
    database: Database, settings: Settings
) -> None:
    keys, answers = add_key(database, settings), Answers(json.dumps(GOOD))
    keys.set_team_budget(TEAM, {"tokens": 1_000_000, "period": "day"}, actor="key:1", now=NOW)
    found = writer(database, settings, answers).write(evaluation(database), content(), "look at refunds")
    assert (found.title, found.problem) == ("Version 4 passes less", "")
    (payload,) = answers.payloads
    system, user = (message["content"] for message in payload["messages"])
    assert "look at refunds" in system
    marker = user.splitlines()[0]
    assert marker in system
    assert user.splitlines()[-1] == marker
    assert "series" not in user
    config = keys.config(TEAM, now=NOW)
    assert config.budget is not None
    from config.definitions import Budget

    assert Budgets(database).usage(team_scope(TEAM, Budget.model_validate(dict(config.budget))), NOW).tokens == 3_200


def test_without_a_key_nothing_is_called(database: Database, settings: Settings) -> None:
    answers = Answers(json.dumps(GOOD))
    found = writer(database, settings, answers).write(evaluation(database), content(), "")
    assert "no active provider key" in found.problem
    assert answers.payloads == []


def test_a_budget_that_is_used_up_is_not_exceeded_by_a_text(database: Database, settings: Settings) -> None:
    keys, answers = add_key(database, settings), Answers(json.dumps(GOOD))
    keys.set_team_budget(TEAM, {"tokens": 100, "period": "day"}, actor="key:1", now=NOW)
    found = writer(database, settings, answers).write(evaluation(database), content(), "")
    assert found.problem != ""
    assert answers.payloads == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [(None, "did not answer"), ("sorry", "not in the form"), (json.dumps(GOOD).replace("69.9", "96.9"), "96.9%")],
)
def test_a_text_that_does_not_come_or_invents_a_number_is_none(
    database: Database, settings: Settings, text: str | None, problem: str
) -> None:
    add_key(database, settings)
    found = writer(database, settings, Answers(text)).write(evaluation(database), content(), "")
    assert problem in found.problem
    assert (found.title, found.sections) == ("", ())
