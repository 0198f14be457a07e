"""Requests of the API are counted by the whole path of their route, which has its series before the first request."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from api.app import create_app
from processor.metrics import Metrics
from tests.api.conftest import Api


@pytest.mark.parametrize("base", ["projects", "environments"])
def test_a_route_has_its_series_before_the_first_request(api: Api, base: str) -> None:
    registry = CollectorRegistry()
    app = create_app(api.services, metrics=Metrics(registry))
    labels = {"service": "api", "route": "/api/projects/{team_id}/evaluations/", "method": "GET"}

    def counted() -> list[float | None]:
        return [
            registry.get_sample_value("gavel_http_requests_total", {**labels, "status": status})
            for status in ("2xx", "4xx", "5xx")
        ]

    assert counted() == [0, 0, 0]
    assert TestClient(app, headers=api.http.headers).get(f"/api/{base}/{api.team}/evaluations/").status_code == 200
    assert counted() == [1, 0, 0]
