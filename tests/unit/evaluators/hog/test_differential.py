"""The compiler agrees with a naive interpreter on generated programs: value, prints, or the kind of failure."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluators.hog import HogFailure, Limits, compile_program
from evaluators.hog.parser.statements import parse
from evaluators.hog.runtime.copies import to_json
from tests.unit.evaluators.hog.naive import Naive, NaiveError, NaiveThrow

LIMITS = Limits(steps=100_000, time_s=5.0)
NAMES = ("a", "b", "c")
TABLE = {"g": {"x": 1, "list": [1, "2", None], "s": "abc", "output": "a text", "input": 2}}
"""`output` is the text that the compiler takes it to be, and `input` is not."""

constants = st.sampled_from(
    [
        *[
            "null",
            "true",
            "false",
            "0",
            "1",
            "2",
            "-3",
            "7",
            "'a'",
            "'abc'",
            "''",
            "'2'",
            "'true'",
            "[]",
            "{}",
            "g",
            "g.x",
            "g.list",
            "g.s",
            "g.nothing.at.all",
            "t",
        ],
        *("[1, 2]", "(1, 'a')", "{'a': 1}"),
        *NAMES,
    ]
)
SAFE = ("||", "==", "!=", "and", "or", "??")
operators = st.sampled_from([*SAFE * 5, "+", "-", "*", "%", "<", "<=", ">", ">=", "in", "not in"])
"""Mostly those that take anything, or nearly every program would end in a type error at once."""


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
        inner.map(lambda e: f"(not {e})"),
        inner.map(lambda e: f"({e} is not null)"),
        inner.map(lambda e: f"f'<{{{e}}}>'"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"{{'k': {t[0]}, 'l': {t[1]}}}"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}][-1]"),
        inner.map(lambda e: f"({{'k': {e}}}).k"),
        st.tuples(st.sampled_from(NAMES), inner, inner).map(lambda t: f"({t[0]} -> {t[1]})({t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"(() -> {{ print({t[0]}) return {t[1]} }})()"),
    )


expressions = st.recursive(constants, compound, max_leaves=8)
names = st.sampled_from(NAMES)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, max_size=3).map(" ".join)
    return st.one_of(
        st.tuples(expressions, body, body).map(lambda t: f"if ({t[0]}) {{ {t[1]} }} else {{ {t[2]} }}"),
        st.tuples(names, expressions, body).map(lambda t: f"for (let {t[0]} in {t[1]}) {{ {t[2]} }}"),
        st.tuples(names, expressions, body).map(lambda t: f"for (let k, {t[0]} in {t[1]}) {{ print(k) {t[2]} }}"),
        st.tuples(body, expressions).map(
            lambda t: (
                f"for (let i := 0; i < 3; i := i + 1) {{ let j := i fs := fs + [() -> {{ j := j + 1 {t[0]}; "
                f"return [i, j, {t[1]}] }}] }}"
            )
        ),
        st.tuples(body, body).map(lambda t: f"try {{ {t[0]} throw Error('e') }} catch (e) {{ print(0) {t[1]} }}"),
        st.tuples(names, body, expressions).map(lambda t: f"{{ let {t[0]} := {t[2]}; {t[1]} }}"),
        st.tuples(names, body, expressions).map(lambda t: f"{t[0]} := {t[0]} -> {{ {t[1]} return {t[2]} }};"),
    )


statements = st.recursive(
    st.one_of(
        st.tuples(names, expressions).map(lambda t: f"{t[0]} := {t[1]};"),
        expressions.map(lambda e: f"print({e});"),
        st.tuples(names, expressions, expressions).map(lambda t: f"{t[0]}[{t[1]}] := {t[2]};"),
        st.tuples(names, expressions).map(lambda t: f"{t[0]}.k := {t[1]};"),
        expressions.map(lambda e: f"if ({e}) {{ return {e} }}"),
    ),
    nested,
    max_leaves=6,
)
programs = st.tuples(st.lists(statements, max_size=6), expressions, st.sampled_from(["output", "input"])).map(
    lambda t: (
        f"let t := g.{t[2]}\n"
        "let a := 1 let b := 'x' let c := [1, 2] let fs := []\n"
        + "\n".join(t[0])
        + f"\nfor (let f in fs) {{ print(f(), f()) }}\nreturn [a, b, c, {t[1]}]"
    )
)


def compiled(source: str) -> tuple[str, Any, list[str]]:
    try:
        run = compile_program(source).run(TABLE, limits=LIMITS)
    except HogFailure as failure:
        return failure.kind, None, list(getattr(failure, "prints", ()))
    return "value", json.dumps(to_json(run.value)), run.prints


def interpreted(source: str) -> tuple[str, Any, list[str]]:
    naive = Naive(json.loads(json.dumps(TABLE)))
    try:
        value = naive.run(parse(source)[0])
    except NaiveError as error:
        return str(error), None, naive.prints
    except NaiveThrow:
        return "uncaught", None, naive.prints
    return "value", json.dumps(to_json(value)), naive.prints


# Programs whose values hold functions, cycles or unhashable keys are outside of what the naive one knows.
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs)
def test_compiled_programs_do_what_the_naive_interpreter_does(source: str) -> None:
    try:
        expected = interpreted(source)
    except (TypeError, RecursionError, HogFailure):
        return
    assert compiled(source) == expected
