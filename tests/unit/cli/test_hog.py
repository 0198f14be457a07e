"""`gavel hog`: its output for people and for scripts, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app

EVENT = {
    "uuid": "018f0000-0000-7000-8000-000000000001",
    "event": "$ai_generation",
    "team_id": 1,
    "distinct_id": "d",
    "timestamp": "2026-01-02 03:04:05.000000",
    "properties": json.dumps({"$ai_output": "hello", "$ai_model": "m", "$ai_latency": 1.5}),
}


@pytest.fixture
def hog(tmp_path: Path) -> Any:
    (tmp_path / "event.json").write_text(json.dumps(EVENT))

    def run(*args: str, **files: str) -> Result:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        words = [str(tmp_path / a) if (tmp_path / a).exists() else a for a in args]
        return CliRunner().invoke(build_app(), ["hog", *words])

    return run


@pytest.mark.parametrize(
    ("source", "word", "code"),
    [
        ("print('fine') return length(output) = 5", "pass", 0),
        ("return event.distinct_id = 'x'", "fail", 0),
        ("return target.total_latency_seconds > 2 ? 1 : toYear(now()) = 2026", "pass", 0),
        ("return 1", "Must return boolean (or null if N/A is enabled), got integer: 1", 1),
        ("return null", "Must return boolean", 1),
        ("return output - 1", "line 1, column 15", 1),
    ],
)
def test_run_shows_the_verdict_or_the_place_of_the_failure(hog: Any, source: str, word: str, code: int) -> None:
    result = hog("run", "a", "--event", "event.json", a=source)
    assert word in result.output
    assert result.exit_code == code


def test_run_gives_json_for_scripts(hog: Any) -> None:
    result = hog("run", "a", "--event", "event.json", "--json", a="print('why') return false")
    assert json.loads(result.output) == {"result": False, "reasoning": "why", "error": None}


def test_null_is_a_verdict_when_it_may_be(hog: Any) -> None:
    result = hog("run", "a", "--event", "event.json", "--allows-na", a="return null")
    assert "not applicable" in result.output
    assert result.exit_code == 0


def test_a_definition_in_yaml_runs_as_its_source_does(hog: Any) -> None:
    """The definition says whether null is a verdict, and a wrong one gets the same message as in every command."""
    yaml = "name: A\nevaluation_config: {source: 'return null'}\n"
    allowing = f"{yaml}output_config: {{allows_na: true}}\n"
    assert hog("run", "a.yaml", "--event", "event.json", **{"a.yaml": yaml}).exit_code == 1
    judged = hog("run", "a.yaml", "--event", "event.json", **{"a.yaml": allowing})
    assert (judged.exit_code, "not applicable" in judged.output) == (0, True)
    wrong = hog("run", "a.yaml", **{"a.yaml": "name: A\n"})
    assert (wrong.exit_code, "a.yaml:1:1: evaluation_type: This field is required." in wrong.stderr) == (1, True)
    prompt = hog("run", "a.yaml", **{"a.yaml": "name: A\nevaluation_config: {prompt: a}\n"})
    assert (prompt.exit_code, "holds 0 Hog evaluations" in prompt.stderr) == (2, True)


def test_globals_of_ones_own(hog: Any) -> None:
    result = hog("run", "a", "--globals", "g", "--json", a="return x + 1", g='{"x": 1}')
    assert json.loads(result.output)["result"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "missing.hog"],
        ["run", "a", "--event", "missing.json"],
        ["run", "a", "--batch", "a"],
        ["run", "a", "--event", "a"],
        ["run", "--batch", "missing"],
        ["check", "missing.hog"],
    ],
)
def test_wrong_usage_has_its_own_exit_code(hog: Any, words: list[str]) -> None:
    result = hog(*words, a="return 1")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_check_reports_place_and_caret(hog: Any) -> None:
    result = hog("check", "good", "bad", good="return output = ''", bad="let a := 1\nreturn lenght(a)")
    assert result.exit_code == 1
    assert "bad:2:8: Unknown function lenght; did you mean length?" in result.output
    assert "       ^" in result.output
    assert "good: ok" in result.output


def test_check_knows_the_globals_of_an_evaluator(hog: Any) -> None:
    result = hog("check", "a", a="return outptu = ''")
    assert "Global variable not found: outptu; did you mean output?" in result.output
    assert hog("check", "a", "--any-globals", a="return outptu = ''").exit_code == 0


def test_check_gives_json_for_editors(hog: Any) -> None:
    answer = json.loads(hog("check", "a", "--json", a="return (").output)
    assert (answer["ok"], answer["line"], answer["column"]) == (False, 1, 9)


def test_show_prints_python(hog: Any) -> None:
    result = hog("show", "a", a="return 1 + 2")
    assert result.output.startswith("def program(")
    compile(result.output, "shown", "exec")
    assert hog("show", "a", a="return (").exit_code == 1


BATCH = [
    ({"source": "return 1 + 2"}, 3, None),
    ({"source": "return [1, (2, 'x'), {'a': null}, 1.0]"}, [1, [2, "x"], {"a": None}, 1.0], None),
    ("no json", None, "bad_request"),
    ({"source": 1}, None, "bad_request"),
    ([], None, "bad_request"),
    ({"source": "return x", "globals": []}, None, "bad_request"),
    ({"source": "return x", "globals": {"x": [1]}}, [1], None),
    ({"source": "return x"}, None, "unknown_global"),
    ({"source": "return ("}, None, "compile_error"),
    ({"source": "let a := 'x' while (true) { a := a || a }"}, None, "memory_exceeded"),
    ({"source": "fun f() { return f() } return f()"}, None, "depth_exceeded"),
    ({"source": "throw Error('x')"}, None, "uncaught"),
    ({"source": "return nan"}, None, None),
    ({"source": "let a := 10 for (let i := 0; i < 13; i := i + 1) { a := a * a } return a"}, None, None),
    ({"source": "return '\\\\ud800'"}, "\\ud800", None),
    ({"source": "return 'still here'"}, "still here", None),
]


def test_a_batch_answers_every_line_in_order(hog: Any) -> None:
    lines = "\n".join(line if isinstance(line, str) else json.dumps(line) for line, _, _ in BATCH)
    result = hog("run", "--batch", "b", b=lines + "\n\n")
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.output.splitlines()]
    assert [a["result"] for a in answers] == [value for _, value, _ in BATCH]
    kinds = [a["error"] and a["error"]["kind"] for a in answers]
    assert kinds == [kind for _, _, kind in BATCH]
    assert all(set(a) == {"result", "reasoning", "error"} for a in answers)
    assert all(set(a["error"]) == {"kind", "message", "line"} for a in answers if a["error"])


def test_a_line_that_takes_too_long_ends_and_the_next_is_answered(hog: Any) -> None:
    lines = [{"source": "while (true) { }"}, {"source": "return 1"}]
    result = hog("run", "--batch", "b", "--time-limit", "0.3", b="\n".join(map(json.dumps, lines)))
    first, second = (json.loads(line) for line in result.output.splitlines())
    # Which of the two limits ends the endless loop first depends on the machine.
    assert first["error"]["kind"] in ("time_exceeded", "steps_exceeded")
    assert second["result"] == 1


def test_a_batch_follows_verdict_rules_only_on_request(hog: Any) -> None:
    lines = "\n".join(
        json.dumps(line)
        for line in [
            {"source": "print('a') return 1"},
            {"source": "return null"},
            {"source": "return null", "allows_na": True},
            {"source": "return true"},
        ]
    )
    plain = [json.loads(line) for line in hog("run", "--batch", "b", b=lines).output.splitlines()]
    assert [a["error"] for a in plain] == [None] * 4
    held = [json.loads(line) for line in hog("run", "--batch", "b", "--verdict", b=lines).output.splitlines()]
    assert [a["error"] and a["error"]["kind"] for a in held] == ["wrong_result", "wrong_result", None, None]
    assert held[0]["reasoning"] == "a"
