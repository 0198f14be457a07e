"""Every user of a judge asks the same of a model: one generation, one definition, one request."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from config.definitions import Evaluation, EvaluationDraft, parse_draft, to_raw
from config.judge_request import contract_of, estimate_of, request_of
from config.model_resolution import ResolvedModel, TeamKeys
from config.prices import load_prices
from config.provider_keys import OpenKey
from config.settings.sections import Judge as JudgeSettings
from evaluators.generation import Generation
from evaluators.llm_judge import JudgeRequest, make_endpoint
from evaluators.llm_judge.estimate import BUDGET_MARGIN, reservation
from processor.events.output import Output
from processor.events.task import Task
from processor.replay.estimate import make_estimator
from storage.snapshot import Snapshot, compile_team
from storage.sql.changes import TeamDefinitions
from tests.services.cache import CHECKOUT
from tests.unit.processor.judge.room import KEY_ID, evaluation, provider_key

BUILDERS = {"config/judge_request.py", "evaluators/llm_judge/neutral.py"}
"""The builder, and the check of a model, which judges no generation."""
USERS = {
    "live runs and backfills": "processor/judge/runs.py",
    "gavel judge try": "processor/judge/try_out.py",
    "test_judge and dataset runs": "api/services/judging.py",
}
ESTIMATORS = {"estimates of the API": "api/services/judging.py", "estimates of replays": "processor/replay/estimate.py"}
MODEL = ResolvedModel(make_endpoint("openai", "sk-0123456789"), "gpt-5-mini")


def draft(**changes: Any) -> EvaluationDraft:
    fields = {
        "name": "polite",
        "evaluation_type": "llm_judge",
        "evaluation_config": {"prompt": "The answer is polite."},
        **changes,
    }
    return parse_draft(fields)


def stored(definition: EvaluationDraft) -> Evaluation:
    return evaluation("e1", **to_raw(definition))


def generation(**properties: Any) -> Generation:
    return Generation("u", 7, "$ai_generation", "d", datetime(2026, 3, 2, tzinfo=UTC), properties)


def asked(properties: dict[str, Any], *, settings: JudgeSettings | None = None, **changes: Any) -> JudgeRequest:
    return request_of(
        draft(**changes), MODEL, generation(**properties), settings or JudgeSettings(), evaluation_id="e1"
    )


def product_modules() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("api", "cli", "config", "console", "evaluators", "ingest", "processor", "reports", "storage"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            yield str(path.relative_to(CHECKOUT)), ast.parse(path.read_text())


def calls(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        for node in ast.walk(tree)
    )


def test_nobody_builds_a_judge_request_of_their_own() -> None:
    for name in ("JudgeRequest", "OutputContract"):
        built = {path for path, tree in product_modules() if calls(tree, name)}
        assert built <= BUILDERS, f"{built - BUILDERS} must call config.judge_request"


@pytest.mark.parametrize("path", USERS.values(), ids=USERS)
def test_each_user_asks_the_builder(path: str) -> None:
    assert calls(ast.parse((CHECKOUT / path).read_text()), "request_of")


@pytest.mark.parametrize("path", ESTIMATORS.values(), ids=ESTIMATORS)
def test_each_estimator_asks_the_one_estimate(path: str) -> None:
    assert calls(ast.parse((CHECKOUT / path).read_text()), "estimate_of")


def test_one_event_has_one_estimate_whoever_asks_and_a_budget_reserves_it_with_its_margin() -> None:
    prices, settings = load_prices(), JudgeSettings()
    definition = stored(draft(enabled=True, model_configuration={"provider": "openai", "model": "gpt-5-mini"}))
    properties = {"$ai_input": "Where is my parcel? " * 200, "$ai_output": "It left on Monday. Und bald da! 你好。"}
    event = {
        "uuid": "u", "event": "$ai_generation", "team_id": 7, "distinct_id": "d", "properties": json.dumps(properties),
        "timestamp": "2026-03-02 12:00:00.000000",
    }  # fmt: skip
    used = estimate_of(definition, MODEL, generation(**properties), settings, prices.cost)
    team, _ = compile_team(7, TeamDefinitions((definition,), {}))
    key = OpenKey(replace(provider_key(), provider="openai", base_url=None), SecretStr("sk-0123456789"))
    estimator = make_estimator(Snapshot(1, {7: team}), lambda _team: TeamKeys({KEY_ID: key}, KEY_ID), settings, prices)
    task = Task(7, definition.id, "u", "llma-llm-eval-e1-u-ingestion", "c", "2026-03-02T12:00:00+00:00")
    tokens, usd = estimator(Output("task", "tasks", b"", json.dumps(event).encode(), task.headers()))
    assert (tokens, usd) == (used.tokens, used.cost_usd)
    assert used.cost_usd is not None
    request = request_of(definition, MODEL, generation(**properties), settings, evaluation_id="e1")
    reserved = reservation(request, prices.cost)
    margin = used.input_tokens * BUDGET_MARGIN.input + used.output_tokens * BUDGET_MARGIN.output
    assert reserved.tokens == pytest.approx(margin, abs=2)
    without = estimate_of(definition, None, generation(**properties), settings, prices.cost)
    assert (without.tokens, without.cost_usd) == (used.tokens, None)


def test_what_makes_no_call_is_estimated_at_nothing() -> None:
    prices, settings = load_prices(), JudgeSettings()
    hog = parse_draft({"name": "h", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    assert estimate_of(hog, None, generation(), settings, prices.cost).tokens == 0
    failed = generation(**{"$ai_is_error": "True"})
    assert estimate_of(draft(), MODEL, failed, settings, prices.cost).tokens == 0


@pytest.mark.parametrize("flag", [True, "true", "True", " TRUE "])
def test_a_generation_that_failed_is_errored_however_its_flag_is_written(flag: object) -> None:
    assert asked({"$ai_is_error": flag}).errored


def test_the_prompt_limit_and_the_weights_of_the_settings_are_in_the_request() -> None:
    settings = JudgeSettings(max_prompt_chars=2_000, weights={"7": 4.0, "e1": 0.5})
    request = asked({"$ai_input": "a", "$ai_output": "b"}, settings=settings)
    assert (request.max_chars, request.team_weight, request.weight) == (2_000, 4.0, 0.5)


def test_the_request_belongs_to_the_generation_and_the_definition() -> None:
    request = asked({"$ai_input": "Where is it?", "$ai_output": "It left.", "$ai_tools": [{"name": "track"}]})
    assert (request.team_id, request.evaluation_id, request.model) == (7, "e1", "gpt-5-mini")
    assert request.criteria == "The answer is polite."
    assert request.fingerprint == draft().fingerprint_of_judging()
    assert "Where is it?" in request.transcript.messages[0]
    assert request.transcript.output.endswith("It left.")
    assert "track" in request.transcript.tools[0]


def test_a_verdict_is_reused_only_where_caller_and_definition_allow_it() -> None:
    def cached(*, caller: bool, definition: bool) -> bool:
        found = request_of(
            draft(cache_verdicts=definition), MODEL, generation(), JudgeSettings(), evaluation_id="e", cache=caller
        )
        return found.cache

    assert cached(caller=True, definition=True)
    assert not cached(caller=False, definition=True)
    assert not cached(caller=True, definition=False)


def test_the_contract_has_what_the_output_configuration_says() -> None:
    numeric = draft(output_type="numeric", output_config={"min": 1, "max": 5, "step": 1, "allows_na": True})
    contract = contract_of(numeric.output_config)
    assert (contract.type, contract.minimum, contract.maximum, contract.step) == ("numeric", 1, 5, 1)
    assert contract.allows_na
    options = [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}]
    several = draft(output_type="categorical", output_config={"options": options, "selection_mode": "multiple"})
    contract = contract_of(several.output_config)
    assert (contract.options, contract.multiple) == ((("a", "A"), ("b", "B")), True)
