"""Golden sets: built from labels and datasets, frozen completely, compared, and erased."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from storage.sql import golden_sets as store
from tests.api.conftest import Api


def label(api: Api, evaluation: dict[str, Any], target: str, result: bool, **fields: Any) -> None:
    body = {"evaluation": evaluation["id"], "target_event_id": target, "verdict": {"result": result}} | fields
    api.ok("POST", "labels/", 201, json=body)


def golden(api: Api, evaluation: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.ok(
        "POST", "golden_sets/", 201, json={"evaluation": evaluation["id"], "name": "g"} | fields
    )
    return made


def test_labels_with_a_consensus_and_expectations_of_datasets_are_items(api: Api) -> None:
    evaluation = api.hog()
    right, wrong, revealed = api.events({"$ai_input": "1"}, {"$ai_input": "2"}, {"$ai_input": "3"})
    label(api, evaluation, right, True)
    label(api, evaluation, wrong, False)
    label(api, evaluation, revealed, True, after_reveal=True)
    dataset = api.ok("POST", "datasets/", 201, json={"name": "d"})
    for expected in ("fail", True, "who knows"):
        item = {"dataset": dataset["id"], "input": "i", "output": "o", "metadata": {"expected": expected}}
        api.ok("POST", "dataset_items/", 201, json=item)
    made = golden(api, evaluation, datasets=[dataset["id"]])
    found = api.ok("GET", f"golden_sets/{made['id']}/items/")["results"]
    assert {each["key"] for each in found if each["origin"] == "labels"} == {f"event:{right}", f"event:{wrong}"}
    assert sorted(each["expected"]["result"] for each in found if each["origin"] == "dataset") == [False, True]
    excluded = api.ok("PATCH", f"golden_sets/{made['id']}/", json={"exclude": [f"event:{wrong}"], "datasets": []})
    assert excluded["labels"] is True
    assert [each["key"] for each in api.ok("GET", f"golden_sets/{made['id']}/items/")["results"]] == [f"event:{right}"]


def test_a_frozen_version_is_whole_has_a_checksum_and_never_changes(api: Api) -> None:
    evaluation = api.hog()
    [event] = api.events({"$ai_input": "question", "$ai_output_choices": "answer"})
    label(api, evaluation, event, True)
    label(api, evaluation, "gone", True)
    made = golden(api, evaluation)
    frozen = api.ok("POST", f"golden_sets/{made['id']}/freeze/", 201)
    assert (frozen["version"], frozen["items"], frozen["missing"]) == (1, 1, 1)
    whole = api.ok("GET", f"golden_sets/{made['id']}/versions/1/")
    [item] = whole["results"]
    assert item["event"]["properties"] == {"$ai_input": "question", "$ai_output_choices": "answer"}
    content = json.dumps([item], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(content).hexdigest() == frozen["sha256"]
    label(api, evaluation, event, False)
    assert api.ok("POST", f"golden_sets/{made['id']}/freeze/", 201)["version"] == 2
    assert api.ok("GET", f"golden_sets/{made['id']}/versions/1/") == whole
    diff = api.ok("GET", f"golden_sets/{made['id']}/versions/1/diff/2/")
    assert [each["key"] for each in diff["changed"]] == [f"event:{event}"]
    assert (diff["added"], diff["removed"], diff["unchanged"]) == ([], [], 0)
    api.error("GET", f"golden_sets/{made['id']}/versions/3/", 404)


def test_an_erased_person_is_in_no_version_and_old_versions_are_incomplete(api: Api) -> None:
    evaluation = api.hog()
    [ann] = api.events({"$ai_input": "of ann"}, distinct_id="ann")
    [bob] = api.events({"$ai_input": "of bob"}, distinct_id="bob")
    for event in (ann, bob):
        label(api, evaluation, event, True)
    made = golden(api, evaluation)
    api.ok("POST", f"golden_sets/{made['id']}/freeze/", 201)
    erased = api.ok("POST", "golden_sets/erase/", json={"distinct_id": "ann"})
    assert erased["replaced"] == [made["id"]]
    new, old = api.ok("GET", f"golden_sets/{made['id']}/")["versions"]
    assert (old["version"], old["incomplete"], new["version"], new["incomplete"]) == (1, True, 2, False)
    for number in (1, 2):
        items = api.ok("GET", f"golden_sets/{made['id']}/versions/{number}/")["results"]
        assert [item["event"]["properties"] for item in items] == [{"$ai_input": "of bob"}]
    assert api.ok("POST", "golden_sets/erase/", json={"distinct_id": "ann"})["replaced"] == []


def test_too_much_is_refused_and_nothing_is_stored(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = api.hog()
    events = api.events({"$ai_input": "1"}, {"$ai_input": "2"})
    for event in events:
        label(api, evaluation, event, True)
    made = golden(api, evaluation)
    monkeypatch.setattr(store, "MAX_BYTES", 100)
    assert api.error("POST", f"golden_sets/{made['id']}/freeze/")["code"] == "too_large"
    monkeypatch.setattr("api.services.golden_sets.MAX_BYTES", 20)
    assert api.error("POST", f"golden_sets/{made['id']}/freeze/")["code"] == "too_large"
    monkeypatch.setattr("api.services.golden_sets.MAX_ITEMS", 1)
    assert api.error("POST", f"golden_sets/{made['id']}/freeze/")["code"] == "too_large"
    assert api.ok("GET", f"golden_sets/{made['id']}/")["versions"] == []


def test_nothing_to_freeze_and_sources_of_others_are_refused(api: Api) -> None:
    evaluation = api.hog()
    made = golden(api, evaluation)
    api.error("POST", f"golden_sets/{made['id']}/freeze/")
    for attr in ("datasets", "queues"):
        body = {"evaluation": evaluation["id"], "name": "g", attr: ["018f4b1e-7c3a-7000-8000-000000000001"]}
        assert api.error("POST", "golden_sets/", json=body)["attr"] == attr


def test_a_deleted_golden_set_is_gone(api: Api) -> None:
    made = golden(api, api.hog())
    api.ok("DELETE", f"golden_sets/{made['id']}/", 204)
    api.error("GET", f"golden_sets/{made['id']}/", 404)
    assert api.ok("GET", "golden_sets/")["count"] == 0
