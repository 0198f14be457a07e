"""Keys open what their scopes name, and secrets stay hidden."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
from fastapi.testclient import TestClient

from examples.stand_in.client import StandInServer
from storage.sql.api_keys import ApiKeys
from tests.api.conftest import Api

METHODS = ("get", "post", "put", "patch", "delete")


def operations(api: Api, base: str = "projects") -> list[tuple[str, str]]:
    """Every method and path of the team's endpoints, as the document lists them."""
    paths = api.http.get("/api/schema/").json()["paths"]
    return [
        (method.upper(), path)
        for path, found in paths.items()
        for method in METHODS
        if method in found and path.startswith(f"/api/{base}/{{team_id}}/") and not path.endswith("{team_id}/")
    ]


class Full:
    """A team that has one of everything; `ids` fills the parameters of every path."""

    def __init__(self, api: Api, stand_in: StandInServer, secret: str) -> None:
        self.evaluation = api.hog()
        self.key = api.ok(
            "POST", "llm_analytics/provider_keys/", 201,
            json={"provider": "custom", "name": "k", "api_key": secret, "base_url": stand_in.base_url},
        )  # fmt: skip
        window = {"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-02T00:00:00Z"}
        self.backfill = api.ok("POST", f"evaluations/{self.evaluation['id']}/backfills/", 201, json=window)
        self.dataset = api.ok("POST", "datasets/", 201, json={"name": "d"})
        self.item = api.ok("POST", "dataset_items/", 201, json={"dataset": self.dataset["id"], "input": "i"})
        (self.event,) = api.events({"$ai_input": "private"})
        body = {
            "evaluation_id": self.evaluation["id"],
            "target_event_id": self.event,
            "timestamp": "2026-01-01T00:00:00Z",
        }
        self.run = api.ok("POST", "evaluation_runs/", 202, json=body)
        [version] = api.ok("GET", f"evaluations/{self.evaluation['id']}/versions/")["results"]
        ago = datetime.now(UTC) - timedelta(minutes=1)
        api.result(self.evaluation, self.event, fingerprint=version["fingerprint"], timestamp=ago, ingested_at=ago)
        self.queue_body = {"evaluation": self.evaluation["id"], "window_start": (ago - timedelta(hours=1)).isoformat()}
        self.queue = api.ok("POST", "label_queues/", 201, json=self.queue_body)
        self.queue_item = api.ok("POST", f"label_queues/{self.queue['id']}/next/")
        self.label_body = {
            "evaluation": self.evaluation["id"], "target_event_id": self.event, "verdict": {"result": True},
        }  # fmt: skip
        self.label = api.ok("POST", "labels/", 201, json=self.label_body)
        window = {"window_start": "2000-01-01T00:00:00Z"}
        path = f"evaluations/{self.evaluation['id']}"
        other = {"evaluation_config": {"source": "return false"}}
        assert api.ok("PATCH", f"{path}/", json=other)["version"] == 2
        self.comparison_body = {"version_a": 1, "version_b": 2, **window}
        self.comparison = api.ok("POST", f"{path}/comparisons/", 202, json=self.comparison_body)
        self.measurement_body = {"kind": "consistency", **window}
        self.measurement = api.ok("POST", f"{path}/trust/runs/", 202, json=self.measurement_body)
        self.golden_body = {"evaluation": self.evaluation["id"], "name": "g"}
        self.golden = api.ok("POST", "golden_sets/", 201, json=self.golden_body)
        api.ok("POST", f"golden_sets/{self.golden['id']}/freeze/", 201)
        self.token = api.ok("POST", "project_tokens/", 201, json={"name": "shop"})
        self.report_body = {"evaluation": self.evaluation["id"]}
        self.report = api.ok("POST", "llm_analytics/evaluation_reports/", 201, json=self.report_body)
        path = f"llm_analytics/evaluation_reports/{self.report['id']}"
        self.report_run = api.ok("POST", f"{path}/generate/", 202)
        self.job = api.ok("POST", "llm_analytics/clustering_jobs/", 201, json={"name": "j", "analysis_level": "trace"})
        self.job_run = api.ok("POST", f"llm_analytics/clustering_jobs/{self.job['id']}/run/", 202, json={})

    def fill(self, path: str, team: int) -> str:
        """Return the path with this team's objects and that team's number."""
        kinds = {
            "evaluations": self.evaluation,
            "datasets": self.dataset,
            "dataset_items": self.item,
            "provider_keys": self.key,
            "labels": self.label,
            "label_queues": self.queue,
            "golden_sets": self.golden,
            "project_tokens": self.token,
            "evaluation_reports": self.report,
            "clustering_jobs": self.job,
        }
        kind = next((kind for kind in kinds if f"/{kind}/{{id}}" in path), None)
        filled = path.replace("{team_id}", str(team)).replace("{backfill_id}", self.backfill["id"])
        filled = filled.replace("{workflow_id}", self.run["workflow_id"]).replace("{uuid}", self.event)
        filled = filled.replace("{item}", self.queue_item["id"]).replace("{version}", "1").replace("{other}", "1")
        filled = filled.replace("{comparison}", self.comparison["id"]).replace("{run}", self.measurement["id"])
        run = self.job_run if kind == "clustering_jobs" else self.report_run
        filled = filled.replace("{run_id}", run["id"])
        if kind is not None:
            filled = filled.replace("{id}", str(kinds[kind]["id"]))
        assert "{" not in filled, f"{path}: say here which object fills it"
        return filled

    def body(self, method: str, path: str) -> Any:
        """A body that the endpoint takes, with this team's ids wherever it names an object."""
        if method not in ("POST", "PUT", "PATCH"):
            return None
        hog = {"name": "n", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
        window = {"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-02T00:00:00Z"}
        bodies: dict[str, Any] = {
            "evaluations/": hog,
            "evaluations/test_hog/": {"source": "return true"},
            "evaluations/test_judge/": {"prompt": "p", "model_configuration": self._model()},
            "evaluations/{id}/": hog,
            "evaluations/{id}/estimate/": {},
            "evaluations/{id}/backfills/": window,
            "evaluation_runs/": {
                "evaluation_id": self.evaluation["id"], "target_event_id": self.event,
                "timestamp": "2026-01-01T00:00:00Z",
            },
            "llm_analytics/evaluation_config/set_active_key/": {"key_id": self.key["id"]},
            "llm_analytics/provider_keys/{id}/": {"name": "n"},
            "datasets/": {"name": "n"},
            "datasets/{id}/": {"name": "n"},
            "datasets/{id}/evaluate/": {"evaluation_id": self.evaluation["id"]},
            "dataset_items/": {"dataset": self.dataset["id"]},
            "dataset_items/{id}/": {"dataset": self.dataset["id"]},
            "labels/": self.label_body,
            "label_queues/": self.queue_body,
            "label_queues/{id}/": {"name": "n"},
            "golden_sets/": self.golden_body,
            "evaluations/{id}/comparisons/": self.comparison_body,
            "evaluations/{id}/trust/runs/": self.measurement_body,
            "evaluations/{id}/trust/anchors/": {"golden_set": self.golden["id"], "golden_set_version": 1},
            "golden_sets/{id}/": {"name": "n"},
            "golden_sets/erase/": {"distinct_id": "ann"},
            "label_queues/{id}/items/{item}/label/": {"verdict": {"result": True}},
            "llm_analytics/evaluation_reports/": self.report_body,
            "llm_analytics/evaluation_reports/{id}/": self.report_body,
            "llm_analytics/clustering_jobs/": {"name": "j2", "analysis_level": "trace"},
            "llm_analytics/clustering_jobs/{id}/": {"name": "j3", "analysis_level": "trace"},
        }  # fmt: skip
        return bodies.get(re.sub(r"^/api/\w+/\{team_id\}/", "", path), {})

    def _model(self) -> dict[str, Any]:
        return {"provider": "custom", "model": "m", "provider_key_id": self.key["id"]}


QUERIES = {"why/": "?event={event}", "models/": "?provider=custom&key_id={key}"}

NAMES_NO_OBJECT = (
    # Endpoints without an object in path or body: they show the other team its own, empty, things.
    ("GET", "evaluations/"), ("POST", "evaluations/"), ("POST", "evaluations/test_hog/"), ("GET", "evaluation_runs/"),
    ("GET", "llm_analytics/evaluation_config/"), ("PATCH", "llm_analytics/evaluation_config/"),
    ("GET", "llm_analytics/provider_keys/"),
    ("POST", "llm_analytics/provider_keys/"), ("POST", "llm_analytics/provider_key_validations/"),
    ("GET", "datasets/"), ("POST", "datasets/"), ("GET", "dataset_items/"), ("GET", "events/"),
    ("GET", "labels/"), ("GET", "labels/export/"), ("GET", "label_queues/"),
    ("GET", "golden_sets/"), ("POST", "golden_sets/erase/"),
    ("GET", "project_tokens/"), ("POST", "project_tokens/"),
    ("GET", "llm_analytics/evaluation_reports/"), ("GET", "llm_analytics/clustering_jobs/"),
    ("POST", "llm_analytics/clustering_jobs/"), ("GET", "llm_analytics/clustering_config/"),
    ("POST", "llm_analytics/clustering_config/set_event_filters/"),
)  # fmt: skip

REFUSED_AS_INPUT = (
    # A body that names another team's object is wrong input, like one that names another team's key.
    ("POST", "evaluations/test_judge/"), ("POST", "dataset_items/"), ("POST", "llm_analytics/evaluation_reports/"),
)  # fmt: skip


def test_another_teams_objects_do_not_exist(api: Api, make_api: Callable[..., Api], stand_in: StandInServer) -> None:
    """Each endpoint with another team's ids: 404, in the path of the own team and of the other."""
    full = Full(api, stand_in, "sk-isolation-0123456789")
    stranger = make_api()
    tried = 0
    for base in ("projects", "environments"):
        for method, path in operations(api, base):
            short = re.sub(r"^/api/\w+/\{team_id\}/", "", path)
            query = next((text for end, text in QUERIES.items() if path.endswith(end)), "")
            query = query.format(event=full.event, key=full.key["id"])
            foreign = stranger.http.request(method, full.fill(path, api.team) + query, json=full.body(method, path))
            assert foreign.status_code == 404, (method, path, foreign.text)
            own = stranger.http.request(method, full.fill(path, stranger.team) + query, json=full.body(method, path))
            if (method, short) in NAMES_NO_OBJECT:
                assert "private" not in own.text
                assert full.evaluation["id"] not in own.text
            elif (method, short) in REFUSED_AS_INPUT:
                assert own.status_code == 400, (method, path, own.text)
            elif own.status_code != 405:
                assert own.status_code == 404, (method, path, own.status_code, own.text)
            tried += 1
    assert tried > 80
    assert api.ok("GET", f"evaluations/{full.evaluation['id']}/")["name"] == "hog"
    assert api.ok("GET", f"llm_analytics/provider_keys/{full.key['id']}/")["name"] == "k"


def test_every_endpoint_asks_for_a_key_and_for_its_scope(api: Api, stand_in: StandInServer) -> None:
    full = Full(api, stand_in, "sk-scopes-0123456789")
    nobody = TestClient(api.app)
    unscoped = api.as_key(api.key("error_tracking:write"))
    for method, path in operations(api):
        address = full.fill(path, api.team)
        for client, status in ((nobody, 401), (unscoped, 403)):
            answer = client.request(method, address, json=full.body(method, path))
            query = address.endswith(("why/", "models/"))
            assert answer.status_code == status or (query and answer.status_code == 403), (method, path, answer.text)
            assert set(answer.json()) == {"type", "code", "detail", "attr"}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer gvl_wrong", "Token x", "Bearer \x80", "bearer  "]
)
def test_what_is_no_key_is_401(session_api: Api, header: str) -> None:
    client = TestClient(session_api.app)
    answer = client.get(
        f"/api/projects/{session_api.team}/evaluations/", headers={"Authorization": header.encode("latin-1")}
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_that_is_revoked_or_expired_is_401(api: Api) -> None:
    keys = ApiKeys(api.services.database)
    now = datetime.now(UTC)
    path = f"/api/projects/{api.team}/evaluations/"
    key, revoked = keys.create(team_id=api.team, label="x", scopes=["*"], now=now)
    keys.revoke(key.id, now=now)
    assert api.as_key(revoked).get(path).status_code == 401
    _, expired = keys.create(team_id=api.team, label="x", scopes=["*"], now=now, expires_at=now - timedelta(seconds=1))
    assert api.as_key(expired).get(path).status_code == 401


def test_write_contains_read_and_read_does_not_contain_write(api: Api) -> None:
    path = f"/api/projects/{api.team}/datasets/"
    writer, reader = api.as_key(api.key("dataset:write")), api.as_key(api.key("dataset:read"))
    assert writer.get(path).status_code == 200
    assert reader.get(path).status_code == 200
    assert writer.post(path, json={"name": "x"}).status_code == 201
    assert reader.post(path, json={"name": "x"}).status_code == 403


def test_a_key_is_stored_as_a_hash_only(api: Api) -> None:
    secret = api.key("*")
    with api.services.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM api_keys").all()
    assert secret not in repr(rows)
    assert secret[:12] not in repr(rows)


def test_over_its_rate_a_key_is_refused_and_told_when_to_come_back(make_api: Callable[..., Api]) -> None:
    api = make_api(api={"requests_per_minute": 1})
    answers = [api.call("GET", "datasets/") for _ in range(25)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 5
    assert answers[-1].json()["type"] == "throttled_error"
    assert 50 <= int(answers[-1].headers["Retry-After"]) <= 61
    other = api.as_key(api.key("*")).get(f"/api/projects/{api.team}/datasets/")
    assert other.status_code == 200, "each key has a rate of its own"


def test_a_body_over_the_limit_is_refused_declared_or_not(make_api: Callable[..., Api]) -> None:
    api = make_api(api={"max_body_bytes": 1024})
    body = json.dumps({"name": "x" * 2000}).encode()
    headers = {"Content-Type": "application/json"}
    assert api.error("POST", "datasets/", 413, content=body, headers=headers)["code"] == "request_too_large"
    chunks = iter([body[:700], body[700:]])
    assert api.error("POST", "datasets/", 413, content=chunks, headers=headers)["code"] == "request_too_large"
    api.ok("POST", "datasets/", 201, json={"name": "x" * 300})


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"", b"null", b"[]", b'"text"', b"NaN", b'{"name": NaN}', b'{"name": 1e999}', b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}', b"\xff\xfe", b'{"name": "x", "metadata": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"name": "x", "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_stored_is_refused(session_api: Api, body: bytes) -> None:
    error = session_api.error("POST", "datasets/", content=body, headers={"Content-Type": "application/json"})
    assert error["type"] == "validation_error"


def test_a_nul_in_the_address_is_refused(session_api: Api) -> None:
    session_api.error("GET", "evaluations/?search=a%00b")
    session_api.error("GET", "events/a%00b/")


def test_errors_of_all_kinds_have_one_shape(session_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert session_api.error("GET", "nothing/", 404)["type"] == "invalid_request"
    assert session_api.error("TRACE", "evaluations/", 405)["code"] == "method_not_allowed"
    assert session_api.error("GET", f"evaluations/{uuid4()}/", 404)["code"] == "not_found"
    assert session_api.error("GET", "evaluations/not-a-uuid/", 404)["code"] == "not_found"

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("storage.sql.datasets.Datasets.page", fail)
    with structlog.testing.capture_logs() as logs:
        error = session_api.error("GET", "datasets/", 500)
    assert error["type"] == "server_error"
    assert "secret detail" not in json.dumps(error) + repr(logs)
    assert logs[-1]["route"].endswith("/datasets/")


def test_the_store_or_clickhouse_being_away_is_503(make_api: Callable[..., Api]) -> None:
    from storage.sql.engine import StoreUnavailable

    api = make_api(clickhouse={"dsn": "http://127.0.0.1:9/gavel"})
    assert api.error("GET", "events/", 503)["code"] == "clickhouse_unavailable"
    made = api.hog()
    assert api.error("GET", f"evaluations/{made['id']}/results/", 503)["code"] == "clickhouse_unavailable"
    with pytest.MonkeyPatch.context() as patch:

        def away(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("the definition store does not answer")

        patch.setattr("storage.sql.datasets.Datasets.page", away)
        assert api.error("GET", "datasets/", 503)["code"] == "store_unavailable"


def test_security_headers_are_on_every_response(session_api: Api) -> None:
    for path in ("/api/schema/", "/api/nothing", f"/api/projects/{session_api.team}/evaluations/"):
        headers = session_api.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers


def test_cors_is_off_by_default_and_only_for_named_origins(session_api: Api, make_api: Callable[..., Api]) -> None:
    ask = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    path = f"/api/projects/{session_api.team}/evaluations/"
    assert "access-control-allow-origin" not in session_api.http.get(path, headers=ask).headers
    assert session_api.http.options(path, headers=ask).status_code >= 400
    api = make_api(api={"cors_origins": ["https://app.example.com"]})
    path = f"/api/projects/{api.team}/evaluations/"
    allowed = TestClient(api.app).options(path, headers=ask)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    refused = TestClient(api.app).options(path, headers=ask | {"Origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://127.0.0.2/",
        "http://[::1]:80/",
        "http://10.0.0.1/v1",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
    ],
)
def test_an_address_inside_the_network_is_not_called(api: Api, url: str) -> None:
    body = {"provider": "custom", "name": "k", "api_key": "sk-ssrf-0123456789", "base_url": url}
    error = api.error("POST", "llm_analytics/provider_keys/", json=body)
    assert (error["attr"], error["code"]) == ("base_url", "forbidden_address")
    del body["name"]
    assert api.error("POST", "llm_analytics/provider_key_validations/", json=body)["attr"] == "base_url"
    azure = {"provider": "azure_openai", "api_key": "sk-x", "azure_endpoint": url}
    assert api.error("POST", "llm_analytics/provider_key_validations/", json=azure)["attr"] == "azure_endpoint"


def test_a_provider_key_is_in_no_response_no_log_no_audit_and_not_in_the_clear_in_the_store(
    api: Api, stand_in: StandInServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything that comes out while a key is made, used, changed, refused and deleted is searched for it."""
    secret, newer, refused = (f"sk-{name}-{uuid4().hex}" for name in ("old", "new", "refused"))
    stand_in.script({"match": {"api_key": refused}, "action": "unauthorized"})
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        full = Full(api, stand_in, secret)
        path = f"llm_analytics/provider_keys/{full.key['id']}/"
        custom = {"provider": "custom", "base_url": stand_in.base_url}
        judge = {
            "prompt": "p",
            "model_configuration": {"provider": "custom", "model": "m", "provider_key_id": full.key["id"]},
        }
        calls: list[tuple[str, str, Any]] = [
            ("GET", "llm_analytics/provider_keys/", None), ("GET", path, None), ("POST", path + "validate/", None),
            ("POST", "llm_analytics/evaluation_config/set_active_key/", {"key_id": full.key["id"]}),
            ("POST", "evaluations/test_judge/", judge),
            ("GET", "llm_analytics/evaluation_config/", None), ("PATCH", path, {"api_key": newer}),
            ("POST", "evaluations/test_judge/", judge),
            ("PATCH", path, {"api_key": refused}), ("PATCH", path, {"api_key": {"a": refused}}),
            ("PATCH", path, {"api_key": refused * 200}),
            ("POST", "llm_analytics/provider_key_validations/", custom | {"api_key": refused}),
            ("POST", "llm_analytics/provider_keys/", custom | {"name": "n", "api_key": refused}),
            ("POST", "llm_analytics/provider_keys/", {"provider": refused, "name": "n", "api_key": secret}),
            ("GET", f"llm_analytics/models/?provider=custom&key_id={full.key['id']}", None), ("DELETE", path, None),
        ]  # fmt: skip
        answers = [api.call(method, address, json=body) for method, address, body in calls]
    seen = [answer.text + repr(answer.headers) for answer in answers]
    with api.services.database.read() as connection:
        tables = ("audit_log", "provider_keys", "evaluation_config")
        seen += [repr(connection.exec_driver_sql(f"SELECT * FROM {table}").all()) for table in tables]
    everything = "\n".join([*seen, caplog.text, repr(logs)])
    for each in (secret, newer, refused):
        assert each not in everything
        assert each[5:-4] not in everything
    # The keys were used, so the search had something to find.
    assert {secret, newer} <= {entry["api_key"] for entry in stand_in.requests()}
    assert stand_in.stats()["rules"][0]["used"] == 3
