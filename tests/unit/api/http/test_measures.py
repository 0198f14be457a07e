"""Requests are counted by route and class of status, never by path."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.http.measures import Measured, NoteRoute
from api.http.middleware import TrailingSlash, Unforeseen
from processor.metrics import Metrics

Count = Callable[..., float | None]
ITEM = "/api/projects/{team_id}/things/{thing_id}/"


def serve(request: Request) -> PlainTextResponse:
    if request.path_params["thing_id"] == "broken":
        raise RuntimeError("a defect")
    return PlainTextResponse("", int(request.path_params["thing_id"]))


@pytest.fixture
def served() -> Iterator[tuple[TestClient, Count, CollectorRegistry]]:
    registry = CollectorRegistry()
    paths = [ITEM, ITEM.replace("projects", "environments"), "/console/{team_id}/{thing_id}"]
    routes = [Route(path, serve, methods=["GET", "POST"]) for path in paths]
    layers = [Middleware(Measured, metrics=Metrics(registry), routes=routes), Middleware(Unforeseen)]
    application = Starlette(routes=routes, middleware=[*layers, Middleware(TrailingSlash), Middleware(NoteRoute)])

    def count(route: str, status: str, method: str = "GET", service: str = "api") -> float | None:
        labels = {"service": service, "route": route, "method": method, "status": status}
        return registry.get_sample_value("gavel_http_requests_total", labels)

    with TestClient(application) as client:
        yield client, count, registry


def test_errors_of_every_route_are_zero_from_the_start(served: tuple[TestClient, Count, CollectorRegistry]) -> None:
    _, count, _ = served
    assert count(ITEM, "5xx") == count(ITEM, "4xx") == count(ITEM, "2xx", "POST") == 0
    assert count("unmatched", "4xx", "other") == count("unmatched", "4xx", "GET") == 0


def test_a_request_is_counted_by_its_route(served: tuple[TestClient, Count, CollectorRegistry]) -> None:
    client, count, registry = served
    for path in ("/api/projects/1/things/200/", "/api/environments/2/things/204", "/api/projects/3/things/302/"):
        client.get(path, follow_redirects=False)
    client.get("/api/projects/1/things/404/")
    assert client.get("/api/projects/1/things/broken/").status_code == 500
    assert [count(ITEM, status) for status in ("2xx", "3xx", "4xx", "5xx")] == [2, 1, 1, 1]
    client.get("/console/1/200")
    assert count("/console/{team_id}/{thing_id}", "2xx", service="console") == 1
    assert registry.get_sample_value("gavel_http_request_seconds_count", {"service": "api"}) == 5
    pages = {"page": "/console/{team_id}/{thing_id}"}
    assert registry.get_sample_value("gavel_console_seconds_count", pages) == 1
    assert registry.get_sample_value("gavel_console_seconds_count", {"page": ITEM}) is None, "only pages have it"


def test_paths_and_methods_that_clients_invent_have_one_series(
    served: tuple[TestClient, Count, CollectorRegistry],
) -> None:
    client, count, _ = served
    for number in range(5):
        client.request(f"INVENTED{number}", f"/nowhere/{number}")
    assert count("unmatched", "4xx", "other") == 5
