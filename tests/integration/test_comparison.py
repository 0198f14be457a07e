"""A comparison of two versions on real Kafka: judged as tasks, kept apart from results, and told to CI."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from api.serve import ApiServer
from config.definitions import patch_draft
from storage.sql.api_keys import ApiKeys
from tests.integration.pipeline import TEAM, Pipeline, expected_ids, generations
from tests.services.waiting import PATIENCE_S, until

NEVER = {"evaluation_config": {"source": "return false"}}


def test_two_versions_judge_the_same_generations_and_nothing_else_sees_it(kafka: str, tmp_path: Path) -> None:
    pipeline, events = Pipeline(kafka, tmp_path, api={"port": 0}), generations()[:40]
    evaluation = pipeline.evaluate("short", evaluation_config={"source": "return true"})
    _, key = ApiKeys(pipeline.database).create(team_id=TEAM, label="test", scopes=["*"], now=datetime.now(UTC))
    server = ApiServer(pipeline.settings, pipeline.database, pipeline.clients.bootstrap_servers)
    with pipeline.running(("matcher", "judge", "sink")):
        pipeline.produce(events)
        pipeline.await_stored(expected_ids(events, evaluation))
        pipeline.evaluations.update(
            TEAM, evaluation, lambda current: patch_draft(current, NEVER), actor="test", now=datetime.now(UTC)
        )
        server.start()
        try:
            base = f"http://127.0.0.1:{server.port}/api/projects/{TEAM}"
            with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S) as client:
                before = _everything(client, base, evaluation)
                path = f"{base}/evaluations/{evaluation}/comparisons/"
                body = {"version_a": 1, "version_b": 2, "window_start": "2000-01-01T00:00:00Z"}
                cost = client.post(path, json={**body, "dry_run": True}).json()
                assert (cost["calls"], cost["reused"], cost["usd"]) == (40, 40, 0)
                started = client.post(path, json=body)
                assert started.status_code == 202, started.text
                run = f"{path}{started.json()['id']}/"
                until(lambda: client.get(run).json()["state"] == "completed", lambda: client.get(run).text)
                found = client.get(run).json()
                assert (found["total"], found["done"], found["reused"], found["skipped"]) == (40, 40, 40, 0)
                outcome = found["outcome"]
                assert (outcome["n"], outcome["pass_to_fail"], outcome["outcome"]) == (40, 40, "worse")
                flips = client.get(f"{run}flips/").json()
                assert flips["count"] == 40
                assert flips["results"][0]["a"] == {"applicable": True, "result": True}
                assert client.post(f"{run}cancel/").status_code == 409
                assert _everything(client, base, evaluation) == before, "a measurement is not a result"
                _consistency(client, f"{base}/evaluations/{evaluation}/trust/runs/")
        finally:
            server.stop()
    results = pipeline.read(pipeline.settings.kafka.topics.results)
    assert len(results) == 40
    measured = [json.loads(each.value()) for each in pipeline.read(pipeline.settings.kafka.topics.measurements)]
    assert {each["event"] for each in measured} == {"$ai_evaluation_measurement"}


def _everything(client: httpx.Client, base: str, evaluation: str) -> list[Any]:
    """Every place that shows results."""
    found = client.get(f"{base}/evaluations/{evaluation}/results/").json()
    events = client.get(f"{base}/events/?limit=1000").json()["results"]
    trust = client.get(f"{base}/evaluations/{evaluation}/trust/?version=1&window_start=2000-01-01").json()
    windows = client.get(f"{base}/evaluations/{evaluation}/windows/")
    return [
        found["count"], found["summary"], sorted(each["id"] for each in events), trust["corrected"],
        windows.status_code,
    ]  # fmt: skip


def _consistency(client: httpx.Client, path: str) -> None:
    body = {"kind": "consistency", "size": 5, "repeats": 3, "window_start": "2000-01-01T00:00:00Z"}
    started = client.post(path, json=body)
    assert started.status_code == 202, started.text
    run = f"{path}{started.json()['id']}/"
    until(lambda: client.get(run).json()["state"] == "completed", lambda: client.get(run).text)
    found = client.get(run).json()
    assert (found["done"], found["consistency"]["items"], found["consistency"]["flip_rate"]) == (15, 5, 0)
