"""The commands of docs/trust.md and of the help run as they are printed."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from tests.api.conftest import Api
from tests.api.test_anchors import golden_set
from tests.api.test_canaries import JUDGE
from tests.api.test_label_queues import judged
from tests.api.test_trust import say
from tests.services.cache import CHECKOUT

PAGE = (CHECKOUT / "docs" / "trust.md").read_text()
NAME = "Answers the question"
WAITS = ('compare "Answers the question" 3 4', "--golden ID", '"Answers the question" --run')
"""The ends of commands that wait for judges. Other tests carry them out on real Kafka."""


def printed() -> list[str]:
    """Return the commands of the page that end by themselves, without their comments."""
    found = [each.partition(" #")[0].strip() for each in re.findall(r"^gavel (.*)$", PAGE, re.MULTILINE)]
    return [each for each in found if each not in WAITS and not each.endswith(WAITS)]


def test_the_commands_of_the_page_run_as_printed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, golden = scene(api)
    monkeypatch.setenv("GAVEL_STORE__DSN", api.services.database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("GAVEL_CLICKHOUSE__DSN", api.clickhouse_dsn)
    commands = printed()
    assert {each.split()[0] for each in commands} == {"golden", "compare", "trust"}
    for command in commands:
        if command.startswith("golden diff"):
            say(api, evaluation, {"event-new": True})
            gavel(api, 'golden freeze "Answers, March"')
        gavel(api, command.replace(" ID", f" {golden}"))
    for command in ("labels list", "labels export", f'trust show "{NAME}"', 'golden show "Answers, March"'):
        gavel(api, command)
    plain = gavel(api, 'trust anchors "Other"', code=1)
    assert plain.startswith("gavel: Other has no anchors")
    for option in ("--acknowledge", "--dry-run", "--run"):
        assert "anchors" in gavel(api, f'trust anchors "Other" {option}', code=1)


def gavel(api: Api, command: str, code: int = 0) -> str:
    done = CliRunner().invoke(build_app(), [*shlex.split(command), "--team", str(api.team)])
    assert done.exit_code == code, (command, done.output, done.exception)
    return done.output


def scene(api: Api) -> tuple[dict[str, Any], str]:
    """Four versions of a judge with results and labels, a golden set with two versions, and another judge without."""
    api.ok("POST", "evaluations/", 201, json=JUDGE | {"name": "Other"})
    evaluation = api.ok("POST", "evaluations/", 201, json=JUDGE | {"name": NAME})
    for number in range(2, 5):
        change = {"evaluation_config": {"prompt": f"Does it answer the question? {number}"}}
        evaluation = api.ok("PATCH", f"evaluations/{evaluation['id']}/", json=change)
    for target in ("one", "two", "new"):
        api.events({"$ai_output_choices": target}, uuid=f"event-{target}")
        judged(api, evaluation, [True], target_event_id=f"event-{target}")
    say(api, evaluation, {"event-one": True, "event-two": False})
    golden, _ = golden_set(api, evaluation, 30, expected=False)
    assert api.ok("POST", f"golden_sets/{golden}/freeze/", 201)["version"] == 2
    return evaluation, golden
