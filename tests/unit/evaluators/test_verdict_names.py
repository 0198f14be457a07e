"""The five ways in which a result reads are written once, and everybody reads a verdict in the same way."""

from __future__ import annotations

import re

import pytest

from cli.verdicts import _verdict as followed
from evaluators.verdict import VERDICT_NAMES, Verdict, VerdictName
from processor.events.result import VERDICTS, outcome_label
from reports.windows.entry import _Properties as Counted
from reports.windows.entry import _verdict as counted
from storage.clickhouse.query import PassRule, Where, verdict_expression
from tests.services.cache import CHECKOUT
from tests.unit.config.test_judge_request import product_modules

NAMES = re.compile(r'"pass",\s*"fail",\s*"scored",\s*"not_applicable"')
RULES = PassRule(), PassRule(operator="gte", threshold=3.0), PassRule(categories=["a", "b"])


def test_the_names_are_written_once() -> None:
    found = {path: (CHECKOUT / path).read_text() for path, _ in product_modules()}
    assert [path for path, text in found.items() if NAMES.search(text)] == ["evaluators/verdict.py"]
    reading = [path for path, text in found.items() if "'scored', " in text and "'pass', 'fail')" in text]
    assert reading == ["storage/clickhouse/query.py"]
    assert (*VERDICTS, "skipped") == VERDICT_NAMES


@pytest.mark.parametrize(
    ("kind", "verdict", "rule", "name"),
    [
        ("boolean", Verdict(result=True), RULES[0], "pass"),
        ("boolean", Verdict(result=False), RULES[0], "fail"),
        ("boolean", Verdict(result=True), PassRule(true_is_failure=True), "fail"),
        ("numeric", Verdict(score=0.0), RULES[0], "scored"),
        ("numeric", Verdict(score=3.0), RULES[1], "pass"),
        ("numeric", Verdict(score=2.0), RULES[1], "fail"),
        ("categorical", Verdict(categories=("a",)), RULES[0], "scored"),
        ("categorical", Verdict(categories=("a",)), RULES[2], "pass"),
        ("categorical", Verdict(categories=("a", "c")), RULES[2], "fail"),
        ("boolean", Verdict(applicable=False), RULES[0], "not_applicable"),
        ("numeric", Verdict(applicable=False), RULES[1], "not_applicable"),
        ("categorical", Verdict(applicable=False), RULES[2], "not_applicable"),
    ],
)
def test_all_read_a_verdict_in_the_same_way(kind: str, verdict: Verdict, rule: PassRule, name: VerdictName) -> None:
    chosen = None if verdict.categories is None else list(verdict.categories)
    event = {
        "$ai_evaluation_applicable": verdict.applicable,
        "$ai_evaluation_result": verdict.result,
        "$ai_evaluation_numeric_result": verdict.score,
        "$ai_evaluation_categorical_result": chosen,
    }
    properties = Counted(
        evaluation_id="e", kind=kind, result=verdict.result, score=verdict.score, categories=chosen,
        applicable=verdict.applicable,
    )  # fmt: skip
    assert followed(event, rule) == counted(properties, rule) == name
    if rule == PassRule():
        assert outcome_label(verdict) == name


def test_a_query_reads_by_the_rule() -> None:
    assert verdict_expression(PassRule().bind(Where())).count("isNull(multiIf(") == 1
