"""A run that is asked for over the API: a task on real Kafka, judged, stored, and shown as completed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx

from api.serve import ApiServer
from storage.sql.api_keys import ApiKeys
from tests.integration.pipeline import TEAM, Pipeline, expected_ids, generations
from tests.services.waiting import PATIENCE_S, until


def test_a_manual_run_passes_conditions_and_comes_back_as_completed(kafka: str, tmp_path: Path) -> None:
    pipeline, events = Pipeline(kafka, tmp_path, api={"port": 0}), generations()[:3]
    live = pipeline.evaluate("live")
    never = pipeline.evaluate("never", enabled=False, conditions=[])
    _, key = ApiKeys(pipeline.database).create(team_id=TEAM, label="test", scopes=["*"], now=datetime.now(UTC))
    server = ApiServer(pipeline.settings, pipeline.database, pipeline.clients.bootstrap_servers)
    with pipeline.running(("matcher", "judge", "sink")):
        pipeline.produce(events)
        pipeline.await_stored(expected_ids(events, live))
        server.start()
        try:
            base = f"http://127.0.0.1:{server.port}/api/projects/{TEAM}/evaluation_runs/"
            with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S) as client:
                target = json.loads(events[0])
                body = {"evaluation_id": never, "target_event_id": target["uuid"], "timestamp": _iso(target)}
                started = client.post(base, json=body)
                assert started.status_code == 202, started.text
                run = f"{base}{started.json()['workflow_id']}/"
                until(lambda: client.get(run).json()["status"] == "completed", lambda: client.get(run).text)
        finally:
            server.stop()
    results = [json.loads(message.value()) for message in pipeline.read(pipeline.settings.kafka.topics.results)]
    properties = [json.loads(result["properties"]) for result in results]
    manual = [each for each in properties if each["$ai_evaluation_trigger"] == "manual"]
    assert [each["$ai_evaluation_id"] for each in manual] == [never]


def _iso(row: dict[str, str]) -> str:
    return row["timestamp"].replace(" ", "T").removesuffix("Z") + "Z"
