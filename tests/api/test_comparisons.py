"""Comparisons and other measurements over the API: planned, priced, refused, read and cancelled."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from quality import agreement
from storage.sql.measurements import MeasurementRuns
from tests.api.conftest import Api
from tests.api.test_label_queues import items, judged, queue
from tests.services.claims import claim_only

SINCE = {"window_start": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}


def two_versions(api: Api, results: int = 30) -> dict[str, Any]:
    """An evaluation whose first version has results on generations, and whose second one has none."""
    evaluation = api.hog()
    judged(api, evaluation, [True] * results, trace_id="t")
    changed = {"evaluation_config": {"source": "return false"}}
    made: dict[str, Any] = api.ok("PATCH", f"evaluations/{evaluation['id']}/", json=changed)
    return made


def measured(
    api: Api, evaluation: dict[str, Any], run: dict[str, Any], verdicts: dict[str, Any], **columns: Any
) -> None:
    """Put results of a measurement into ClickHouse, as the sink does."""
    now = datetime.now(UTC)
    rows = [
        {
            "uuid": str(uuid4()), "team_id": api.team, "timestamp": now, "created_at": now, "record_time": now,
            "start_time": now, "evaluation_id": evaluation["id"], "result_type": "boolean", "result": verdict,
            "target_event_id": item.removeprefix("event:"), "trigger": "measurement", "properties": "{}",
            "evaluation_version": 2, "measurement_id": run["id"], "measurement_kind": run["kind"], "item": item,
            "repeat": 0, "reasoning": "because", "skipped": verdict is None, "cost_usd": 0.01,
        } | columns
        for item, verdict in verdicts.items()
    ]  # fmt: skip
    api.insert("evaluation_measurements", *rows)


def test_stored_results_are_reused_and_the_outcome_follows_the_results(api: Api) -> None:
    evaluation = two_versions(api)
    path = f"evaluations/{evaluation['id']}/comparisons/"
    body = {"version_a": 1, "version_b": 2, **SINCE}
    run = api.ok("POST", path, 202, json=body)
    assert (run["total"], run["reused"], run["state"]) == (30, 30, "pending")
    before = api.ok("GET", f"{path}{run['id']}/")["outcome"]
    assert (before["n"], before["not_compared"], before["outcome"]) == (0, 30, None)
    assert before["without_verdict"] == [{"a": "applicable", "b": "missing", "n": 30}]
    verdicts: dict[str, Any] = {f"event:event-{n}": n < 10 for n in range(29)} | {"event:event-29": None}
    measured(api, evaluation, run, verdicts)
    outcome = api.ok("GET", f"{path}{run['id']}/")["outcome"]
    assert (outcome["both_pass"], outcome["pass_to_fail"], outcome["not_compared"]) == (10, 19, 1)
    assert outcome["without_verdict"] == [{"a": "applicable", "b": "skipped", "n": 1}]
    assert outcome["outcome"] == "worse"
    assert outcome["difference"]["value"] == pytest.approx(-19 / 29)
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": f"event-{n}", "verdict": {"result": n >= 20}}
        for n in range(29)
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels})
    found = api.ok("GET", f"{path}{run['id']}/")["outcome"]["labels"]
    assert (found["labelled"], found["only_a_right"], found["only_b_right"]) == (29, 9, 10)
    flips = api.ok("GET", f"{path}{run['id']}/flips/?limit=5")
    assert (flips["count"], len(flips["results"])) == (19, 5)
    assert flips["results"][0]["reasoning_b"] == "because"
    summary = api.ok("GET", f"evaluations/{evaluation['id']}/results/")
    assert summary["count"] == 30, "a measurement is not a result"
    assert [each["id"] for each in api.ok("GET", path)["results"]] == [run["id"]]


def test_a_dry_run_starts_nothing(api: Api) -> None:
    evaluation = two_versions(api)
    path = f"evaluations/{evaluation['id']}/comparisons/"
    cost = api.ok("POST", path, 202, json={"version_a": 1, "version_b": 2, "dry_run": True, **SINCE})
    assert (cost["calls"], cost["items"], cost["reused"], cost["usd"]) == (30, 30, 30, 0)
    assert api.ok("GET", path)["count"] == 0


def test_a_measurement_is_cancelled_once(api: Api) -> None:
    evaluation = two_versions(api)
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    run = api.ok("POST", path, 202, json={"kind": "consistency", "size": 3, "repeats": 4, **SINCE})
    assert run["total"] == 12
    assert api.ok("POST", f"{path}{run['id']}/cancel/")["state"] == "cancelled"
    assert api.ok("POST", f"{path}{run['id']}/cancel/")["state"] == "cancelled"
    assert not MeasurementRuns(api.services.database).is_running(api.team, run["id"])


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"version_b": 1}, "version_b"),
        ({"version_b": 9}, "version_b"),
        ({"version_a": 9}, "version_a"),
        ({"window_start": "2020-01-01T00:00:00Z", "window_end": "2020-01-02T00:00:00Z"}, "window_start"),
        ({"source": "golden_set"}, "golden_set"),
        ({"size": 2001}, "size"),
        ({"margin": 0}, "margin"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused(api: Api, fields: dict[str, Any], attr: str) -> None:
    evaluation = two_versions(api, 3)
    body = {"version_a": 1, "version_b": 2, **SINCE} | fields
    assert api.error("POST", f"evaluations/{evaluation['id']}/comparisons/", json=body)["attr"] == attr


def test_a_golden_set_measures_a_version_and_one_with_erased_items_does_not(api: Api) -> None:
    evaluation = api.hog()
    events = api.events(*({"$ai_input": f"question {n}"} for n in range(30)), distinct_id="ann")
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": event, "verdict": {"result": n < 20}}
        for n, event in enumerate(events)
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels})
    golden = api.ok("POST", "golden_sets/", 201, json={"evaluation": evaluation["id"], "name": "g"})
    api.ok("POST", f"golden_sets/{golden['id']}/freeze/", 201)
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    body = {"kind": "measure", "golden_set": golden["id"], "golden_set_version": 1}
    run = api.ok("POST", path, 202, json=body)
    measured(api, evaluation, run, {f"event:{event}": True for event in events}, evaluation_version=1)
    table = api.ok("GET", f"{path}{run['id']}/")["agreement"]["pass_fail"]
    assert (table["true_pass"], table["false_pass"]) == (20, 10)
    assert table["accuracy"]["value"] == pytest.approx(2 / 3)
    api.ok("POST", "golden_sets/erase/", json={"distinct_id": "ann"})
    error = api.error("POST", path, json=body)
    assert (error["code"], error["attr"]) == ("incomplete", "golden_set_version")


def sampled_golden_set(api: Api, verdicts: list[bool], unlabelled: int = 0) -> tuple[dict[str, Any], dict[str, str]]:
    """A judge whose results a stratified queue of 40 drew, and a golden set of the labels, with the stratum of each.

    People pass every item that the judge passed, and fail the others.
    """
    evaluation = api.hog()
    events = api.events(*({"$ai_input": f"question {n}"} for n in range(len(verdicts))))
    judged(api, evaluation, verdicts, [{"target_event_id": event} for event in events])
    made = queue(api, evaluation, size=40, mode="stratified")
    strata = {item.target_event_id: item.stratum for item in items(api, made)}
    passes = [target for target, stratum in strata.items() if stratum == "pass"]
    for target in passes[:unlabelled]:
        del strata[target]
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": target, "verdict": {"result": stratum == "pass"}}
        for target, stratum in strata.items()
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels})
    return evaluation, strata


def measure(api: Api, evaluation: dict[str, Any], verdicts: dict[str, bool | None]) -> Any:
    """Freeze a golden set of all labels and return the agreement of a measurement that gives these verdicts."""
    golden = api.ok("POST", "golden_sets/", 201, json={"evaluation": evaluation["id"], "name": "g"})
    api.ok("POST", f"golden_sets/{golden['id']}/freeze/", 201)
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    run = api.ok("POST", path, 202, json={"kind": "measure", "golden_set": golden["id"], "golden_set_version": 1})
    measured(api, evaluation, run, {f"event:{target}": said for target, said in verdicts.items()}, evaluation_version=1)
    return api.ok("GET", f"{path}{run['id']}/")["agreement"]


@pytest.mark.parametrize("unlabelled", [0, 10])
def test_a_golden_set_of_a_stratified_queue_is_weighted_to_its_window(api: Api, unlabelled: int) -> None:
    evaluation, strata = sampled_golden_set(api, [True] * 180 + [False] * 20, unlabelled)
    drawn = Counter(strata.values())
    assert drawn["fail"] / 20 > drawn["pass"] / 180 > 0
    passes, fails = ([each for each, of in strata.items() if of == name] for name in ("pass", "fail"))
    # The measurement passes all but five human passes, and one human fail.
    said = {target: target not in passes[:5] for target in passes} | {target: target == fails[0] for target in fails}
    found = measure(api, evaluation, said)
    table = found["pass_fail"]
    assert (found["sample"], found["stratified"], found["pairs"]) == ("stratified", len(strata), len(strata))
    assert [table[name] for name in ("true_pass", "false_fail", "false_pass", "true_fail")] == [
        drawn["pass"] - 5, 5, 1, drawn["fail"] - 1,
    ]  # fmt: skip
    weight = {"pass": 180 / drawn["pass"], "fail": 20 / drawn["fail"]}
    right = 200 - 5 * weight["pass"] - weight["fail"]
    assert table["prevalence"] == pytest.approx(0.9)
    assert table["accuracy"]["value"] == pytest.approx(right / 200)
    assert table["accuracy"]["low"] < right / 200 < table["accuracy"]["high"]
    judged_pass = 180 - 5 * weight["pass"] + weight["fail"]
    assert table["precision_pass"]["value"] == pytest.approx(1 - weight["fail"] / judged_pass)


def test_a_golden_set_of_everything_has_no_weights(api: Api) -> None:
    evaluation, strata = sampled_golden_set(api, [True] * 28 + [False] * 12)
    assert Counter(strata.values()) == {"pass": 28, "fail": 12}, "each has the chance 1"
    found = measure(api, evaluation, {target: stratum == "pass" for target, stratum in strata.items()})
    expected = agreement.pass_fail(28, 0, 0, 12)
    assert expected is not None
    assert (found["sample"], found["unsampled"]) == ("all", 40)
    for name in ("accuracy", "sensitivity", "specificity"):
        shown, figure = found["pass_fail"][name], getattr(expected, name)
        assert (shown["value"], shown["low"], shown["high"]) == (figure.value, *figure.interval)


def test_a_dataset_is_a_source_of_a_comparison_and_of_repeats(api: Api) -> None:
    evaluation = two_versions(api, 2)
    dataset = api.ok("POST", "datasets/", 201, json={"name": "cases"})["id"]
    for n in range(3):
        item = {"dataset": dataset, "input": f"question {n}", "output": "o"}
        api.ok("POST", "dataset_items/", 201, json=item)
    path = f"evaluations/{evaluation['id']}/comparisons/"
    body = {"version_a": 1, "version_b": 2, "source": "dataset"}
    assert api.error("POST", path, json=body)["attr"] == "dataset"
    assert api.error("POST", path, json=body | {"dataset": str(uuid4())})["code"] == "does_not_exist"
    run = api.ok("POST", path, 202, json=body | {"dataset": dataset})
    assert (run["items"], run["total"], run["reused"]) == (3, 6, 0)
    items = [each.item for each in MeasurementRuns(api.services.database).items(run["id"])]
    assert all(item.startswith("dataset_item:") for item in items)
    runs = f"evaluations/{evaluation['id']}/trust/runs/"
    asked = {"kind": "consistency", "dataset": dataset, "repeats": 2, "dry_run": True}
    assert api.ok("POST", runs, 202, json=asked)["calls"] == 6
    empty = api.ok("POST", "datasets/", 201, json={"name": "empty"})["id"]
    assert api.error("POST", path, json=body | {"dataset": empty})["code"] == "no_items"


def test_a_version_that_changes_during_a_comparison_changes_nothing_of_it(api: Api) -> None:
    evaluation = two_versions(api)
    path = f"evaluations/{evaluation['id']}/comparisons/"
    run = api.ok("POST", path, 202, json={"version_a": 1, "version_b": 2, **SINCE})
    changed = {"evaluation_config": {"source": "return 1 == 1"}}
    assert api.ok("PATCH", f"evaluations/{evaluation['id']}/", json=changed)["version"] == 3
    measured(api, evaluation, run, {f"event:event-{n}": False for n in range(30)})
    found = api.ok("GET", f"{path}{run['id']}/")
    assert (found["versions"], found["version_a"], found["version_b"]) == ([1, 2], 1, 2)
    assert (found["outcome"]["n"], found["outcome"]["pass_to_fail"]) == (30, 30)


def test_the_result_of_another_evaluations_comparison_is_not_found(api: Api) -> None:
    first, second = two_versions(api, 3), two_versions(api, 3)
    run = api.ok("POST", f"evaluations/{first['id']}/comparisons/", 202, json={"version_a": 1, "version_b": 2, **SINCE})
    api.error("GET", f"evaluations/{second['id']}/comparisons/{run['id']}/", 404)
    api.error("GET", f"evaluations/{first['id']}/trust/runs/{run['id']}/", 404)


def test_gavel_compare_ends_with_3_for_a_worse_version(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = two_versions(api)
    monkeypatch.setenv("GAVEL_STORE__DSN", api.services.database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("GAVEL_CLICKHOUSE__DSN", api.clickhouse_dsn)
    words = ["compare", evaluation["id"], "1", "2", "--team", str(api.team)]
    dry = CliRunner().invoke(build_app(), [*words, "--dry-run"])
    assert (dry.exit_code, dry.stdout.startswith("30 calls over 30 items (30 reused)")) == (0, True)

    def judge_at_once(_seconds: float) -> None:
        store = MeasurementRuns(api.services.database)
        [run], _ = store.page(api.team, evaluation["id"], ["comparison"], limit=1, offset=0)
        shown = {"id": run.id, "kind": run.kind}
        measured(api, evaluation, shown, {f"event:event-{n}": False for n in range(30)})
        now = datetime.now(UTC)
        claim_only(lambda: store.claim("test", now=now, lease_s=60), run.id)
        assert store.finish(run.id, "test", "completed", now=now)

    monkeypatch.setattr("cli.compare.time.sleep", judge_at_once)
    done = CliRunner().invoke(build_app(), words)
    assert done.exit_code == 3, done.output
    assert "worse: " in done.stdout


def test_a_version_is_measured_with_what_the_items_of_a_dataset_expect(api: Api) -> None:
    evaluation = api.hog(output_config={"allows_na": True})
    dataset = api.ok("POST", "datasets/", 201, json={"name": "cases"})["id"]
    expected = (True, "fail", {"result": True}, None, "nonsense")
    items = [
        api.ok(
            "POST", "dataset_items/", 201, json={"dataset": dataset, "input": f"q{n}", "metadata": {"expected": each}}
        )
        for n, each in enumerate(expected)
    ]
    path = f"evaluations/{evaluation['id']}/trust/runs/"
    asked = {"kind": "measure", "dataset": dataset}
    assert api.ok("POST", path, 202, json=asked | {"dry_run": True})["calls"] == 5
    made = api.ok("POST", path, 202, json=asked)
    assert (made["items"], made["dataset"]) == (5, dataset)
    keys = [each.item for each in MeasurementRuns(api.services.database).items(made["id"])]
    assert keys == [f"dataset_item:{each['id']}" for each in items]
    measured(api, evaluation, made, dict.fromkeys(keys, True), evaluation_version=1)
    found = api.ok("GET", f"{path}{made['id']}/")["agreement"]
    assert found["pairs"] == 3
    assert [each["target_event_id"] for each in found["disagreements"]] == [keys[1]]
    assert api.error("POST", path, json={"kind": "measure"})["attr"] == "golden_set"
