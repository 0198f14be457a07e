"""The warnings that a change carries which lets an unmeasured judge judge. Nothing is refused for them."""

from __future__ import annotations

from typing import Any

import pytest

from examples.stand_in.client import StandInServer
from storage.sql.measurements import MeasurementRuns, Standing
from tests.api.conftest import Api
from tests.api.test_canaries import golden
from tests.api.test_comparisons import measured
from tests.api.test_evaluations import provider_key
from tests.api.test_label_queues import judged
from tests.services.claims import claim_only

JUDGE = {
    "name": "Polite", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it polite?"},
    "model_configuration": {"provider": "custom", "model": "m"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def key(api: Api, stand_in: StandInServer) -> None:
    provider_key(api, stand_in, set_as_active=True)


def judge(api: Api, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.ok("POST", "evaluations/", 201, json=JUDGE | fields)
    return made


def enable(api: Api, evaluation: dict[str, Any]) -> Any:
    return api.ok("PATCH", f"evaluations/{evaluation['id']}/", json={"enabled": True}).get("warnings", [])


def ended(api: Api, evaluation: dict[str, Any], body: dict[str, Any], verdict: Any) -> None:
    """Carry a measurement out, in which the judge gives this verdict to each item."""
    made = api.ok("POST", f"evaluations/{evaluation['id']}/trust/runs/", 202, json=body)
    store = MeasurementRuns(api.services.database)
    items = [each.item for each in store.items(made["id"])]
    measured(api, evaluation, made, {item: verdict(item) for item in items}, evaluation_version=evaluation["version"])
    now = api.services.now()
    claim_only(lambda: store.claim("test", now=now, lease_s=600), made["id"])
    store.report(made["id"], "test", Standing(len(items), 0, len(items)), now=now, lease_s=600)
    assert store.finish(made["id"], "test", "completed", now=now)


def test_a_new_judge_that_judges_at_once_is_warned_of_and_a_draft_is_not(api: Api) -> None:
    assert judge(api, enabled=True)["warnings"] == ["labels_missing", "canaries_missing"]
    draft = api.ok("POST", "evaluations/", 201, json=JUDGE)
    assert "warnings" not in draft
    assert enable(api, draft) == ["labels_missing", "canaries_missing"]
    assert enable(api, draft) == [], "it judges already, as before"
    reworded = {"evaluation_config": {"prompt": "Is it really polite?"}}
    changed = api.ok("PATCH", f"evaluations/{draft['id']}/", json=reworded)
    assert (changed["version"], changed["warnings"]) == (2, ["labels_missing", "canaries_missing"])
    assert "warnings" not in api.ok("GET", f"evaluations/{draft['id']}/")
    assert "warnings" not in api.hog(enabled=True), "code is not persuaded, and says what it does"


def test_labels_of_live_results_end_or_change_the_warning(api: Api) -> None:
    evaluation = judge(api)
    judged(api, evaluation, [True] * 40)
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": f"event-{n}", "verdict": {"result": n >= 20}}
        for n in range(40)
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels[:10]})
    assert enable(api, evaluation) == ["labels_missing", "canaries_missing"]
    api.ok("PATCH", f"evaluations/{evaluation['id']}/", json={"enabled": False})
    api.ok("POST", "labels/", 201, json={"labels": labels[10:]})
    assert enable(api, evaluation) == ["agreement_low", "canaries_missing"]


def test_a_golden_set_and_canaries_before_it_is_enabled_leave_nothing_to_warn_of(api: Api) -> None:
    evaluation = judge(api)
    expected = [n % 2 == 0 for n in range(40)]
    canaries = golden(api, evaluation, expected)
    body = {**canaries, "kind": "measure"}
    targets = {each["target_event_id"]: each["verdict"]["result"] for each in _labels(api, evaluation)}
    ended(api, evaluation, body, lambda item: targets[item.removeprefix("event:")])
    assert enable(api, evaluation) == ["canaries_missing"]
    api.ok("PATCH", f"evaluations/{evaluation['id']}/", json={"enabled": False})
    ended(api, evaluation, canaries, lambda _item: False)
    assert enable(api, evaluation) == []
    api.ok("PATCH", f"evaluations/{evaluation['id']}/", json={"enabled": False})
    ended(api, evaluation, canaries, lambda item: item.startswith("attack:order-1:output:"))
    assert enable(api, evaluation) == ["spoofed"]


def _labels(api: Api, evaluation: dict[str, Any]) -> Any:
    return api.ok("GET", f"labels/?evaluation={evaluation['id']}&limit=100")["results"]
