"""`gavel judge try` shows prompt, answers, verdict, tokens and cost; its exit code says whether there was a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from examples.stand_in.client import StandInServer

RECORDED_FILE = Path(__file__).parents[1] / "unit/evaluators/llm_judge/data/replies.json"
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
    assert shown.get("kind") == ("unauthorized" if action == "unauthorized" else None)


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


def test_the_prompt_limit_of_the_settings_holds_here_too(
    files: tuple[str, str], stand_in: StandInServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GAVEL_JUDGE__MAX_PROMPT_CHARS", "1000")
    event = tmp_path / "long.json"
    event.write_text(json.dumps({**EVENT, "properties": {"$ai_input": "x" * 5_000, "$ai_output": "y"}}))
    done = attempt((files[0], str(event)), "--base-url", stand_in.base_url, "--model", "m", "--json")
    assert json.loads(done.stdout)["usage"]["truncated"] is True


RECORDED = {case["name"]: case for case in json.loads(RECORDED_FILE.read_text())}


@contextmanager
def serving(replies: list[dict[str, Any]]) -> Iterator[str]:
    """Serve recorded replies on the loopback interface, one after the other; the last repeats."""
    left = list(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            reply = left.pop(0) if len(left) > 1 else left[0]
            body = reply["body"] if isinstance(reply["body"], str) else json.dumps(reply["body"])
            self.send_response(reply["status"])
            for name, value in {"content-type": "application/json", **reply.get("headers", {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode("utf-8", "surrogatepass"))

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("harmony channels", '"result": true'),
        ("half a surrogate pair in the answer", '"result": true'),
        ("a refusal of the text with status 403", "content_filtered"),
        ("a wrong key with status 400", "API key not valid"),
        ("a redirect", "redirects to https://example.com/"),
        ("a page for 404", "base URL"),
        ("prose that quotes an object of the judged text", "unparsable_response"),
    ],
)
def test_recorded_replies_over_http_give_their_outcome(files: tuple[str, str], name: str, shows: str) -> None:
    with serving(RECORDED[name]["replies"]) as base_url:
        done = attempt(files, "--base-url", base_url, "--model", "m", "--json")
    assert done.exit_code == (0 if "true" in shows else 1), done.output
    assert shows in done.stdout
