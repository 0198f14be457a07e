"""The check of "Plain words" finds what breaks them and lets good sentences pass."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.cache import CHECKOUT

CHECK = CHECKOUT / ".ci" / "check_prose.py"

BROKEN = [
    "Of syslog, by which librdkafka counts.",
    "The stage waits. Else nothing happens here.",
    "What a failed commit means.",
    "At most 200 bytes.",
    "Between two brokers.",
    "A boolean is no number.",
    "Lists and objects are no numbers.",
    "Finish and commit what is done.",
    "Forget partitions, and what they were waiting for.",
    "What is wrong in a file, and where.",
    "The client waits longer: else all return together.",
    "Records are taken up in order.",
    "The matcher hands on other runs.",
    "The topic was made again.",
    "Such a run stands in line.",
]
PLAIN = [
    "At most 200 bytes are kept.",
    "What does a commit cost?",
    "There is no index 0.",
    "Of course a broker may die.",
    "The key is no longer configured.",
    "The log says what is missing.",
    "Between two polls the stage commits.",
    "Otherwise the stage is idle and waits.",
    "A message says what is wrong.",
    "Each problem reads `setting: what is wrong; what to do`.",
    "It takes up to five seconds.",
]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], Done]:
    module = runpy.run_path(str(CHECK))

    def run(path: Path) -> Done:
        code = module["main"]([str(path)])
        return Done(code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_sentence_that_breaks_a_rule_is_found(check: Callable[[Path], Done], tmp_path: Path, sentence: str) -> None:
    file = tmp_path / "module.py"
    file.write_text(f'"""A title.\n\n{sentence}\n"""\n')
    done = check(file)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1), done.stdout
    assert done.stdout.startswith(f"{file}:3: ")


def test_plain_sentences_pass(check: Callable[[Path], Done], tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""A title.\n\n' + "\n".join(f"- {sentence}" for sentence in PLAIN) + '\n"""\n')
    done = check(file)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", "x = 1\ny = 2  # what is left of x\n", 2),
        ("a.py", "x = 1\n\n# Else it is lost.\n", 3),
        ("a.py", 'def f():\n    raise ValueError(f"{1} is no number")\n', 2),
        ("a.py", 'Counter(\n    "name",\n    "What was read",\n)\n', 3),
        ("a.py", 'Option(help="Of one team only.")\n', 1),
        ("a.py", 'x: int = 1\n"""What it takes."""\n', 2),
        ("a.md", "# What is it\n\nA page. Else it fails.\n", 3),
        ("a.md", "| a | b |\n|---|---|\n| x | a boolean is no number |\n", 3),
        ("a.yaml", "a: 1\n# Of one team.\n", 2),
        ("a.yaml", "a: 1\nname: an apology that is no refusal\n", 2),
        ("a.yaml", "code: |\n  let a := 1\n\n  // A title.\n\n  print('it is no object')\n", 6),
        ("a.html", "<p>\n  It works.\n  <b>A list is no object.</b></p>", 3),
        ("a.html", '<a\n href="x" title="It is no link">x</a>', 2),
        ("a.css", "a { color: red }\n/* Of a link. */\n", 2),
        ("Dockerfile", "# What is built.\nFROM scratch\n", 1),
        ("a.hog", "// Else it fails.\nreturn true\n", 1),
    ],
)
def test_every_kind_of_prose_is_read_and_has_its_line(
    check: Callable[[Path], Done], tmp_path: Path, name: str, text: str, line: int
) -> None:
    (tmp_path / name).write_text(text)
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{tmp_path / name}:{line}: ")


@pytest.mark.parametrize("text", ['x = "at most"\n', "PROMPT = 'What is the capital of France?'\n", "# noqa: S101\n"])
def test_strings_that_are_no_prose_pass(check: Callable[[Path], Done], tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text(text)
    assert check(tmp_path).returncode == 0


def test_a_code_block_of_a_page_passes(check: Callable[[Path], Done], tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("```\nElse x\n```\n")
    assert check(tmp_path).returncode == 0


def test_a_path_that_does_not_exist_is_a_wrong_usage(check: Callable[[Path], Done], tmp_path: Path) -> None:
    done = check(tmp_path / "nowhere")
    assert (done.returncode, done.stderr) == (2, f"check_prose: {tmp_path / 'nowhere'} does not exist\n")


def test_a_file_of_data_passes_also_when_it_is_named(check: Callable[[Path], Done]) -> None:
    assert check(CHECK.parents[1] / "examples/conversations/corpus.py").returncode == 0
