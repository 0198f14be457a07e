"""PostHog's clients find the answers, methods and paths that they take for granted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Api


def get(api: Api, path: str, status: int = 200) -> Any:
    answer = api.http.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


class TestIdentity:
    def test_what_the_agent_toolkit_reads_is_there_and_fits_together(self, api: Api) -> None:
        """The fields that @posthog/agent-toolkit 0.2.4 validates, with their types."""
        me = get(api, "/api/users/@me/")
        assert isinstance(me["distinct_id"], str)
        organization = me["organization"]["id"]
        assert UUID(organization)
        assert me["organizations"][0]["id"] == me["team"]["organization"] == organization
        assert me["team"]["id"] == api.team
        key = get(api, "/api/personal_api_keys/@current")
        assert (key["scopes"], key["scoped_teams"], key["scoped_organizations"]) == (["*"], [api.team], [organization])
        assert key["value"] is None
        assert "..." in key["mask_value"]
        assert [each["id"] for each in get(api, "/api/organizations/")["results"]] == [organization]
        shown = get(api, f"/api/organizations/{organization}/")
        assert get(api, "/api/organizations/@current/") == shown
        assert isinstance(shown["name"], str)
        projects = get(api, f"/api/organizations/{organization}/projects/")["results"]
        assert projects == get(api, "/api/projects/")["results"] == get(api, "/api/environments/")["results"]
        assert projects == [get(api, f"/api/projects/{api.team}/")] == [get(api, "/api/environments/@current/")]
        assert (projects[0]["id"], projects[0]["organization"]) == (api.team, organization)

    def test_another_team_and_another_organization_do_not_exist(self, api: Api) -> None:
        get(api, f"/api/projects/{api.team + 1}/", 404)
        get(api, "/api/organizations/497f6eca-6276-4993-bfeb-53cbbbba6f08/", 404)
        get(api, "/api/organizations/x/projects/", 404)

    @pytest.mark.parametrize(
        "path",
        [
            "users/@me/", "projects/", "projects/1/", "organizations/", "organizations/@current/", "environments/",
            "personal_api_keys/@current/", "nothing/",
        ],
    )  # fmt: skip
    def test_it_needs_a_key_of_any_scope(self, api: Api, path: str) -> None:
        assert TestClient(api.app).get(f"/api/{path}").status_code == 401
        scoped = api.as_key(api.key("query:read")).get(f"/api/{path.replace('/1/', f'/{api.team}/')}")
        assert scoped.status_code == (404 if path == "nothing/" else 200)

    def test_current_stands_for_the_team_of_the_key(self, api: Api) -> None:
        made = api.http.post("/api/projects/@current/datasets/", json={"name": "d"})
        assert made.status_code == 201
        assert get(api, "/api/environments/@current/datasets/")["results"] == [made.json()]
        assert api.ok("GET", "datasets/")["results"] == [made.json()]


class TestMethods:
    def test_head_is_get_without_its_body(self, api: Api) -> None:
        for path in (f"/api/projects/{api.team}/datasets/", "/api/users/@me/", "/api/schema/"):
            found, head = api.http.get(path), api.http.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == found.headers["content-length"]
        assert api.http.head(f"/api/projects/{api.team}/datasets/x/").status_code == 404
        assert TestClient(api.app).head(f"/api/projects/{api.team}/datasets/").status_code == 401

    def test_options_names_the_methods_of_a_path(self, api: Api) -> None:
        base = f"/api/projects/{api.team}"
        for path, methods in (
            ("/evaluations/", "GET, POST, HEAD, OPTIONS"),
            (f"/evaluations/{UUID(int=1)}/", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
            (f"/evaluations/{UUID(int=1)}/estimate/", "POST, OPTIONS"),
            ("/", "GET, HEAD, OPTIONS"),
        ):
            answer = api.http.options(base + path)
            assert answer.status_code == 200
            assert sorted(answer.headers["Allow"].split(", ")) == sorted(methods.split(", ")), path
        assert api.http.options(base + "/nothing/").status_code == 404
        assert TestClient(api.app).options(base + "/evaluations/").status_code == 401


@pytest.mark.parametrize(("limit", "shown"), [(0, 1), (-5, 1), (2, 2), (1001, 3), (10**9, 3)])
def test_a_limit_out_of_range_is_clamped(api: Api, limit: int, shown: int) -> None:
    for number in range(3):
        api.ok("POST", "datasets/", 201, json={"name": str(number)})
    assert len(api.ok("GET", f"datasets/?limit={limit}")["results"]) == shown


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["symbol_sets/start_upload", "symbol_sets/bulk_start_upload/", "symbol_sets/", "x"])
def test_there_is_no_error_tracking_and_the_answer_says_so(session_api: Api, method: str, path: str) -> None:
    error = session_api.error(method, f"error_tracking/{path}", 404)
    assert "no error tracking" in error["detail"]
