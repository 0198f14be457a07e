"""Files that commands are given: a wrong one ends every command in the same way, and none can hang."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from cli.main import build_app

EVENT = {"uuid": "u", "event": "$ai_generation", "team_id": 1, "distinct_id": "d", "properties": "{}"}

DEFINITION_COMMANDS: dict[str, list[str]] = {
    "validate": ["evaluations", "validate", "FILE"],
    "apply": ["evaluations", "apply", "FILE"],
    "why": ["why", "--evaluation", "FILE", "--event", "event.json"],
    "test": ["evaluations", "test", "FILE"],
    "judge try": ["judge", "try", "--evaluation", "FILE", "--event", "event.json", "--base-url", "http://127.0.0.1:9"],
}
OTHER_COMMANDS: dict[str, list[str]] = {
    "why's event": ["why", "--evaluation", "good.yaml", "--event", "FILE"],
    "judge try's event": ["judge", "try", "--evaluation", "judge.yaml", "--event", "FILE", "--model", "m"],
    "hog run": ["hog", "run", "FILE"],
    "hog run's event": ["hog", "run", "good.hog", "--event", "FILE"],
    "hog run's globals": ["hog", "run", "good.hog", "--globals", "FILE"],
    "hog run's batch": ["hog", "run", "--batch", "FILE"],
    "hog check": ["hog", "check", "FILE"],
    "hog show": ["hog", "show", "FILE"],
    "match": ["match", "--batch", "FILE"],
    "settings": ["config", "show", "--config", "FILE"],
    "send": ["send", "FILE", "--url", "http://127.0.0.1:9", "--token", "t"],
    "trust compute": ["trust", "compute", "FILE"],
    "doctor's log": ["doctor", "--log", "FILE"],
}
WRITTEN = frozenset({"doctor --output", "evaluations export --output", "reports show --html", "results --output"})
"""Options that name what a command writes; test_outputs.py has their tests."""
READ_WITH_A_STORE = frozenset({"labels import FILE"})
"""test_labels.py has its tests."""
ANY_SIZE = frozenset({"doctor's log"})
"""The end of a log of any size is added to the archive."""

WRONG_DEFINITIONS = {
    "an unknown field": "name: A\nevaluation_config: {prompt: a}\nenbled: true\n",
    "a missing field": "name: A\nconditions: []\n",
    "a wrong filter": "name: A\nevaluation_config: {prompt: a}\nconditions:\n- id: a\n  properties: [5]\n",
    "Hog that does not compile": "name: A\nevaluation_config:\n  source: return (\n",
    "not YAML": "name: [\n",
    "not an evaluation": "[1]",
    "a key that is there twice": "name: A\nname: B\n",
    "an empty file": "",
    "not UTF-8": "name: \udcff\n",
}


@pytest.fixture
def gavel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in a folder of its own, with the word FILE replaced by a name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    (tmp_path / "good.hog").write_text("return true")
    (tmp_path / "good.yaml").write_text("conditions: []")
    (tmp_path / "judge.yaml").write_text("name: A\nevaluation_config: {prompt: a}\n")

    def run(words: list[str], file: str) -> Result:
        return CliRunner().invoke(build_app(), [file if word == "FILE" else word for word in words])

    return run


@pytest.mark.parametrize("text", WRONG_DEFINITIONS.values(), ids=WRONG_DEFINITIONS)
def test_a_wrong_definition_is_told_alike_by_every_command(
    gavel: Callable[..., Result], tmp_path: Path, text: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(text, "utf-8", "surrogateescape")
    told = {name: gavel(words, "wrong.yaml") for name, words in DEFINITION_COMMANDS.items()}
    assert {name: result.exit_code for name, result in told.items()} == dict.fromkeys(told, 1)
    assert len({result.stderr for result in told.values()}) == 1, {name: r.stderr for name, r in told.items()}
    first, *_, last = told["validate"].stderr.splitlines()
    assert first.startswith("gavel: wrong.yaml:")
    assert last == "gavel: 1 problem; correct the definition files"
    assert {result.stdout for result in told.values()} == {""}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def locked(path: Path) -> None:
    path.write_text("a file that nobody may read")
    path.chmod(0)


NOT_FILES = {"a pipe": pipe, "a folder": Path.mkdir, "a gigabyte": huge, "nothing": missing, "a locked file": locked}


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("command", [*DEFINITION_COMMANDS, *OTHER_COMMANDS])
def test_what_is_not_a_file_is_one_clear_line(
    gavel: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: str
) -> None:
    if kind == "a gigabyte" and command in ANY_SIZE:
        return
    file = "given.hog" if command == "hog run" else "given.yaml"  # it takes a definition too
    NOT_FILES[kind](tmp_path / file)
    if kind == "a locked file":
        as_another_user(monkeypatch, file)
    done = gavel((DEFINITION_COMMANDS | OTHER_COMMANDS)[command], file)
    assert done.exit_code == (1 if command in DEFINITION_COMMANDS else 2), done.output
    problem, *rest = done.stderr.splitlines()
    assert problem.removeprefix("gavel: ").removeprefix("--log: ").startswith(f"{file}: ")
    assert rest in ([], ["gavel: 1 problem; correct the definition files"])
    assert done.stdout == ""
    assert done.exception is None or isinstance(done.exception, SystemExit)


def as_another_user(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Refuse to open a file as the system does for its other users; root, as whom tests may run, may open each."""
    system = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(os.fsdecode(path)).name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return system(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)


def test_every_command_that_takes_a_file_is_tested_with_something_else() -> None:
    tested = {given_to(words) for words in (DEFINITION_COMMANDS | OTHER_COMMANDS).values()}
    assert set(files_of(get_command(build_app()), ())) - tested == WRITTEN | READ_WITH_A_STORE


def given_to(words: list[str]) -> str:
    """Return the command of a line with the option that names FILE; without an option the word FILE stands for it."""
    command = " ".join(takewhile(lambda word: word.islower() and not word.startswith("-") and "." not in word, words))
    before = words[words.index("FILE") - 1]
    return f"{command} {before if before.startswith('-') else 'FILE'}"


def files_of(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield each option and argument of a command, and of those below it, that names a file."""
    for name, below in getattr(command, "commands", {}).items():
        yield from files_of(below, (*path, name))
    for parameter in command.params:
        if "path" in repr(parameter.type).lower() and "--config" not in parameter.opts:
            option = parameter.opts[0] if parameter.param_type_name == "option" else "FILE"
            yield " ".join((*path, option))


def test_a_mistyped_path_does_not_open_the_archive(gavel: Callable[..., Result], tmp_path: Path) -> None:
    done = gavel(["why", "--evaluation", "good.yaml", "--event", "FILE"], "TYPO.json")
    assert (done.exit_code, "No such file" in done.stderr) == (2, True)
    done = gavel(["why", "--evaluation", "good.yaml", "--event", "FILE"], "not-a-uuid")
    assert done.exit_code == 2
    assert not (tmp_path / ".gavel").exists()


def test_an_event_is_read_from_standard_input(gavel: Callable[..., Result]) -> None:
    words = ["why", "--evaluation", "good.yaml", "--event", "-"]
    done = CliRunner().invoke(build_app(), words, input=json.dumps(EVENT))
    assert (done.exit_code, done.stdout.split(":")[0]) == (0, "no_conditions")
