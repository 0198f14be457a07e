"""An event with a broken part is an error of the evaluations that need the part, and only of those."""

from __future__ import annotations

from typing import Any

import pytest

from conditions import EventRow, Target, compile_matcher, parse_conditions
from conditions.interpreter import RowFields, interpret

NEEDS_PERSON = {"key": "plan", "value": "pro", "type": "person"}
RECENT = {"key": "signed_up", "operator": "is_date_after", "value": "-7d"}
PERSON_RECENT = {**RECENT, "type": "person"}


def one(identity: str, *nodes: dict[str, Any], rollout: float = 100) -> Target:
    return Target(identity, parse_conditions([{"id": "s", "rollout_percentage": rollout, "properties": list(nodes)}]))


@pytest.mark.parametrize("person", ["{", "[1]", '"x"', "5", [1], "[" * 100_000])
@pytest.mark.parametrize(("signed_up", "recent"), [("2024-01-30", True), ("2024-01-01", False), (None, False)])
@pytest.mark.parametrize("reverse", [False, True])
def test_broken_person_beside_a_relative_date(
    person: object, signed_up: str | None, recent: bool, reverse: bool
) -> None:
    """On one event, one evaluation has the error of the part it needs, and another's relative date is decided."""
    targets = [
        one("person", NEEDS_PERSON),
        one("date", RECENT),
        one("date of the person", PERSON_RECENT),
        one("both", RECENT, NEEDS_PERSON),
        one("either", {"type": "OR", "values": [RECENT, NEEDS_PERSON]}),
        one("person left out", NEEDS_PERSON, rollout=0),
        one("date left out", RECENT, rollout=0),
    ]
    if reverse:
        targets.reverse()
    row = EventRow(
        "event-1", 1, timestamp="2024-02-01 10:00:00", properties={"signed_up": signed_up}, person_properties=person
    )
    outcomes = {target.id: interpret(target, RowFields(row)).outcome for target in targets}
    assert outcomes == {
        "person": "error",
        "date": "matched" if recent else "filtered",
        "date of the person": "error",
        "both": "error" if recent else "filtered",
        "either": "matched" if recent else "error",
        "person left out": "filtered",
        "date left out": "sampled_out" if recent else "filtered",
    }
    matcher = compile_matcher(targets)
    for _ in range(6):  # once, and when the values are remembered
        result = matcher.match(row)
        found = dict.fromkeys(outcomes, "filtered")
        found |= {targets[n].id: "matched" for n, _ in result.matched}
        found |= {targets[n].id: "sampled_out" for n in result.sampled_out}
        found |= {targets[n].id: "error" for n, _ in result.errors}
        assert found == outcomes
