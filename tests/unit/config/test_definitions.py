"""Evaluations that are accepted, and the messages for those that are not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from config.definition_errors import DefinitionError
from config.definitions import (
    EvaluationDraft,
    ModelConfiguration,
    load_stored,
    parse_draft,
    patch_draft,
    to_raw,
)

JUDGE: dict[str, Any] = {"name": "Helpful", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it?"}}
HOG: dict[str, Any] = {"name": "Short", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
OPTIONS = [{"key": "good", "label": "Good"}, {"key": "bad", "label": "Bad"}]


def refused(**fields: Any) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        parse_draft({**JUDGE, **fields})
    return caught.value


def test_the_least_that_is_an_evaluation_has_the_specified_defaults() -> None:
    made = parse_draft(JUDGE)
    assert (made.description, made.enabled, made.output_type, made.sampling_cohort) == ("", False, "boolean", "shared")
    assert to_raw(made)["output_config"] == {"allows_na": False, "true_is_failure": False}
    assert (made.model_configuration, made.budget, made.deleted) == (None, None, False)
    assert (made.prompt, made.source) == ("Is it?", None)


@pytest.mark.parametrize("given", [{}, {"conditions": None}])
def test_omitted_and_null_conditions_take_every_event(given: dict[str, Any]) -> None:
    (only,) = parse_draft({**JUDGE, **given}).conditions
    assert (only.rollout_percentage, only.properties) == (100, ())


def test_an_empty_list_of_conditions_stays_empty_through_every_copy() -> None:
    """`[]` never runs; read as "omitted" it would run on everything."""
    never = parse_draft({**JUDGE, "conditions": []})
    assert never.conditions == ()
    assert parse_draft(to_raw(never)).conditions == ()
    assert parse_draft(never.model_dump()).conditions == ()
    assert patch_draft(never, {"name": "x"}).conditions == ()


@pytest.mark.parametrize(
    ("fields", "attr", "code"),
    [
        ({"name": ""}, "name", "blank"),
        ({"name": "   "}, "name", "blank"),
        ({"name": "x" * 401}, "name", "invalid"),
        ({"name": None}, "name", "invalid"),
        ({"name": 5}, "name", "invalid"),
        ({"name": "a\x00"}, "name", "invalid"),
        ({"name": "a\ud800"}, "name", "invalid"),
        ({"description": None}, "description", "invalid"),
        ({"enabled": "yes"}, "enabled", "invalid"),
        ({"enabled": 1}, "enabled", "invalid"),
        ({"evaluation_type": "vibes"}, "evaluation_type", "invalid"),
        ({"evaluation_config": {}}, "evaluation_config__prompt", "required"),
        ({"evaluation_config": {"prompt": " \n"}}, "evaluation_config__prompt", "blank"),
        ({"evaluation_config": {"prompt": "a", "model": "b"}}, "evaluation_config__model", "unknown_field"),
        ({"evaluation_config": {"source": "a"}}, "evaluation_config__prompt", "required"),
        ({"evaluation_config": "x"}, "evaluation_config", "invalid"),
        ({"evaluation_config": None}, "evaluation_config", "invalid"),
        ({"evaluation_config": {"prompt": "x" * 200_001}}, "evaluation_config__prompt", "invalid"),
        ({"output_type": "text"}, "output_type", "invalid"),
        ({"output_config": {"allows_na": "no"}}, "output_config__allows_na", "invalid"),
        ({"output_config": {"min": 0}}, "output_config__min", "unknown_field"),
        ({"output_type": "numeric", "output_config": {"min": 1, "max": 1}}, "output_config", "invalid"),
        ({"output_type": "numeric", "output_config": {"min": math.nan}}, "output_config__min", "invalid"),
        ({"output_type": "numeric", "output_config": {"min": "0"}}, "output_config__min", "invalid"),
        ({"output_type": "numeric", "output_config": {"min": True}}, "output_config__min", "invalid"),
        ({"output_type": "numeric", "output_config": {"step": 0}}, "output_config__step", "invalid"),
        ({"output_type": "numeric", "output_config": {"min": 0, "max": 1, "step": 2}}, "output_config", "invalid"),
        (
            {
                "output_type": "numeric",
                "output_config": {"max": 1, "passing_rule": {"operator": "gte", "threshold": 2}},
            },
            "output_config",
            "invalid",
        ),
        (
            {"output_type": "numeric", "output_config": {"passing_rule": {"operator": "gt", "threshold": 2}}},
            "output_config__passing_rule__operator",
            "invalid",
        ),
        ({"output_type": "categorical"}, "output_config__options", "required"),
        ({"output_type": "categorical", "output_config": {"options": []}}, "output_config__options", "invalid"),
        (
            {"output_type": "categorical", "output_config": {"options": [*OPTIONS, OPTIONS[0]]}},
            "output_config__options",
            "invalid",
        ),
        (
            {"output_type": "categorical", "output_config": {"options": [{"key": "", "label": "x"}]}},
            "output_config__options__0__key",
            "blank",
        ),
        (
            {
                "output_type": "categorical",
                "output_config": {"options": OPTIONS, "passing_rule": {"categories": ["ugly"]}},
            },
            "output_config",
            "invalid",
        ),
        ({"conditions": "all"}, "conditions", "invalid"),
        ({"conditions": [{"id": "a", "rollout_percentage": 101}]}, "conditions", "invalid"),
        ({"conditions": [{"id": "a", "properties": [{"key": "k", "value": math.inf}]}]}, "conditions", "invalid"),
        ({"conditions": [{"id": "a", "properties": [{"key": "k", "value": "\x00"}]}]}, "conditions", "invalid"),
        ({"model_configuration": {"provider": "openai"}}, "model_configuration__model", "required"),
        ({"model_configuration": {"provider": "skynet", "model": "m"}}, "model_configuration__provider", "invalid"),
        ({"model_configuration": {"provider": "openai", "model": "x" * 101}}, "model_configuration__model", "invalid"),
        (
            {"model_configuration": {"provider": "openai", "model": "m", "provider_key_id": "x"}},
            "model_configuration__provider_key_id",
            "invalid",
        ),
        ({"budget": {"period": "day"}}, "budget", "invalid"),
        ({"budget": {"usd": 1}}, "budget__period", "required"),
        ({"budget": {"usd": 0, "period": "day"}}, "budget__usd", "invalid"),
        ({"budget": {"usd": True, "period": "day"}}, "budget__usd", "invalid"),
        ({"budget": {"tokens": 1.5, "period": "day"}}, "budget__tokens", "invalid"),
        ({"sampling_cohort": "mine"}, "sampling_cohort", "invalid"),
        ({"status": "active"}, "status", "unknown_field"),
        ({"enbled": True}, "enbled", "unknown_field"),
    ],
)
def test_a_problem_is_told_on_its_attribute(fields: dict[str, Any], attr: str, code: str) -> None:
    error = refused(**fields)
    assert (error.attr.split("__")[0], error.code) == (attr.split("__")[0], code)
    assert error.attr == attr or attr == "conditions"
    assert error.message
    assert len(str(error)) < 2_000


@pytest.mark.parametrize("raw", [None, [], "x", 5, {}, {"name": []}])
def test_what_is_no_evaluation_at_all_is_refused(raw: object) -> None:
    with pytest.raises(DefinitionError):
        parse_draft(raw)


def test_a_problem_of_conditions_names_set_and_filter() -> None:
    error = refused(conditions=[{"id": "a"}, {"id": "b", "properties": [{"key": "k", "operator": "zz"}]}])
    assert error.attr == "conditions"
    assert error.path == ("conditions", 1, "properties", 0, "operator")
    assert "zz" in error.message


def test_hog_is_compiled_on_save_and_the_place_is_told() -> None:
    assert parse_draft(HOG).source == "return true"
    with pytest.raises(DefinitionError) as caught:
        parse_draft({**HOG, "evaluation_config": {"source": "let a := 1\nlet b := (\nreturn a"}})
    error = caught.value
    assert error.attr == "evaluation_config"
    assert "line" in error.message
    assert "column" in error.message
    assert error.source_at is not None


def test_hog_gives_booleans_only() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_draft({**HOG, "output_type": "numeric"})
    assert caught.value.attr == "output_type"


def test_a_hogql_filter_is_compiled_on_save() -> None:
    def conditions(source: str) -> list[dict[str, Any]]:
        return [{"id": "a", "properties": [{"key": source, "type": "hogql"}]}]

    assert parse_draft({**JUDGE, "conditions": conditions("properties.a = 1")}).conditions
    assert refused(conditions=conditions("properties.a = (")).attr == "conditions"


def test_a_patch_merges_output_config_and_replaces_the_rest() -> None:
    before = parse_draft(
        {**JUDGE, "output_type": "numeric", "output_config": {"min": 0, "max": 1}, "description": "old"}
    )
    after = patch_draft(before, {"output_config": {"allows_na": True}, "description": "new"})
    assert to_raw(after)["output_config"] == {**to_raw(before)["output_config"], "allows_na": True}
    assert after.description == "new"
    assert patch_draft(after, {}) == after


def test_a_patch_of_the_type_drops_what_belonged_to_the_old_one() -> None:
    numeric = parse_draft({**JUDGE, "output_type": "numeric", "output_config": {"max": 1, "allows_na": True}})
    boolean = patch_draft(numeric, {"output_type": "boolean"})
    assert to_raw(boolean)["output_config"] == {"allows_na": True, "true_is_failure": False}
    with pytest.raises(DefinitionError) as caught:
        patch_draft(boolean, {"evaluation_type": "hog"})
    assert caught.value.attr == "evaluation_config"
    hog = patch_draft(boolean, {"evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    assert hog.source == "return true"


def test_a_patch_with_a_wrong_field_is_refused() -> None:
    for changes in ({"nme": "x"}, {"output_config": {"x": 1}}, {"name": None}, {"output_config": 5}):
        with pytest.raises(DefinitionError):
            patch_draft(parse_draft(JUDGE), changes)


@pytest.mark.parametrize(
    ("change", "alters"),
    [
        ({"name": "x"}, False),
        ({"description": "x"}, False),
        ({"enabled": True}, False),
        ({"conditions": []}, False),
        ({"budget": {"usd": 1, "period": "day"}}, False),
        ({"sampling_cohort": "independent"}, False),
        ({"evaluation_config": {"prompt": "Is it?  "}}, False),
        ({"evaluation_config": {"prompt": "Is it not?"}}, True),
        ({"output_config": {"allows_na": True}}, True),
        ({"output_type": "numeric"}, True),
        ({"model_configuration": {"provider": "openai", "model": "m"}}, True),
    ],
)
def test_the_fingerprint_changes_with_what_alters_judging_and_with_nothing_else(
    change: dict[str, Any], alters: bool
) -> None:
    before = parse_draft(JUDGE)
    assert (patch_draft(before, change).fingerprint_of_judging() != before.fingerprint_of_judging()) is alters


def test_the_fingerprint_is_the_same_on_every_machine() -> None:
    """Pinned: results carry it, so a release that changes it splits every figure."""
    assert parse_draft(JUDGE).fingerprint_of_judging() == "32505bbb241539ac0e2610a83679cece"


def test_a_draft_survives_json() -> None:
    given = parse_draft(
        {
            **JUDGE,
            "output_type": "categorical",
            "output_config": {
                "options": OPTIONS,
                "selection_mode": "multiple",
                "passing_rule": {"categories": ["good"]},
            },
            "model_configuration": {
                "provider": "custom",
                "model": "m",
                "provider_key_id": "018f4b1e-7c3a-7000-8000-000000000001",
            },
            "budget": {"usd": 0.1, "tokens": 5, "period": "week"},
            "conditions": [
                {
                    "id": "a",
                    "rollout_percentage": 0.01,
                    "properties": [
                        {"type": "OR", "values": [{"key": "a", "value": 1}, {"key": "b", "operator": "is_set"}]}
                    ],
                }
            ],
        }
    )
    assert parse_draft(to_raw(given)) == given
    assert EvaluationDraft.model_validate_json(given.model_dump_json()) == given
    assert isinstance(given.model_configuration, ModelConfiguration)


def test_stored_rows_that_were_spoilt_are_refused_and_never_read_as_something_else() -> None:
    with pytest.raises(DefinitionError):
        load_stored({"name": "x"})
