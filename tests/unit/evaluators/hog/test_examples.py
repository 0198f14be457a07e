"""The ready evaluators in `examples/evaluators`: they load as definitions, and judge as their cases say.

`config/cases.py` says what a case holds.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conditions import EventRow, Target, compile_matcher
from config.cases import Case, cases_beside, read_cases
from config.files import FileEvaluation, read_file
from evaluators.generation import Generation
from evaluators.hog import HogEvaluator
from evaluators.hog.evaluator import GenerationGlobals
from evaluators.verdict import Verdict
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S

FOLDER = CHECKOUT / "examples" / "evaluators"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.endswith(".cases.yaml"))
OUTCOMES = ("pass", "fail", "not_applicable")


def _definition(path: Path) -> FileEvaluation:
    (found,) = read_file(path)
    assert isinstance(found, FileEvaluation), str(found)
    return found


def _cases(path: Path) -> list[Case]:
    return read_cases(cases_beside(path))


def _generation(case: Case) -> Generation:
    return Generation(
        uuid="018f4b1e-7c3a-7000-8000-000000000001",
        team_id=1,
        event="$ai_generation",
        distinct_id="user-1",
        timestamp=datetime(2026, 3, 1, 12, tzinfo=UTC),
        properties=case.properties,
    )


def _outcome(verdict: object) -> str:
    assert isinstance(verdict, Verdict), f"no verdict but {verdict}"
    return "not_applicable" if not verdict.applicable else "pass" if verdict.result else "fail"


ALL_CASES = [pytest.param(path, case, id=f"{path.stem}: {case.name}") for path in FILES for case in _cases(path)]


@pytest.mark.parametrize(("path", "case"), ALL_CASES)
def test_each_case_gives_its_verdict_and_says_why(path: Path, case: Case) -> None:
    """The program as it stands in the file, run as the matcher runs it, gives the verdict and the reasoning."""
    definition = _definition(path).draft
    assert definition.source is not None
    evaluator = HogEvaluator(definition.source, allows_na=definition.output_config.allows_na)
    verdict = evaluator.evaluate(_generation(case), time_limit_s=PATIENCE_S)
    assert _outcome(verdict) == case.expect, verdict
    assert case.reasoning in verdict.reasoning
    assert verdict.reasoning, "every verdict says why"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_evaluator_has_cases_that_pass_that_fail_and_that_do_not_apply(path: Path) -> None:
    """No ready evaluator is shipped with a way out that was never seen."""
    counts = Counter(case.expect for case in _cases(path))
    assert set(counts) == set(OUTCOMES)
    names = [case.name for case in _cases(path)]
    assert len(names) == len(set(names))


FITTING = {
    "citation_present": {"feature": "langchain-rag"},
    "json_shape": {"feature": "answer-with-sources"},
    "plain_text": {"feature": "rewrite-mail"},
    "required_keywords": {"$ai_output_choices": [{"role": "assistant", "content": "Never invest what you need."}]},
    "valid_json": {"$ai_input": [{"role": "user", "content": "Answer in JSON."}]},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_evaluator_is_a_definition_that_can_be_applied(path: Path) -> None:
    """It validates as `gavel evaluations apply` validates it, runs at once, and says what it is for."""
    found = _definition(path)
    assert found.id is None, "an id could be applied for one team only"
    assert found.draft.enabled
    assert found.draft.evaluation_type == "hog"
    assert found.draft.output_config.allows_na
    assert len(found.draft.description) > 40
    target = Target(id="t", conditions=found.draft.conditions, enabled=True, cohort="shared")
    properties = {"$ai_tools": [{"name": "f"}], **FITTING.get(path.stem, {})}
    row = EventRow(uuid="e", event="$ai_generation", team_id=1, properties=properties)
    assert compile_matcher([target]).match(row).matched, "its conditions let a fitting event in"


def test_there_are_enough_of_them_with_names_of_their_own() -> None:
    """The promise of the documentation: fifteen at the least, none with the name of another."""
    names = [_definition(path).draft.name for path in FILES]
    assert len(names) >= 15
    assert len(names) == len(set(names))
    assert {path.name for path in FOLDER.glob("*.cases.yaml")} == {f"{path.stem}.cases.yaml" for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "properties",
    [
        {"$ai_output_choices": [{"role": "assistant", "content": "word " * 20_000}]},
        {"$ai_output_choices": "not a list", "$ai_tools": "neither", "$ai_latency": "x", "$ai_total_cost_usd": []},
        {"$ai_output_choices": [None, 5, "text", [], {"message": None}, {"content": [1, None, {"type": "tool_use"}]}]},
        {"$ai_output_choices": {"role": "assistant", "content": {"a": 1}}, "$ai_tools": [1, None, {}, {"function": 5}]},
        {"$ai_output": 5, "$ai_input": 6, "$ai_model": 7, "$ai_is_error": "x", "$ai_http_status": []},
        {"$ai_output_choices": [{"tool_calls": [{"function": {"name": None, "arguments": "{"}}, 7, None]}]},
    ],
    ids=["very long", "wrong types", "odd messages", "odd objects", "numbers", "odd calls"],
)
def test_whatever_was_logged_a_verdict_comes_of_it(path: Path, properties: dict[str, Any]) -> None:
    """Long, broken and unknown shapes are judged or not applicable; they neither skip nor run for long."""
    definition = _definition(path).draft
    assert definition.source is not None
    evaluator = HogEvaluator(definition.source, allows_na=True)
    generation = _generation(Case("n", properties, "pass"))
    evaluator.evaluate(generation, time_limit_s=PATIENCE_S)  # patterns are compiled in a first run
    verdict = evaluator.evaluate(generation, time_limit_s=2, shared=GenerationGlobals(generation))
    assert isinstance(verdict, Verdict), verdict
