"""`gavel` itself: the version, and a start that loads only the packages that the command needs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.main import COMMANDS, build_app, main
from processor import exit_codes
from tests.services.cache import CHECKOUT

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


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["replay", "--bogus"],
            ["gavel: No such option: --bogus", "gavel: usage: gavel replay [OPTIONS]; `gavel replay"],
        ),
        (["runn"], ["gavel: No such command 'runn'. Did you mean 'run'?", "gavel: usage: gavel [OPTIONS] COMMAND"]),
        (
            ["labels", "import"],
            ["gavel: Missing argument 'file'.", "gavel: usage: gavel labels import [OPTIONS] {file};"],
        ),
        (
            ["send", "--rate", "x"],
            ["gavel: Invalid value for '--rate':", "gavel: usage: gavel send [OPTIONS] [FILE…];"],
        ),
        (["labels"], ["Usage: gavel labels [OPTIONS] COMMAND [ARGS]..."]),
    ],
)
def test_wrong_words_fail_as_all_failures_do(
    words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_code(words, monkeypatch) == exit_codes.EXIT_USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    for line, start in zip(shown.err.splitlines(), lines, strict=False):
        assert line.startswith(start)
    assert len(shown.err.splitlines()) >= len(lines)


def test_the_exit_codes_of_a_command_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(["--version"], monkeypatch) == exit_codes.EXIT_OK
    assert exit_code(["run", "--role", "cook"], monkeypatch) == exit_codes.EXIT_USAGE
    app = typer.Typer()
    monkeypatch.setattr("cli.main.build_app", lambda: app)

    @app.command()
    def ends(how: str) -> None:
        if how == "interrupt":
            raise KeyboardInterrupt
        raise typer.Exit(exit_codes.EXIT_WORSE)

    assert exit_code(["interrupt"], monkeypatch) == exit_codes.EXIT_INTERRUPTED
    assert exit_code(["worse"], monkeypatch) == exit_codes.EXIT_WORSE


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [("n\n", exit_codes.EXIT_FAILED, "nothing was done"), (None, exit_codes.EXIT_INTERRUPTED, "interrupted")],
)
def test_a_question_that_is_not_answered_with_yes(
    answer: str | None,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = typer.Typer()
    monkeypatch.setattr("cli.main.build_app", lambda: app)

    @app.command()
    def asks() -> None:
        typer.confirm("Go on?", abort=True)

    def typed(_prompt: str = "") -> str:
        if answer is None:
            raise KeyboardInterrupt
        return answer.strip()

    monkeypatch.setattr("typer._click.termui.visible_prompt_func", typed)
    assert exit_code([], monkeypatch) == code
    assert f"gavel: {message}" in capsys.readouterr().err


def exit_code(words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the code with which `gavel` ends."""
    monkeypatch.setattr(sys, "argv", ["gavel", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_page_explains_every_exit_code() -> None:
    codes = {value for name, value in vars(exit_codes).items() if name.startswith("EXIT_")}
    table = (CHECKOUT / "docs/commands.md").read_text().partition("## Exit codes")[2].partition("## ")[0]
    shown = {int(code) for row in re.findall(r"^\| (\d[\d, ]*) \|", table, re.MULTILINE) for code in row.split(",")}
    assert codes <= shown
    assert shown - codes == {128 + signal.SIGKILL, 128 + signal.SIGTERM}


def test_only_one_module_has_numbers_of_exit_codes() -> None:
    defined = [
        str(path.relative_to(CHECKOUT))
        for room in ("cli", "processor", "api", "ingest", "reports", "storage")
        for path in (CHECKOUT / room).rglob("*.py")
        if re.search(r"^EXIT_\w+(, EXIT_\w+)* = \d", path.read_text(), re.MULTILINE)
    ]
    assert defined == ["processor/exit_codes.py"]


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
