"""A Hog evaluator that keeps failing is switched off, and that is counted, so that an alert tells somebody."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from config.definitions import EvaluationDraft
from config.settings import load_settings
from evaluators.verdict import Skip
from processor.hog_failures import FAILURES_IN_A_ROW
from processor.metrics import Metrics
from processor.role_context import RoleContext
from storage.sql.engine import open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DRAFT = EvaluationDraft.model_validate(
    {
        "name": "Always fails",
        "enabled": True,
        "evaluation_type": "hog",
        "evaluation_config": {"source": "throw Error('a fault')"},
        "output_type": "boolean",
        "output_config": {},
    }
)


@pytest.mark.parametrize(("paused", "counted"), [(False, 1), (True, 0)], ids=["active", "paused by a person"])
def test_an_evaluator_that_is_switched_off_is_counted_once(tmp_path: Path, paused: bool, counted: int) -> None:
    settings, metrics = load_settings(None, overrides={"data_dir": str(tmp_path)}), Metrics(CollectorRegistry())
    with closing(open_database(f"sqlite:///{tmp_path}/gavel.db")) as database:
        upgrade(database)
        store = Evaluations(database)
        made = store.create(1, DRAFT, actor="test", now=NOW)
        context = RoleContext(settings, cast("Any", None), database, cast("Any", None), metrics)
        failures = context.hog_failures()
        if paused:
            store.set_status(1, made.id, "paused", actor="test", now=NOW)
        for _ in range(FAILURES_IN_A_ROW):
            failures.note(made, Skip("hog_error", "a fault"))
        context.close()
        assert store.get(1, made.id).status == ("paused" if paused else "error")
    assert metrics.total("gavel_judge_status_changes", status="error", reason="hog_error") == counted
