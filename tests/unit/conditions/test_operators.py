"""Literal cases of every operator, from the specification: the interpreter and the matcher on each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from conditions import EventRow, Target, compile_matcher, parse_conditions
from conditions.dates import instant_of
from conditions.interpreter import RowFields, interpret
from conditions.operators import Operator, holds

ENTRIES = yaml.safe_load((Path(__file__).parent / "data" / "operators.yaml").read_text("utf-8"))
MISSING = object()
ENOUGH = 10  # wrong cases to show; the rest would say the same
CASES: list[tuple[str, Any, Any, bool]] = [
    (entry["op"], entry["value"], x, expected)
    for entry in ENTRIES
    for values, expected in ((entry["holds"], True), (entry["fails"], False), ([MISSING, None], entry["absent"]))
    for x in values
]


def test_the_table_covers_every_operator_with_at_least_400_cases() -> None:
    """No operator is left out, and each has cases of both answers where both exist."""
    assert len(CASES) >= 400
    assert {case[0] for case in CASES} == set(Operator.__args__)
    assert all({case[3] for case in CASES if case[0] == name} == {True, False} for name in Operator.__args__)


def test_every_case_in_the_specification_as_it_is_executed() -> None:
    """Each case by `holds` alone, which takes no time: mutation is mostly noticed here."""
    now = instant_of("2024-03-31 12:00:00.000000")
    seen = [(*case, holds(case[0], None if case[2] is MISSING else case[2], case[1], now)) for case in CASES]
    assert [case for case in seen if case[3] is not case[4]] == []


@pytest.mark.parametrize("kind", ["event", "person", "group"])
def test_every_case_in_the_interpreter_and_the_matcher(kind: str) -> None:
    """Each case gives what the specification says, whichever object the field is in, given as text or as object."""
    wrong = []
    for operator, value, x, expected in CASES:
        node = {"key": "field", "operator": operator, "value": value, "type": kind}
        if kind == "group":
            node["group_type_index"] = 2
        target = Target("evaluation", parse_conditions([{"id": "s", "properties": [node]}]))
        held = {} if x is MISSING else {"field": x}
        matcher = compile_matcher([target])
        for shape in (json.dumps(held), held):
            row = EventRow("event-1", 1, timestamp="2024-03-31 12:00:00.000000")
            field = {"event": "properties", "person": "person_properties", "group": "group2_properties"}[kind]
            setattr(row, field, shape)
            seen = interpret(target, RowFields(row)).outcome, "matched" if matcher.match(row).matched else "filtered"
            outcome = "matched" if expected else "filtered"
            if seen != (outcome, outcome):
                wrong.append((operator, value, x, expected, seen))
        if len(wrong) >= ENOUGH:
            break
    assert not wrong


def test_all_cases_of_a_field_in_one_matcher() -> None:
    """All filters of the table together on one field: no index disturbs another, values met once or often."""
    filters = [(entry["op"], entry["value"]) for entry in ENTRIES]
    targets = [
        Target(str(n), parse_conditions([{"id": "s", "properties": [{"key": "field", "operator": op, "value": v}]}]))
        for n, (op, v) in enumerate(filters)
    ]
    matcher = compile_matcher(targets)
    for _, _, x, _ in CASES[::3]:
        row = EventRow("event-1", 1, timestamp="2024-03-31 12:00:00", properties={} if x is MISSING else {"field": x})
        fields = RowFields(row)
        expected = [n for n, target in enumerate(targets) if interpret(target, fields).outcome == "matched"]
        for _ in range(5):
            assert [n for n, _ in matcher.match(row).matched] == expected, x


def test_a_numeric_text_may_have_4_300_characters() -> None:
    """A longer text is not a number, whatever its value."""
    longest = "5." + "0" * 4298
    assert holds("exact", longest, 5, None)
    assert not holds("exact", longest + "0", 5, None)
