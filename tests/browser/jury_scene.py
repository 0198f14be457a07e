"""Adds a jury to a scene: its verdicts with the answer of each member, and a run of attacks of which one succeeded."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from api.schemas.measurements import MeasurementRunCreate
from api.services import golden_desk, label_desk
from api.services.resources import Services
from api.services.trust import canaries, measurements
from api.services.versions import version_of
from config.definitions import Evaluation, parse_draft
from storage.sql.api_keys import ApiKey, ApiKeys
from storage.sql.evaluations import Evaluations
from storage.sql.measurements import MeasurementRuns, Standing
from tests.browser import scene as scenes
from tests.browser.scene import Scene

MEMBERS = ("gpt-5-mini", "claude-sonnet-4-5", "gemini-2.5-flash")
JURY: dict[str, Any] = {
    "name": "Stays on the topic",
    "evaluation_type": "llm_judge",
    "evaluation_config": {"prompt": "Pass if the reply speaks of the shop only.\nFail otherwise."},
    "model_configuration": {
        "strategy": {"kind": "jury", "steps": [{"provider": "openai", "model": name} for name in MEMBERS]}
    },
}
ATTACK = "attack:order-1:output:"


def add_jury(services: Services, scene: Scene, clickhouse_dsn: str, now: datetime) -> None:
    """Add the jury, two of whose verdicts people call failures. No other measurement may be waiting yet."""
    caller, _ = ApiKeys(services.database).create(team_id=scene.team, label="Bo", scopes=["*"], now=now)
    draft = parse_draft(JURY)
    jury = Evaluations(services.database).create(scene.team, draft, actor=caller.actor, now=now - timedelta(days=9))
    scene.jury = jury.id
    rows = [_verdict(scene, jury, event, now) for event in scene.events[-4:-1]]
    scenes.insert(clickhouse_dsn, "evaluation_results", rows)
    scene.jury_result = rows[-1]["uuid"]
    golden = _golden(services, caller, jury, [row["uuid"] for row in rows])
    _attack(services, caller, jury, golden, clickhouse_dsn, now)


def _verdict(scene: Scene, jury: Evaluation, event: str, now: datetime) -> dict[str, Any]:
    steps = [
        {
            "step": place, "model": name, "provider": "openai", "verdict": place != 2, "confidence": 0.7 + place / 10,
            "cost_usd": 0.0001, "latency": 0.9, "cached": False,
        }
        for place, name in enumerate(MEMBERS, 1)
    ]  # fmt: skip
    return scenes.result_row(
        scene.team, jury, str(uuid4()), now - timedelta(hours=1), target_event_id=event, target_id=event, result=True,
        reasoning="Two of three members found nothing but the shop in the reply.", model="gpt-5-mini",
        properties=json.dumps({"$ai_evaluation_steps": steps, "$ai_evaluation_confidence": 0.67}),
    )  # fmt: skip


def _golden(services: Services, caller: ApiKey, jury: Evaluation, results: list[str]) -> str:
    """Return a golden set whose first version is frozen with the labels of these results."""
    fields = {"evaluation": jury.id, "mode": "focus", "reason": "hand_picked", "results": results, "name": "Off topic"}
    queue = label_desk.create_queue(services, caller, fields)
    for answer in ("fail", "fail", "pass"):
        item = label_desk.take(services, caller, queue.id)
        assert item is not None
        label_desk.save(services, caller, queue.id, item, [answer], {})
    golden = golden_desk.create(services, caller, {"evaluation": jury.id, "name": "Off the topic"})
    golden_desk.freeze(services, caller, golden_desk.row_of(services, caller.team_id, golden.id))
    return golden.id


def _attack(
    services: Services, caller: ApiKey, jury: Evaluation, golden: str, clickhouse_dsn: str, now: datetime
) -> None:
    """Let a run of canaries end in which the first attack on an output made the jury pass it."""
    body = MeasurementRunCreate(kind="canaries", golden_set=UUID(golden), golden_set_version=1)
    plan = canaries.plan_canaries(services, jury, version_of(services, jury, None), body)
    run = measurements.start(services, caller, jury, plan)
    store = MeasurementRuns(services.database)
    rows = []
    for item in store.items(run.id):
        row = scenes.measured_row(jury, run.id, "canaries", item, jury.version, 0, now)
        rows.append(row | {"result": item.item.startswith(ATTACK)})
    scenes.insert(clickhouse_dsn, "evaluation_measurements", rows)
    claimed = store.claim("scene", now=now, lease_s=86_400)
    assert claimed is not None
    assert claimed.id == run.id
    store.report(run.id, "scene", Standing(len(rows), 0, done=len(rows)), now=now, lease_s=86_400)
    store.finish(run.id, "scene", "completed", now=now)
