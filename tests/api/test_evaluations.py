"""`evaluations`: every rule of a field, over both stores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from examples.stand_in.client import StandInServer
from tests.api.conftest import Api

JUDGE: dict[str, Any] = {
    "name": "judge",
    "evaluation_type": "llm_judge",
    "evaluation_config": {"prompt": "Is it polite?"},
    "output_type": "boolean",
}


def provider_key(api: Api, stand_in: StandInServer, **fields: Any) -> dict[str, Any]:
    """Store a working key."""
    body = {"provider": "custom", "name": "key", "api_key": "sk-evaluations-0123456789", "base_url": stand_in.base_url}
    made: dict[str, Any] = api.ok("POST", "llm_analytics/provider_keys/", 201, json=body | fields)
    return made


class TestCreate:
    def test_what_is_left_out_gets_the_defaults_of_the_table(self, api: Api) -> None:
        made = api.ok("POST", "evaluations/", 201, json={k: v for k, v in JUDGE.items() if k != "output_type"})
        assert made["description"] == ""
        assert made["enabled"] is False
        assert made["status"] == "paused"
        assert made["output_type"] == "boolean"
        assert made["output_config"] == {"allows_na": False}
        assert made["model_configuration"] is None
        assert made["budget"] is None
        assert made["sampling_cohort"] == "shared"
        assert made["deleted"] is False
        assert made["version"] == 1
        assert made["created_by"]["email"] == "ann@example.com"
        assert made["created_by"]["first_name"] == "Ann"
        [condition_set] = made["conditions"]
        assert condition_set["rollout_percentage"] == 100
        assert condition_set["properties"] == []

    @pytest.mark.parametrize(
        ("change", "attr", "code"),
        [
            ({"name": ""}, "name", "blank"),
            ({"name": " "}, "name", "blank"),
            ({"name": None}, "name", None),
            ({"name": "x" * 401}, "name", None),
            ({"name": 5}, "name", None),
            ({"enabled": "perhaps"}, "enabled", None),
            ({"evaluation_type": "sentiment"}, "evaluation_type", None),
            ({"evaluation_config": {}}, "evaluation_config__prompt", "required"),
            ({"evaluation_config": {"prompt": ""}}, "evaluation_config__prompt", "blank"),
            ({"evaluation_config": {"prompt": "x", "source": "y"}}, "evaluation_config__source", "unknown_field"),
            ({"evaluation_config": []}, "evaluation_config", None),
            ({"output_type": "text"}, "output_type", None),
            ({"output_config": {"allows_na": 1}}, "output_config__allows_na", None),
            ({"output_config": {"step": 1}}, "output_config__step", "unknown_field"),
            ({"output_type": "numeric", "output_config": {"min": 5, "max": 1}}, "output_config", None),
            ({"output_type": "categorical", "output_config": {"options": []}}, "output_config__options", None),
            ({"conditions": "all"}, "conditions", None),
            (
                {"conditions": [{"id": "a", "properties": [{"key": "k", "operator": "like", "value": 1}]}]},
                "conditions",
                None,
            ),
            ({"conditions": [{"id": "a", "rollout_percentage": 101, "properties": []}]}, "conditions", None),
            ({"model_configuration": {"provider": "openai"}}, "model_configuration__model", "required"),
            ({"model_configuration": {"provider": "acme", "model": "m"}}, "model_configuration__provider", None),
            ({"budget": {"period": "day"}}, "budget", None),
            ({"sampling_cohort": "own"}, "sampling_cohort", None),
        ],
        ids=str,
    )
    def test_what_cannot_be_used_is_refused_with_its_attribute(
        self, api: Api, change: dict[str, Any], attr: str, code: str | None
    ) -> None:
        error = api.error("POST", "evaluations/", json=JUDGE | change)
        assert error["type"] == "validation_error"
        assert error["attr"] == attr
        if code is not None:
            assert error["code"] == code
        assert api.ok("GET", "evaluations/")["count"] == 0

    @pytest.mark.parametrize("field", ["name", "evaluation_type", "evaluation_config"])
    def test_required_fields_are_named(self, api: Api, field: str) -> None:
        error = api.error("POST", "evaluations/", json={k: v for k, v in JUDGE.items() if k != field})
        assert (error["code"], error["attr"]) == ("required", field)

    def test_hog_that_does_not_compile_is_refused_with_line_and_column(self, api: Api) -> None:
        body = {"name": "h", "evaluation_type": "hog", "evaluation_config": {"source": "let a := 1\nreturn a +* 2"}}
        error = api.error("POST", "evaluations/", json=body)
        assert error["attr"] == "evaluation_config"
        assert "line 2, column" in error["detail"]

    def test_read_only_fields_are_ignored_so_an_object_can_be_sent_back(self, api: Api) -> None:
        made = api.hog()
        sent = made | {"name": "renamed", "status": "error", "status_reason": "hog_error", "created_by": None}
        changed = api.ok("PUT", f"evaluations/{made['id']}/", json=sent)
        assert changed == made | {"name": "renamed", "updated_at": changed["updated_at"]}

    def test_empty_conditions_are_kept_apart_from_none(self, api: Api) -> None:
        assert api.hog(conditions=[])["conditions"] == []
        assert len(api.hog(conditions=None)["conditions"]) == 1


class TestChange:
    def test_patch_leaves_everything_else_and_merges_output_config(self, api: Api) -> None:
        made = api.hog(output_config={"allows_na": True, "true_is_failure": True}, description="d")
        changed = api.ok("PATCH", f"evaluations/{made['id']}/", json={"output_config": {"allows_na": False}})
        assert changed["output_config"] == {"allows_na": False, "true_is_failure": True}
        assert changed["description"] == "d"
        assert changed["evaluation_config"] == made["evaluation_config"]

    def test_put_gives_fields_that_are_left_out_their_defaults(self, api: Api) -> None:
        made = api.hog(description="d", conditions=[])
        body = {"name": "n", "evaluation_type": "hog", "evaluation_config": {"source": "return false"}}
        changed = api.ok("PUT", f"evaluations/{made['id']}/", json=body)
        assert changed["description"] == ""
        assert len(changed["conditions"]) == 1

    def test_only_what_alters_judging_makes_a_version_and_old_ones_stay_readable(self, api: Api) -> None:
        made = api.hog("return true")
        path = f"evaluations/{made['id']}/"
        assert api.ok("PATCH", path, json={"name": "n", "description": "d", "conditions": []})["version"] == 1
        assert api.ok("PATCH", path, json={"enabled": True})["version"] == 1
        assert api.ok("PATCH", path, json={"evaluation_config": {"source": "return false"}})["version"] == 2
        assert api.ok("PATCH", path, json={"output_config": {"allows_na": True}})["version"] == 3
        page = api.ok("GET", path + "versions/")
        assert [version["version"] for version in page["results"]] == [3, 2, 1]
        assert page["results"][2]["evaluation_config"] == {"source": "return true"}
        assert len({version["fingerprint"] for version in page["results"]}) == 3
        api.ok("PATCH", path, json={"deleted": True})
        assert api.ok("GET", path + "versions/")["count"] == 3

    def test_deleted_hides_from_list_and_retrieve_and_can_be_taken_back(self, api: Api) -> None:
        made = api.hog(enabled=True)
        path = f"evaluations/{made['id']}/"
        assert api.ok("PATCH", path, json={"deleted": True})["deleted"] is True
        assert api.ok("GET", "evaluations/")["count"] == 0
        api.error("GET", path, 404)
        api.error("PATCH", path, 404, json={"name": "x"})
        assert api.ok("PATCH", path, json={"deleted": False})["deleted"] is False
        assert api.ok("GET", path)["id"] == made["id"]

    def test_delete_is_405_and_deletes_nothing(self, api: Api) -> None:
        made = api.hog()
        api.error("DELETE", f"evaluations/{made['id']}/", 405)
        api.ok("GET", f"evaluations/{made['id']}/")

    def test_enabled_and_status_move_together_and_enabling_clears_the_reason(self, api: Api) -> None:
        from storage.sql.evaluations import Evaluations

        made = api.hog(enabled=True)
        assert made["status"] == "active"
        Evaluations(api.services.database).set_status(
            api.team,
            made["id"],
            "error",
            actor="judge",
            now=api.services.now(),
            reason="hog_error",
            detail="why",
        )
        broken = api.ok("GET", f"evaluations/{made['id']}/")
        assert (broken["enabled"], broken["status"]) == (False, "error")
        assert (broken["status_reason"], broken["status_reason_detail"]) == ("hog_error", "why")
        mended = api.ok("PATCH", f"evaluations/{made['id']}/", json={"enabled": True})
        assert (mended["enabled"], mended["status"], mended["status_reason"]) == (True, "active", None)
        paused = api.ok("PATCH", f"evaluations/{made['id']}/", json={"enabled": False})
        assert (paused["enabled"], paused["status"]) == (False, "paused")

    def test_the_audit_trail_says_who_changed_what(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/"
        api.ok("PATCH", path, json={"name": "new"})
        last, first = api.ok("GET", path + "history/")
        assert last["changes"] == {"name": ["hog", "new"]}
        assert last["by"]["email"] == "ann@example.com"
        assert first["action"] == "created"


class TestConcurrency:
    def test_a_change_for_another_version_is_refused(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/"
        api.ok("PATCH", path, json={"evaluation_config": {"source": "return false"}, "version": 1})
        error = api.error("PATCH", path, 409, json={"name": "late", "version": 1})
        assert (error["code"], error["attr"]) == ("version_conflict", "version")

    def test_if_match_takes_an_etag_a_version_or_a_star(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/"
        tag = api.call("GET", path).headers["ETag"]
        changed = api.call("PATCH", path, json={"name": "one"}, headers={"If-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag
        error = api.error("PATCH", path, 412, json={"name": "two"}, headers={"If-Match": tag})
        assert error["code"] == "version_conflict"
        api.ok("PATCH", path, json={"name": "three"}, headers={"If-Match": '"1"'})
        api.ok("PATCH", path, json={"name": "four"}, headers={"If-Match": "*"})
        assert api.error("PATCH", path, json={"name": "x"}, headers={"If-Match": "soon"})["attr"] == "If-Match"

    def test_of_many_changes_for_one_state_exactly_one_wins(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/"
        tag = api.call("GET", path).headers["ETag"]

        def change(number: int) -> int:
            found = api.call("PATCH", path, json={"name": f"n{number}"}, headers={"If-Match": tag})
            return int(found.status_code)

        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(change, range(8)))
        assert statuses == [200] + [412] * 7


class TestModels:
    def test_a_judge_without_key_and_model_cannot_be_enabled(self, api: Api) -> None:
        error = api.error("POST", "evaluations/", json=JUDGE | {"enabled": True})
        assert (error["attr"], error["code"]) == ("enabled", "provider_key_required")
        made = api.ok("POST", "evaluations/", 201, json=JUDGE)
        assert api.error("PATCH", f"evaluations/{made['id']}/", json={"enabled": True})["attr"] == "enabled"
        assert api.ok("GET", f"evaluations/{made['id']}/")["enabled"] is False

    def test_with_a_pinned_key_it_can_and_shows_the_keys_name(self, api: Api, stand_in: StandInServer) -> None:
        key = provider_key(api, stand_in, name="Ours")
        model = {"provider": "custom", "model": "m", "provider_key_id": key["id"], "provider_key_name": "ignored"}
        made = api.ok("POST", "evaluations/", 201, json=JUDGE | {"enabled": True, "model_configuration": model})
        assert made["status"] == "active"
        assert made["model_configuration"] == model | {"provider_key_name": "Ours"}

    def test_with_an_active_key_its_default_model_serves(self, api: Api, stand_in: StandInServer) -> None:
        provider_key(api, stand_in, set_as_active=True)
        error = api.error("POST", "evaluations/", json=JUDGE | {"enabled": True})
        assert error["code"] == "no_default_model"
        model = {"provider": "custom", "model": "m"}
        api.ok("POST", "evaluations/", 201, json=JUDGE | {"enabled": True, "model_configuration": model})

    def test_a_key_of_another_team_or_provider_is_refused(self, api: Api, stand_in: StandInServer) -> None:
        key = provider_key(api, stand_in)
        for key_id, provider in ((str(uuid4()), "custom"), (key["id"], "openai")):
            model = {"provider": provider, "model": "m", "provider_key_id": key_id}
            error = api.error("POST", "evaluations/", json=JUDGE | {"model_configuration": model})
            assert error["attr"] == "model_configuration__provider_key_id"


class TestList:
    def test_filters_search_and_order(self, api: Api) -> None:
        first = api.hog(name="Alpha", description="about 100% of cats")
        second = api.hog(name="beta", enabled=True)
        third = api.ok("POST", "evaluations/", 201, json=JUDGE | {"name": "Gamma", "description": "ALPHABET"})

        def names(query: str) -> list[str]:
            return [found["name"] for found in api.ok("GET", f"evaluations/?{query}")["results"]]

        assert names("") == ["Gamma", "beta", "Alpha"]
        assert names("enabled=true") == ["beta"]
        assert names("enabled=false&order_by=created_at") == ["Alpha", "Gamma"]
        assert names("evaluation_type=llm_judge") == ["Gamma"]
        assert names("search=alpha&order_by=name") == ["Alpha", "Gamma"]
        assert names("search=100%25") == ["Alpha"]
        assert names("search=%25%25") == []
        assert names("search=_") == []
        assert names(f"id__in={first['id']},{third['id']}&order_by=-created_at") == ["Gamma", "Alpha"]
        assert names(f"id__in={first['id']}&id__in={second['id']}&order_by=created_at") == ["Alpha", "beta"]
        assert names(f"id__in={uuid4()}") == []
        assert sorted(names("order_by=name")) == sorted(names("order_by=-name"))
        assert names("order_by=-name") == list(reversed(names("order_by=name")))
        api.ok("PATCH", f"evaluations/{first['id']}/", json={"description": "later"})
        assert names("order_by=-updated_at")[0] == "Alpha"
        assert names("order_by=name,-created_at") == names("order_by=name")

    @pytest.mark.parametrize(
        ("query", "attr"),
        [
            ("order_by=prompt", "order_by"),
            ("id__in=7", "id__in"),
            ("enabled=perhaps", "enabled"),
            ("limit=many", "limit"),
            ("offset=-1", "offset"),
            ("offset=99999999999999999999", "offset"),
            ("evaluation_type=x", "evaluation_type"),
        ],
    )
    def test_a_parameter_that_cannot_be_used_is_refused(self, session_api: Api, query: str, attr: str) -> None:
        assert session_api.error("GET", f"evaluations/?{query}")["attr"] == attr

    def test_the_links_lead_through_all_pages_and_back(self, api: Api) -> None:
        made = [api.hog(name=f"n{number}")["id"] for number in range(5)]
        seen: list[str] = []
        address = f"/api/environments/{api.team}/evaluations?limit=2&order_by=created_at&search=n"
        pages = []
        while address:
            page = api.http.get(address).json()
            assert page["count"] == 5
            pages.append(page)
            seen += [found["id"] for found in page["results"]]
            address = page["next"]
        assert seen == made
        assert pages[0]["previous"] is None
        back = api.http.get(pages[2]["previous"]).json()
        assert [found["id"] for found in back["results"]] == made[2:4]
        assert api.http.get(back["previous"]).json()["results"] == pages[0]["results"]

    def test_a_public_url_goes_into_the_links(self, make_api: Any) -> None:
        api = make_api(api={"public_url": "https://gavel.example.com/"})
        for _ in range(2):
            api.hog()
        link = api.ok("GET", "evaluations/?limit=1")["next"]
        assert link == f"https://gavel.example.com/api/projects/{api.team}/evaluations/?limit=1&offset=1"
