"""An answer is a verdict only if it is exactly one: everything else is an error, never a guess."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from evaluators.llm_judge.answer import parse_answer
from evaluators.llm_judge.masking import shown
from evaluators.llm_judge.output import AnswerError, OutputContract, printable
from evaluators.llm_judge.transcript import Transcript
from evaluators.verdict import Skip, Verdict

NOTHING = Transcript((), "", ())
BOOLEAN = OutputContract()
BOOLEAN_NA = OutputContract(allows_na=True)
NUMERIC = OutputContract(type="numeric", minimum=0, maximum=10)
NUMERIC_NA = OutputContract(type="numeric", minimum=0, maximum=10, allows_na=True)
OPTIONS = (("good", "Good"), ("bad", "Bad"), ('odd "one"', "Odd"))
SINGLE = OutputContract(type="categorical", options=OPTIONS)
MULTIPLE = OutputContract(type="categorical", options=OPTIONS, multiple=True, allows_na=True)


@pytest.mark.parametrize(
    ("contract", "answer", "expected"),
    [
        (BOOLEAN, {"reasoning": "r", "verdict": True}, Verdict(result=True, reasoning="r")),
        (BOOLEAN, {"reasoning": "", "verdict": False}, Verdict(result=False)),
        (BOOLEAN_NA, {"reasoning": "r", "outcome": "pass"}, Verdict(result=True, reasoning="r")),
        (BOOLEAN_NA, {"reasoning": "r", "outcome": "fail"}, Verdict(result=False, reasoning="r")),
        (BOOLEAN_NA, {"reasoning": "r", "outcome": "not_applicable"}, Verdict(applicable=False, reasoning="r")),
        (NUMERIC, {"reasoning": "r", "score": 10}, Verdict(score=10.0, reasoning="r")),
        (NUMERIC, {"reasoning": "r", "score": 0}, Verdict(score=0.0, reasoning="r")),
        (NUMERIC_NA, {"reasoning": "r", "score": None}, Verdict(applicable=False, reasoning="r")),
        (SINGLE, {"reasoning": "r", "categories": ["good"]}, Verdict(categories=("good",), reasoning="r")),
        (
            MULTIPLE,
            {"reasoning": "r", "categories": ["bad", "good", "bad"]},
            Verdict(categories=("bad", "good"), reasoning="r"),
        ),
        (MULTIPLE, {"reasoning": "r", "categories": []}, Verdict(applicable=False, reasoning="r")),
    ],
)
def test_answers_that_fulfil_the_contract_are_verdicts(
    contract: OutputContract, answer: Any, expected: Verdict
) -> None:
    assert parse_answer(json.dumps(answer), contract, judged=NOTHING) == expected
    Draft202012Validator(contract.schema()).validate(answer)


@pytest.mark.parametrize(
    ("contract", "answer"),
    [
        (BOOLEAN, {"reasoning": "r", "verdict": "true"}),
        (BOOLEAN, {"reasoning": "r", "verdict": 1}),
        (BOOLEAN, {"reasoning": "r", "verdict": None}),
        (BOOLEAN, {"verdict": True}),
        (BOOLEAN, {"reasoning": "r", "outcome": "pass"}),
        (BOOLEAN_NA, {"reasoning": "r", "outcome": "PASS"}),
        (BOOLEAN_NA, {"reasoning": "r", "verdict": True}),
        (BOOLEAN_NA, {"reasoning": "r", "outcome": ["pass"]}),
        (NUMERIC, {"reasoning": "r", "score": "7"}),
        (NUMERIC, {"reasoning": "r", "score": True}),
        (NUMERIC, {"reasoning": "r", "score": None}),
        (NUMERIC, {"reasoning": "r", "score": float("nan")}),
        (NUMERIC, {"reasoning": "r", "score": float("inf")}),
        (NUMERIC, {"reasoning": "r", "score": 10**400}),
        (SINGLE, {"reasoning": "r", "categories": ["good", "bad"]}),
        (SINGLE, {"reasoning": "r", "categories": []}),
        (SINGLE, {"reasoning": "r", "categories": "good"}),
        (SINGLE, {"reasoning": "r", "categories": ["Good"]}),
        (SINGLE, {"reasoning": "r", "categories": [["good"]]}),
        (MULTIPLE, {"reasoning": "r", "categories": ["good", "invented"]}),
    ],
)
def test_answers_that_break_the_contract_are_errors(contract: OutputContract, answer: Any) -> None:
    with pytest.raises(AnswerError):
        parse_answer(json.dumps(answer), contract, judged=NOTHING)


@pytest.mark.parametrize("score", [-0.01, 10.01, -1e9])
def test_a_score_out_of_bounds_is_a_skip_and_keeps_its_reasoning(score: float) -> None:
    outcome = parse_answer(json.dumps({"reasoning": "why", "score": score}), NUMERIC, judged=NOTHING)
    assert isinstance(outcome, Skip)
    assert (outcome.reason, outcome.reasoning) == ("score_out_of_bounds", "why")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["reasoning", "verdict", "outcome", "score", "categories"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    answer=st.dictionaries(
        st.sampled_from(["reasoning", "verdict", "outcome", "score", "categories"]), JSON, max_size=4
    ),
    contract=st.sampled_from([BOOLEAN, BOOLEAN_NA, NUMERIC, NUMERIC_NA, SINGLE, MULTIPLE]),
)
def test_a_verdict_is_given_only_for_what_the_schema_allows(answer: dict[str, Any], contract: OutputContract) -> None:
    """The parser is never more lenient than the schema that the model was given, extra fields apart."""
    try:
        outcome = contract.read(answer)
    except AnswerError:
        return
    allowed = {name: answer[name] for name in ("reasoning", contract.field)}
    if isinstance(outcome, Verdict) and not (contract.type == "categorical" and answer[contract.field] is None):
        try:
            Draft202012Validator(contract.schema()).validate(allowed)
        except ValidationError as error:  # pragma: no cover - the message of a failing test
            pytest.fail(str(error))


def test_reasoning_comes_before_the_verdict_in_the_schema() -> None:
    """A model that writes the verdict first only justifies it afterwards."""
    for contract in (BOOLEAN, BOOLEAN_NA, NUMERIC, SINGLE):
        assert list(contract.schema()["properties"]) == ["reasoning", contract.field]
        assert contract.describe().index('"reasoning"') < contract.describe().index(f'"{contract.field}"')


@pytest.mark.parametrize("contract", [BOOLEAN, NUMERIC, SINGLE])
def test_na_is_not_offered_unless_it_is_allowed(contract: OutputContract) -> None:
    assert "cannot be applied" not in contract.describe()
    assert "null" not in json.dumps(contract.schema())
    assert "not_applicable" not in json.dumps(contract.schema()) + contract.describe()


def test_a_nul_of_a_stranger_is_replaced_because_postgresql_stores_none() -> None:
    assert printable("a\0b") == "a\ufffdb"
    assert shown("wrong key\0") == "wrong key\ufffd"
    verdict = BOOLEAN.read({"reasoning": "a\0b", "verdict": True})
    assert verdict.reasoning == "a\ufffdb"


def test_the_id_of_an_aws_key_is_masked_though_it_has_few_digits() -> None:
    assert shown("no access with AKIAIOSFODNN7EXAMPLE here") == "no access with [key] here"
