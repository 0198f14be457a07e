"""Label queues: random samples with their probabilities, blind items, leases, and agreement between labellers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from quality.sampling import label_order
from storage.sql.audit import read_audit
from tests.api.conftest import Api

START = datetime.now(UTC) - timedelta(hours=2)
WINDOW = {"window_start": START.isoformat()}


def judge(api: Api, passes: int, fails: int = 0, **columns: Any) -> tuple[dict[str, Any], list[str]]:
    """Make an evaluation with results, and return it with their ids."""
    evaluation = api.hog()
    return evaluation, judged(api, evaluation, [True] * passes + [False] * fails, **columns)


def judged(
    api: Api, evaluation: dict[str, Any], verdicts: list[bool], each: list[dict[str, Any]] | None = None, **columns: Any
) -> list[str]:
    """Put results into ClickHouse and return their ids; `each` has columns of one result, `columns` of all."""
    [version] = api.ok("GET", f"evaluations/{evaluation['id']}/versions/")["results"][:1]
    now = datetime.now(UTC) - timedelta(minutes=5)
    rows = []
    for number, verdict in enumerate(verdicts):
        event = f"event-{number}"
        rows.append(
            {
                "uuid": str(uuid4()), "team_id": api.team, "distinct_id": "ann", "timestamp": now, "created_at": now,
                "record_time": now, "start_time": now, "ingested_at": now, "evaluation_id": evaluation["id"],
                "evaluation_name": "n", "evaluation_type": "online", "runtime": "hog", "result_type": "boolean",
                "result": verdict, "target_event_id": event, "target_id": event, "trigger": "live",
                "properties": "{}", "evaluation_version": version["version"], "fingerprint": version["fingerprint"],
            } | columns | (each[number] if each else {})
        )  # fmt: skip
    api.insert("evaluation_results", *rows)
    return [row["uuid"] for row in rows]


def queue(api: Api, evaluation: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"evaluation": evaluation["id"], "size": 5, "overlap": 0} | WINDOW | fields
    made: dict[str, Any] = api.ok("POST", "label_queues/", 201, json=body)
    return made


def labeller(api: Api, email: str) -> TestClient:
    from storage.sql.api_keys import ApiKeys

    keys = ApiKeys(api.services.database)
    _, secret = keys.create(team_id=api.team, label=email, email=email, scopes=["label:write"], now=datetime.now(UTC))
    return api.as_key(secret)


def at(api: Api, moment: datetime) -> Api:
    """The same application at another time."""
    services = replace(api.services, now=lambda: moment)
    app = create_app(services)
    return replace(api, app=app, services=services, http=TestClient(app, headers=dict(api.http.headers)))


def items(api: Api, made: dict[str, Any]) -> Any:
    from storage.sql.label_queues import LabelQueues

    return LabelQueues(api.services.database).items(api.team, made["id"])


def test_a_random_queue_is_the_first_of_the_hash_order_with_its_probability(api: Api) -> None:
    evaluation, results = judge(api, 30)
    made = queue(api, evaluation, size=12)
    found = items(api, made)
    assert [item.result_id for item in found] == label_order(made["id"], results)[:12]
    assert {item.inclusion_probability for item in found} == {12 / 30}
    assert made["strata"] == [{"name": "all", "population": 30, "items": 12}]


def test_an_extended_queue_takes_the_next_results_and_leaves_later_ones_out(api: Api) -> None:
    evaluation, results = judge(api, 20)
    made = queue(api, evaluation, size=4)
    first = [item.id for item in items(api, made)]
    later = judged(api, evaluation, [True] * 20, ingested_at=datetime.now(UTC) + timedelta(hours=1))
    extended = api.ok("PATCH", f"label_queues/{made['id']}/", json={"size": 10})
    found = items(api, made)
    assert extended["items"] == 10
    assert [item.id for item in found][:4] == first, "an item keeps its place and its labels"
    assert [item.result_id for item in found] == label_order(made["id"], results)[:10]
    assert not {item.result_id for item in found} & set(later)
    assert {item.inclusion_probability for item in found} == {10 / 20}
    assert api.error("PATCH", f"label_queues/{made['id']}/", json={"size": 4})["attr"] == "size"


def test_a_stratified_queue_takes_at_least_ten_of_each_stratum(api: Api) -> None:
    evaluation, _ = judge(api, 190, 15)
    made = queue(api, evaluation, size=60, mode="stratified")
    assert made["strata"] == [
        {"name": "pass", "population": 190, "items": 50}, {"name": "fail", "population": 15, "items": 10},
    ]  # fmt: skip
    chances = {item.stratum: item.inclusion_probability for item in items(api, made)}
    assert chances == {"pass": pytest.approx(50 / 190), "fail": pytest.approx(10 / 15)}


def test_skips_and_other_versions_are_not_in_the_sample(api: Api) -> None:
    evaluation, results = judge(api, 3)
    api.result(evaluation, "skipped", skipped=True, skip_reason="timeout", result=None)
    api.result(evaluation, "other version", fingerprint="other")
    assert {item.result_id for item in items(api, queue(api, evaluation))} == set(results)


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"mode": "focus"}, "reason"),
        ({"reason": "truncated"}, "mode"),
        ({"mode": "focus", "reason": "hand_picked"}, "results"),
        ({"mode": "focus", "reason": "versions"}, "other_version"),
        ({"window_start": None}, "window_start"),
        ({"window_end": "2020-01-01T00:00:00Z"}, "window_start"),
        ({"version": 7}, "version"),
        ({"size": 5001}, "size"),
        ({"mode": "stratified", "size": 19}, "size"),
        ({"labellers_per_item": 6}, "labellers_per_item"),
        ({"window_start": "2020-01-01T00:00:00Z", "window_end": "2020-01-02T00:00:00Z"}, "window_start"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(api: Api, fields: dict[str, Any], attr: str) -> None:
    evaluation, _ = judge(api, 3)
    body = {"evaluation": evaluation["id"]} | WINDOW | fields
    assert api.error("POST", "label_queues/", json=body)["attr"] == attr


def test_an_item_shows_the_generation_and_nothing_of_the_verdict(api: Api) -> None:
    evaluation = api.hog()
    [event] = api.events({"$ai_input": "q", "$ai_output_choices": "a", "$ai_tools": [{"name": "t"}]})
    [version] = api.ok("GET", f"evaluations/{evaluation['id']}/versions/")["results"]
    api.result(
        evaluation, event, reasoning="SECRET", fingerprint=version["fingerprint"],
        ingested_at=datetime.now(UTC) - timedelta(minutes=1),
    )  # fmt: skip
    made = queue(api, evaluation)
    client = labeller(api, "bob@example.com")
    answer = client.post(f"/api/projects/{api.team}/label_queues/{made['id']}/next/")
    item = answer.json()
    assert (item["input"], item["output"], item["tools"]) == ("q", "a", [{"name": "t"}])
    assert item["archived"] is True
    assert item["verdict"] is None
    assert "SECRET" not in answer.text
    assert not {"mode", "stratum", "confidence"} & set(item)


def test_a_queue_that_is_not_blind_shows_the_verdict_and_its_labels_enter_no_estimate(api: Api) -> None:
    evaluation, _ = judge(api, 2)
    made = queue(api, evaluation, blind=False)
    item = api.ok("POST", f"label_queues/{made['id']}/next/")
    assert item["verdict"]["verdict"] == "pass"
    done = api.ok(
        "POST", f"label_queues/{made['id']}/items/{item['id']}/label/", 201, json={"verdict": {"result": True}}
    )
    assert done["label"]["after_reveal"] is True


def test_a_revealed_verdict_marks_later_labels_of_the_same_labeller(api: Api) -> None:
    evaluation, _ = judge(api, 1)
    made = queue(api, evaluation, reveal=True)
    path = f"label_queues/{made['id']}"
    item = api.ok("POST", f"{path}/next/")
    first = api.ok("POST", f"{path}/items/{item['id']}/label/", 201, json={"verdict": {"result": False}})
    assert first["label"]["after_reveal"] is False
    assert first["revealed"]["verdict"] == "pass"
    again = api.ok("POST", f"{path}/items/{item['id']}/label/", 201, json={"verdict": {"result": True}})
    assert again["label"]["after_reveal"] is True
    body = {"evaluation": evaluation["id"], "target_event_id": item["target_event_id"], "verdict": {"result": True}}
    assert api.ok("POST", "labels/", 201, json=body)["after_reveal"] is True
    progress = api.ok("GET", f"{path}/progress/")
    assert (progress["done"], progress["labels"]) == (1, 1)


def test_nobody_gets_the_same_item_twice_and_an_empty_queue_is_204(api: Api) -> None:
    evaluation, _ = judge(api, 3)
    made = queue(api, evaluation, labellers_per_item=2)
    path = f"label_queues/{made['id']}"
    seen = []
    for _ in range(3):
        item = api.ok("POST", f"{path}/next/")
        seen.append(item["id"])
        api.ok("POST", f"{path}/items/{item['id']}/label/", 201, json={"verdict": {"result": True}})
    assert len(set(seen)) == 3
    assert api.call("POST", f"{path}/next/").status_code == 204
    bob = labeller(api, "bob@example.com")
    assert bob.post(f"/api/projects/{api.team}/{path}/next/").json()["id"] == seen[0]


def test_items_can_be_fetched_ahead_and_come_back_when_nothing_else_is_left(api: Api) -> None:
    evaluation, _ = judge(api, 2)
    path = f"label_queues/{queue(api, evaluation)['id']}"
    first, second = (api.ok("POST", f"{path}/next/") for _ in range(2))
    assert first["id"] != second["id"]
    assert api.ok("POST", f"{path}/next/")["id"] in {first["id"], second["id"]}


def test_a_skipped_item_goes_to_others_and_not_to_the_same_labeller(api: Api) -> None:
    evaluation, _ = judge(api, 1)
    path = f"label_queues/{queue(api, evaluation)['id']}"
    item = api.ok("POST", f"{path}/next/")
    api.ok("POST", f"{path}/items/{item['id']}/skip/", 204)
    assert api.call("POST", f"{path}/next/").status_code == 204
    assert api.error("POST", f"{path}/items/{item['id']}/skip/", 409)["code"] == "lease_lost"
    bob = labeller(api, "bob@example.com")
    assert bob.post(f"/api/projects/{api.team}/{path}/next/").json()["id"] == item["id"]


def test_a_lease_that_ran_out_while_the_label_was_sent_is_lost(api: Api) -> None:
    evaluation, _ = judge(api, 1)
    path = f"label_queues/{queue(api, evaluation)['id']}"
    item = api.ok("POST", f"{path}/next/")
    later = at(api, datetime.now(UTC) + timedelta(minutes=16))
    body = {"verdict": {"result": True}, "client_id": "c"}
    assert later.error("POST", f"{path}/items/{item['id']}/label/", 409, json=body)["code"] == "lease_lost"
    assert later.ok("POST", f"{path}/next/")["id"] == item["id"], "the item is free again"
    stored = later.ok("POST", f"{path}/items/{item['id']}/label/", 201, json=body)["label"]
    assert later.ok("POST", f"{path}/items/{item['id']}/label/", 201, json=body)["label"] == stored, "a repeat"
    assert later.ok("GET", "labels/")["count"] == 1
    with api.services.database.read() as connection:
        [entry] = read_audit(connection, api.team, "labels", evaluation["id"])
    assert (entry.action, entry.changes["ids"]) == ("added", [None, [stored["id"]]])


def test_two_labellers_at_once_never_hold_the_same_last_place(api: Api) -> None:
    evaluation, _ = judge(api, 6)
    made = queue(api, evaluation, size=6)
    clients = [labeller(api, f"l{number}@example.com") for number in range(6)]
    address = f"/api/projects/{api.team}/label_queues/{made['id']}/next/"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda client: client.post(address), clients))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.json()["id"] for answer in answers}) == 6


def test_a_labeller_cannot_label_an_item_that_another_holds(api: Api) -> None:
    evaluation, _ = judge(api, 1)
    made = queue(api, evaluation)
    item = api.ok("POST", f"label_queues/{made['id']}/next/")
    bob = labeller(api, "bob@example.com")
    address = f"/api/projects/{api.team}/label_queues/{made['id']}/items/{item['id']}/label/"
    assert bob.post(address, json={"verdict": {"result": True}}).status_code == 409


def test_the_overlap_is_spread_and_gives_the_agreement_between_labellers(api: Api) -> None:
    evaluation, _ = judge(api, 10)
    made = queue(api, evaluation, size=10, overlap=0.5)
    assert [item.wanted for item in items(api, made)] == [1, 2] * 5
    path = f"label_queues/{made['id']}"
    for client, says in ((api.http, [True] * 10), (labeller(api, "bob@example.com"), [True, True, True, False, False])):
        for verdict in says:
            item = client.post(f"/api/projects/{api.team}/{path}/next/").json()
            answer = client.post(
                f"/api/projects/{api.team}/{path}/items/{item['id']}/label/",
                json={"verdict": {"result": verdict}, "seconds": 2},
            )
            assert answer.status_code == 201, answer.text
    progress = api.ok("GET", f"{path}/progress/")
    assert (progress["done"], progress["overlapping"], progress["unresolved"]) == (10, 5, 2)
    assert progress["alpha"] == pytest.approx(1 - 9 * 4 / (2 * 8 * 2))
    assert {each["labeller"]: each["agreement"] for each in progress["labellers"]} == {
        "ann@example.com": 0.6, "bob@example.com": 0.6,
    }  # fmt: skip
    assert progress["seconds_per_label"] == 2
    assert progress["warnings"] == []


def test_unclear_criteria_are_warned_of(api: Api) -> None:
    evaluation, _ = judge(api, 4)
    path = f"label_queues/{queue(api, evaluation, size=4)['id']}"
    for verdict in ({"unsure": True}, {"result": True}, {"result": True}, {"result": True}):
        item = api.ok("POST", f"{path}/next/")
        api.ok("POST", f"{path}/items/{item['id']}/label/", 201, json={"verdict": verdict})
    assert api.ok("GET", f"{path}/progress/")["warnings"] == ["criteria_unclear"]


def test_focus_queues_hold_picked_results_or_truncated_ones_or_disagreements(api: Api) -> None:
    evaluation, results = judge(api, 4)
    picked = queue(api, evaluation, mode="focus", reason="hand_picked", results=results[:2], window_start=None)
    assert [item.result_id for item in items(api, picked)] == results[:2]
    assert {item.inclusion_probability for item in items(api, picked)} == {None}
    [cut] = judged(api, evaluation, [True], truncated=True)
    truncated = queue(api, evaluation, mode="focus", reason="truncated")
    assert [item.result_id for item in items(api, truncated)] == [cut]
    source = {"evaluation_config": {"source": "return false"}}
    api.ok("PATCH", f"evaluations/{evaluation['id']}/", json=source)
    other = judged(api, evaluation, [False, True])
    between = queue(api, evaluation, mode="focus", reason="versions", other_version=1)
    assert {item.result_id for item in items(api, between)} == {other[0]}


def test_a_focus_queue_holds_results_whose_judges_disagreed(api: Api) -> None:
    def steps(*verdicts: bool | None, skipped: int = 0) -> str:
        found: list[dict[str, Any]] = [{"step": 0, "verdict": verdict} for verdict in verdicts]
        found += [{"step": 0, "verdict": None, "skip_reason": "timeout"}] * skipped
        return json.dumps({"$ai_evaluation_steps": found})

    evaluation, _ = judge(api, 2)
    judged(api, evaluation, [True], properties=steps(True, True, skipped=1))
    [split] = judged(api, evaluation, [True], properties=steps(True, False, True))
    [unlike] = judged(api, evaluation, [True], properties=steps(True, None))
    found = queue(api, evaluation, mode="focus", reason="judges")
    assert {item.result_id for item in items(api, found)} == {split, unlike}


def test_a_deleted_queue_is_gone_and_its_labels_stay(api: Api) -> None:
    evaluation, _ = judge(api, 1)
    path = f"label_queues/{queue(api, evaluation)['id']}/"
    item = api.ok("POST", f"{path}next/")
    api.ok("POST", f"{path}items/{item['id']}/label/", 201, json={"verdict": {"result": True}})
    api.ok("DELETE", path, 204)
    assert api.error("GET", path, 404)["code"] == "not_found"
    api.error("POST", f"{path}next/", 404)
    assert api.ok("GET", "labels/")["count"] == 1
