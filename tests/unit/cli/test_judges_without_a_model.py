"""`gavel evaluations apply` says which enabled judge cannot run, and applies it all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from examples import EVALUATORS, JUDGES
from storage.sql.engine import open_database
from storage.sql.migrations import upgrade


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    upgrade(open_database(f"sqlite:///{tmp_path}/gavel.db"))
    return {"GAVEL_DATA_DIR": str(tmp_path)}


def test_a_judge_without_a_key_is_applied_with_a_note(env: dict[str, str]) -> None:
    done = CliRunner().invoke(build_app(), ["evaluations", "apply", str(JUDGES)], env=env)
    assert done.exit_code == 0, done.output
    notes = [line for line in done.stderr.splitlines() if "cannot judge" in line]
    assert len(notes) == 3
    assert all("gavel provider-keys add" in note for note in notes)


def test_no_note_where_a_trial_key_judges_or_code_does(env: dict[str, str]) -> None:
    for path, more in ((JUDGES, {"GAVEL_JUDGE__TRIAL_API_KEY": "sk-trial"}), (EVALUATORS, {})):
        done = CliRunner().invoke(build_app(), ["evaluations", "apply", str(path)], env={**env, **more})
        assert done.exit_code == 0, done.output
        assert "cannot judge" not in done.stderr
