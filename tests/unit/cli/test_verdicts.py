"""A verdict of the results topic reads as the stored one does, and whatever else lies there is passed over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.verdicts import RulesOfTeams, read_result
from storage.clickhouse.query import PassRule

RULES = {
    "inverted": PassRule(true_is_failure=True),
    "score": PassRule(operator="gte", threshold=4.0),
    "kind": PassRule(categories=["a", "b"]),
}


class Rules(RulesOfTeams):
    def __init__(self) -> None:
        """Without a store."""

    def of(self, team_id: int) -> dict[str, PassRule]:
        return RULES if team_id == 1 else {}


def value(evaluation: str = "x", team_id: Any = 1, **found: Any) -> bytes:
    named = {f"$ai_evaluation_{name}": each for name, each in found.items()}
    properties = {"$ai_evaluation_id": evaluation, "$ai_evaluation_name": "N", "$ai_target_event_id": "e", **named}
    row = {"team_id": team_id, "timestamp": "2026-03-01 12:00:00.000000", "properties": json.dumps(properties)}
    return json.dumps(row).encode()


@pytest.mark.parametrize(
    ("evaluation", "found", "verdict"),
    [
        ("x", {"result": True}, "pass"),
        ("x", {"result": False}, "fail"),
        ("inverted", {"result": True}, "fail"),
        ("inverted", {"result": False}, "pass"),
        ("score", {"numeric_result": 4}, "pass"),
        ("score", {"numeric_result": 3.9}, "fail"),
        ("x", {"numeric_result": 0}, "scored"),
        ("kind", {"categorical_result": ["a"]}, "pass"),
        ("kind", {"categorical_result": ["a", "c"]}, "fail"),
        ("x", {"categorical_result": ["a"]}, "scored"),
        ("x", {"applicable": False}, "not_applicable"),
        ("x", {"categorical_result": []}, "not_applicable"),
        ("x", {"skipped": True, "skip_reason": "hog_error"}, "skipped"),
    ],
)
def test_the_rule_of_the_evaluation_decides(evaluation: str, found: dict[str, Any], verdict: str) -> None:
    line = read_result(value(evaluation, **found), Rules())
    assert line is not None
    assert line.verdict == verdict
    assert line.as_json()["verdict"] == verdict


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"properties": "{"}',
        b'{"properties": "[]", "team_id": 1}',
        value(numeric_result="high"),
        value(latency=[1], result=True),
        value(team_id=[1], result=True),
    ],
)
def test_what_is_not_a_result_is_passed_over(raw: bytes) -> None:
    assert read_result(raw, Rules()) is None


def test_a_team_that_no_store_can_hold_is_passed_over() -> None:
    class Store(Rules):
        def of(self, team_id: int) -> dict[str, PassRule]:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")

    assert read_result(value(team_id=2**64 - 1, result=True), Store()) is None


def test_a_hostile_text_does_not_reach_the_terminal() -> None:
    found = {"result": True, "reasoning": "\x1b[2J\u202e\nnext " + "x" * 5000, "name": "\x07" * 50, "model": "\x1b]0;"}
    line = read_result(value(**found), Rules())
    assert line is not None
    shown = line.styled().replace("\x1b[32m\x1b[1m", "").replace("\x1b[0m", "")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\n" not in shown
    assert len(shown) < 400
