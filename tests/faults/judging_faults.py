"""Faults of judging: a deceived judge, anchors that nobody counts, a pass rate that falls, a clustering that fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from confluent_kafka import Producer

from config.definitions import Evaluation
from storage.canary_starts import planned_canaries
from storage.sql.anchors import Anchors, AnchorSchedule
from storage.sql.clustering import ClusteringJobs, ClusteringRuns
from storage.sql.golden_sets import GoldenItem, GoldenSets
from storage.sql.measurements import MeasurementRuns, NewMeasurement
from tests.faults.pipeline import TEAM, Pipeline
from tests.services.records import result_row
from tests.services.waiting import PATIENCE_S

_ACTOR = "faults"
_BLOCK = 40
"""Results of a minute: more than `quality.shift.BLOCK`."""
_MINUTES = 5
"""The last of them is the first with failures; those before are a baseline of more than `quality.shift.BASELINE`."""

_ATTACKS = 8
"""A whole run has nearly 200, which a busy machine judges for minutes; the stand-in passes some of these."""


def shift_the_pass_rate(gavel: Pipeline) -> None:
    """Write results of the last minutes: all of them pass, until all of them fail."""
    began = datetime.now(UTC) - timedelta(minutes=_MINUTES + 1)
    producer = Producer({"bootstrap.servers": gavel.kafka, "log_level": 0})
    for number in range(_BLOCK * _MINUTES + 1):  # the last one ends the block before it
        minute = number // _BLOCK
        moment = (began + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S.%f")
        row = result_row(number, row={"timestamp": moment}, evaluation_result=minute < _MINUTES - 1)
        # One partition keeps the order of the minutes.
        producer.produce(gavel.topics.results, row, key="shift", partition=0)
    assert producer.flush(PATIENCE_S) == 0


def deceive_a_judge(gavel: Pipeline) -> None:
    """Let the judge of tone look at attacks, most of which the stand-in passes although their clean twin fails."""
    judge, now = evaluation(gavel, "Tone"), datetime.now(UTC)
    sets = GoldenSets(gavel.database)
    columns = {"evaluation_id": str(judge.id), "question": 1, "name": "curt", "description": "", "sources": []}
    golden = sets.create(TEAM, columns, actor=_ACTOR, now=now)
    item = GoldenItem(
        key="event:0", expected={"applicable": True, "score": 1}, labels=1, origin="labels", inclusion_probability=None,
        event={
            "uuid": str(uuid4()), "distinct_id": "d", "timestamp": now.isoformat(),
            "properties": {"$ai_input": "question", "$ai_output": "No."},
        },
    )  # fmt: skip
    version = sets.freeze(golden, [item], actor=_ACTOR, now=now).version
    planned = planned_canaries([item], judge.output_config)
    assert planned is not None
    attacks = [each for each in planned.items if ":output:" in each.item][:_ATTACKS]
    clean = [each for each in planned.items if each.item.startswith("clean:")]
    MeasurementRuns(gavel.database).create(
        NewMeasurement(
            team_id=TEAM,
            evaluation_id=str(judge.id),
            kind="canaries",
            versions=[judge.version],
            repeats=1,
            params={"golden_set": golden.id, "golden_set_version": version, **planned.params},
            items=(*clean, *attacks),
        ),
        actor=_ACTOR,
        now=now,
    )


def watch_with_anchors(gavel: Pipeline, *, enabled: bool = True) -> None:
    """Give one judge anchors that were never counted, and another the answer that it moved; or switch both off.

    The answer is written as the keeper writes it after a dozen runs, which `tests.api.test_anchors` has.
    """
    now = datetime.now(UTC)
    for name, answer in (("Tone", "judge_moved"), ("Topic", "collecting")):
        schedule = AnchorSchedule(
            evaluation_id=str(evaluation(gavel, name).id), team_id=TEAM, enabled=enabled, golden_set=str(uuid4()),
            golden_set_version=1, size=10, every_hours=24.0, canaries=False, next_at=now + timedelta(hours=1),
            run_id=None, run_since=None, counted_at=None, answer=answer, created_by=_ACTOR,
            created_at=now - timedelta(days=3),
        )  # fmt: skip
        Anchors(gavel.database).put(schedule, actor=_ACTOR, now=now)


def break_clustering(gavel: Pipeline) -> None:
    """Ask for a clustering run whose job has a filter that this release does not know."""
    now = datetime.now(UTC)
    values = {
        "name": "broken", "analysis_level": "generation", "enabled": True,
        "event_filters": [{"key": "$ai_model", "operator": "sounds_like", "value": "x", "type": "event"}],
    }  # fmt: skip
    job = ClusteringJobs(gavel.database).create(TEAM, values, actor=_ACTOR, now=now)
    window = {"window_start": now - timedelta(days=1), "window_end": now}
    ClusteringRuns(gavel.database).ask(job, method="hdbscan", max_samples=100, actor="faults", now=now, **window)


def evaluation(gavel: Pipeline, name: str) -> Evaluation:
    """Return an evaluation by its name."""
    (found,) = (each for each in gavel.evaluations if each.name == name)
    return found
