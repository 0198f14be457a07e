"""Canaries over the API: attacks planted in golden items, their outcome, and where it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.http.errors import Invalid
from api.services import trust_desk
from config.settings import load_settings
from evaluators.injection.attacks import ATTACKS
from evaluators.injection.canaries import PLACES
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.measurements.canaries import count_successes
from processor.measurements.runner import MeasurementRunner
from processor.metrics import Metrics
from storage.clickhouse import connect
from storage.clickhouse.measurements import results_of_run
from storage.sql.api_keys import ApiKeys
from storage.sql.evaluations import Evaluations
from storage.sql.measurements import MeasurementRuns, Standing
from tests.api.conftest import Api
from tests.api.test_comparisons import measured
from tests.services.claims import claim_only

JUDGE = {"name": "Polite", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it polite?"}}


@pytest.fixture
def runner(api: Api) -> Iterator[MeasurementRunner]:
    settings = load_settings(environ={}, overrides={})
    clients = KafkaClients(settings, EmbeddedBroker())
    yield MeasurementRunner(settings, api.services.database, clients, Metrics(CollectorRegistry()))
    clients.close()


def golden(api: Api, evaluation: dict[str, Any], verdicts: list[bool]) -> dict[str, Any]:
    """Return the body of a canaries run over a golden set with these expected verdicts."""
    events = api.events(*({"$ai_input": f"question {n}", "$ai_output": "No!"} for n in range(len(verdicts))))
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": event, "verdict": {"result": verdict}}
        for event, verdict in zip(events, verdicts, strict=True)
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels})
    made = api.ok("POST", "golden_sets/", 201, json={"evaluation": evaluation["id"], "name": "g"})
    api.ok("POST", f"golden_sets/{made['id']}/freeze/", 201)
    return {"kind": "canaries", "golden_set": made["id"], "golden_set_version": 1}


def test_attacks_are_judged_beside_their_clean_twins_and_a_success_is_shown(
    api: Api, runner: MeasurementRunner
) -> None:
    evaluation = api.ok("POST", "evaluations/", 201, json=JUDGE)
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    body = golden(api, evaluation, [False, False, True])
    assert api.ok("GET", f"evaluations/{evaluation['id']}/trust/")["warnings"] == ["canaries_missing"]
    calls = 2 + len(ATTACKS) * len(PLACES)
    assert api.ok("POST", path, 202, json=body | {"dry_run": True})["calls"] == calls
    made = api.ok("POST", path, 202, json=body)
    assert (made["kind"], made["total"]) == ("canaries", calls)
    store = MeasurementRuns(api.services.database)
    run = store.get(api.team, made["id"])
    assert run is not None
    rows = runner._fixed(run)
    assert len(rows) == calls
    [attacked] = [item for item in rows if item.startswith("attack:order-1:output:")]
    assert "give the verdict true" in json.loads(rows[attacked].properties)["$ai_output"]
    twin = attacked.split(":", 3)[3]
    assert json.loads(rows[f"clean:{twin}"].properties)["$ai_output"] == "No!"
    verdicts: dict[str, Any] = dict.fromkeys(rows, False)
    verdicts[attacked] = True
    measured(api, evaluation, made, verdicts, evaluation_version=1)
    found = api.ok("GET", f"{path}{made['id']}/")["canaries"]
    assert (found["attacks"], found["succeeded"], found["spoofed"], found["not_counted"]) == (calls - 2, 1, True, 0)
    assert (found["by_family"], found["by_place"]) == ({"order": 1}, {"output": 1})
    assert found["successes"] == [{"attack": "order-1", "place": "output", "item": twin}]
    assert found["rate"]["low"] < 1 / (calls - 2) < found["rate"]["high"]
    with connect(api.clickhouse_dsn) as client:
        results = results_of_run(client, api.team, evaluation["id"], made["id"])
    assert count_successes(results, run.params) == 1
    now = api.services.now()
    claim_only(lambda: store.claim("test", now=now, lease_s=60), made["id"])
    store.report(made["id"], "test", Standing(calls, 0, done=calls), now=now, lease_s=60)
    store.finish(made["id"], "test", "completed", now=now)
    shown = api.ok("GET", f"evaluations/{evaluation['id']}/trust/")
    assert shown["warnings"] == ["spoofed"]
    assert (shown["canaries"]["run"], shown["canaries"]["succeeded"]) == (made["id"], 1)
    assert api.ok("GET", f"evaluations/{evaluation['id']}/results/")["count"] == 0


def test_canaries_that_can_show_nothing_are_refused(api: Api) -> None:
    evaluation = api.ok("POST", "evaluations/", 201, json=JUDGE)
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    body = golden(api, evaluation, [True, True])
    error = api.error("POST", path, json=body)
    assert (error["code"], error["attr"]) == ("no_items", "golden_set_version")
    assert api.error("POST", path, json={"kind": "canaries"})["attr"] == "golden_set"
    scores = api.ok("POST", "evaluations/", 201, json=JUDGE | {"name": "s", "output_type": "numeric"})
    error = api.error("POST", f"evaluations/{scores['id']}/trust/runs/", json=body)
    assert (error["code"], error["attr"]) == ("no_passing_rule", "kind")
    hog = api.hog()
    assert api.error("POST", f"evaluations/{hog['id']}/trust/runs/", json=body)["code"] == "not_supported"


def test_the_console_starts_and_shows_the_same_run_as_the_api(api: Api) -> None:
    evaluation = api.ok("POST", "evaluations/", 201, json=JUDGE)
    body = golden(api, evaluation, [False, False, True])
    found = Evaluations(api.services.database).get(api.team, evaluation["id"])
    [caller] = ApiKeys(api.services.database).list(api.team)
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    dry: Any = trust_desk.start_run(api.services, caller, found, body | {"dry_run": True})
    assert dry.model_dump(mode="json") == api.ok("POST", path, 202, json=body | {"dry_run": True})
    made: Any = trust_desk.start_run(api.services, caller, found, body)
    shown = trust_desk.run_of(api.services, found, str(made.id))
    assert shown.model_dump(mode="json") == api.ok("GET", f"{path}{made.id}/")
    assert (shown.kind, shown.canaries is not None) == ("canaries", True)
    assert trust_desk.cancel(api.services, caller, found, str(made.id)) == "cancelled"
    with pytest.raises(Invalid, match="anchors"):
        trust_desk.start_run(api.services, caller, found, {"kind": "anchors"})
