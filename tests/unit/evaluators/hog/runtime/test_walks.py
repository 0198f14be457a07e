"""A value that holds another twice, forty times over, is a trillion when it is written out: no walk gets lost in it.

A walk that did not charge its work would not end before the timeout of the test. So these tests assert the charge and
measure no time.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from cli.hog import _answer_line
from evaluators.generation import Generation
from evaluators.hog import HogEvaluator, HogRuntimeError, Limits, compile_program
from evaluators.hog.runtime.copies import to_json
from evaluators.hog.runtime.meter import Allowance
from evaluators.hog.runtime.relations import MAX_KEY_PARTS
from evaluators.hog.runtime.text_forms import brief
from evaluators.verdict import Skip
from tests.hostile.growth import FACTOR, ratio

STEPS = Limits(steps=100_000, time_s=3600.0)
"""Limits that end a walk by its steps, whatever the speed of the machine."""
SHARED = """
let a := [1, 'x'] let b := [1, 'x']
for (let i := 0; i < 40; i := i + 1) { a := [a, a] b := [b, b] }
"""
WALKS = [
    "return a = b",
    "return a != b",
    "return a < b",
    "return a >= b",
    "return a between b and b",
    "return a in [b]",
    "return a not in [b]",
    "return {'k': a} = {'k': b}",
    "return (a, 1) = (b, 1)",
    "return Error('x', a) = Error('x', b)",
    "return case a when b then 1 else 2 end",
    "return equals(a, b)",
    "return notEquals(a, b)",
    "return less(a, b)",
    "return lessOrEquals(a, b)",
    "return greater(a, b)",
    "return greaterOrEquals(a, b)",
    "return min2(a, b)",
    "return max2(a, b)",
    "return has([a], b)",
    "return indexOf([a], b)",
    "return in(a, [b])",
    "return arraySort([a, b])",
    "return arrayReverseSort([a, b])",
    "return arrayExists(x -> x = b, [a])",
    "return f'{a}'",
    "return 'x' || a",
    "return concat('x', a)",
    "return toString(a)",
    "return toUUID(a)",
    "return arrayStringConcat([a])",
    "return position('abc', a)",
    "return multiSearchAnyCaseInsensitive(a, ['x'])",
    "return JSONExtractString(a)",
    "return jsonStringify(a)",
    "return jsonStringify(a, 2)",
    "return Error(a)",
    "return f'{HogError('T', 'm', a)}'",
    "let e := Error('m') for (let i := 0; i < 60; i := i + 1) { e := Error('m', [e, e]) } return f'{e}'",
    "print(a)",
    "print('x', {'k': a})",
]


@pytest.mark.parametrize("walk", WALKS)
def test_every_walk_is_charged(walk: str) -> None:
    with pytest.raises(HogRuntimeError) as caught:
        compile_program(SHARED + walk).run({}, limits=STEPS)
    assert caught.value.kind in ("memory_exceeded", "steps_exceeded")
    assert caught.value.line is not None


def test_comparing_a_shared_value_with_itself_takes_no_steps() -> None:
    source = SHARED + "return [a = a, a in [a], has([a], a), indexOf([b, a], b), typeof(a), length(a)]"
    run = compile_program(source).run({}, limits=Limits(steps=1_000, time_s=3600.0))
    assert run.value == [
        True,
        True,
        True,
        1,
        "array",
        2,
    ]


def test_equal_long_texts_that_are_held_many_times_are_charged_one_by_one() -> None:
    """No container is large here; what takes long is comparing two texts again and again."""
    source = """
    let s := 'x' for (let i := 0; i < 20; i := i + 1) { s := s || s }
    let t := s || 'y' let u := s || 'z' let v := s || 'y' let a := [t] let b := [v]
    for (let i := 0; i < 14; i := i + 1) { a := a + a b := b + b }
    """
    for walk in ("return a = b", "return u in a", "return arraySort(a + [u])"):
        with pytest.raises(HogRuntimeError) as caught:
            compile_program(source + walk).run({}, limits=STEPS)
        assert caught.value.kind == "steps_exceeded"


@pytest.mark.parametrize("use", ["o[t] := 1", "return o[t]", "return {t: 1}", "return t in o", "return in(t, o)"])
def test_a_shared_tuple_can_not_be_a_key(use: str) -> None:
    """The host walks all of a key each time that it looks it up."""
    source = "let t := (1, 2) for (let i := 0; i < 40; i := i + 1) { t := (t, t) } let o := {} "
    with pytest.raises(HogRuntimeError, match=f"more than {MAX_KEY_PARTS} parts"):
        compile_program(source + use).run({}, limits=Limits(steps=1_000, time_s=3600.0))


def test_small_tuples_and_long_texts_are_keys_like_any_other() -> None:
    source = "let o := {} o[(1, ('a', null))] := 2 o[output] := 3 return [o[(1, ('a', null))], o[output]]"
    assert compile_program(source).run({"output": "x" * 100_000, "input": ""}).value == [2, 3]


def test_the_message_of_a_wrong_result_shows_its_beginning() -> None:
    generation = Generation("u-1", 1, "$ai_generation", "d", datetime(2026, 1, 1, tzinfo=UTC), {})
    skip = HogEvaluator(SHARED + "return a", allows_na=False).evaluate(generation, time_limit_s=10.0)
    assert isinstance(skip, Skip)
    assert skip.detail.startswith("Must return boolean (or null if N/A is enabled), got array: [[[[[[")
    assert len(skip.detail) < 250


def test_the_message_of_an_uncaught_error_shows_the_beginning_of_its_payload() -> None:
    with pytest.raises(HogRuntimeError) as caught:
        compile_program(SHARED + "throw Error('text', a)").run({})
    assert caught.value.kind == "uncaught"
    assert caught.value.message.startswith("Uncaught Error('text', [[[[[")
    assert len(caught.value.message) < 600


def test_a_batch_answers_a_shared_result_with_an_error() -> None:
    answer = _answer_line(json.dumps({"source": SHARED + "return a"}).encode(), verdict=False, time_limit_s=10.0)
    assert answer["result"] is None
    assert answer["error"]["kind"] in ("steps_exceeded", "memory_exceeded")


def test_json_of_a_value_is_within_its_allowance() -> None:
    value: list[object] = [1]
    for _ in range(40):
        value = [value, value]
    for allowance in (Allowance(steps=10_000), Allowance(memory_bytes=100_000)):
        with pytest.raises(HogRuntimeError):
            to_json(value, allowance)


def test_the_beginning_of_a_value_is_shown_whatever_it_is() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 10_000_000, ["x" * 10_000_000], list(range(1_000_000)), {"k": {"l": "x" * 1000}}):
        shown = brief(value, 100)
        assert len(shown) == 101
        assert shown.endswith("…")
    for make in (lambda size: "x" * size, lambda size: ["x" * size], lambda size: list(range(size))):
        found = ratio(lambda value: brief(value, 100), make, 500_000, enough=FACTOR / 2)
        assert found < FACTOR / 2, "it does not read the whole value"
    assert brief({"k": ["a", 1, None]}, 100) == "{'k': ['a', 1, null]}"
