"""`gavel budgets` sets and shows what a team may spend, in the store that judges read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from config.settings import load_settings
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAVEL_DATA_DIR", str(tmp_path))
    upgrade(open_store(load_settings()))


def gavel(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["budgets", *arguments])


def test_a_budget_is_set_shown_and_lifted() -> None:
    assert gavel("show", "--team", "7").stdout == "Team 7 has no budget.\n"
    assert gavel("set", "--team", "7", "--usd", "50", "--tokens", "1000", "--period", "week").exit_code == 0
    shown = json.loads(gavel("show", "--team", "7", "--json").stdout)
    assert shown["budget"] == {"usd": 50.0, "tokens": 1000, "period": "week"}
    assert shown["used"] == {"usd": 0.0, "tokens": 0}
    assert "$0.00 of $50.00 used this week" in gavel("show", "--team", "7").stdout
    assert json.loads(gavel("show", "--team", "8", "--json").stdout)["budget"] is None
    assert gavel("set", "--team", "7", "--none").stdout == "Team 7 has no budget.\n"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "needs usd or tokens"),
        (("--usd", "0"), "--usd: "),
        (("--tokens", "-1"), "--tokens: "),
        (("--usd", "1", "--period", "year"), "--period: "),
        (("--usd", "1", "--none"), "--none"),
    ],
)
def test_a_wrong_budget_is_refused_with_its_option(options: tuple[str, ...], problem: str) -> None:
    done = gavel("set", "--team", "7", *options)
    assert done.exit_code == 2
    assert done.stderr.startswith("gavel: ")
    assert problem in done.stderr
    assert gavel("show", "--team", "7").stdout == "Team 7 has no budget.\n"
