"""`gavel judge try` shows prompt, answers, verdict, tokens and cost; its exit code says whether there was a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processor.cli.main import build_app
from tests.stand_in.client import StandInServer

EVALUATION = """
name: polite
evaluation_type: llm_judge
evaluation_config: {prompt: The answer is polite.}
"""
EVENT = {
    "uuid": "018f0000-0000-7000-8000-000000000001",
    "event": "$ai_generation",
    "team_id": 1,
    "distinct_id": "d",
    "timestamp": "2026-03-02 12:00:00.000000",
    "properties": {"$ai_input": "Where is it?", "$ai_output": "It left on Monday."},
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    evaluation, event = tmp_path / "polite.yaml", tmp_path / "event.json"
    evaluation.write_text(EVALUATION)
    event.write_text(json.dumps(EVENT))
    return str(evaluation), str(event)


def attempt(files: tuple[str, str], *options: str) -> Result:
    return CliRunner().invoke(build_app(), ["judge", "try", "--evaluation", files[0], "--event", files[1], *options])


def test_it_shows_everything_of_one_judgement(files: tuple[str, str], stand_in: StandInServer) -> None:
    done = attempt(files, "--base-url", stand_in.base_url, "--model", "m", "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["verdict"]["result"] is True
    assert shown["usage"]["input_tokens"] > 0
    assert "The answer is polite." in shown["calls"][0]["request"]["messages"][0]["content"]
    assert "It left on Monday." in shown["calls"][0]["request"]["messages"][1]["content"]
    assert '"verdict"' in shown["calls"][0]["answer"]
    readable = attempt(files, "--base-url", stand_in.base_url, "--model", "m")
    for text in ("call 1", "It left on Monday.", "verdict", "true", "tokens", "cost"):
        assert text in readable.stdout


@pytest.mark.parametrize("action", ["not_json", "unauthorized", "content_filtered"])
def test_without_a_verdict_it_says_why_and_exits_with_1(
    files: tuple[str, str], stand_in: StandInServer, action: str
) -> None:
    stand_in.script({"action": action})
    done = attempt(files, "--base-url", stand_in.base_url, "--model", "m", "--json")
    assert done.exit_code == 1
    shown = json.loads(done.stdout)
    assert shown["verdict"] is None
    assert shown["skip"] or shown["failure"]


def test_wrong_usage_exits_with_2_and_says_what_to_do(files: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for options, remedy in (
        ((), "OPENAI_API_KEY is not set"),
        (("--provider", "nobody"), "use one of"),
        (("--base-url", "http://127.0.0.1:9/v1"), "--model"),
    ):
        done = attempt(files, *options)
        assert (done.exit_code, remedy in done.stderr) == (2, True), done.stderr
    Path(files[1]).write_text("{")
    assert attempt(files, "--model", "m", "--base-url", "http://127.0.0.1:9/v1").exit_code == 2
