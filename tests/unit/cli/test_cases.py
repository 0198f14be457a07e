"""`gavel evaluations test` runs the cases beside evaluators, and says which are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from cli.main import build_app
from examples import EVALUATORS, JUDGES


def run(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["evaluations", "test", *words])


def test_all_cases_of_the_examples_are_right() -> None:
    done = run(str(EVALUATORS))
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(" cases, 0 wrong\n")


def test_a_wrong_case_is_named_and_ends_with_1(tmp_path: Path) -> None:
    shutil.copy(EVALUATORS / "no_refusal.yaml", tmp_path)
    (tmp_path / "no_refusal.cases.yaml").write_text(
        "- {name: right, expect: pass, properties: {$ai_output: Sure.}}\n"
        "- {name: wrong, expect: fail, properties: {$ai_output: Sure.}}\n"
        "- {name: other words, expect: pass, properties: {$ai_output: Sure.}, reasoning: because}\n"
    )
    done = run(str(tmp_path / "no_refusal.yaml"))
    assert done.exit_code == 1
    assert "no_refusal.yaml: wrong: expected fail, got pass: No refusal." in done.stdout
    assert "other words: the reasoning does not hold 'because'" in done.stdout
    assert "3 cases, 2 wrong" in done.stdout
    wrong = json.loads(run(str(tmp_path), "--json").stdout)["wrong"]
    assert [each["case"] for each in wrong] == ["wrong", "other words"]


def test_files_without_cases_are_a_mistake_of_usage() -> None:
    done = run(str(JUDGES))
    assert done.exit_code == 2
    assert "write one" in done.stderr
