"""`llm_analytics`: provider keys, their validation, the active key and the trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from examples.stand_in.client import StandInServer
from processor.runtime.health import HealthServer
from storage.sql.audit import read_audit
from tests.api.conftest import Api

KEYS = "llm_analytics/provider_keys/"


def body(stand_in: StandInServer, **fields: Any) -> dict[str, Any]:
    return {
        "provider": "custom",
        "name": "Ours",
        "api_key": "sk-abcd-0123456789-0123456789-wxyz",
        "base_url": stand_in.base_url,
    } | fields


def judge(api: Api, key: dict[str, Any], **fields: Any) -> dict[str, Any]:
    model = {"provider": "custom", "model": "m", "provider_key_id": key["id"]}
    config = {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}, "model_configuration": model}
    made: dict[str, Any] = api.ok("POST", "evaluations/", 201, json={"name": "j", **config} | fields)
    return made


class TestKeys:
    def test_a_key_that_works_is_stored_masked(self, api: Api, stand_in: StandInServer) -> None:
        made = api.ok("POST", KEYS, 201, json=body(stand_in))
        assert (made["state"], made["error_message"]) == ("ok", None)
        assert made["api_key_masked"] == "sk-a...wxyz"
        assert "api_key" not in made
        assert api.ok("GET", f"{KEYS}{made['id']}/") == made
        assert api.ok("GET", KEYS)["results"] == [made]

    def test_a_short_key_is_masked_whole(self, api: Api, stand_in: StandInServer) -> None:
        assert (
            api.ok("POST", KEYS, 201, json=body(stand_in, api_key="sk-short-0123456789-0123456789a"))["api_key_masked"]
            == "****"
        )

    @pytest.mark.parametrize("treatment", ["unauthorized", "forbidden", "server_error", "quota"])
    def test_a_key_that_does_not_work_is_refused(self, api: Api, stand_in: StandInServer, treatment: str) -> None:
        stand_in.script({"match": {}, "action": treatment})
        error = api.error("POST", KEYS, json=body(stand_in))
        assert error["attr"] == "api_key"
        assert api.ok("GET", KEYS)["count"] == 0

    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            ({"name": ""}, "name"), ({"name": "x" * 256}, "name"), ({"provider": "acme"}, "provider"),
            ({"api_key": ""}, "api_key"), ({"api_key": "schlüssel"}, "api_key"), ({"api_key": "a b"}, "api_key"),
            ({"base_url": None}, "base_url"), ({"provider": "azure_openai", "base_url": None}, "azure_endpoint"),
            ({"provider": "openai"}, "base_url"), ({"base_url": "ftp://127.0.0.1/"}, "base_url"),
        ],
    )  # fmt: skip
    def test_what_is_no_key_is_refused(
        self, session_api: Api, stand_in: StandInServer, change: dict[str, Any], attr: str
    ) -> None:
        assert session_api.error("POST", KEYS, json=body(stand_in, **change))["attr"] == attr

    def test_a_change_of_key_or_address_is_tried_first(self, api: Api, stand_in: StandInServer) -> None:
        made = api.ok("POST", KEYS, 201, json=body(stand_in))
        path = f"{KEYS}{made['id']}/"
        stand_in.script({"match": {"api_key": "sk-bad-0123456789"}, "action": "unauthorized"})
        assert api.error("PATCH", path, json={"api_key": "sk-bad-0123456789"})["attr"] == "api_key"
        elsewhere = {"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-new-9876543210-aaaa"}
        assert api.error("PATCH", path, json=elsewhere)["attr"] == "api_key"
        assert api.ok("GET", path) == made
        asked = len(stand_in.requests())
        assert api.error("PATCH", path, json={"base_url": f"{stand_in.base_url}/other"})["code"] == "required"
        assert len(stand_in.requests()) == asked, "the stored key is not sent to another address"
        renamed = api.ok("PATCH", path, json={"name": "New", "provider": "custom"})
        assert (renamed["name"], renamed["api_key_masked"]) == ("New", made["api_key_masked"])
        newer = api.ok("PATCH", path, json={"api_key": "sk-new-9876543210-9876543210-aaaa"})
        assert newer["api_key_masked"] == "sk-n...aaaa"
        assert api.error("PATCH", path, json={"provider": "openai"})["attr"] == "provider"

    def test_a_stored_key_is_never_sent_to_another_address(self, api: Api, stand_in: StandInServer) -> None:
        made = api.ok("POST", KEYS, 201, json=body(stand_in))
        path = f"{KEYS}{made['id']}/"
        before = len(stand_in.requests())
        other = stand_in.base_url.replace("127.0.0.1", "127.0.0.2")
        for change in ({"base_url": other}, {"azure_endpoint": other}, {"base_url": f"{stand_in.base_url}/deeper"}):
            error = api.error("PATCH", path, json=change)
            assert (error["attr"], error["code"]) == ("api_key", "required")
            assert next(iter(change)) in error["detail"]
        assert len(stand_in.requests()) == before
        assert api.ok("GET", path) == made
        assert api.ok("PATCH", path, json={"base_url": stand_in.base_url, "name": "Same"})["name"] == "Same"

    def test_validation_of_a_stored_key_notes_its_state(self, api: Api, stand_in: StandInServer) -> None:
        made = api.ok("POST", KEYS, 201, json=body(stand_in))
        path = f"{KEYS}{made['id']}/validate/"
        stand_in.script({"match": {}, "action": "unauthorized"})
        assert api.ok("POST", path)["state"] == "invalid"
        assert api.ok("GET", f"{KEYS}{made['id']}/")["error_message"]
        stand_in.reset()
        mended = api.ok("POST", path)
        assert (mended["state"], mended["error_message"]) == ("ok", None)
        with api.services.database.read() as connection:
            entries = read_audit(connection, api.team, "provider_key", made["id"])
        assert [each.action for each in entries] == ["tested", "tested", "created"]
        assert entries[1].changes["state"] == ["ok", "invalid"]
        assert entries[0].changes["state"] == ["invalid", "ok"]
        assert entries[0].actor is not None
        api.ok("POST", path)
        with api.services.database.read() as connection:
            assert len(read_audit(connection, api.team, "provider_key", made["id"])) == 3, "nothing was changed"

    def test_the_trail_says_who_made_a_key_the_active_one(self, api: Api, stand_in: StandInServer) -> None:
        """By each way to do so, in one entry of the transaction that did it; no entry says what changed nothing."""
        first = api.ok("POST", KEYS, 201, json=body(stand_in) | {"set_as_active": True})["id"]
        second = api.ok("POST", KEYS, 201, json=body(stand_in))["id"]
        active = {"key_id": second}
        for _ in range(2):
            api.ok("POST", "llm_analytics/evaluation_config/set_active_key/", json=active)
        api.ok("PATCH", f"{KEYS}{first}/", json={"set_as_active": True, "name": "Main"})
        found = {}
        with api.services.database.read() as connection:
            for key in (first, second):
                found[key] = read_audit(connection, api.team, "provider_key", key)
        assert [each.action for each in found[first]] == ["activated", "updated", "activated", "created"]
        assert [each.action for each in found[second]] == ["activated", "created"]
        assert {each.actor for entries in found.values() for each in entries} == {found[first][-1].actor}
        assert found[first][1].changes["name"][1] == "Main"

    def test_a_server_that_is_no_provider_never_makes_a_key_ok(self, api: Api) -> None:
        """Such as the port of Gavel's own metrics, which answers everything it does not know with 404."""
        registry = CollectorRegistry()
        health = HealthServer("127.0.0.1", 0, live=lambda: (True, {}), ready=lambda: (True, {}), registry=registry)
        health.start()
        port = health.port
        try:
            for path in ("", "/v1", "/metrics", "/metrics?x="):
                given = {"provider": "custom", "api_key": "sk-0123456789", "base_url": f"http://127.0.0.1:{port}{path}"}
                found = api.ok("POST", "llm_analytics/provider_key_validations/", json=given)
                assert found["state"] == "error", path
                assert found["error_message"]
                assert api.error("POST", KEYS, json={**given, "name": "k"})["attr"] == "api_key"
        finally:
            health.stop()

    def test_a_gateway_without_a_list_of_models_proves_itself_by_a_completion(
        self, api: Api, stand_in: StandInServer
    ) -> None:
        unlisted = {"match": {"path": "/models"}, "action": {"do": "model_not_found", "message": "Not Found"}}
        stand_in.script(unlisted)
        assert api.ok("POST", KEYS, 201, json=body(stand_in))["state"] == "ok"
        stand_in.reset()
        stand_in.script(unlisted, {"match": {"path": "/completions"}, "action": "unauthorized"})
        given = {name: value for name, value in body(stand_in).items() if name != "name"}
        found = api.ok("POST", "llm_analytics/provider_key_validations/", json=given)
        assert found["state"] == "invalid"
        assert "no list of models" in found["error_message"]

    def test_a_key_can_be_tried_without_being_stored(self, api: Api, stand_in: StandInServer) -> None:
        given = {name: value for name, value in body(stand_in).items() if name != "name"}
        assert api.ok("POST", "llm_analytics/provider_key_validations/", json=given)["state"] == "ok"
        stand_in.script({"match": {}, "action": "forbidden"})
        found = api.ok("POST", "llm_analytics/provider_key_validations/", json=given)
        assert found["state"] == "invalid"
        assert found["error_message"]
        assert api.ok("GET", KEYS)["count"] == 0

    def test_a_model_can_be_tried_with_the_key_and_shows_the_form_it_answers_in(
        self, api: Api, stand_in: StandInServer
    ) -> None:
        given = {name: value for name, value in body(stand_in).items() if name != "name"}
        path = "llm_analytics/provider_key_validations/"
        tried = api.ok("POST", path, json={**given, "model": "m1"})["model"]
        assert (tried["model"], tried["structured_output"], tried["problem"]) == ("m1", "json_schema", None)
        stand_in.script({"match": {}, "action": "refuse_json_schema"})
        tried = api.ok("POST", path, json={**given, "model": "m1"})["model"]
        assert tried["structured_output"] in ("tool_call", "json_mode", "instruction")

    def test_without_a_secret_key_nothing_can_be_stored(
        self, make_api: Callable[..., Api], stand_in: StandInServer
    ) -> None:
        api = make_api(secret_keys=[])
        assert api.error("POST", KEYS, 503, json=body(stand_in))["code"] == "no_secret_keys"

    def test_models_are_asked_of_the_provider(self, api: Api, stand_in: StandInServer) -> None:
        made = api.ok("POST", KEYS, 201, json=body(stand_in))
        live = api.ok("GET", f"llm_analytics/models/?provider=custom&key_id={made['id']}")
        assert live["models"]
        known = api.ok("GET", "llm_analytics/models/?provider=openai")["models"]
        assert known[0] == {"id": "gpt-5-mini", "is_default": True}
        assert api.error("GET", f"llm_analytics/models/?provider=openai&key_id={made['id']}")["attr"] == "key_id"
        assert api.error("GET", "llm_analytics/models/")["attr"] == "provider"


class TestDelete:
    def test_evaluations_of_a_deleted_key_stop_with_the_reason(self, api: Api, stand_in: StandInServer) -> None:
        key = api.ok("POST", KEYS, 201, json=body(stand_in, set_as_active=True))
        running, idle = judge(api, key, enabled=True), judge(api, key, name="a")
        found = api.ok("GET", f"{KEYS}{key['id']}/dependent_configs/")
        assert [each["id"] for each in found["evaluations"]] == [idle["id"], running["id"]]
        assert found["is_active"] is True
        assert api.call("DELETE", f"{KEYS}{key['id']}/").status_code == 204
        stopped = api.ok("GET", f"evaluations/{running['id']}/")
        assert (stopped["enabled"], stopped["status_reason"]) == (False, "provider_key_deleted")
        assert api.ok("GET", f"evaluations/{idle['id']}/")["status"] == "paused"
        assert api.ok("GET", "llm_analytics/evaluation_config/")["active_provider_key"] is None
        api.error("GET", f"{KEYS}{key['id']}/", 404)
        error = api.error("PATCH", f"evaluations/{running['id']}/", json={"enabled": True})
        assert error["attr"] in ("enabled", "model_configuration__provider_key_id")

    def test_what_named_a_deleted_key_can_still_be_renamed_disabled_and_deleted(
        self, api: Api, stand_in: StandInServer
    ) -> None:
        key = api.ok("POST", KEYS, 201, json=body(stand_in, set_as_active=True))
        path = f"evaluations/{judge(api, key, enabled=True)['id']}/"
        assert api.call("DELETE", f"{KEYS}{key['id']}/").status_code == 204
        assert api.ok("PATCH", path, json={"name": "renamed"})["name"] == "renamed"
        assert api.ok("PATCH", path, json={"enabled": False})["enabled"] is False
        pinned = {"provider": "custom", "model": "other", "provider_key_id": key["id"]}
        error = api.error("PATCH", path, json={"model_configuration": pinned})
        assert error["attr"] == "model_configuration__provider_key_id"
        api.ok("PATCH", path, json={"deleted": True})
        api.error("GET", path, 404)

    def test_a_replacement_takes_over(self, api: Api, stand_in: StandInServer) -> None:
        key = api.ok("POST", KEYS, 201, json=body(stand_in, set_as_active=True))
        other = api.ok("POST", KEYS, 201, json=body(stand_in, name="Other"))
        running = judge(api, key, enabled=True)
        path = f"{KEYS}{key['id']}/?replacement_key_id="
        assert api.error("DELETE", path + str(uuid4()))["attr"] == "replacement_key_id"
        assert api.error("DELETE", path + key["id"])["attr"] == "replacement_key_id"
        assert api.call("DELETE", path + other["id"]).status_code == 204
        moved = api.ok("GET", f"evaluations/{running['id']}/")
        assert (moved["enabled"], moved["model_configuration"]["provider_key_name"]) == (True, "Other")
        assert api.ok("GET", "llm_analytics/evaluation_config/")["active_provider_key"]["id"] == other["id"]


class TestConfig:
    def test_it_is_made_on_the_first_read_with_the_trial_of_the_settings(self, make_api: Callable[..., Api]) -> None:
        api = make_api(judge={"trial_eval_limit": 7})
        found = api.ok("GET", "llm_analytics/evaluation_config/")
        assert (found["trial_eval_limit"], found["trial_evals_used"], found["trial_evals_remaining"]) == (7, 0, 7)
        assert found["active_provider_key"] is None
        assert api.ok("GET", "llm_analytics/evaluation_config/") == found

    def test_the_budget_of_the_team_is_set_shown_and_lifted(self, api: Api) -> None:
        path = "llm_analytics/evaluation_config/"
        assert api.ok("GET", path)["budget"] is None
        budget = {"usd": 5.0, "tokens": 1000, "period": "week"}
        changed = api.ok("PATCH", path, json={"budget": budget})
        assert changed["budget"] == budget
        assert changed["budget_used"] == {"usd": 0.0, "tokens": 0, "reserved_usd": 0.0, "reserved_tokens": 0}
        assert api.ok("GET", path) == changed
        assert api.error("PATCH", path, json={"budget": {"period": "day"}})["attr"] == "budget"
        only_read = {"budget": budget, "trial_eval_limit": 5}
        assert api.ok("PATCH", path, json=only_read)["trial_eval_limit"] == changed["trial_eval_limit"]
        assert api.ok("PATCH", path, json={"budget": None})["budget"] is None

    def test_only_a_key_that_works_can_be_active(self, api: Api, stand_in: StandInServer) -> None:
        path = "llm_analytics/evaluation_config/set_active_key/"
        key = api.ok("POST", KEYS, 201, json=body(stand_in))
        assert api.ok("POST", path, json={"key_id": key["id"]})["active_provider_key"] == key
        api.error("POST", path, 404, json={"key_id": str(uuid4())})
        stand_in.script({"match": {}, "action": "unauthorized"})
        api.ok("POST", f"{KEYS}{key['id']}/validate/")
        assert api.error("POST", path, json={"key_id": key["id"]})["attr"] == "key_id"

    def test_a_trial_lets_a_team_without_a_key_enable_until_it_is_used_up(
        self, make_api: Callable[..., Api], stand_in: StandInServer
    ) -> None:
        trial = {"trial_api_key": "sk-trial-0123456789", "trial_base_url": stand_in.base_url, "trial_eval_limit": 1}
        api = make_api(judge=trial)
        given = {"name": "j", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}, "enabled": True}
        api.ok("POST", "evaluations/", 201, json=given)
        api.events({"$ai_input": "i", "$ai_output": "o"})
        [tried] = api.ok("POST", "evaluations/test_judge/", json={"prompt": "p"})["results"]
        assert tried["error"] is None
        assert api.ok("GET", "llm_analytics/evaluation_config/")["trial_evals_remaining"] == 0
        assert api.error("POST", "evaluations/", json=given)["code"] == "trial_limit_reached"
