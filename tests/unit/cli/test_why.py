"""`gavel why` with two files: no Kafka, no store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processor.cli.main import build_app


def run(tmp_path: Path, evaluation: str, event: str, *flags: str):
    (tmp_path / "evaluation.yaml").write_text(evaluation, "utf-8")
    (tmp_path / "event.json").write_text(event, "utf-8")
    files = ["--evaluation", str(tmp_path / "evaluation.yaml"), "--event", str(tmp_path / "event.json")]
    return CliRunner().invoke(build_app(), ["why", *files, *flags])


EVALUATION = """
conditions:
  - {id: tenth, rollout_percentage: 10, properties: [{key: day, operator: is_date_after, value: 2024-01-01}]}
  - {id: model, properties: [{key: m, operator: regex, value: ^gpt}, {key: n, value: 1}]}
"""


def test_every_set_and_filter_is_shown_with_value_and_outcome(tmp_path: Path) -> None:
    """As JSON for scripts: dates in YAML are text, the rollout number stands beside the sets."""
    event = '{"uuid":"event-2","event":"$ai_generation","properties":{"m":"gpt-4","day":"2025-01-01"}}'
    result = run(tmp_path, EVALUATION, event, "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["outcome"], shown["condition_id"], shown["rollout"]) == ("sampled_out", None, 88.88)
    tenth, model = shown["sets"]
    assert (tenth["filters"], tenth["sampled_in"]) == ("holds", False)
    assert [(m["value"], m["outcome"]) for m in model["members"]] == [("gpt-4", "holds"), (None, "fails")]


def test_a_table_for_people(tmp_path: Path) -> None:
    """The outcome comes first, and an event that the stream would skip is pointed out."""
    result = run(tmp_path, EVALUATION, '{"uuid":"event-2","event":"$pageview","properties":"{}"}')
    assert result.exit_code == 0
    assert result.stdout.startswith("filtered")
    assert "runs only $ai_generation" in result.stdout


@pytest.mark.parametrize(
    ("evaluation", "event"),
    [("conditions: [{id: a, properties: [5]}]", "{}"), ("[1]", "{}"), ("{", "{}"), ("{}", "nope"), ("{}", "{}")],
)
def test_wrong_files_are_wrong_usage(tmp_path: Path, evaluation: str, event: str) -> None:
    """Exit code 2 and a message on standard error, never a traceback."""
    result = run(tmp_path, evaluation, event)
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("extra", "outcome"), [("enabled: false", "disabled"), ("conditions: []", "no_conditions")])
def test_outcomes_that_no_filter_decides(tmp_path: Path, extra: str, outcome: str) -> None:
    """A disabled evaluation, and one without condition sets."""
    result = run(tmp_path, extra, '{"uuid":"a","properties":{}}', "--json")
    assert json.loads(result.stdout)["outcome"] == outcome
