"""Replays and backfills on real parts: they decide as the live run did, and repeat nothing."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from evaluators.llm_judge.budget import BudgetScope
from processor.events.generation import parse_timestamp
from processor.replay.plan import ReplayPlan, open_replay, time_ranges
from storage.sql.backfills import Backfills
from storage.sql.budgets import Budgets
from tests.integration.pipeline import TEAM, Pipeline, expected_ids, generations
from tests.services.waiting import until


@pytest.fixture
def pipeline(kafka: str, tmp_path: Path) -> Pipeline:
    return Pipeline(kafka, tmp_path)


def gavel(pipeline: Pipeline, *arguments: str) -> tuple[int, Any]:
    """Run `gavel replay` with the pipeline's settings; returns exit code and report."""
    kafka, topics = pipeline.settings.kafka, pipeline.settings.kafka.topics
    environment = {
        "GAVEL_DATA_DIR": str(pipeline.settings.data_dir),
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "GAVEL_KAFKA__GROUP_PREFIX": kafka.group_prefix,
        **{f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in topics},
    }
    done = CliRunner().invoke(build_app(), ["replay", "--json", *arguments], env=environment)
    return done.exit_code, json.loads(done.stdout) if done.stdout.startswith("{") else done.output


def judge_live(pipeline: Pipeline, events: list[bytes], *evaluations: str) -> Counter[str]:
    """Let the live roles judge `events`; returns the ids of the results."""
    expected: Counter[str] = Counter()
    for evaluation in evaluations:
        expected += expected_ids(events, evaluation)
    with pipeline.running():
        pipeline.produce(events)
        pipeline.await_stored(expected)
    return expected


def test_a_replay_of_what_is_judged_writes_nothing(pipeline: Pipeline) -> None:
    events = generations()[:100]
    expected = judge_live(pipeline, events, pipeline.evaluate())
    for _ in range(2):
        code, report = gavel(pipeline)
        assert code == 0, report
        assert (report["read"], report["matched"], report["existing"], report["evaluated"]) == (100, 100, 100, 0)
    assert pipeline.results() == expected


def test_a_replay_fills_in_what_a_new_evaluation_missed(pipeline: Pipeline) -> None:
    events = generations()[:100]
    first = pipeline.evaluate("first")
    expected = judge_live(pipeline, events, first)
    sampled = {"conditions": [{"id": "half", "rollout_percentage": 50, "properties": []}]}
    second = pipeline.evaluate("second", **sampled)
    code, dry = gavel(pipeline, "--evaluation", second, "--dry-run")
    assert code == 0, dry
    assert pipeline.results() == expected, "a dry run wrote results"
    code, report = gavel(pipeline, "--evaluation", second)
    assert code == 0, report
    assert report["evaluated"] == dry["evaluated"] > 20
    assert report["matched"] + report["sampled_out"] == 100
    added = pipeline.results() - expected
    assert len(added) == report["evaluated"]
    assert added <= expected_ids(events, second), "the replay's ids are not those of a live run"


def test_a_rerun_is_a_backfill_of_its_own(pipeline: Pipeline) -> None:
    events = generations()[:20]
    evaluation = pipeline.evaluate()
    expected = judge_live(pipeline, events, evaluation)
    code, report = gavel(pipeline, "--rerun")
    assert code == 0, report
    again = pipeline.results() - expected
    assert again == expected_ids(events, evaluation, backfill_id=report["id"])
    (message, *_) = [m for m in pipeline.read(pipeline.settings.kafka.topics.results) if b"backfill" in m.value()]
    row = json.loads(message.value())
    properties = json.loads(row["properties"])
    assert properties["$ai_evaluation_trigger"] == "backfill"
    generation = next(json.loads(e) for e in events if json.loads(e)["uuid"] == properties["$ai_target_event_id"])
    assert row["timestamp"][:19] == generation["timestamp"][:19].replace("T", " ")


def test_the_archive_replays_as_the_topic_does(pipeline: Pipeline) -> None:
    events = generations()[:60]
    expected = judge_live(pipeline, events, pipeline.evaluate())
    second = pipeline.evaluate("second")
    code, report = gavel(pipeline, "--source", "clickhouse", "--evaluation", second)
    assert code == 0, report
    assert report["evaluated"] == 60
    assert pipeline.results() == expected + expected_ids(events, second)


def test_an_interrupted_replay_goes_on_behind_its_last_batch(pipeline: Pipeline, monkeypatch: Any) -> None:
    events = generations()[:90]
    monkeypatch.setattr("processor.replay.replay.BATCH_RECORDS", 20)
    pipeline.produce(events)
    evaluation = pipeline.evaluate()
    plan = ReplayPlan(id="interrupted", source="topic", topic=pipeline.settings.kafka.topics.events)
    plan.ranges = time_ranges(pipeline.clients, pipeline.settings, plan, None, None)
    running, source = open_replay(plan, pipeline.settings, pipeline.database, pipeline.clients, dry_run=False)
    assert running.step()
    assert running.step()
    running.settle()
    plan.report = running.report.as_json()
    plan.save(pipeline.settings)
    source.close()
    done = plan.report["read"]
    assert 0 < done < 90
    code, report = gavel(pipeline, "--resume", "interrupted")
    assert code == 0, report
    assert (report["read"], report["evaluated"]) == (90, 90)
    assert pipeline.results() == expected_ids(events, evaluation)


def test_runs_over_budget_are_filled_from_the_range_that_was_remembered(pipeline: Pipeline) -> None:
    events = generations()[:100]
    judge_live(pipeline, events, pipeline.evaluate("first"))
    over = pipeline.evaluate("over its budget")
    times = sorted(parse_timestamp(json.loads(each)["timestamp"]) for each in events)[20:40]
    budgets = Budgets(pipeline.database)
    scope = BudgetScope(owner=f"evaluation:{over}", period="day", tokens=1)
    for at in times:
        budgets.note_skip(TEAM, over, scope, at, now=datetime.now(UTC))
    within = [each for each in events if times[0] <= parse_timestamp(json.loads(each)["timestamp"]) <= times[-1]]
    code, dry = gavel(pipeline, "--over-budget", over, "--dry-run")
    assert (code, dry["evaluated"]) == (0, len(within)), dry
    assert budgets.ranges_over_budget(over) != [], "a dry run fills nothing"
    code, report = gavel(pipeline, "--over-budget", over)
    assert (code, report["evaluated"]) == (0, len(within)), report
    ids = {json.loads(message.value())["uuid"] for message in pipeline.read(pipeline.settings.kafka.topics.results)}
    assert set(expected_ids(within, over)) <= ids, "the ids are those of live runs"
    assert budgets.ranges_over_budget(over) == []
    code, said = gavel(pipeline, "--over-budget", over)
    assert code == 1
    assert "nothing to fill" in said


def test_offsets_and_other_topics(pipeline: Pipeline) -> None:
    events = generations()[:30]
    pipeline.produce(events)
    evaluation = pipeline.evaluate()
    side = pipeline.settings.kafka.topics.parked  # any topic that exists and nothing reads now
    code, report = gavel(pipeline, "--offsets", "0:0-3", "--offsets", "1:1-4", "--to-topic", side)
    assert code == 0, report
    assert report["read"] == 6
    assert pipeline.results() == Counter()
    ids = Counter(json.loads(m.value())["uuid"] for m in pipeline.read(side))
    assert len(ids) == 6
    assert ids <= expected_ids(events, evaluation)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--offsets", "0:5-5"], 2, "P:A-B"),
        (["--offsets", "0:1-2", "--offsets", "0:3-4"], 2, "twice"),
        (["--over-budget", "e", "--rerun"], 2, "--over-budget"),
        (["--over-budget", "e", "--to-topic", "t"], 2, "--over-budget"),
        (["--source", "tape"], 2, "clickhouse"),
        (["--from", "yesterday"], 2, "ISO-8601"),
        (["--evaluation", "none"], 1, "evaluations list"),
        (["--topic", "no-such-topic"], 1, "no-such-topic"),
        (["--resume", "no-such-replay"], 1, "no replay no-such-replay"),
    ],
)
def test_what_cannot_be_replayed_is_said(pipeline: Pipeline, arguments: list[str], code: int, said: str) -> None:
    found, output = gavel(pipeline, *arguments)
    assert found == code, output
    assert said in output


def test_a_backfill_of_the_api_is_carried_out_and_survives_its_runner(pipeline: Pipeline) -> None:
    events = generations()[:80]
    expected = judge_live(pipeline, events, pipeline.evaluate())
    second = pipeline.evaluate("second")
    backfills = Backfills(pipeline.database)
    now = datetime.now(UTC)
    made = backfills.create(
        team_id=TEAM,
        evaluation_id=second,
        evaluation_version=1,
        window_start=now - timedelta(days=3650),
        window_end=now + timedelta(days=1),
        rerun_existing=False,
        actor="test",
        now=now,
    )
    # A runner that died: it holds a lease that has run out.
    assert backfills.claim("dead", now=now - timedelta(minutes=5), lease_s=1.0) is not None
    with pipeline.running():
        until(
            lambda: backfills.get(TEAM, made.id).state == "completed",
            lambda: str(backfills.get(TEAM, made.id)),
        )
        expected += expected_ids(events, second)
        pipeline.await_stored(expected)
    assert pipeline.results() == expected
    progress = backfills.get(TEAM, made.id).progress
    assert (progress.read, progress.evaluated, progress.total) == (80, 80, 80)
