"""PostHog's agent toolkit (npm, unchanged) gets as far as the reference pages allow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.serve import ApiServer
from config.settings import load_settings
from tests.api.conftest import Api
from tests.services.waiting import PATIENCE_S

FOLDER = Path(__file__).parent / "agent_toolkit"
Call = dict[str, Any]
Toolkit = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def script() -> Path:
    """The script with the packages of its lock file installed beside it."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"npm could not install the agent toolkit:\n{done.stdout}{done.stderr}"
    return FOLDER / "call.mjs"


@pytest.fixture
def toolkit(api: Api, script: Path, clickhouse_dsn: str, tmp_path: Path) -> Iterator[Toolkit]:
    """A function that makes calls in one toolkit with a key of the team, and returns their answers or errors."""
    overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": clickhouse_dsn}, "api": {"port": 0}}
    server = ApiServer(load_settings(environ={}, overrides=overrides), api.services.database)
    server.start()
    host = f"http://127.0.0.1:{server.port}"
    team_key = api.http.headers["Authorization"].removeprefix("Bearer ")

    def call(*calls: Call, key: str = team_key) -> list[dict[str, Any]]:
        done = subprocess.run(
            ["node", str(script)],
            input=json.dumps({"host": host, "key": key, "calls": calls}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    yield call
    server.stop()


def test_tools_find_the_organization_and_the_project_of_the_key(api: Api, toolkit: Toolkit) -> None:
    [organizations] = toolkit({"tool": "organizations-get"})
    [organization] = json.loads(organizations["answer"])
    assert organization["name"] == f"Team {api.team}"
    switched, details, projects, project = toolkit(
        {"tool": "switch-organization", "arguments": {"orgId": organization["id"]}},
        {"tool": "organization-details-get"},
        {"tool": "projects-get"},
        {"tool": "switch-project", "arguments": {"projectId": api.team}},
    )
    assert switched == {"answer": f"Switched to organization {organization['id']}"}
    assert json.loads(details["answer"]) == organization
    assert [each["id"] for each in json.loads(projects["answer"])] == [api.team]
    assert project == {"answer": f"Switched to project {api.team}"}


def test_a_tool_of_another_product_of_posthog_is_told_that_it_is_not_found(toolkit: Toolkit) -> None:
    dashboards, flags = toolkit({"tool": "dashboards-get-all"}, {"tool": "feature-flag-get-all"})
    assert "404" in dashboards["error"]
    assert "Not found." in dashboards["error"]
    assert "Not Found" in flags["error"]


def test_the_toolkit_offers_no_tool_to_an_unknown_key(toolkit: Toolkit) -> None:
    [answer] = toolkit({"tool": "organizations-get"}, key="phx_" + "x" * 40)
    assert answer == {"error": "the toolkit does not offer organizations-get to this key"}


def of_team(team: int, method: str, path: str, *, object_id: str = "", **parameters: Any) -> Call:
    """A call of the client that PostHog generates from its OpenAPI document."""
    parameters["path"] = {"project_id": str(team), "id": object_id}
    return {"method": method, "path": f"/api/environments/{{project_id}}/{path}", "parameters": parameters}


def test_the_generated_client_makes_changes_and_removes_an_evaluation(api: Api, toolkit: Toolkit) -> None:
    body = {
        "name": "from the generated client",
        "enabled": False,
        "evaluation_type": "hog",
        "evaluation_config": {"source": "return length(output) > 0"},
        "output_type": "boolean",
        "output_config": {"allows_na": True},
        "conditions": [{"id": "c1", "rollout_percentage": 100, "properties": []}],
    }
    [made] = toolkit(of_team(api.team, "post", "evaluations/", body=body))
    evaluation = made["answer"]
    assert {name: evaluation[name] for name in ("name", "enabled", "evaluation_type", "output_type")} == {
        name: body[name] for name in ("name", "enabled", "evaluation_type", "output_type")
    }
    changed, read, listed, tested, removed, hidden = toolkit(
        of_team(api.team, "patch", "evaluations/{id}/", object_id=evaluation["id"], body={"enabled": True}),
        of_team(api.team, "get", "evaluations/{id}/", object_id=evaluation["id"]),
        of_team(api.team, "get", "evaluations/", query={"limit": 10, "search": "generated", "enabled": True}),
        of_team(api.team, "post", "evaluations/test_hog/", body={"source": "return true", "sample_count": 1}),
        of_team(api.team, "patch", "evaluations/{id}/", object_id=evaluation["id"], body={"deleted": True}),
        of_team(api.team, "get", "evaluations/", query={"search": "generated"}),
    )
    assert changed["answer"]["enabled"] is True
    assert read["answer"] == changed["answer"]
    assert [each["id"] for each in listed["answer"]["results"]] == [evaluation["id"]]
    assert "answer" in tested, tested
    assert removed["answer"]["deleted"] is True
    assert hidden["answer"]["results"] == []


def test_the_generated_client_fills_a_dataset_and_reads_errors(api: Api, toolkit: Toolkit) -> None:
    [made] = toolkit(of_team(api.team, "post", "datasets/", body={"name": "golden"}))
    dataset = made["answer"]["id"]
    item, items, keys, refused = toolkit(
        of_team(api.team, "post", "dataset_items/", body={"dataset": dataset, "input": {"question": "q"}}),
        of_team(api.team, "get", "dataset_items/", query={"dataset": dataset}),
        of_team(api.team, "get", "llm_analytics/provider_keys/"),
        of_team(api.team, "post", "evaluations/", body={"name": ""}),
    )
    assert [each["id"] for each in items["answer"]["results"]] == [item["answer"]["id"]]
    assert keys["answer"]["results"] == []
    assert "400" in refused["error"]
