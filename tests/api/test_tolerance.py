"""Definitions as PostHog exports them are accepted, and nothing that would be judged otherwise is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api

EXPORTED: dict[str, Any] = {
    "id": "497f6eca-6276-4993-bfeb-53cbbbba6f08",
    "name": "Answers politely",
    "description": "",
    "enabled": False,
    "status": "paused",
    "status_reason": None,
    "evaluation_type": "hog",
    "evaluation_config": {"source": "return true", "bytecode": ["_H", 1, 29, 38], "bytecode_error": None},
    "output_type": "boolean",
    "output_config": {"allows_na": True, "colour": "red"},
    "conditions": [
        {
            "id": "a",
            "rollout_percentage": 50,
            "properties": [
                {"key": "$ai_model", "type": "event", "value": ["gpt-5"], "operator": "exact", "label": "Model"},
                {"type": "OR", "values": [{"key": "plan", "value": "pro", "label": None, "negation": False}], "x": 1},
            ],
            "bytecode": [1],
            "bytecode_error": None,
        }
    ],
    "model_configuration": None,
    "target": "generation",
    "target_config": {},
    "created_at": "2019-08-24T14:15:22Z",
    "created_by": {"id": 1},
    "deleted": False,
    "user_access_level": "editor",
    "something_of_next_year": [1, 2],
}


def test_an_export_is_accepted_and_sent_back_as_what_is_known_of_it(api: Api) -> None:
    made = api.ok("POST", "evaluations/", 201, json=EXPORTED)
    assert made["evaluation_config"] == {"source": "return true"}
    assert made["output_config"] == {"allows_na": True}
    assert made["conditions"] == [
        {
            "id": "a",
            "rollout_percentage": 50.0,
            "properties": [
                {
                    "key": "$ai_model", "type": "event", "value": ["gpt-5"], "operator": "exact",
                    "group_type_index": None,
                },
                {
                    "type": "OR",
                    "values": [
                        {"key": "plan", "type": "event", "value": "pro", "operator": "exact", "group_type_index": None}
                    ],
                },
            ],
        }
    ]  # fmt: skip
    assert made["id"] != EXPORTED["id"]
    changed = api.ok("PATCH", f"evaluations/{made['id']}/", json=EXPORTED | {"name": "n"})
    assert (changed["name"], changed["version"]) == ("n", made["version"])
    tested = {"source": "return true", "conditions": EXPORTED["conditions"], "note": 1}
    assert api.ok("POST", "evaluations/test_hog/", json=tested)["results"] == []


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"target": "trace"}, "target"),
        ({"target": {"type": "session"}}, "target"),
        ({"conditions": [{"id": "a", "properties": [{"key": "a", "value": 1, "negation": True}]}]}, "conditions"),
    ],
)
def test_what_would_be_judged_otherwise_is_refused_with_the_reason(api: Api, change: dict[str, Any], attr: str) -> None:
    error = api.error("POST", "evaluations/", json=EXPORTED | change)
    assert (error["attr"], error["code"]) == (attr, "not_supported")


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


KNOWN = without(EXPORTED, "something_of_next_year") | {"conditions": [], "output_config": {}}


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"surprise": 1}, "surprise"),
        ({"output_config": {"colour": "red"}}, "output_config__colour"),
        ({"evaluation_config": {"source": "return true", "sauce": ""}}, "evaluation_config__sauce"),
        ({"conditions": [{"id": "a", "rolout_percentage": 1}]}, "conditions__rolout_percentage"),
        (
            {"conditions": [{"id": "a", "properties": [{"key": "a", "value": "b", "operater": "gt"}]}]},
            "conditions__operater",
        ),
    ],
)
def test_strictness_refuses_what_is_not_known(api: Api, change: dict[str, Any], attr: str) -> None:
    error = api.error("POST", "evaluations/?strict=1", json=KNOWN | change)
    assert (error["attr"], error["code"]) == (attr, "unknown_field")
    api.ok("POST", "evaluations/?strict=1", 201, json=KNOWN)
    api.ok("POST", "evaluations/", 201, json=KNOWN | change)


@pytest.mark.parametrize("path", ["datasets/", "llm_analytics/provider_key_validations/", "evaluations/test_hog/"])
def test_strictness_is_for_every_body(api: Api, path: str) -> None:
    body = {"name": "n", "source": "return true", "provider": "openai", "api_key": "k"}
    known = {"datasets/": ("name",), "evaluations/test_hog/": ("source",)}.get(path, ("provider", "api_key"))
    sent = {name: body[name] for name in known}
    assert api.error("POST", f"{path}?strict=true", json=sent | {"x": 1})["attr"] == "x"


def test_one_request_asks_for_strictness_and_no_other(api: Api) -> None:
    api.error("POST", "datasets/?strict=1", json={"name": "n", "x": 1})
    assert api.ok("POST", "datasets/", 201, json={"name": "n", "x": 1})["name"] == "n"


def test_filters_of_events_are_read_alike(api: Api) -> None:
    kept = '[{"key": "a", "value": "b", "label": "x", "odd": 1}]'
    api.ok("GET", "events/", params={"properties": kept})
    error = api.error("GET", "events/", params={"properties": '[{"key": "a", "value": "b", "negation": true}]'})
    assert error["attr"] == "properties"
