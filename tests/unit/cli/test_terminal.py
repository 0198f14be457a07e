"""The one way in which commands fail, and the times that they take."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from cli import terminal
from processor.exit_codes import EXIT_USAGE

CLI = Path(terminal.__file__).parent


def test_a_failure_is_told_on_standard_error_with_the_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        terminal.fail("one", "two \udcff", code=EXIT_USAGE)
    assert ended.value.exit_code == 2
    assert capsys.readouterr() == ("", "gavel: one\ngavel: two \\udcff\n")


def test_no_command_has_a_way_of_failing_of_its_own() -> None:
    """Only `terminal.py` prints on standard error, `hog check` apart, whose lines an editor reads."""
    found = [
        f"{path.name}: {ast.unparse(node)[:60]}"
        for path in sorted(CLI.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "typer.echo"
        and any(keyword.arg == "err" for keyword in node.keywords)
        and path.name != "terminal.py"
    ]
    assert [each.split(":")[0] for each in found] == ["hog.py"], found


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00+02:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc_unless_it_has_an_offset(text: str, moment: datetime) -> None:
    assert terminal.parse_time(text, "--since") == moment


def test_a_time_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.parse_time(None, "--since") is None
    with pytest.raises(typer.Exit) as ended:
        terminal.parse_time("yesterday", "--since")
    assert ended.value.exit_code == 2
    assert "gavel: --since: 'yesterday' is not an ISO-8601 time; write " in capsys.readouterr().err


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress("reading", 10) as advance:
        advance(5)
        advance(6, 20)
    assert capsys.readouterr() == ("", "")


def test_control_characters_are_written_out() -> None:
    assert terminal.printable("a\x1b[2J\ud800") == "a\\x1b[2J\\ud800"
