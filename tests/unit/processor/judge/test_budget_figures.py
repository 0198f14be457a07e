"""The budgets that are nearest to their limit have series, and no others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from evaluators.llm_judge.budget import Amount, BudgetScope
from processor.judge.budget_figures import MAX_BUDGETS, BudgetFigures
from processor.metrics import Metrics
from storage.sql.budgets import Budgets
from storage.sql.engine import open_database
from storage.sql.migrations import upgrade
from tests.unit.processor.matcher.matching import snapshot_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
JUDGE = {
    "evaluation_type": "llm_judge",
    "evaluation_config": {"prompt": "Is it polite?"},
    "model_configuration": {"provider": "openai", "model": "gpt-5-mini"},
}


def test_the_budgets_with_the_least_left_are_shown(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/store.db")
    upgrade(database)
    budgets, registry = Budgets(database), CollectorRegistry()
    snapshot = snapshot_of(*(JUDGE for _ in range(MAX_BUDGETS + 5)))
    (team,) = snapshot.teams.values()
    scopes = {
        str(each.definition.id): BudgetScope(owner=f"evaluation:{number}", period="day", tokens=100)
        for number, each in enumerate(team.evaluations)
    }

    def use(number: int, tokens: int) -> None:
        scope = BudgetScope(owner=f"evaluation:{number}", period="day", tokens=100)
        budgets.settle(budgets.reserve([scope], Amount(tokens, 0), NOW), Amount(tokens, 0))

    def shown() -> dict[str, float | None]:
        names = [f"evaluation:{number}" for number in range(MAX_BUDGETS + 5)]
        values = {
            name: registry.get_sample_value("gavel_budget_left_ratio", {"team": "1", "owner": name}) for name in names
        }
        return {name: value for name, value in values.items() if value is not None}

    figures = BudgetFigures(budgets, lambda definition: [scopes[str(definition.id)]], Metrics(registry), lambda: NOW)
    for number in range(MAX_BUDGETS + 5):
        use(number, number * 5)
    figures.set(snapshot)
    assert shown() == {f"evaluation:{number}": 1 - number * 5 / 100 for number in range(5, MAX_BUDGETS + 5)}
    use(0, 100)
    figures.set(snapshot)
    assert shown()["evaluation:0"] == 0
    assert "evaluation:5" not in shown()
    assert len(shown()) == MAX_BUDGETS
    database.close()
