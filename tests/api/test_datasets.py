"""`datasets` and `dataset_items`, and an evaluation run over them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from examples.stand_in.client import StandInServer
from tests.api.conftest import Api


def dataset(api: Api, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.ok("POST", "datasets/", 201, json={"name": "d"} | fields)
    return made


def item(api: Api, owner: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.ok("POST", "dataset_items/", 201, json={"dataset": owner["id"]} | fields)
    return made


def test_datasets_are_made_changed_hidden_and_never_deleted(api: Api) -> None:
    made = dataset(api, description="x", metadata={"a": [1, None, "é"]})
    path = f"datasets/{made['id']}/"
    assert (made["team"], made["deleted"], made["created_by"]["email"]) == (api.team, False, "ann@example.com")
    changed = api.ok("PATCH", path, json={"name": "e", "metadata": None})
    assert (changed["name"], changed["description"], changed["metadata"]) == ("e", "x", None)
    assert api.ok("PUT", path, json={"name": "f"})["description"] is None
    api.error("DELETE", path, 405)
    api.ok("PATCH", path, json={"deleted": True})
    api.error("GET", path, 404)
    assert api.ok("GET", "datasets/")["count"] == 0


def test_a_deleted_dataset_hides_its_items_and_both_can_be_brought_back(api: Api) -> None:
    made = dataset(api)
    kept, gone = item(api, made, input="kept"), item(api, made, input="gone")
    path = f"datasets/{made['id']}/"
    kept_path, gone_path = (f"dataset_items/{each['id']}/" for each in (kept, gone))
    api.ok("PATCH", gone_path, json={"deleted": True})
    api.ok("PATCH", path, json={"deleted": True})
    for hidden in (path, kept_path, gone_path):
        api.error("GET", hidden, 404)
        api.error("PATCH", hidden, 404, json={"metadata": 1})
    api.error("PUT", path, 404, json={"name": "e"})
    api.error("PATCH", kept_path, 404, json={"deleted": False})
    assert api.ok("GET", "dataset_items/")["count"] == 0
    assert api.error("POST", "dataset_items/", json={"dataset": made["id"]})["code"] == "does_not_exist"
    api.error("POST", path + "evaluate/", 404, json={"evaluation_id": api.hog()["id"]})
    assert api.ok("PATCH", path, json={"deleted": False, "name": "back"})["name"] == "back"
    assert [each["id"] for each in api.ok("GET", "dataset_items/")["results"]] == [kept["id"]]
    assert api.ok("PATCH", gone_path, json={"deleted": False})["input"] == "gone"
    assert api.ok("GET", "dataset_items/")["count"] == 2


@pytest.mark.parametrize("kind", ["datasets", "evaluations"])
def test_search_ignores_case_in_every_script(api: Api, kind: str) -> None:
    fields = {"evaluation_type": "hog", "evaluation_config": {"source": "return true"}} if kind == "evaluations" else {}
    for name in ("ÄRGER im Büro", "Πλήρης έλεγχος", "проверка", "50%_x"):
        api.ok("POST", f"{kind}/", 201, json={"name": name} | fields)

    def found(text: str) -> list[str]:
        return [each["name"] for each in api.ok("GET", f"{kind}/", params={"search": text})["results"]]

    assert found("ärger IM bÜRO") == ["ÄRGER im Büro"]
    assert found("ΠΛΉΡΗ") == ["Πλήρης έλεγχος"]
    assert found("ПРОВЕРКА") == ["проверка"]
    assert found("%_") == ["50%_x"]
    assert found("_") == ["50%_x"]


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 401}, "name"),
        ({"name": None}, "name"),
        ({"deleted": "x"}, "deleted"),
    ],
)
def test_what_is_no_dataset_is_refused(session_api: Api, change: dict[str, Any], attr: str) -> None:
    assert session_api.error("POST", "datasets/", json={"name": "d"} | change)["attr"] == attr


def test_lists_are_filtered_searched_and_ordered(api: Api) -> None:
    first, second = dataset(api, name="Alpha"), dataset(api, name="beta", description="50% alpha")

    def names(query: str) -> list[str]:
        return [found["name"] for found in api.ok("GET", f"datasets/?{query}")["results"]]

    assert names("") == ["beta", "Alpha"]
    assert sorted(names("search=ALPHA")) == ["Alpha", "beta"]
    assert names("search=50%25") == ["beta"]
    assert names(f"id__in={first['id']}") == ["Alpha"]
    assert names("order_by=created_at") == ["Alpha", "beta"]
    assert names(f"id__in={first['id']},{second['id']}&limit=1") == ["beta"]


def test_items_hold_any_json_and_belong_to_a_dataset_of_the_team(api: Api) -> None:
    owner, other = dataset(api), dataset(api)
    value = [{"role": "user", "content": "hé\n\\u0000 \U0001f600"}, None, 1.5, 10**30, True]
    made = item(api, owner, input=value, output="o", ref_timestamp="2026-01-01T02:00:00+02:00")
    assert made["input"] == value
    assert made["ref_timestamp"] == "2026-01-01T00:00:00Z"
    assert api.ok("GET", f"dataset_items/{made['id']}/") == made
    assert api.ok("GET", f"dataset_items/?dataset={owner['id']}")["count"] == 1
    assert api.ok("GET", f"dataset_items/?dataset={other['id']}")["count"] == 0
    moved = api.ok("PATCH", f"dataset_items/{made['id']}/", json={"dataset": other["id"]})
    assert (moved["dataset"], moved["input"]) == (other["id"], value)
    error = api.error("PATCH", f"dataset_items/{made['id']}/", json={"dataset": str(uuid4())})
    assert (error["attr"], error["code"]) == ("dataset", "does_not_exist")
    assert api.error("PATCH", f"dataset_items/{made['id']}/", json={"dataset": None})["attr"] == "dataset"
    assert api.error("POST", "dataset_items/", json={})["attr"] == "dataset"
    api.error("DELETE", f"dataset_items/{made['id']}/", 405)
    api.ok("PATCH", f"dataset_items/{made['id']}/", json={"deleted": True})
    api.error("GET", f"dataset_items/{made['id']}/", 404)


def test_payloads_are_not_copied_into_the_audit_trail(api: Api) -> None:
    made = item(api, dataset(api), input="private words", output="more of them")
    api.ok("PATCH", f"dataset_items/{made['id']}/", json={"input": "other private words"})
    with api.services.database.read() as connection:
        rows = connection.exec_driver_sql(f"SELECT * FROM audit_log WHERE object_id = '{made['id']}'").all()
    assert len(rows) == 2
    assert "words" not in repr(rows)
    assert "them" not in repr(rows)


class TestEvaluate:
    def test_agreement_is_with_what_the_items_expect(self, api: Api) -> None:
        owner = dataset(api)
        for output, expected in (("long enough", "pass"), ("no", False), ("no", True), ("long enough", None)):
            item(
                api, owner, input="i", output=output, metadata={"expected": expected} if expected is not None else None
            )
        made = api.hog("return length(output) > 5")
        found = api.ok("POST", f"datasets/{owner['id']}/evaluate/", json={"evaluation_id": made["id"]})
        assert (found["items"], found["compared"], found["agreed"], found["complete"]) == (4, 3, 2, True)
        assert found["agreement"] == pytest.approx(2 / 3)
        assert found["agreement_low"] < 2 / 3 < found["agreement_high"]
        assert [each["agrees"] for each in found["results"]] == [True, True, False, None]

    def test_an_older_version_can_be_asked(self, api: Api) -> None:
        owner = dataset(api)
        item(api, owner, metadata={"expected": True})
        made = api.hog("return true")
        api.ok("PATCH", f"evaluations/{made['id']}/", json={"evaluation_config": {"source": "return false"}})
        path = f"datasets/{owner['id']}/evaluate/"
        assert api.ok("POST", path, json={"evaluation_id": made["id"]})["agreed"] == 0
        old = api.ok("POST", path, json={"evaluation_id": made["id"], "version": 1})
        assert (old["version"], old["agreed"]) == (1, 1)
        assert api.error("POST", path, json={"evaluation_id": made["id"], "version": 9})["attr"] == "version"

    def test_a_run_that_fails_is_the_items_error_and_is_not_compared(self, api: Api) -> None:
        owner = dataset(api)
        item(api, owner, metadata={"expected": True})
        made = api.hog("throw Error('no')")
        found = api.ok("POST", f"datasets/{owner['id']}/evaluate/", json={"evaluation_id": made["id"]})
        assert (found["compared"], found["agreement"]) == (0, None)
        assert found["results"][0]["error"]

    def test_a_judge_is_called_for_each_item(self, api: Api, stand_in: StandInServer) -> None:
        owner = dataset(api)
        for number in range(3):
            item(api, owner, input=f"question {number}", output="answer", metadata={"expected": "pass"})
        body = {"provider": "custom", "name": "k", "api_key": "sk-data-0123456789", "base_url": stand_in.base_url}
        key = api.ok("POST", "llm_analytics/provider_keys/", 201, json=body)
        config = {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}}
        model = {"provider": "custom", "model": "m", "provider_key_id": key["id"]}
        made = api.ok("POST", "evaluations/", 201, json={"name": "j", **config, "model_configuration": model})
        found = api.ok("POST", f"datasets/{owner['id']}/evaluate/", json={"evaluation_id": made["id"]})
        assert found["compared"] == 3
        assert len(stand_in.requests()) == 3
