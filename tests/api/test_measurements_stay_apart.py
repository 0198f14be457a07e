"""Results of measurements reach no figure of live judging: every path that reads is asked before and after."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.api.conftest import Api
from tests.api.test_comparisons import SINCE, measured, two_versions
from tests.api.test_label_queues import at, judged

MEASURED = ("comparisons", "trust/runs")
"""The paths that show measurements."""


def test_no_path_that_reads_sees_a_measurement(api: Api) -> None:
    evaluation = two_versions(api)
    now = at(api, datetime.now(UTC))
    body = {"version_a": 1, "version_b": 2, **SINCE}
    made = now.ok("POST", f"evaluations/{evaluation['id']}/comparisons/", 202, json=body)
    before = everything(now, evaluation)
    assert len(before) > 25
    results = json.loads(before[f"evaluations/{evaluation['id']}/results/"])
    assert results["count"] == 30, "the paths show something"
    verdicts: dict[str, Any] = {f"event:event-{n}": False for n in range(30)}
    [newest, *_] = api.ok("GET", f"evaluations/{evaluation['id']}/versions/")["results"]
    measured(now, evaluation, made, verdicts, fingerprint=newest["fingerprint"])
    after = everything(now, evaluation)
    assert {path for path in before if before[path] != after[path]} == set()
    judged(now, evaluation, [False])
    one_more = everything(now, evaluation)
    changed = {path.rpartition("/evaluations/")[2] for path in before if before[path] != one_more[path]}
    assert len(changed) >= 3, "a live result is seen, so the paths would have shown the measurements"
    found = now.ok("GET", f"evaluations/{evaluation['id']}/comparisons/{made['id']}/")
    assert found["outcome"]["n"] == 30, "the measurement itself shows them"


def everything(api: Api, evaluation: dict[str, Any]) -> dict[str, str]:
    """Return the answer of each GET below a team that needs no other id than the evaluation's."""
    found = {}
    for path, methods in api.app.openapi()["paths"].items():
        _, _, rest = path.partition("/api/projects/{team_id}/")
        if not rest or "get" not in methods or any(each in rest for each in MEASURED):
            continue
        wanted = rest.replace("{id}", evaluation["id"]) if rest.startswith("evaluations/") else rest
        if "{" in wanted:
            continue
        answer = api.call("GET", wanted)
        assert answer.status_code < 500, (wanted, answer.text)
        found[wanted] = answer.text
    return found
