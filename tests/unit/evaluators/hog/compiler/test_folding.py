"""Values that are the same for every event are worked out once, which only the clock can tell."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.hog import HogRuntimeError, Limits, compile_program

G = {"g": {"s": "abc", "list": ["x", "y", "abc"]}, "output": "An ABC text with password and 12-34"}


def emitted(source: str) -> str:
    """Return the emitted code of a program as text."""
    return compile_program(source).emitted()


def value(source: str) -> Any:
    """Return the value of a program on the globals above."""
    return compile_program(source).run(G).value


@pytest.mark.parametrize(
    ("source", "gone", "expected"),
    [
        ("return arrayStringConcat(arraySort(['b', 'a']), '|')", "lib_", "a|b"),
        (
            "let words := ['a', 'b'] let p := '(?:' || arrayStringConcat(words, '|') || ')' return g.s =~ p",
            "lib_",
            True,
        ),
        ("let t := {'a': 1} return t.a + length(keys(t))", "lib_", 2),
        ("let p := '' for (let w in ['a', 'b']) { p := p || lower(w) } return p || g.s", "lib_", "ababc"),
        ("let n := 0 for (let i := 0; i < 10; i := i + 1) { n := n + i } return n", "while", 45),
        ("let mode := 'a' if (mode = 'b') { return g.nothing.here } return 1", "nothing", 1),
        ("let n := 0 for (let w in ['x', 'z']) { if (has(g.list, w)) { n := n + 1 } } return n", "for ", 1),
        ("return if(1 < 2, g.s, lower(g.s))", "lib_lower", "abc"),
        ("return toDate('2024-02-30') ?? g.s", "lib_toDate", "abc"),
    ],
)
def test_what_is_known_is_not_worked_out_again(source: str, gone: str, expected: Any) -> None:
    assert gone not in emitted(source)
    assert value(source) == expected


@pytest.mark.parametrize("call", ["now()", "today()", "generateUUIDv4()", "g.s", "(() -> 1)()"])
def test_what_may_differ_between_events_is_left_to_the_run(call: str) -> None:
    plain = emitted(f"return toString({call})")
    assert "lib_toString" in plain


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("let n := 0 while (true) { n := n + 1 } return n", "steps_exceeded"),
        ("let n := 1 for (let i := 0; true; i := i + 1) { n := n * 3 % 1000 } return n", "steps_exceeded"),
        ("let s := 'x' while (true) { s := s || s } return s", "memory_exceeded"),
        ("let s := 'x' for (let i := 0; i < 40; i := i + 1) { s := concat(s, s) } return s", "memory_exceeded"),
        ("let n := 1\nn := n + 'x'\nreturn n", "type_error"),
        ("return 1 + {}", "type_error"),
        ("let i := 0 return [1, 2][i]", "key_error"),
        ("return 1 / 0", "division_by_zero"),
        ("return range(1, 100000000)", "memory_exceeded"),
        ("return g.s =~ '(' || '['", "bad_regex"),
        (
            "let a := [] for (let i := 0; i < 9; i := i + 1) { a := [a, a, a, a, a, a] } return f'{a}'",
            "memory_exceeded",
        ),
    ],
)
def test_a_constant_part_that_fails_fails_in_every_run_at_its_place(source: str, kind: str) -> None:
    program = compile_program(source)
    limits = Limits(steps=300_000, memory_bytes=4 * 1024 * 1024)
    places = set()
    for _ in range(2):
        with pytest.raises(HogRuntimeError) as caught:
            program.run(G, limits=limits)
        places.add((caught.value.kind, caught.value.line, caught.value.column))
    assert len(places) == 1
    assert next(iter(places))[0] == kind


def test_the_place_of_a_failure_in_a_loop_that_is_written_out_is_that_of_the_loop_s_body() -> None:
    source = "for (let w in ['a', 'b']) {\n  let n := 1 - g.s\n}\nreturn 1"
    with pytest.raises(HogRuntimeError) as caught:
        compile_program(source).run(G)
    assert (caught.value.line, caught.value.kind) == (2, "type_error")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("let t := {'a': 1} t.a := t.a + 1 return t.a", 2),
        ("let t := ['a'] t[1] := 5 let r := [] for (let s in t) { r := arrayPushBack(r, f'{s}{s}') } return r", ["55"]),
        ("let t := [[1]] let u := t u[1][1] := u[1][1] + 1 return t[1][1]", 2),
        ("let t := [1, 2] for (let x in [t]) { x[1] := x[1] + 1 } return t[1]", 2),
        ("let t := arrayPushBack([], 1) t[1] := t[1] + 1 return t", [2]),
        ("let a := {'n': [1]} let b := a.n b[1] := b[1] + 1 return a.n[1]", 2),
        ("let t := null t := [1] t[1] := t[1] + 1 return t", [2]),
    ],
)
def test_a_container_that_a_program_changes_is_new_in_every_run(source: str, expected: Any) -> None:
    program = compile_program(source)
    assert [program.run(G).value for _ in range(3)] == [expected] * 3


def test_a_variable_of_a_loop_that_is_written_out_has_its_own_value_in_each_turn() -> None:
    source = """
        let out := []
        for (let group in [['a', 'b'], ['c']]) {
            let sum := ''
            for (let word in group) { sum := sum || word || g.s }
            let label := group[1]
            out := arrayPushBack(out, label || ':' || sum)
        }
        return out
    """
    assert "for " not in emitted(source)
    assert value(source) == ["a:aabcbabc", "c:cabc"]


def test_a_variable_read_before_its_last_value_is_left_to_the_run() -> None:
    source = "let p := 'a' print(p) p := p || 'b' fun f() { return p } p := p || 'c' return [p, f()]"
    run = compile_program(source).run(G)
    assert (run.value, run.prints) == (["abc", "abc"], ["a"])


def test_long_loops_are_not_written_out() -> None:
    """A thousand lines of emitted code for one loop would make compiling slow."""
    body = " ".join(f"if (g.s = 'a{i}') {{ print('{i}') }}" for i in range(60))
    source = f"for (let w in ['1', '2', '3', '4', '5', '6', '7', '8', '9']) {{ {body} }} return 1"
    assert "for " in emitted(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return arrayMap(x -> x || g.s, ['a', 'b'])", ["aabc", "babc"]),
        ("return arrayFilter(x -> x != g.s, g.list)", ["x", "y"]),
        ("return arrayCount(x -> x = g.s, g.list)", 1),
        ("return [arrayExists(x -> x = g.s, g.list), arrayExists(x -> x = 1, g.list)]", [True, False]),
        ("return arrayReduce((a, x) -> a || x, g.list, '')", "xyabc"),
        ("return arrayMap(x -> arrayMap(y -> x || y, ['1']), ['a', 'b'])", [["a1"], ["b1"]]),
        ("return arrayMap(x -> x, null)", []),
        ("return arrayMap(x -> x, {'a': 1})", [1]),
        ("return arrayMap((x, y) -> y, [1])", [None]),
        ("let fs := arrayMap(x -> (() -> x), [1, 2]) return [fs[1](), fs[2]()]", [1, 2]),
    ],
)
def test_lambdas_that_the_library_calls(source: str, expected: Any) -> None:
    assert value(source) == expected


def test_a_lambda_that_the_library_calls_is_a_call_within_a_call() -> None:
    source = "fun f(n) { return if(n = 0, 'done', arrayMap(x -> f(n - 1), [1])[1]) } return f(k)"
    program = compile_program(source)
    assert program.run({"k": 10}, limits=Limits(depth=50)).value == "done"
    with pytest.raises(HogRuntimeError, match="Call depth of 50 exceeded"):
        program.run({"k": 40}, limits=Limits(depth=50))


def test_steps_of_a_lambda_that_the_library_calls_are_counted() -> None:
    program = compile_program("return arrayCount(x -> x > 1 and x < 5, range(0, n))")
    assert program.run({"n": 100}, limits=Limits(steps=5_000)).value == 3
    with pytest.raises(HogRuntimeError, match="Step limit"):
        program.run({"n": 5_000}, limits=Limits(steps=5_000))
