"""`trust/cascade/`: thresholds from the results of a cascade and people's labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.services.trust.cascades import item_of
from quality.cascade import CascadeItem
from tests.api.conftest import Api
from tests.api.test_label_queues import judged

STEPS = [{"provider": "openai", "model": model} for model in ("small", "large")]
JUDGE = {
    "name": "Polite",
    "evaluation_type": "llm_judge",
    "evaluation_config": {"prompt": "Is it polite?"},
    "model_configuration": {"strategy": {"kind": "cascade", "steps": STEPS, "escalate_below": 0.95}},
}


def step(number: int, verdict: Any, confidence: float | None, cost: float = 0.01) -> dict[str, Any]:
    return {"step": number, "verdict": verdict, "confidence": confidence, "cost_usd": cost}


def with_steps(*steps: dict[str, Any]) -> str:
    return json.dumps({"$ai_evaluation_steps": steps})


def test_the_cheapest_threshold_that_people_agree_with_is_proposed(api: Api) -> None:
    evaluation = api.ok("POST", "evaluations/", 201, json=JUDGE)
    path = f"evaluations/{evaluation['id']}/trust/cascade/"
    assert api.ok("GET", path)["thresholds"] == []
    steps = with_steps(step(1, True, 0.8), step(2, True, 0.99, 0.1))
    judged(api, evaluation, [True] * 60, properties=steps)
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": f"event-{n}", "verdict": {"result": True}}
        for n in range(60)
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels})
    found = api.ok("GET", path)
    assert (found["runs"], found["labelled"], found["decided_by"]) == (60, 60, "labels")
    assert found["proposed"] == 0
    by_threshold = {each["threshold"]: each for each in found["thresholds"]}
    assert (by_threshold[0.8]["escalated"], by_threshold[0.85]["escalated"]) == (0, 1)
    assert by_threshold[0.85]["usd"] == pytest.approx(0.11)
    assert by_threshold[0.85]["with_labels"]["value"] == 1
    assert (found["calibration"]["state"], found["calibration"]["n"]) == ("uncalibrated", 60)
    assert found["calibration"]["brier"] == pytest.approx(0.04)
    assert api.ok("GET", f"{path}?target=0.99")["proposed"] is None
    assert api.error("GET", f"{path}?target=1.5")["attr"] == "target"


def test_an_evaluation_without_a_cascade_has_no_thresholds(api: Api) -> None:
    hog = api.hog()
    found = api.ok("GET", f"evaluations/{hog['id']}/trust/cascade/")
    assert (found["escalate_below"], found["thresholds"], found["proposed"]) == (None, [], None)


def test_a_run_is_read_by_its_steps() -> None:
    code = {"step": 1, "provider": "hog", "verdict": "not_applicable", "confidence": None, "cost_usd": 0.0}
    assert item_of([code], 2, 3, None) is None
    run = [code, step(2, True, 0.7), step(3, False, 0.9, 0.2)]
    assert item_of(run, 2, 3, True) == CascadeItem(0.7, True, False, True, 0.01, 0.2)
    samples = [step(1, True, None), step(1, True, None), step(1, False, None)]
    assert item_of(samples, 1, 2, None) == CascadeItem(2 / 3, True, None, None, pytest.approx(0.03), None)
    assert item_of([step(1, ["b", "a"], None)], 1, 2, None) == CascadeItem(
        None, frozenset("ab"), None, None, 0.01, None
    )
    assert item_of([{"step": 1}, {"step": "x"}], 1, 2, None) == CascadeItem(None, None, None, None, 0.0, None)
