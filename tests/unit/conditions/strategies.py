"""Generated targets and rows that meet each other often: few keys, and values that are near one another."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from conditions import ConditionError, EventRow, Target, parse_conditions
from conditions.operators import Operator

OPERATORS: tuple[str, ...] = Operator.__args__

KEYS = ("a", "b.c", "$elements_chain", "__class__", 'quo"te', "é")

SCALARS = st.sampled_from(
    [
        *(0, 1, 5, 5.0, -3, 3.5, 1e21, 10**21, 10**40, 2**53 + 1, 1700000000, 0.1, float("inf")),
        *("", "0", "1", "5", "5.0", "05", "3.5", "-3", "1e1", "inf", "nan", " 5", "1_0", "10"),
        *("true", "false", "null", "abc", "ABC", "abcd", "straße", "STRASSE", "İ", "é", "\ud800", "a\nb", "a%b"),
        *("gpt-4o", "gpt-4o-mini", "2024-01-31", "2024-01-31T10:00:00Z", "2024-01-31 10:00:00.5", "2024-03-01"),
        *("2024-01-31T11:00:00+01:00", "1.2.3", "v1.2.3", "1.2", "1", "2.0.0-rc.1", "2.0.0", "1.3.0-alpha", "01.2.3"),
        *(True, False),
    ]
)
NESTED = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["k", "l"]), inner, max_size=2),
    max_leaves=4,
)
FIELD_VALUES = SCALARS | st.none() | NESTED | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
FILTER_VALUES = (
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | NESTED
    | st.sampled_from(["-1d", "-2m", "-24h", "-1y", "^gpt", "a.c$", "1.2.*", "1.*", "*", "[ab]+", "(?i)ABC", "(", "."])
    | st.tuples(SCALARS, SCALARS).map(list)
)


@st.composite
def filters(draw: st.DrawFn, *, expressions: bool) -> dict[str, object]:
    kinds = ["event", "event", "event", "person", "group", "event_metadata"]
    kind = draw(st.sampled_from([*kinds, "hogql"] if expressions else kinds))
    if kind == "hogql":
        return {"key": draw(st.sampled_from(["true", "false", "person", "raise", "one"])), "type": "hogql"}
    keys = ("event", "distinct_id", "timestamp", "person_id", "person_mode") if kind == "event_metadata" else KEYS
    made: dict[str, object] = {
        "key": draw(st.sampled_from(keys)),
        "type": kind,
        "operator": draw(st.sampled_from(OPERATORS)),
        "value": draw(FILTER_VALUES),
    }
    if kind == "group":
        made["group_type_index"] = draw(st.integers(0, 1))
    return made


def nodes(*, expressions: bool) -> st.SearchStrategy[dict[str, object]]:
    return st.recursive(
        filters(expressions=expressions),
        lambda inner: st.fixed_dictionaries(
            {"type": st.sampled_from(["AND", "OR"]), "values": st.lists(inner, min_size=1, max_size=3)}
        ),
        max_leaves=3,
    )


def expression(source: str):
    """Stand in for the Hog compiler: the source names what the expression does."""

    def run(world):
        if source == "raise":
            raise ZeroDivisionError("by zero")
        if source == "person":
            return world["person"]["properties"].get("a") == 1
        return {"true": True, "false": False, "one": 1}[source]

    return run


@st.composite
def targets(draw: st.DrawFn, *, expressions: bool = False, most: int = 5) -> list[Target]:
    made = []
    for index in range(draw(st.integers(0, most))):
        sets = []
        for place in range(draw(st.integers(0, 3))):
            kept = []
            for node in draw(st.lists(nodes(expressions=expressions), max_size=3)):
                try:
                    parse_conditions([{"id": "x", "properties": [node]}], compile_expression=expression)
                except ConditionError:
                    continue
                kept.append(node)
            rollout = draw(st.sampled_from([100, 100, 0, 50, 29.71, 29.72, 0.01]))
            sets.append({"id": f"s{place}", "rollout_percentage": rollout, "properties": kept})
        made.append(
            Target(
                f"evaluation-{index}",
                parse_conditions(sets, compile_expression=expression),
                enabled=draw(st.sampled_from([True, True, True, False])),
                cohort=draw(st.sampled_from(["shared", "independent"])),
            )
        )
    return made


def dump(value: object) -> str:
    """Write JSON with infinity as a number beyond a float's range, as a producer may."""
    return json.dumps(value).replace("Infinity", "1e400")


OBJECTS = st.dictionaries(st.sampled_from([*KEYS, "other"]), FIELD_VALUES, max_size=5)


@st.composite
def rows(draw: st.DrawFn) -> EventRow:
    def field() -> object:
        return draw(st.none() | st.just("") | OBJECTS | OBJECTS.map(dump) | st.sampled_from(["{", "[1]", "null"]))

    properties = draw(OBJECTS)
    return EventRow(
        uuid=draw(st.sampled_from(["event-1", "event-123", "018f4b1e-7c3a-7000-8000-000000000001", "\ud800"])),
        team_id=1,
        event=draw(st.sampled_from(["$ai_generation", "5", ""])),
        properties=dump(properties) if draw(st.booleans()) else properties,
        distinct_id=draw(st.sampled_from(["u", "1.2.3", "5"])),
        timestamp=draw(st.sampled_from([None, "2024-01-31 10:00:00.000000", "2024-02-01T00:00:00Z", "nonsense"])),
        elements_chain=draw(st.sampled_from(["", "a", None])),
        person_id=draw(st.none() | st.just("p")),
        person_mode=draw(st.none() | st.just("full")),
        person_properties=field(),
        group0_properties=field(),
        group1_properties=draw(st.none() | OBJECTS),
    )
