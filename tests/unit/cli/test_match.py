"""`gavel match --batch`: JSON lines in, JSON lines out, in the same order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import build_app


def test_each_line_has_its_answer_and_a_bad_one_stops_nothing() -> None:
    """All outcomes, from standard input, with exit code 0."""
    event = {"uuid": "event-2", "properties": {"a": 1}}
    raising = [{"id": "h", "properties": [{"type": "hogql", "key": "1 / 0 == 1"}]}]
    lines = [
        json.dumps({"conditions": None, "event": event}),
        "nonsense",
        json.dumps({"conditions": [], "event": event}),
        json.dumps({"conditions": [{"id": "x", "properties": [{"key": "a", "value": 2}]}], "event": event}),
        json.dumps({"conditions": [{"id": "x", "rollout_percentage": 88.88}], "event": event}),
        json.dumps({"conditions": [{"id": "x", "rollout_percentage": 101}], "event": event}),
        json.dumps({"conditions": raising, "event": event}),
        json.dumps({"conditions": [{"id": "h", "properties": [{"type": "hogql", "key": "((("}]}], "event": event}),
        json.dumps({"conditions": None, "event": {}}),
        '{"conditions":null,"event":{"uuid":"event-1","properties":{"text":"Infinity","n":1e400}}}',
        json.dumps(
            {"conditions": [{"id": "e", "properties": [{"type": "hogql", "key": "properties.a == 1"}]}], "event": event}
        ),
    ]
    result = CliRunner().invoke(build_app(), ["match", "--batch", "-"], input="\n".join(lines) + "\n")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    outcomes = ["matched", "error", "no_conditions", "filtered", "sampled_out", *["error"] * 4, "matched", "matched"]
    assert [answer["outcome"] for answer in answers] == outcomes
    assert all((answer["error"] is not None) is (answer["outcome"] == "error") for answer in answers)
    assert answers[-1] == {"outcome": "matched", "condition_id": "e", "rollout": 88.88, "error": None}


def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    """Exit code 2 for a missing file and for a folder."""
    for path in (tmp_path / "missing", tmp_path):
        assert CliRunner().invoke(build_app(), ["match", "--batch", str(path)]).exit_code == 2


@pytest.mark.parametrize(
    "source",
    [
        "length(arrayMap(x -> arrayMap(y -> x + y, range(1000)), range(1000))) > 0",
        "length(range(100000000)) > 0",
    ],
)
def test_an_endless_expression_is_an_error_of_its_evaluation(source: str) -> None:
    """A condition may use 5 ms, 100 000 steps and 8 MiB; what passes one stops there and says so."""
    conditions = [{"id": "h", "properties": [{"type": "hogql", "key": source}]}]
    line = json.dumps({"conditions": conditions, "event": {"uuid": "a", "properties": {}}})
    result = CliRunner().invoke(build_app(), ["match", "--batch", "-"], input=f"{line}\n")
    answer = json.loads(result.stdout)
    assert answer["outcome"] == "error"
    assert "Exceeded" in answer["error"]
