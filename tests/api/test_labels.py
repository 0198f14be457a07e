"""Labels: added and never changed, idempotent, refused where they answer another question."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from storage.sql.audit import AuditEntry, read_team_audit
from storage.sql.labels import Label, LabelOutbox
from tests.api.conftest import Api

PASS: dict[str, Any] = {"applicable": True, "result": True}


def label(api: Api, evaluation: dict[str, Any], target: str = "e1", status: int = 201, **fields: Any) -> Any:
    body = {"evaluation": evaluation["id"], "target_event_id": target, "verdict": PASS} | fields
    return api.ok("POST", "labels/", status, json=body)


def numeric(api: Api, **output: Any) -> dict[str, Any]:
    body = {
        "name": "score", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "How good?"},
        "output_type": "numeric", "output_config": {"min": 0, "max": 10} | output,
    }  # fmt: skip
    made: dict[str, Any] = api.ok("POST", "evaluations/", 201, json=body)
    return made


def test_a_label_is_stored_with_its_labeller_and_read_back(api: Api) -> None:
    evaluation = api.hog()
    made = label(api, evaluation, verdict={"result": False}, comment="wrong city", seconds=4.5, client_id="c1")
    assert made["verdict"] == {"applicable": True, "result": False}
    assert (made["labeller"], made["source"], made["question"]) == ("ann@example.com", "api", 1)
    assert api.ok("GET", f"labels/{made['id']}/") == made
    assert api.ok("GET", f"labels/?evaluation={evaluation['id']}")["results"] == [made]


def test_a_repeated_request_stores_nothing_new_and_another_label_of_the_same_id_is_refused(api: Api) -> None:
    evaluation = api.hog()
    first = label(api, evaluation, client_id="c1")
    assert label(api, evaluation, client_id="c1") == first
    body = {"evaluation": evaluation["id"], "target_event_id": "e1", "verdict": {"result": False}, "client_id": "c1"}
    assert api.error("POST", "labels/", 409, json=body)["code"] == "client_id_reused"
    many = {"labels": [{**body, "client_id": "c2"}, body]}
    assert api.error("POST", "labels/", 409, json=many)["attr"] == "labels__1__client_id"
    assert api.ok("GET", "labels/")["count"] == 1


def trail(api: Api) -> list[AuditEntry]:
    with api.services.database.read() as connection:
        found = read_team_audit(connection, api.team, before=None, limit=100)
        others = read_team_audit(connection, api.team, before=None, limit=100, without=["labels"])
    assert others == [entry for entry in found if entry.object_type != "labels"]
    return [entry for entry in found if entry.object_type == "labels"]


def test_labels_leave_one_entry_for_each_request_and_evaluation_without_their_verdicts(api: Api) -> None:
    evaluation, other = api.hog(), api.hog()
    made = label(api, evaluation, client_id="c1", comment="rude", adjudicates=True)
    label(api, evaluation, client_id="c1", comment="rude", adjudicates=True)
    [entry] = trail(api)
    assert (entry.object_id, entry.action) == (evaluation["id"], "added")
    assert str(entry.actor).startswith("key:")
    told = {"count": [None, 1], "source": [None, "api"], "adjudicating": [None, 1], "ids": [None, [made["id"]]]}
    assert entry.changes == told
    many = [
        {"evaluation": each["id"], "target_event_id": f"m{place}", "verdict": PASS}
        for place in range(150) for each in (evaluation, other)
    ]  # fmt: skip
    added = api.ok("POST", "labels/", 201, json={"labels": many})["labels"]
    newest = trail(api)[:-1]
    assert {entry.object_id: entry.changes["count"] for entry in newest} == {
        evaluation["id"]: [None, 150], other["id"]: [None, 150],
    }  # fmt: skip
    mine = [each["id"] for each in added if each["evaluation"] == other["id"]]
    assert next(entry.changes["ids"] for entry in newest if entry.object_id == other["id"]) == [None, mine[:100]]


def test_two_requests_of_one_client_id_at_the_same_moment_store_one_label(api: Api) -> None:
    evaluation = api.hog()
    body = {"evaluation": evaluation["id"], "target_event_id": "e", "verdict": PASS, "client_id": "same"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: api.call("POST", "labels/", json=body), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert api.ok("GET", "labels/")["count"] == 1


def test_labels_never_change(api: Api) -> None:
    made = label(api, api.hog())
    for method in ("PUT", "PATCH", "DELETE"):
        assert api.error(method, f"labels/{made['id']}/", 405, json={})["code"] == "method_not_allowed"


def test_many_labels_are_stored_together_or_not_at_all(api: Api) -> None:
    evaluation = api.hog()
    good = [{"evaluation": evaluation["id"], "target_event_id": f"e{n}", "verdict": PASS} for n in range(3)]
    bad = {**good[0], "verdict": {"score": 3}}
    error = api.error("POST", "labels/", json={"labels": [*good, bad]})
    assert error["attr"] == "labels__3__verdict__score"
    assert api.ok("GET", "labels/")["count"] == 0
    made = api.ok("POST", "labels/", 201, json={"labels": good})["labels"]
    assert [each["target_event_id"] for each in made] == ["e0", "e1", "e2"]
    too_many = {"labels": good[:1] * 1001}
    api.error("POST", "labels/", json=too_many)
    api.error("POST", "labels/", json={"labels": good, "target_event_id": "e"})


@pytest.mark.parametrize(
    ("verdict", "attr"),
    [
        ({"result": 1}, "verdict__result"),
        ({"score": 3}, "verdict__score"),
        ({}, "verdict__result"),
        ({"applicable": False}, "verdict__applicable"),
        ({"unsure": True, "result": True}, "verdict__unsure"),
        ({"applicable": "yes", "result": True}, "verdict__applicable"),
        ({"verdict": True}, "verdict"),
    ],
)
def test_a_verdict_that_does_not_answer_the_question_is_refused(
    session_api: Api, verdict: dict[str, Any], attr: str
) -> None:
    body = {"evaluation": session_api.hog()["id"], "target_event_id": "e", "verdict": verdict}
    assert session_api.error("POST", "labels/", json=body)["attr"] == attr


def test_scores_and_categories_are_checked_against_bounds_and_options(api: Api) -> None:
    evaluation = numeric(api)
    assert label(api, evaluation, verdict={"score": 7})["verdict"] == {"applicable": True, "score": 7.0}
    for score in (11, -1, True, "7"):
        body = {"evaluation": evaluation["id"], "target_event_id": "e", "verdict": {"score": score}}
        assert api.error("POST", "labels/", json=body)["attr"] == "verdict__score"
    options = [{"key": key, "label": key} for key in ("bug", "refund")]
    kinds = api.ok(
        "POST", "evaluations/", 201,
        json={
            "name": "kind", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Which?"},
            "output_type": "categorical", "output_config": {"options": options, "allows_na": True},
        },
    )  # fmt: skip
    assert label(api, kinds, verdict={"categories": ["bug"]})["verdict"]["categories"] == ["bug"]
    assert label(api, kinds, verdict={"applicable": False})["verdict"] == {"applicable": False}
    for chosen in (["other"], ["bug", "refund"], [], "bug"):
        body = {"evaluation": kinds["id"], "target_event_id": "e", "verdict": {"categories": chosen}}
        assert api.error("POST", "labels/", json=body)["attr"] == "verdict__categories"


def test_the_question_grows_with_the_kind_of_answer_and_not_with_the_prompt(api: Api) -> None:
    evaluation = numeric(api)
    path = f"evaluations/{evaluation['id']}/"
    assert evaluation["question"] == 1
    assert api.ok("PATCH", path, json={"evaluation_config": {"prompt": "How kind?"}})["question"] == 1
    rule = {"passing_rule": {"operator": "gte", "threshold": 5}}
    assert api.ok("PATCH", path, json={"output_config": rule})["question"] == 1
    changed = api.ok("PATCH", path, json={"output_config": {"max": 5}})
    assert (changed["question"], changed["version"]) == (2, 4)
    asked = api.ok("PATCH", path, json={"new_question": True})
    assert (asked["question"], asked["version"]) == (3, 4)
    assert [each["question"] for each in api.ok("GET", f"{path}versions/")["results"]] == [2, 1, 1, 1]


def test_a_label_for_another_question_is_refused(api: Api) -> None:
    evaluation = api.hog()
    label(api, evaluation, question=1)
    api.ok("PATCH", f"evaluations/{evaluation['id']}/", json={"new_question": True})
    body = {"evaluation": evaluation["id"], "target_event_id": "e", "verdict": PASS, "question": 1}
    error = api.error("POST", "labels/", json=body)
    assert (error["code"], error["attr"]) == ("other_question", "question")


def test_who_only_labels_reads_nothing_and_does_not_adjudicate(api: Api) -> None:
    evaluation = api.hog()
    mine = label(api, evaluation)
    labeller = api.as_key(api.key("label:write"))
    base = f"/api/projects/{api.team}"
    body = {"evaluation": evaluation["id"], "target_event_id": "e", "verdict": PASS}
    assert labeller.post(f"{base}/labels/", json=body).status_code == 201
    assert labeller.post(f"{base}/labels/", json={**body, "adjudicates": True}).status_code == 403
    for path in ("labels/", f"labels/{mine['id']}/", "labels/export/", "label_queues/", "evaluations/", "events/"):
        assert labeller.get(f"{base}/{path}").status_code == 403, path


def test_labels_are_listed_by_target_labeller_and_time(api: Api) -> None:
    evaluation = api.hog()
    first, second = label(api, evaluation, "e1"), label(api, evaluation, "e2")
    assert [each["id"] for each in api.ok("GET", "labels/")["results"]] == [second["id"], first["id"]]
    assert [each["id"] for each in api.ok("GET", "labels/?target_event_id=e1")["results"]] == [first["id"]]
    assert api.ok("GET", "labels/?labeller=nobody")["count"] == 0
    assert api.ok("GET", "labels/", params={"before": first["created_at"]})["count"] == 0
    assert api.ok("GET", "labels/", params={"after": first["created_at"]})["count"] == 2


def test_labels_are_exported_as_lines_and_as_a_table(api: Api) -> None:
    evaluation = api.hog()
    label(api, evaluation, "e1", comment="=1+1")
    label(api, evaluation, "e2", verdict={"unsure": True}, comment='he said "no",\nthen left')
    lines = api.call("GET", "labels/export/").text.splitlines()
    assert [json.loads(line)["target_event_id"] for line in lines] == ["e1", "e2"]
    answer = api.call("GET", "labels/export/?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["verdict"] for row in rows] == ["true", "unsure"]
    assert rows[0]["comment"] == "'=1+1", "a spreadsheet must not calculate a comment"
    assert rows[1]["comment"] == 'he said "no",\nthen left'


def test_every_new_label_waits_in_the_outbox_once(api: Api) -> None:
    evaluation = api.hog()
    target = f"out-{uuid4()}"
    label(api, evaluation, target, client_id=target)
    label(api, evaluation, target, client_id=target)
    outbox = LabelOutbox(api.services.database)
    now = datetime.now(UTC)

    def waiting(moment: datetime) -> list[Label]:
        return [each for each in outbox.claim(now=moment, limit=10_000) if each.target_event_id == target]

    claimed = waiting(now)
    assert len(claimed) == 1
    assert waiting(now) == [], "another process sends it"
    assert waiting(now + timedelta(minutes=3)) == claimed, "that process died"
    outbox.sent(claimed)
    assert waiting(now + timedelta(minutes=9)) == []
