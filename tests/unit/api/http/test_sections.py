"""Routes are passed over by the place of a path, and every path is served below each base."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from api.http.sections import serve_teams


@pytest.fixture
def app() -> FastAPI:
    things, others = APIRouter(), APIRouter(prefix="/others")

    @things.get("/things/{thing_id}/")
    def one(thing_id: str) -> str:
        return f"one {thing_id}"

    @things.get("/lists/")
    def lists() -> str:
        return "lists"

    @others.get("/more/")
    def more() -> str:
        return "more"

    made = FastAPI()
    serve_teams(made, ("/api/a/{team_id}", "/api/b/{team_id}"), (things, others))
    return made


@pytest.mark.parametrize("base", ["/api/a/1", "/api/b/1"])
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/things/7/", 200, "one 7"),
        ("/lists/", 200, "lists"),
        ("/others/more/", 200, "more"),
        ("/others/", 404, None),
        ("/nothing/", 404, None),
        ("", 404, None),
    ],
)
def test_each_path_is_served_below_each_base(app: FastAPI, base: str, path: str, status: int, body: str | None) -> None:
    with TestClient(app) as client:
        answer = client.get(base + path)
    assert answer.status_code == status
    assert body is None or answer.json() == body


def test_below_a_root_path_the_paths_are_served_too(app: FastAPI) -> None:
    """A proxy's path in front of ours moves the names, so that a look at them says nothing."""
    with TestClient(app, root_path="/proxy") as client:
        assert client.get("/proxy/api/b/1/lists/").json() == "lists"


def test_a_place_is_not_looked_at_where_a_parameter_may_hold_any_number_of_parts() -> None:
    files = APIRouter()

    @files.get("/files/{name:path}")
    def one(name: str) -> str:
        return name

    made = FastAPI()
    serve_teams(made, ("/api/a/{team_id}",), (files,))
    with TestClient(made) as client:
        assert client.get("/api/a/1/files/x/y/z").json() == "x/y/z"


def test_routes_about_other_things_compare_no_pattern(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    original = APIRoute.matches

    def matches(self: APIRoute, found: Any) -> Any:
        compared.append(self.path)
        return original(self, found)

    monkeypatch.setattr(APIRoute, "matches", matches)
    with TestClient(app) as client:
        assert client.get("/api/b/1/others/more/").json() == "more"
    assert compared == ["/api/b/{team_id}/others/more/"]
