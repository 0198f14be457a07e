"""Adds labels, golden sets, measurements, a report and clusters to a scene."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from api.schemas.measurements import MeasurementStanding
from api.services import dataset_desk, golden_desk, label_desk, trust_desk
from api.services.resources import Services
from quality.drift import Detector, null_rate
from storage.sql.anchors import AnchorRun, Anchors, AnchorSchedule
from storage.sql.api_keys import ApiKeys
from storage.sql.clustering import ClusteringJobs, ClusteringRuns
from storage.sql.evaluation_report_runs import Opening, ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.measurements import MeasurementRuns, measurement_runs
from storage.sql.shifts import Shifts, StoredShift
from tests.browser import scene as scenes
from tests.browser.scene import Scene
from tests.unit.reports.evaluation_reports.sample import content


def furnish(services: Services, scene: Scene, clickhouse_dsn: str, now: datetime) -> None:
    """Add to a scene that is built."""
    _labels(services, scene, now)
    _measurements(services, scene, clickhouse_dsn, now)
    _dataset_runs(services, scene, clickhouse_dsn, now)
    _drift(services, scene, now)
    scene.report = _report(services, scene, now)
    scene.clusters = _clusters(services, scene, now)
    scene.shortened = _shortened(scene, clickhouse_dsn, now)


def _shortened(scene: Scene, clickhouse_dsn: str, now: datetime) -> str:
    """Add a long conversation of which two judges read a part: of one the limit is known. Return that one's result."""
    moment, event = now - timedelta(days=20), str(uuid4())
    log = "".join(f"{line:04} GET /orders/{line} 200; " for line in range(150))
    call = {"name": "read_log", "arguments": '{"lines": 150}'}
    talk = [
        {"role": "system", "content": "You are the support assistant of a web shop. Be brief and kind."},
        {"role": "user", "content": "My orders are not listed. Can you look at the log of the server?"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "c1", "content": log},
        {"role": "user", "content": "And, which page is the last one?"},
    ]
    tools = [{"name": f"tool_{place}", "description": "Looks something up. " * 20} for place in range(4)]
    answer = "The last page is 149."
    row = scenes.event_row(
        scene.team, event, "trace-long", moment, "gpt-5-mini", "", answer, **{"$ai_input": talk, "$ai_tools": tools}
    )
    judges = ((scene.evaluations[0], {"$ai_evaluation_truncated_to": 2_000}), (scene.evaluations[3], {}))
    results = [
        scenes.result_row(
            scene.team, evaluation, str(uuid4()), moment, reasoning="The page is named.", target_event_id=event,
            trace_id="trace-long", evaluation_model="gpt-5-mini", **outcome,
            properties=json.dumps({"$ai_evaluation_truncated": True, **limit}),
        )
        for (evaluation, limit), outcome in zip(judges, ({"result": True}, {"numeric_result": 5.0}), strict=True)
    ]  # fmt: skip
    scenes.insert(clickhouse_dsn, "ai_events", [row])
    for result in results:
        scenes.insert(clickhouse_dsn, "evaluation_results", [result])
    return str(results[0]["uuid"])


def _labels(services: Services, scene: Scene, now: datetime) -> None:
    """Draw a label queue of which somebody has labelled a few items."""
    keys = ApiKeys(services.database)
    _, scene.labeller = keys.create(team_id=scene.team, label="Lea Label", scopes=["label:write"], now=now)
    caller, _ = keys.create(team_id=scene.team, label="Bo", email="bo@example.com", scopes=["*"], now=now)
    fields = {
        "evaluation": scene.evaluations[1].id, "mode": "random", "size": 40, "overlap": 0.5, "name": "Week 48",
        "window_start": (now - timedelta(days=7)).isoformat(),
    }  # fmt: skip
    scene.queue = label_desk.create_queue(services, caller, fields).id
    done = {**fields, "size": 1, "overlap": 0, "name": "Week 47"}
    scene.labelled_queue = label_desk.create_queue(services, caller, done).id
    only = label_desk.take(services, caller, scene.labelled_queue)
    assert only is not None
    label_desk.save(services, caller, scene.labelled_queue, only, ["pass"], {"seconds": 4.0})
    for place in range(8):
        item = label_desk.take(services, caller, scene.queue)
        assert item is not None
        answer = "fail" if place % 4 == 0 else "pass"
        label_desk.save(services, caller, scene.queue, item, [answer], {"seconds": 5.0 + place})


def _measurements(services: Services, scene: Scene, clickhouse_dsn: str, now: datetime) -> None:
    """Freeze a golden set twice, compare two versions with flips, and repeat one."""
    caller, _ = ApiKeys(services.database).create(team_id=scene.team, label="Bo", scopes=["*"], now=now)
    judge, hog = scene.evaluations[:2]
    golden = golden_desk.create(services, caller, {"evaluation": hog.id, "name": "Polite or not"})
    scene.golden = golden.id
    for _ in range(2):
        golden_desk.freeze(services, caller, golden_desk.row_of(services, scene.team, golden.id))
    fields = {"version_a": 1, "version_b": 2, "size": 20, "window_start": (now - timedelta(days=7)).isoformat()}
    compared: Any = trust_desk.start_comparison(services, caller, judge, fields)
    again: Any = trust_desk.start_run(services, caller, hog, {"kind": "consistency", "size": 5, "repeats": 3})
    scene.comparison, scene.consistency = str(compared.id), str(again.id)
    rows = []
    for evaluation, run, kind, repeats in ((judge, compared, "comparison", 1), (hog, again, "consistency", 3)):
        for place, item in enumerate(MeasurementRuns(services.database).items(str(run.id))):
            for version in run.versions:
                for repeat in range(repeats):
                    row = scenes.measured_row(evaluation, str(run.id), kind, item, version, repeat, now)
                    rows.append(row | {"result": (place + version + repeat) % 3 > 0})
    scenes.insert(clickhouse_dsn, "evaluation_measurements", rows)


def _dataset_runs(services: Services, scene: Scene, clickhouse_dsn: str, now: datetime) -> None:
    """Let a version judge the dataset, and let another run wait for a runner."""
    caller, _ = ApiKeys(services.database).create(team_id=scene.team, label="Bo", scopes=["*"], now=now)
    store, hog = MeasurementRuns(services.database), scene.evaluations[1]
    asked = {"version": 1, "repeats": 4}
    made = dataset_desk.start(services, caller, hog, scene.dataset, "consistency", asked, dry_run=False)
    assert isinstance(made, MeasurementStanding)
    scene.dataset_run, items = str(made.id), store.items(str(made.id))
    rows = [
        scenes.measured_row(hog, scene.dataset_run, "consistency", item, 1, repeat, now)
        | {"result": True if repeat < 2 else False if repeat == 2 else None, "skipped": repeat == 3}
        for item in items
        for repeat in range(4)
    ]
    scenes.insert(clickhouse_dsn, "evaluation_measurements", rows)
    ended = sa.update(measurement_runs).where(measurement_runs.c.id == scene.dataset_run)
    with services.database.write() as connection:  # a runner would take the older runs of the scene first
        done = {"done": len(rows), "skipped": 1, "cost_usd": 0.0008, "started_at": now, "finished_at": now}
        connection.execute(ended.values(state="completed", **done))
    dataset_desk.start(services, caller, hog, scene.dataset, "measure", {}, dry_run=False)


def _drift(services: Services, scene: Scene, now: datetime) -> None:
    """Let the second evaluation have anchors whose judge moved, and a shift of its pass rate."""
    hog = scene.evaluations[1]
    store = Anchors(services.database)
    schedule = AnchorSchedule(
        evaluation_id=hog.id, team_id=scene.team, enabled=True, golden_set=scene.golden, golden_set_version=1, size=20,
        every_hours=24, canaries=False, next_at=now, run_id=None, run_since=None, counted_at=None, answer="collecting",
        created_by="key:1", created_at=now - timedelta(days=9),
    )  # fmt: skip
    store.put(schedule, actor="key:1", now=now - timedelta(days=9))
    base = store.renew(schedule, hog.version, hog.fingerprint, actor="key:1", now=now - timedelta(days=9))
    detector = Detector(null_rate(1, 100))
    for day, flips in enumerate((0, 1, 0, 6, 9)):
        begun = now - timedelta(days=5 - day)
        detector = detector.after(flips, 20)
        base = replace(
            base, state="watching", reference={}, null_rate=detector.null_rate, evidence=detector.evidence,
            runs=detector.runs, alarm_at=begun if detector.state == "alarm" else base.alarm_at,
        )  # fmt: skip
        run = AnchorRun(
            run_id=str(uuid4()), evaluation_id=hog.id, baseline=base.number, begun_at=begun, ended_at=begun,
            counted=True, anchors=20, flips=flips, to_pass=0, to_fail=flips, statistic=detector.statistic,
        )  # fmt: skip
        assert store.begin(hog.id, run.run_id, now=begun)
        assert store.count(run, base, now)
    assert base.alarm_at is not None
    store.signalled(hog.id, "collecting", "judge_moved")
    shift = StoredShift(
        "shift-1", scene.team, hog.id, hog.version, hog.fingerprint, "down", now - timedelta(hours=20), 95, 100, 60,
        100, 12.5,
    )  # fmt: skip
    Shifts(services.database).add([shift])


def _report(services: Services, scene: Scene, now: datetime) -> str:
    """Store a report with a run that was made and sent."""
    values = {
        "evaluation_id": scene.evaluations[0].id, "frequency": "scheduled", "rrule": "FREQ=DAILY", "starts_at": now,
        "timezone_name": "UTC", "next_delivery_date": now + timedelta(days=1),
        "delivery_targets": [{"type": "email", "value": "team@example.com"}], "max_sample_size": 100, "enabled": True,
        "report_prompt_guidance": "", "trigger_threshold": 100, "cooldown_minutes": 60, "daily_run_cap": 10,
    }  # fmt: skip
    report = EvaluationReports(services.database).create(scene.team, values, actor="key:1", now=now)
    runs = ReportRuns(services.database)
    opening = Opening("manual", "manual", now - timedelta(days=1), now, now)
    runs.open_manual(report, opening, now=now)
    run = runs.claim("scene", now=now + timedelta(seconds=1), lease_s=86_400)
    assert run is not None
    runs.store_content(run, "scene", content(), report.delivery_targets, now)
    return f"{report.id}/{run.id}"


def _clusters(services: Services, scene: Scene, now: datetime) -> str:
    """Store a clustering job with a run that found two groups."""
    values = {"name": "Weekly topics", "analysis_level": "generation", "event_filters": [], "enabled": True}
    job = ClusteringJobs(services.database).create(scene.team, values, actor="key:1", now=now)
    runs = ClusteringRuns(services.database)
    week = {"window_start": now - timedelta(days=7), "window_end": now, "now": now}
    runs.ask(job, method="auto", max_samples=100, actor="key:1", **week)
    run = runs.claim("scene", now=now, lease_s=86_400)
    assert run is not None
    runs.complete(run, "scene", clusters_of(scene.events[:30], "Billing questions"), 2, now=now)
    return f"{job.id}/{run.id}"


def clusters_of(events: Sequence[str], text: str) -> dict[str, Any]:
    """Return the result of a run of clustering: two groups and outliers, with `text` in every field for people."""
    chance = random.Random(3)
    clusters = []
    for number, x, y in ((0, -0.5, 0.3), (1, 0.5, -0.2), (-1, 0.0, 0.0)):
        mine = events[(number % 3) * 10 : (number % 3) * 10 + 10]
        members = [
            {
                "id": event, "trace_id": "trace-1-2", "distance_to_centroid": rank / 10, "rank": rank,
                "x": x + chance.uniform(-0.2, 0.2), "y": y + chance.uniform(-0.2, 0.2),
            }
            for rank, event in enumerate(mine)
        ]  # fmt: skip
        clusters.append(
            {
                "cluster_id": number, "size": len(members), "title": text, "description": f"{text}, in short.",
                "terms": ["invoice", text], "centroid": [0.1], "centroid_x": x, "centroid_y": y, "members": members,
            }
        )  # fmt: skip
    return {
        "level": "generation", "items": len(events), "method": "hdbscan", "vectors": "tfidf", "notes": [text],
        "clusters": clusters, "window_start": "2026-11-21T00:00:00Z", "window_end": "2026-11-28T00:00:00Z",
    }  # fmt: skip
