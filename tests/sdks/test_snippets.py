"""Each SDK of the documentation, unmodified: its generation is on the topic once and judged; no error is logged."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from config.definitions import parse_draft
from examples.stand_in.client import StandInServer
from tests.integration.ingest.rig import IngestRig
from tests.integration.pipeline import SHORT
from tests.sdks.snippets import install_node_packages, snippets
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S

SNIPPETS = snippets()
FIRST_TEAM = 100
TEAMS = {name: FIRST_TEAM + place for place, name in enumerate(SNIPPETS)}
"""Each snippet sends for a team of its own, so that its event is known by the team."""
QUESTION = "What is the capital of France?"


@dataclass
class Outcome:
    """The runs of the snippets, and the rows, results and evaluations by team."""

    runs: dict[str, subprocess.CompletedProcess[str]]
    rows: dict[int, list[dict[str, Any]]]
    results: dict[int, list[dict[str, Any]]]
    evaluations: dict[int, str]


@contextmanager
def served(how: str, rig: IngestRig, folder: Path) -> Iterator[str]:
    """Serve the front door with the roles behind it until the end of the block; gives its address."""
    if how == "gavel ingest":
        with rig.running(), rig.pipeline.running(("matcher",)):
            yield f"http://127.0.0.1:{rig.server.port}"
        return
    api, ingest, http = free_ports(3)
    kafka = rig.pipeline.settings.kafka
    process = GuardedProcess(
        [sys.executable, "-c", "from cli.main import main; main()", "up"],
        log=folder / "log",
        env={
            "PYTHONPATH": str(CHECKOUT), "GAVEL_DATA_DIR": str(folder), "GAVEL_INGEST__DRAIN_S": "0",
            "GAVEL_API__PORT": str(api), "GAVEL_INGEST__PORT": str(ingest), "GAVEL_HTTP__PORT": str(http),
            "GAVEL_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
            "GAVEL_KAFKA__GROUP_PREFIX": kafka.group_prefix,
            "GAVEL_CLICKHOUSE__DSN": f"chdb://{folder}/another",  # this process holds the folder of the settings
            **{f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in kafka.topics},
        },
    )  # fmt: skip
    try:
        process.wait_until(lambda: _ready(f"http://127.0.0.1:{ingest}"), "gavel up")
        yield f"http://127.0.0.1:{ingest}"
        assert process.terminate() == 0, process.log_tail()
    finally:
        process.kill()


def _ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz", timeout=PATIENCE_S).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module", params=["gavel ingest", "gavel up"])
def outcome(
    request: pytest.FixtureRequest,
    kafka: str,
    stand_in_server: StandInServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    """All snippets run at once against one front door, with the matcher behind it."""
    stand_in_server.reset()
    install_node_packages()
    folder = tmp_path_factory.mktemp("sdks")
    rig = IngestRig(kafka, folder)
    now = datetime.now(UTC)
    draft = parse_draft({
        "name": "Short", "enabled": True, "evaluation_type": "hog", "evaluation_config": {"source": SHORT},
        "output_type": "boolean", "output_config": {},
    })  # fmt: skip
    evaluations = rig.pipeline.evaluations
    made = {team: evaluations.create(team, draft, actor="test", now=now).id for team in TEAMS.values()}
    tokens = {name: rig.tokens.create(team_id=team, now=now)[1] for name, team in TEAMS.items()}
    with served(request.param, rig, folder) as address:

        def run(name: str) -> subprocess.CompletedProcess[str]:
            mine = folder / name
            mine.mkdir()
            return SNIPPETS[name].run(mine, tokens[name], address, stand_in_server.base_url)

        with ThreadPoolExecutor(3) as pool:
            runs = dict(zip(SNIPPETS, pool.map(run, SNIPPETS), strict=True))
        results = _results(rig)
        end = time.monotonic() + PATIENCE_S
        while results.keys() < set(TEAMS.values()) and time.monotonic() < end:
            results = _results(rig)
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in rig.rows():
        rows.setdefault(row["team_id"], []).append(row)
    return Outcome(runs, rows, results, made)


def _results(rig: IngestRig) -> dict[int, list[dict[str, Any]]]:
    """Return the results on their topic, by team."""
    found: dict[int, list[dict[str, Any]]] = {}
    for each in rig.pipeline.read(rig.pipeline.settings.kafka.topics.results):
        row = json.loads(each.value())
        found.setdefault(row["team_id"], []).append(row)
    return found


@pytest.mark.parametrize("name", SNIPPETS)
def test_an_sdk_sends_one_generation_that_is_judged(outcome: Outcome, name: str) -> None:
    run = outcome.runs[name]
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert run.stdout == ('{"status": "Ok"}' if name == "curl" else "")
    team = TEAMS[name]
    (row,) = outcome.rows[team]
    assert row["event"] == "$ai_generation"
    properties = row["properties"]
    assert QUESTION in json.dumps(properties["$ai_input"])
    assert properties["$ai_output_choices"]
    assert "gpt-5-mini" in properties["$ai_model"]
    (result,) = outcome.results[team]
    verdict = json.loads(result["properties"])
    assert verdict["$ai_evaluation_id"] == outcome.evaluations[team]
    assert verdict["$ai_target_event_id"] == row["uuid"]


@pytest.mark.parametrize(
    "name",
    ["curl", "posthog-python", "posthog-node", "posthog-openai", "langchain", "litellm", "vercel", "opentelemetry"],
)
def test_the_person_that_an_sdk_names_is_in_the_row(outcome: Outcome, name: str) -> None:
    assert [row["distinct_id"] for row in outcome.rows[TEAMS[name]]] == ["ann"]


def test_every_kind_of_application_has_a_snippet() -> None:
    assert set(SNIPPETS) == {
        "curl", "posthog-python", "posthog-node", "posthog-openai", "langchain", "litellm", "vercel", "opentelemetry",
        "openllmetry", "openinference", "pydantic-ai",
    }  # fmt: skip
