"""Strategies of judges as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from config.definition_errors import DefinitionError
from config.definitions import EvaluationDraft, load_stored, parse_draft, to_raw
from config.judge_request import request_of
from config.model_resolution import ResolvedModel, TeamKeys, Unresolved, resolve_model
from config.provider_keys import OpenKey
from config.settings.sections import Judge as JudgeSettings
from evaluators.llm_judge import make_endpoint
from tests.unit.config.test_judge_request import generation
from tests.unit.processor.judge.room import KEY_ID, evaluation, provider_key

FIELDS = {"name": "polite", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Polite."}}


def models(*names: str, **more: Any) -> dict[str, Any]:
    return {"steps": [{"provider": "openai", "model": name} for name in names], **more}


def draft(strategy: Any, /, **changes: Any) -> EvaluationDraft:
    configuration = {"strategy": strategy, **changes.pop("configuration", {})}
    return parse_draft({**FIELDS, "model_configuration": configuration, **changes})


def test_provider_model_and_key_are_those_of_the_first_model() -> None:
    found = draft(models("a", "b", kind="jury")).model_configuration
    assert found is not None
    assert (found.provider, found.model) == ("openai", "a")
    assert [step.model for step in found.models] == ["a", "b"]
    hog = draft({"kind": "cascade", "steps": [{"hog": "return null"}, *models("b")["steps"]]}).model_configuration
    assert hog is not None
    assert hog.model == "b"


@pytest.mark.parametrize("kind", ["jury", "cascade"])
def test_a_strategy_is_stored_and_read_as_it_was_written(kind: str) -> None:
    written = draft(models("a", "b", kind=kind))
    assert parse_draft(to_raw(written)) == written
    assert (
        load_stored(
            {**evaluation().model_dump(mode="json"), **to_raw(written), "enabled": False, "status": "paused"}
        ).draft()
        == written
    )


def test_every_part_of_a_strategy_is_part_of_the_fingerprint_and_none_without_one() -> None:
    found = {
        draft(strategy).fingerprint_of_judging()
        for strategy in (
            models("a", "b", kind="jury"),
            models("b", "a", kind="jury"),
            models("a", "b", kind="cascade"),
            models("a", "b", kind="cascade", escalate_below=0.8),
            models("a", "b", kind="cascade", escalate_on_split=True),
        )
    }
    assert len(found) == 5
    plain = parse_draft({**FIELDS, "model_configuration": {"provider": "openai", "model": "a"}})
    assert "strategy" not in plain.judging()["model_configuration"]
    # The fingerprint of the release before strategies, so that stored versions keep theirs.
    assert plain.fingerprint_of_judging() == "30640136b1d69c3b4799a14be33a067b"


LOOP: list[Any] = []
LOOP.append(LOOP)
CIRCLE: dict[str, Any] = {"kind": "jury"}
CIRCLE["steps"] = [CIRCLE, CIRCLE]
HOG = {"hog": "return true"}


@pytest.mark.parametrize(
    ("strategy", "place"),
    [
        (models("a", kind="jury"), ""),
        (models(*"abcdef", kind="jury"), ""),
        (models(*["a"] * 1_000, kind="jury"), "__steps"),
        (models(*["a"] * 1_000_000, kind="cascade"), "__steps"),
        (models("a", kind="cascade"), ""),
        (models("a", "b", kind="single"), ""),
        (models("a", "b", kind="jury", escalate_on_split=True), ""),
        (models("a", "b", kind="debate"), "__kind"),
        (models("a", "b", kind="cascade", escalate_below=1.5), "__escalate_below"),
        (models("a", "b", kind="cascade", escalate_below=float("nan")), "__escalate_below"),
        ({"kind": "cascade", "steps": [{**models("a")["steps"][0], "votes": 2}, *models("b")["steps"]]}, ""),
        (
            {"kind": "jury", "steps": [{**models("a")["steps"][0], "votes": 6}, *models("b")["steps"]]},
            "__steps__0__votes",
        ),
        ({"kind": "cascade", "steps": [HOG, HOG]}, ""),
        ({"kind": "cascade", "steps": [*models("a")["steps"], HOG]}, ""),
        ({"kind": "jury", "steps": [HOG, *models("a", "b")["steps"]]}, ""),
        ({"kind": "cascade", "steps": [{"hog": "return ("}, *models("a")["steps"]]}, "__steps__0__hog"),
        ({"kind": "cascade", "steps": [{"hog": HOG}, *models("a")["steps"]]}, "__steps__0__hog"),
        (
            {
                "kind": "jury",
                "steps": [{**models("a")["steps"][0], "strategy": models("a", "b")}, *models("b")["steps"]],
            },
            "__steps__0__strategy",
        ),
        ({"kind": "jury", "steps": LOOP}, "__steps__0"),
        (CIRCLE, "__steps__0__provider"),
        ("jury", ""),
        ({"kind": "jury"}, "__steps"),
        ({"kind": "jury", "steps": "ab"}, "__steps"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused_with_its_place(strategy: Any, place: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        draft(strategy)
    assert raised.value.attr == f"model_configuration__strategy{place}"


def test_a_model_beside_the_strategy_must_be_its_first() -> None:
    assert draft(models("a", "b", kind="jury"), configuration={"provider": "openai", "model": "a"})
    with pytest.raises(DefinitionError, match="model is not that of the strategy's first model"):
        draft(models("a", "b", kind="jury"), configuration={"provider": "openai", "model": "b"})


def test_code_judges_booleans_only() -> None:
    strategy = {"kind": "cascade", "steps": [HOG, *models("a")["steps"]]}
    with pytest.raises(DefinitionError, match="Hog gives booleans"):
        draft(strategy, output_type="numeric")


def test_each_step_has_its_own_key_and_one_that_is_missing_stops_the_evaluation() -> None:
    pinned = {"provider": "custom", "model": "a", "provider_key_id": KEY_ID}
    found = draft({"kind": "jury", "steps": [pinned, {**pinned, "model": "b"}]}).model_configuration
    team = TeamKeys({KEY_ID: OpenKey(provider_key(), SecretStr("sk-good"))})
    resolved = resolve_model(found, team, JudgeSettings())
    assert [each.model for each in resolved.all] == ["a", "b"]
    other = {**pinned, "provider_key_id": "00000000-0000-4000-8000-000000000009"}
    with pytest.raises(Unresolved) as raised:
        resolve_model(draft({"kind": "jury", "steps": [pinned, other]}).model_configuration, team, JudgeSettings())
    assert raised.value.reason == "provider_key_deleted"


def test_only_single_answers_are_asked_for_log_probabilities() -> None:
    endpoint = make_endpoint("openai", "sk-0123456789")

    def asked(strategy: dict[str, Any]) -> list[bool]:
        steps = tuple(ResolvedModel(endpoint, name) for name in "abc")
        chosen = ResolvedModel(endpoint, "a", steps)
        plan = request_of(draft(strategy), chosen, generation(), JudgeSettings(), evaluation_id="e").plan
        assert plan is not None
        return [step.request.logprobs for step in plan.steps if step.request is not None]

    assert asked(models("a", "b", "c", kind="cascade")) == [True, True, True]
    assert asked(models("a", "b", "c", kind="jury")) == [False, False, False]
    assert asked(models("a", "b", "c", kind="jury", escalate_on_split=True)) == [False, False, True]
