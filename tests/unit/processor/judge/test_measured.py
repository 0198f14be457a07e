"""Measurements judge by the version that they name, spend a share of the budget, and end when they are cancelled."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from config.definitions import parse_draft, patch_draft
from evaluators.llm_judge.budget import BudgetScope
from processor.events.task import Task, read_task
from processor.judge.measured import MeasuredVersions, measurement_scope
from storage.snapshot import CompiledEvaluation
from storage.sql.engine import open_database
from storage.sql.evaluations import Evaluations
from storage.sql.measurements import MeasuredItem, MeasurementRuns, NewMeasurement, Standing
from storage.sql.migrations import upgrade

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_older_version_is_judged_as_it_was_and_a_cancelled_run_is_not_wanted(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    store, runs = Evaluations(database), MeasurementRuns(database)
    draft = parse_draft({"name": "e", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    first = store.create(1, draft, actor=None, now=NOW)
    change = {"evaluation_config": {"source": "return false"}, "name": "renamed"}
    second = store.update(1, first.id, lambda current: patch_draft(current, change), actor=None, now=NOW)
    run = runs.create(
        NewMeasurement(
            team_id=1,
            evaluation_id=first.id,
            kind="comparison",
            versions=[1, 2],
            repeats=1,
            params={},
            items=[MeasuredItem("event:a", "a"), MeasuredItem("event:b", "b", reused=(1,))],
        ),
        actor="a",
        now=NOW,
    )
    assert (run.total, run.reused) == (3, 1)
    task = Task(1, first.id, "a", "k", "", NOW.isoformat(), "measurement", measurement_id=run.id, repeat=3)
    assert read_task(task.headers()) == task
    times = iter([0.0, 1.0, 5.0, 5.0])
    measured = MeasuredVersions(database, None, clock=lambda: next(times))

    async def work() -> None:
        old = await measured.at(CompiledEvaluation(second), 1)
        assert old is not None
        assert (old.definition.source, old.definition.version) == ("return true", 1)
        assert (old.definition.fingerprint, old.definition.name) == (first.fingerprint, "renamed")
        assert await measured.at(CompiledEvaluation(second), 9) is None
        assert await measured.is_wanted(task)
        runs.cancel(1, run.id, actor="a", now=NOW)
        assert await measured.is_wanted(task), "known for two seconds"
        assert not await measured.is_wanted(task)

    asyncio.run(work())
    assert not runs.report(run.id, "x", Standing(1, 0), now=NOW, lease_s=1.0)
    database.close()


def test_a_run_whose_runner_died_is_claimed_by_another_one(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    runs = MeasurementRuns(database)
    runs.create(
        NewMeasurement(
            team_id=1,
            evaluation_id="e",
            kind="consistency",
            versions=[1],
            repeats=5,
            params={},
            items=[MeasuredItem("event:a", "a")],
        ),
        actor="a",
        now=NOW,
    )
    first = runs.claim("a", now=NOW, lease_s=0.0)
    assert first is not None
    assert runs.report(first.id, "a", Standing(1, 0, 2, 1, 0.25), now=NOW, lease_s=0.0)
    second = runs.claim("b", now=NOW, lease_s=60.0)
    assert second is not None
    assert (second.sent, second.done, second.skipped, second.cost_usd, second.state) == (1, 2, 1, 0.25, "running")
    assert not runs.finish(first.id, "a", "completed", now=NOW), "another runner has it"
    assert runs.claim("c", now=NOW, lease_s=1.0) is None
    assert runs.finish(first.id, "b", "incomplete", error="x", now=NOW)
    database.close()


def test_measurements_have_a_fifth_of_the_budget() -> None:
    scope = measurement_scope(BudgetScope(owner="evaluation:e", period="day", tokens=1000), "e")
    assert (scope.owner, scope.tokens, scope.micro_usd, scope.period) == ("measurement:e", 200, None, "day")
