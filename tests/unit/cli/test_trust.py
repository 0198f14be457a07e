"""`gavel trust compute`: a request in, an answer out, and what a bad request is told."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from config.given import MAX_GIVEN_BYTES
from quality.compute import KINDS

REQUEST = {"kind": "agreement", "input": {"tp": 85, "fn": 7, "fp": 5, "tn": 23}}


def trust(*words: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(build_app(), ["trust", "compute", *words], input=stdin)


def test_a_request_comes_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST))
    from_file, from_stdin = trust(str(file)), trust("--json", stdin=json.dumps(REQUEST))
    assert from_file.exit_code == from_stdin.exit_code == 0
    assert json.loads(from_file.stdout) == json.loads(from_stdin.stdout)
    assert json.loads(from_stdin.stdout)["accuracy"] == pytest.approx(0.9)
    assert len(from_stdin.stdout.splitlines()) == 1 < len(from_file.stdout.splitlines())


def test_a_refusal_is_an_answer() -> None:
    counts = {"human_pass": 40, "human_pass_agreed": 38, "human_fail": 8, "human_fail_agreed": 7}
    request = {"kind": "rogan_gladen", "input": {"judged": 1000, "judged_pass": 500, **counts}}
    result = trust("--json", stdin=json.dumps(request))
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["refused"], answer["missing"]) == ("too_few", {"human_fail": 2})


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ('{"kind": "agreement", "input": {"tp": NaN}}', "-: input.tp: must be a finite number, not nan"),
        ('{"kind": "agreement", "input": {"tp": -1}}', "-: input.tp: must be from 0 to"),
        ('{"kind": "agreement"', "-: is not JSON"),
        ("", "-: is not JSON"),
        (b"\xff", "-: is not JSON"),
        ("9" * 5000, "-: is not JSON"),
        ("[" * 100_000, "-: is nested too deeply; write an object with kind and input"),
        ("[]", "-: the request: must be an object, not a list"),
        (b" " * (MAX_GIVEN_BYTES + 1), "-: is larger than"),
    ],
    ids=lambda value: repr(value[:50]),
)
def test_a_bad_request_is_told_where_and_why(stdin: str | bytes, message: str) -> None:
    result = trust(stdin=stdin)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "missing.json", "cannot be read"), (tmp_path, "is a folder; name a file")):
        result = trust(str(path))
        assert result.exit_code == 2
        assert f"gavel: {path}: {problem}" in result.stderr


def test_names_that_no_terminal_can_show_come_out_as_escapes() -> None:
    request = '{"kind": "options_agreement", "input": {"human": [["\\ud800"]], "judge": [[]]}}'
    for words in ([], ["--json"]):
        result = trust(*words, stdin=request)
        assert result.exit_code == 0
        assert r'"\ud800"' in result.stdout


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)  # the import then fails as if it were not there
    result = trust(stdin='{"kind": "null_rate", "input": {"flips": 2, "observations": 150}}')
    assert result.exit_code == 1
    assert "pip install 'gavel[quality]'" in result.stderr


def test_the_help_names_every_kind() -> None:
    text = trust("--help").stdout
    named = re.sub(r"\s+", " ", text[text.index("names a kind:") : text.index("docs/trust.md")])
    assert set(re.findall(r"\w+", named)) - {"names", "a", "kind", "or"} == set(KINDS)
