"""Juries and cascades over the API: keys of every step, tries, and estimates."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from examples.stand_in.client import StandInServer
from tests.api.conftest import Api
from tests.api.test_actions import GENERATION
from tests.api.test_llm_analytics import KEYS, body

JUDGE = {"name": "Polite", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it polite?"}}


def jury(*key_ids: Any, provider: str = "custom") -> dict[str, Any]:
    steps = [{"provider": provider, "model": f"m{at}", "provider_key_id": key} for at, key in enumerate(key_ids)]
    return {"strategy": {"kind": "jury", "steps": steps}}


def test_a_jury_is_stored_shown_and_replaced_by_one_model(api: Api, stand_in: StandInServer) -> None:
    key = api.ok("POST", KEYS, 201, json=body(stand_in))["id"]
    made = api.ok("POST", "evaluations/", 201, json=JUDGE | {"enabled": True, "model_configuration": jury(key, key)})
    shown = made["model_configuration"]
    assert (shown["provider"], shown["model"], shown["provider_key_id"]) == ("custom", "m0", key)
    assert [step["model"] for step in shown["strategy"]["steps"]] == ["m0", "m1"]
    path = f"evaluations/{made['id']}/"
    again = api.ok("PATCH", path, json={"model_configuration": shown})
    assert again["version"] == made["version"]
    single = {"provider": "custom", "model": "m9", "provider_key_id": key}
    changed = api.ok("PATCH", path, json={"model_configuration": single})
    assert "strategy" not in changed["model_configuration"]
    assert changed["version"] == made["version"] + 1


@pytest.mark.parametrize("position", [0, 1])
def test_a_key_of_another_team_is_refused_in_every_step(api: Api, stand_in: StandInServer, position: int) -> None:
    key = api.ok("POST", KEYS, 201, json=body(stand_in))["id"]
    keys = [key, key]
    keys[position] = str(uuid4())
    error = api.error("POST", "evaluations/", json=JUDGE | {"model_configuration": jury(*keys)})
    assert error["attr"] == f"model_configuration__strategy__steps__{position}__provider_key_id"
    assert error["code"] == "does_not_exist"
    wrong = jury(key, key)
    wrong["strategy"]["steps"][1]["provider"] = "openai"
    error = api.error("POST", "evaluations/", json=JUDGE | {"model_configuration": wrong})
    assert error["attr"] == "model_configuration__strategy__steps__1__provider_key_id"


def test_a_thousand_jurors_are_refused(api: Api) -> None:
    error = api.error("POST", "evaluations/", json=JUDGE | {"model_configuration": jury(*[None] * 1_000)})
    assert error["attr"] == "model_configuration__strategy__steps"


def test_a_deleted_key_of_one_member_is_found_and_handed_over(api: Api, stand_in: StandInServer) -> None:
    first, second, third = (api.ok("POST", KEYS, 201, json=body(stand_in, name=name))["id"] for name in "abc")
    made = api.ok(
        "POST", "evaluations/", 201, json=JUDGE | {"enabled": True, "model_configuration": jury(first, second)}
    )
    found = api.ok("GET", f"{KEYS}{second}/dependent_configs/")["evaluations"]
    assert [each["id"] for each in found] == [made["id"]]
    assert api.call("DELETE", f"{KEYS}{second}/?replacement_key_id={third}").status_code == 204
    moved = api.ok("GET", f"evaluations/{made['id']}/")["model_configuration"]["strategy"]["steps"]
    assert [step["provider_key_id"] for step in moved] == [first, third]
    assert api.call("DELETE", f"{KEYS}{third}/").status_code == 204
    assert api.ok("GET", f"evaluations/{made['id']}/")["status_reason"] == "provider_key_deleted"


def test_a_try_asks_every_member(api: Api, stand_in: StandInServer) -> None:
    key = api.ok("POST", KEYS, 201, json=body(stand_in))["id"]
    api.events(GENERATION)
    before = len(stand_in.requests())
    given = {"prompt": "Is it polite?", "model_configuration": jury(key, key)}
    [found] = api.ok("POST", "evaluations/test_judge/", json=given)["results"]
    assert found["result"] in (True, False)
    assert sorted(call["model"] for call in stand_in.requests()[before:]) == ["m0", "m1"]
