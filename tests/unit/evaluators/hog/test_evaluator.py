"""The evaluator: globals, verdicts, the table of failures, and determinism."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from evaluators.generation import Generation
from evaluators.hog import GenerationGlobals, HogEvaluator, HogTimeExceeded, compile_expression, compile_program
from evaluators.verdict import Skip, Verdict
from tests.services.waiting import PATIENCE_S

MESSAGES = [{"role": "assistant", "content": "héllo"}]


def generation(**properties: Any) -> Generation:
    return Generation(
        uuid="018f0000-0000-7000-8000-000000000001",
        team_id=1,
        event="$ai_generation",
        distinct_id="d-1",
        timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        properties=properties,
        person_properties={"plan": "pro"},
    )


def judge(source: str, allows_na: bool = False, **properties: Any) -> Verdict | Skip:
    return HogEvaluator(source, allows_na=allows_na).evaluate(generation(**properties), time_limit_s=PATIENCE_S)


REPLY = [
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "o"},
            {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ],
    }
]
MEMBERS = [
    *("uuid", "event", "timestamp", "input", "output", "input_text", "output_text", "reply_text", "reasoning_text"),
    *("tool_calls", "offered_tools", "finish_reason", "output_media", "is_error", "properties"),
]


@pytest.mark.parametrize(
    ("source", "properties", "value"),
    [
        ("input", {}, ""),
        ("output", {"$ai_output": "plain"}, "plain"),
        ("output", {"$ai_output_choices": MESSAGES}, '[{"role": "assistant", "content": "héllo"}]'),
        ("output", {"$ai_output_choices": [], "$ai_output_state": {"a": 1}}, '{"a": 1}'),
        ("input", {"$ai_input_state": 5}, "5"),
        ("properties.a.b", {"a": {"b": 1}}, 1),
        ("properties.$ai_model", {"$ai_model": "m"}, "m"),
        ("event.uuid", {}, "018f0000-0000-7000-8000-000000000001"),
        (
            "[event.event, event.distinct_id, event.timestamp]",
            {},
            ["$ai_generation", "d-1", "2026-01-02T03:04:05+00:00"],
        ),
        ("person.properties.plan", {}, "pro"),
        (
            "[target.type, target.total_cost_usd, target.total_latency_seconds]",
            {"$ai_latency": 2},
            ["generation", None, 2],
        ),
        ("length(evaluation_events)", {}, 1),
        ("evaluation_events[1].output", {"$ai_output": "o"}, "o"),
        ("typeof(evaluation_events[1].output_text)", {"$ai_output_choices": MESSAGES}, "string"),
        ("evaluation_events[1].output", {"$ai_output_choices": [{"content": "o"}]}, '[{"content": "o"}]'),
        ("jsonParse(evaluation_events[1].input)[1].role", {"$ai_input": [{"role": "user", "content": "i"}]}, "user"),
        ("evaluation_events[1].input", {}, ""),
        ("evaluation_events[1].output_text", {"$ai_output_choices": [{"role": "assistant", "content": ""}]}, ""),
        ("evaluation_events[1].output_text", {"$ai_output_choices": [{"role": "assistant", "content": "o"}]}, "o"),
        ("evaluation_events[1].output_text", {"$ai_output": "a data:image/png;base64,AAAA b"}, "a [image] b"),
        ("evaluation_events[1].output_text", {"$ai_output_choices": REPLY}, "o [tool_call c: f({})]"),
        ("evaluation_events[1].reply_text", {"$ai_output_choices": REPLY}, "o"),
        ("evaluation_events[1].reasoning_text", {"$ai_output_choices": REPLY}, "hm"),
        ("evaluation_events[1].output_media", {"$ai_output_choices": REPLY}, ["image"]),
        (
            "evaluation_events[1].tool_calls",
            {"$ai_output_choices": REPLY},
            [{"id": "c", "name": "f", "arguments": {}, "by_provider": False}],
        ),
        (
            "evaluation_events[1].finish_reason",
            {"$ai_output_choices": [{"message": {}, "finish_reason": "stop"}]},
            "stop",
        ),
        ("evaluation_events[1].finish_reason", {"$ai_stop_reason": "length"}, "length"),
        ("evaluation_events[1].finish_reason", {}, None),
        ("evaluation_events[1].is_error", {"$ai_is_error": "True"}, True),
        (
            "evaluation_events[1].offered_tools",
            {"$ai_tools": [{"toolSpec": {"name": "f", "description": "d"}}]},
            [{"name": "f", "description": "d", "parameters": None}],
        ),
        ("evaluation_events[1].nothing", {}, None),
        ("[typeof(evaluation_events[1]), typeof(evaluation_events)]", {}, ["object", "array"]),
        ("keys(evaluation_events[1])", {}, MEMBERS),
        ("arrayMap(e -> e.output_text, evaluation_events)", {"$ai_output": "o"}, ["o"]),
    ],
)
def test_globals(source: str, properties: dict[str, Any], value: Any) -> None:
    assert compile_program(f"return {source}").run(GenerationGlobals(generation(**properties))).value == value


def test_verdicts() -> None:
    assert judge("return true") == Verdict(result=True)
    assert judge("print('a') print('b', 1) return false") == Verdict(result=False, reasoning="a\nb 1")
    assert judge("print('n') return null", allows_na=True) == Verdict(applicable=False, reasoning="n")


@pytest.mark.parametrize(
    ("source", "reason", "detail"),
    [
        ("return 1 - 'a'", "hog_input_error", "line 1: Can not apply '-' to integer and string"),
        ("let a := [1]\nlet i := 0\nreturn a[i]", "hog_input_error", "line 3: "),
        ("return 1 / 0", "hog_input_error", "line 1: Division by zero"),
        ("return jsonParse(output)", "hog_input_error", "line 1: "),
        ("return nothing", "hog_error", "line 1: Global variable not found: nothing"),
        ("return 'a' =~ '('", "hog_error", "line 1: Invalid regex pattern"),
        ("print('x')\nthrow Error('boo')", "hog_error", "line 2: Uncaught Error('boo')"),
        ("return 5", "hog_error", "Must return boolean (or null if N/A is enabled), got integer: 5"),
        ("return null", "hog_error", "Must return boolean (or null if N/A is enabled), got null: null"),
        ("return 'ab'", "hog_error", "got string: 'ab'"),
        ("let a := 'x' while (true) { a := a || a }", "hog_error", "line 1: Memory limit"),
    ],
)
def test_failures_are_skips_under_their_reason(source: str, reason: str, detail: str) -> None:
    outcome = judge(source, **{"$ai_output": "no json"})
    assert isinstance(outcome, Skip)
    assert outcome.reason == reason
    assert detail in outcome.detail


def test_prints_until_a_failure_are_kept() -> None:
    outcome = judge("print('x') throw Error('boo')")
    assert isinstance(outcome, Skip)
    assert outcome.reasoning == "x"


def test_a_long_wrong_result_is_cut() -> None:
    outcome = judge("return output", **{"$ai_output": "x" * 10_000})
    assert isinstance(outcome, Skip)
    assert len(outcome.detail) < 300


def test_time_exceeded_is_raised_with_what_is_known() -> None:
    with pytest.raises(HogTimeExceeded) as caught:
        HogEvaluator("print('x')\nwhile (true) { }", allows_na=False).evaluate(generation(), time_limit_s=0.3)
    assert (caught.value.line, caught.value.prints, caught.value.limit_s) == (2, ("x",), 0.3)


def test_the_event_never_changes_and_programs_share_its_globals() -> None:
    one = generation(**{"$ai_output": "a", "list": [1, {"b": 2}]})
    shared = GenerationGlobals(one)
    for source in ("let p := properties p.list[2].b := 9 p.new := 1 return true", "return properties.list[2].b = 2"):
        verdict = HogEvaluator(source, allows_na=False).evaluate(one, time_limit_s=PATIENCE_S, shared=shared)
        assert verdict == Verdict(result=True)
    assert one.properties == {"$ai_output": "a", "list": [1, {"b": 2}]}
    assert shared.get("output") is shared["output"]


def test_globals_are_built_only_when_a_program_names_them() -> None:
    shared = GenerationGlobals(generation(**{"$ai_output": "a"}))
    HogEvaluator("return event.event = 'x'", allows_na=False).evaluate(
        shared.generation, time_limit_s=PATIENCE_S, shared=shared
    )
    assert set(shared._built) == {"event"}


def test_members_of_an_event_are_built_only_when_a_program_reads_them_and_once_for_all() -> None:
    shared = GenerationGlobals(generation(**{"$ai_output_choices": REPLY}))
    for source in (
        "return evaluation_events[1].output_text = 'o'",
        "return notEmpty(evaluation_events[1].output_text)",
    ):
        HogEvaluator(source, allows_na=False).evaluate(shared.generation, time_limit_s=PATIENCE_S, shared=shared)
    (view,) = shared.get("evaluation_events")
    assert set(view._built) == {"output_text"}
    assert shared["evaluation_events"] == [dict(view)]


def test_a_program_that_changes_an_element_changes_its_copy_alone() -> None:
    one = generation(**{"$ai_output": "o"})
    shared = GenerationGlobals(one)
    for source in (
        "let e := evaluation_events[1] e.output_text := 'x' return e.output_text = 'x'",
        "let all := evaluation_events all[1].output_text := 'x' return evaluation_events[1].output_text = 'o'",
        "return evaluation_events[1].output_text = 'o'",
    ):
        verdict = HogEvaluator(source, allows_na=False).evaluate(one, time_limit_s=PATIENCE_S, shared=shared)
        assert verdict == Verdict(result=True)


def test_a_replay_gives_the_same() -> None:
    source = "print(now(), today(), generateUUIDv4(), generateUUIDv4()) return true"
    first, second = judge(source), judge(source)
    assert first == second
    assert isinstance(first, Verdict)
    ids = first.reasoning.split()[-2:]
    assert ids[0] != ids[1]
    assert all(one[14] == "4" for one in ids)


def test_expressions_of_conditions() -> None:
    evaluate = compile_expression("properties.$ai_latency > 2 and event = 'x'")
    assert evaluate({"properties": {"$ai_latency": 3}, "event": "x"}) is True
    assert evaluate({"properties": {}, "event": "x"}) is False
