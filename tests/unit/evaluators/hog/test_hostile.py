"""Hostile programs end within their limits with one of Hog's own errors, and the process goes on."""

from __future__ import annotations

import ast
import itertools
import resource
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from evaluators.hog import HogCompileError, HogFailure, HogRuntimeError, Limits, compile_program
from evaluators.hog.compiler.emit import UnsafeCodeError, assert_safe
from evaluators.hog.runtime.context import LOOK_EVERY
from evaluators.hog.runtime.errors import HogTimeExceeded
from evaluators.hog.stdlib import FUNCTIONS
from tests.hostile.growth import assert_linear

MEMORY = 16 * 1024 * 1024
LIMITS = Limits(steps=2_000_000, time_s=5.0, memory_bytes=MEMORY)


def failure_of(
    source: str,
    table: dict[str, Any] | None = None,
    limits: Limits = LIMITS,
    clock: Callable[[], float] = monotonic,
) -> HogFailure:
    with pytest.raises(HogFailure) as caught:
        compile_program(source).run(table or {}, limits=limits, clock=clock)
    assert compile_program("return 1 + 1").run({}).value == 2
    return caught.value


def looks(seconds: float) -> Callable[[], float]:
    """Return a clock that goes on by so many seconds each time that it is looked at, and not otherwise."""
    count = itertools.count()
    return lambda: next(count) * seconds


MEMORY_HOGS = {
    "doubling of a string": "let a := 'x' while (true) { a := a || a }",
    "doubling straight ahead": "let a := 'xxxxxxxx' " + "a := a || a " * 40,
    "doubling by a template": "let a := 'x' while (true) { a := f'{a}{a}' }",
    "doubling by plus": "let a := 'x' while (true) { a := a + a }",
    "doubling of an array": "let a := [1] while (true) { a := a + a }",
    "doubling by concat": "let a := 'x' while (true) { a := concat(a, a) }",
    "doubling by replaceAll": "let a := 'x' while (true) { a := replaceAll(a, 'x', 'xx') }",
    "many strings in an array": "let a := [] let s := 'x' for (let i := 0; i < 16; i := i + 1) { s := s || s } "
    "for (let i := 0; i < 100000; i := i + 1) { a := arrayPushBack(a, s || f'{i}') }",
    "strings in an object": "let o := {} let s := 'x' for (let i := 0; i < 16; i := i + 1) { s := s || s } "
    "for (let i := 0; true; i := i + 1) { o[i] := f'{s}{i}' }",
    "linked list": "let head := null while (true) { head := [head, 1, 2, 3, 4, 5, 6, 7, 8] }",
    "closures that hold strings": "let fs := null let s := 'x' for (let i := 0; i < 18; i := i + 1) { s := s || s } "
    "fun keep(a, b) { return () -> [a, b] } while (true) { fs := keep(fs, s || 'y') }",
    "result of a callback": "let s := 'x' for (let i := 0; i < 18; i := i + 1) { s := s || s } "
    "return arrayMap(i -> s || f'{i}', range(1, 100000))",
    "nested results of a callback": "let s := 'x' for (let i := 0; i < 18; i := i + 1) { s := s || s } "
    "return arrayMap(i -> [[s || f'{i}']], range(1, 100000))",
    "huge range": "return range(1, 1000000000000)",
}


@pytest.mark.parametrize("source", MEMORY_HOGS.values(), ids=MEMORY_HOGS.keys())
def test_memory_is_limited(source: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failure = failure_of(source)
    assert failure.kind == "memory_exceeded"
    assert failure.line == 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 6 * MEMORY


def test_what_is_freed_is_not_counted() -> None:
    source = """
    let s := 'x'
    for (let i := 0; i < 16; i := i + 1) { s := s || s }
    let n := 0
    for (let i := 0; i < 1000; i := i + 1) { let t := s || f'{i}' n := n + length(t) }
    return n
    """
    assert compile_program(source).run({}, limits=LIMITS).value > 64 * MEMORY // 20


INTEGER_HOGS = {
    "squares": "let a := 3 while (true) { a := a * a }",
    "product of a chain": "let a := 10 while (true) { a := a * 1000000000000000000000000000 }",
    "digits": "let s := '9' for (let i := 0; i < 20; i := i + 1) { s := s || s } return toInt(s) + 1",
}


@pytest.mark.parametrize("source", INTEGER_HOGS.values(), ids=INTEGER_HOGS.keys())
def test_giant_integers_end_or_are_refused(source: str) -> None:
    try:
        compile_program(source).run({}, limits=LIMITS)
    except HogRuntimeError as failure:
        assert failure.kind in ("memory_exceeded", "type_error")


def test_a_large_integer_can_be_shown() -> None:
    """The host refuses more than 4300 digits; Hog does not."""
    run = compile_program("let a := 10 for (let i := 0; i < 13; i := i + 1) { a := a * a } return f'{a}'").run({})
    assert run.value == "1" + "0" * 8192


def test_a_large_literal_is_read() -> None:
    assert compile_program("return " + "9" * 6000 + " % 10").run({}).value == 9


@pytest.mark.parametrize(
    "source",
    [
        "while (true) { }",
        "for (;;) { }",
        "fun f() { for (let i := 0; i < 50; i := i + 1) { } } while (true) { f() }",
        "fun f() { while (true) { throw Error('x') } } while (true) { try { f() } catch (e) { } }",
        "fun f(n) { return n < 2 ? 1 : f(n - 1) + f(n - 2) } return f(60)",
        "while (true) { arrayMap(x -> x, range(1, 100)) }",
        "let g := null let f := () -> g() g := f for (;;) { try { if (true) { throw Error('a') } } catch { } }",
    ],
)
def test_steps_and_time_are_limited(source: str) -> None:
    assert failure_of(source, limits=Limits(steps=200_000)).kind == "steps_exceeded"
    failure = failure_of(source, limits=Limits(steps=10**12, time_s=1.0), clock=looks(1 / 100))
    assert isinstance(failure, HogTimeExceeded)
    assert failure.line == 1
    assert failure.steps < 300 * LOOK_EVERY, "the clock is looked at all along"


def test_heavy_calls_straight_ahead_are_timed() -> None:
    """No loop, but each statement works through a large text: the clock is looked at before each."""
    table = {"output": "a" * 4_000_000, "input": ""}
    source = "let n := 0\n" + "n := n + length(replaceAll(output, 'a', 'b'))\n" * 300 + "return n"
    failure = failure_of(source, table, Limits(time_s=1.0), clock=looks(1 / 10))
    assert failure.kind == "time_exceeded"
    assert failure.line is not None
    assert failure.line < 15


@pytest.mark.parametrize(
    "source",
    [
        "fun f(n) { return f(n + 1) } return f(1)",
        "let f := null f := n -> f(n) return f(1)",
        "fun f(n) { return arrayMap(x -> f(x), [n]) } return f(1)",
        "fun f(n) { return arrayReduce((a, b) -> f(a), [1, 2], 1) } return f(1)",
        "fun a(n) { return b2(n) } let b2 := null",
    ],
)
def test_call_depth_is_limited(source: str) -> None:
    assert failure_of(source).kind in ("depth_exceeded", "compile_error")


def test_a_depth_of_a_thousand_works_in_a_thread_of_its_own() -> None:
    program = compile_program("fun f(n) { if (n = 0) { return 0 } return 1 + f(n - 1) } return f(998)")
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(program.run({}).value))
    thread.start()
    thread.join()
    assert results == [998]


def test_depth_through_callbacks_is_the_same_limit() -> None:
    source = "fun f(n) { if (n = 0) { return 0 } return arrayMap(x -> f(x - 1), [n])[1] + 1 } return f(300)"
    assert compile_program(source).run({}).value == 300


@pytest.mark.parametrize(
    "nested",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "[" * 5000 + "]" * 5000,
        "{'a': " * 5000 + "1" + "}" * 5000,
        " - " * 5000 + "1",
        "not " * 5000 + "true",
        "x -> " * 5000 + "1",
        "f'{" * 5000 + "1" + "}'" * 5000,
        "1" + " + 1" * 5000,
        "1" + " ? 1 : 1" * 5000,
        "a" + ".a" * 5000,
        "a" + "(1)" * 5000,
        "a" + "[1]" * 5000,
        "1" + " between 1 and 1" * 5000,
        "case when " * 5000,
        "length(" * 5000,
        "1" + " ?? 1" * 5000,
        "'a'" + " = 'a'" * 5000,
    ],
)
def test_deep_expressions_are_refused(nested: str) -> None:
    with pytest.raises(HogCompileError):
        compile_program(f"let a := null return {nested}")


@pytest.mark.parametrize(
    "source",
    [
        "{" * 5000,
        "{" * 5000 + "}" * 5000,
        "if (1) " * 5000 + "{ }",
        "if (1) { } else " * 5000 + "{ }",
        "while (0) " * 5000 + "{ }",
        "try { " * 5000 + "} catch { }" * 5000,
        "fun f() { " * 5000 + "}" * 5000,
        "for (let a in [1]) " * 30 + "{ }",
        "try { " * 30 + "} catch { }" * 30,
    ],
)
def test_deep_statements_are_refused(source: str) -> None:
    with pytest.raises(HogCompileError):
        compile_program(source)


def test_nesting_just_below_the_limits_compiles_and_runs() -> None:
    for source, value in [
        ("return " + "(" * 100 + "1" + ")" * 100, 1),
        ("return 1" + " + 1" * 100, 101),
        ("let a := 0 " + "if (1) { " * 60 + "a := 1" + "}" * 60 + " return a", 1),
        ("let n := 0 " + "for (let a in [1]) { " * 17 + "n := n + 1" + "}" * 17 + " return n", 1),
        ("return " + "'a' || " * 2000 + "'b'", "a" * 2000 + "b"),
        ("return " + "true and " * 2000 + "true", True),
    ]:
        assert compile_program(source).run({}).value == value


def test_a_source_that_is_too_long_is_refused() -> None:
    with pytest.raises(HogCompileError):
        compile_program("-- " + "x" * 300_000)


def test_prints_are_limited_and_kept() -> None:
    failure = failure_of("while (true) { print('0123456789') }")
    assert failure.kind == "print_exceeded"
    assert 32 * 1024 < sum(map(len, failure.prints)) < 128 * 1024
    assert failure_of("print(output)", {"output": "x" * 100_000}).kind == "print_exceeded"


def test_deep_values_can_be_neither_shown_nor_compared_without_end() -> None:
    deep = "let a := [] for (let i := 0; i < 5000; i := i + 1) { a := [a] } "
    for use in ("return f'{a}'", "print(a)", "return a == [a]", "return jsonStringify(a)", "return a < [a]"):
        assert failure_of(deep + use).kind in ("depth_exceeded", "type_error")


def test_cyclic_values_end() -> None:
    cycle = "let a := [1] a[1] := a let b := [1] b[1] := b let o := {} o.o := o "
    for use in ("print(a, o)", "return f'{a}{o}'", "return a == b", "return jsonStringify(o)", "return a in [b]"):
        try:
            compile_program(cycle + use).run({}, limits=LIMITS)
        except HogRuntimeError as failure:
            assert failure.kind in ("depth_exceeded", "type_error", "input_error")


def test_self_referring_closures_are_measured() -> None:
    source = "let s := 'x' for (let i := 0; i < 20; i := i + 1) { s := s || s } let f := null f := () -> [f, s] "
    failure = failure_of(source + "let all := [] while (true) { let t := s || 'y' all := arrayPushBack(all, () -> t) }")
    assert failure.kind == "memory_exceeded"


def test_regexes_that_explode_elsewhere_take_linear_time() -> None:
    program = compile_program("return output =~ '(a+)+$' or output =~ '(a|aa)+b' or output =~ '(.*)*x'")

    def search(text: str) -> None:
        assert program.run({"output": text}).value is False

    assert_linear(search, lambda size: "a" * size + "!", 2_000)


@pytest.mark.parametrize("pattern", ["a{1000}{1000}", "(" * 2000 + ")" * 2000, "\\\\C" * 10 + "(?P<a", "x" * 70_000])
def test_regexes_that_are_too_large_are_refused_or_run(pattern: str) -> None:
    try:
        compile_program(f"return 'a' =~ '{pattern}'").run({})
    except HogRuntimeError as failure:
        assert failure.kind == "bad_regex"


DUNDERS = ["__class__", "__init__", "__globals__", "__builtins__", "__import__", "__subclasses__", "func_globals"]


@pytest.mark.parametrize("name", DUNDERS)
def test_names_of_the_host_are_only_names(name: str) -> None:
    assert compile_program(f"let {name} := 1 return {name} + 1").run({}).value == 2
    assert compile_program(f"let o := {{}} return [o.{name}, o['{name}']]").run({}).value == [None, None]
    assert failure_of(f"return {name}").kind == "unknown_global"
    assert failure_of(f"return {name}('os')").kind == "compile_error"
    for value in ("'a'", "1", "[1]", "(x -> x)", "length", "true"):
        assert failure_of(f"let v := {value} return v.{name}").kind == "type_error"
    assert compile_program(f"let e := Error('x') return e.{name}").run({}).value is None


@pytest.mark.parametrize("name", ["ctx", "g", "d", "t", "peek", "program", "h_call", "k_1", "lib_length", "HogThrow"])
def test_names_of_the_emitted_code_are_out_of_reach(name: str) -> None:
    assert failure_of(f"return {name}").kind == "unknown_global"
    assert compile_program(f"let {name} := 5 let f := () -> {name} return f() + length('abc')").run({}).value == 8


def test_format_tricks_stay_text() -> None:
    source = "let a := '{0.__class__}' return [f'{a}', a || '%s', replaceAll('x', 'x', '\\\\1{a}')]"
    assert compile_program(source).run({}).value == ["{0.__class__}", "{0.__class__}%s", "\\1{a}"]


def test_emitted_code_never_holds_attribute_access() -> None:
    source = "fun f(a) { try { return a.b.c } catch (e) { throw e } } for (let k, v in {}) { f(() -> v) } return f(1)"
    program = compile_program(source)
    assert not [node for node in ast.walk(program.code) if isinstance(node, (ast.Attribute, ast.Import))]
    assert "__" not in program.emitted()


@pytest.mark.parametrize("bad", ["a.b", "import os", "open('x')", "lambda: 1", "[x for x in y]", "__x__ = 1", "del a"])
def test_the_safety_pass_refuses_what_must_not_be_emitted(bad: str) -> None:
    with pytest.raises(UnsafeCodeError):
        assert_safe(ast.parse(bad), frozenset({"a", "y"}))


def test_more_arguments_than_a_call_may_have() -> None:
    with pytest.raises(HogCompileError, match="300"):
        compile_program("return concat(" + "1," * 301 + ")")


def test_globals_are_never_changed() -> None:
    table = {"g": {"list": [1, {"a": 1}], "o": {}}}
    compile_program("let a := g a.list[2].a := 5 a.o.x := 1 let b := g.list b[1] := 9").run(table)
    assert table == {"g": {"list": [1, {"a": 1}], "o": {}}}


def test_library_functions_never_change_their_arguments() -> None:
    """A program that assigns to no element is not given copies, so this is what keeps events unchanged."""
    table = {"g": [3, 1, 2], "o": {"b": 1, "a": [1]}}
    for name, function in FUNCTIONS.items():
        for args in ("g", "o", "g, g", "g, 1", "o, 'b'", "x -> x, g", "g, x -> x", "g, 'a', 'b'", "(a, b) -> a, g, 0"):
            count = {"(a, b) -> a, g, 0": 3, "g, 'a', 'b'": 3, "x -> x, g": 2, "g, x -> x": 2}.get(args)
            count = count or args.count(",") + 1
            if count < function.min_args or (function.max_args is not None and count > function.max_args):
                continue
            try:
                compile_program(f"return {name}({args})").run(table)
            except HogRuntimeError as failure:
                assert failure.kind != "internal", f"{name}({args}): {failure}"
            assert table == {"g": [3, 1, 2], "o": {"b": 1, "a": [1]}}, name


def test_half_surrogates_are_text_like_any_other() -> None:
    table = {"output": "a\ud800b", "input": ""}
    source = "print(output) return [output =~ 'b', length(output), upper(output), output like 'a_b', f'{[output]}']"
    assert compile_program(source).run(table).value[0] is True
