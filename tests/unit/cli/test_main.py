"""`gavel` itself: the version, and a start that loads only the packages that the command needs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.main import COMMANDS, build_app

CHECKOUT = Path(__file__).parents[3]
SLOW = ("rich", "sqlalchemy", "pydantic", "confluent_kafka", "clickhouse_connect", "fastapi", "openai", "yaml")


def test_the_version_is_the_package_s() -> None:
    done = CliRunner().invoke(build_app(), ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"gavel {version('gavel')}\n")


@pytest.mark.parametrize("words", [["--help"], ["evaluations", "apply", "--help"], ["run", "--help"]])
def test_help_loads_no_slow_package(words: list[str]) -> None:
    look = f"import sys, cli.main\ntry: cli.main.main()\nfinally: print([m for m in {SLOW} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look, *words], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_module_of_commands_is_listed() -> None:
    modules = {path.stem for path in (CHECKOUT / "cli").glob("*.py") if "def register(" in path.read_text()}
    assert modules == set(COMMANDS)


def test_examples_in_a_help_keep_their_lines() -> None:
    shown = CliRunner().invoke(build_app(), ["replay", "--help"]).stdout
    assert "\n      gavel replay --offsets 0:1000-2000 --evaluation 0190…\n" in shown
    assert "[bold]" not in CliRunner().invoke(build_app(), ["run", "--help"]).stdout


def every_command() -> list[tuple[str, Any]]:
    """Return all commands with their words, such as `gavel dlq list`."""

    def within(words: str, command: Any) -> list[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            return [(words, command)]
        return [found for name, each in command.commands.items() for found in within(f"{words} {name}", each)]

    return within("gavel", typer.main.get_command(build_app()))


@pytest.mark.parametrize(("words", "command"), every_command())
def test_the_help_of_every_command_has_examples_with_options_that_exist(words: str, command: Any) -> None:
    shown = [line.strip() for line in (command.help or "").splitlines()]
    examples = [line for line in shown if re.match(rf"(.*\| )?{words}\b(?! is\b)", line)]
    assert examples
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for paragraph in (command.help or "").split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        assert len(lines) == 1 or lines[0] == "\b" or not set(lines) & set(examples), "its lines are shown as one"
    for example in examples:
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", example.partition(words)[2])) <= known, example
