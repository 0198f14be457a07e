"""Verdicts of people, as objects and as cells of a table."""

from __future__ import annotations

from typing import Any

import pytest

from config.label_verdicts import BadVerdict, read_expected, read_short_verdict, read_verdict, short_verdict
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput, Option, OutputConfig

BAD_IS_TRUE = BooleanOutput(true_is_failure=True, allows_na=True)
SCORE = NumericOutput(min=0, max=5)
KINDS = CategoricalOutput(options=tuple(Option(key=key, label=key) for key in ("bug", "na", "refund")), allows_na=True)
SEVERAL = CategoricalOutput(options=KINDS.options, selection_mode="multiple")


@pytest.mark.parametrize(
    ("cell", "output", "verdict"),
    [
        ("pass", BAD_IS_TRUE, {"applicable": True, "result": False}),
        (" Fail ", BAD_IS_TRUE, {"applicable": True, "result": True}),
        ("TRUE", BAD_IS_TRUE, {"applicable": True, "result": True}),
        ("n/a", BAD_IS_TRUE, {"applicable": False}),
        ("unsure", SCORE, {"unsure": True}),
        ("3.5", SCORE, {"applicable": True, "score": 3.5}),
        ("bug", KINDS, {"applicable": True, "categories": ["bug"]}),
        ("na", KINDS, {"applicable": True, "categories": ["na"]}),
        ("not_applicable", KINDS, {"applicable": False}),
        ("refund|bug", SEVERAL, {"applicable": True, "categories": ["bug", "refund"]}),
    ],
)
def test_a_cell_is_read_and_written(cell: str, output: OutputConfig, verdict: dict[str, Any]) -> None:
    assert read_short_verdict(cell, output) == verdict
    if verdict != {"applicable": False}:
        assert read_short_verdict(short_verdict(verdict), output) == verdict
    assert read_verdict(verdict, output) == verdict


@pytest.mark.parametrize(
    ("cell", "output"),
    [
        ("maybe", BAD_IS_TRUE), ("", BAD_IS_TRUE), ("na", BooleanOutput()), ("6", SCORE), ("nan", SCORE),
        ("inf", SCORE), ("x", SCORE), ("bug|refund", KINDS), ("other", KINDS), ("9" * 30_000, SCORE),
    ],
)  # fmt: skip
def test_a_cell_that_is_no_answer_is_refused(cell: str, output: OutputConfig) -> None:
    with pytest.raises(BadVerdict):
        read_short_verdict(cell, output)


@pytest.mark.parametrize(
    "score", [10**400, -(10**400), float("inf"), float("nan")], ids=["large", "small", "inf", "nan"]
)
@pytest.mark.parametrize("output", [SCORE, NumericOutput()])
def test_a_score_that_is_no_finite_number_is_refused(score: float, output: OutputConfig) -> None:
    with pytest.raises(BadVerdict, match="finite"):
        read_verdict({"score": score}, output)
    with pytest.raises(BadVerdict, match="finite"):
        read_expected(score, output)
