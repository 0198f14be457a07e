"""Every path with both spellings, the answers that keep SDKs quiet, and the headers that browsers ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest import stubs
from tests.unit.ingest.front import TOKEN, Front, generation

V0 = ("/batch", "/capture", "/e", "/i/v0/e", "/track", "/engage", "/i/v0/ai/batch")
TRACES = ("/v1/traces", "/i/v0/ai/otel", "/i/v0/ai/otel/v1/traces", "/i/v1/traces")
LOGS = ("/v1/logs", "/i/v0/ai/otel/v1/logs", "/i/v1/logs")
METRICS = ("/v1/metrics", "/i/v0/ai/otel/v1/metrics", "/i/v1/metrics")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OTLP = {**BEARER, "Content-Type": "application/json"}
PAGE = "https://shop.example"


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_path_is_served_with_and_without_a_slash(front: Front, slash: str) -> None:
    event = json.dumps({**generation(1), "api_key": TOKEN})
    for path in V0:
        assert front.call("POST", path + slash, content=event).json() == {"status": "Ok"}, path
        assert front.call("GET", path + slash, params={"data": event}).json() == {"status": "Ok"}, path
    for path in TRACES:
        assert front.call("POST", path + slash, content=b"{}", headers=OTLP).json() == {}, path
    for path, name in [*((path, "resourceLogs") for path in LOGS), *((path, "resourceMetrics") for path in METRICS)]:
        answer = front.call("POST", path + slash, content=json.dumps({name: []}), headers=OTLP)
        assert (answer.status_code, answer.json()) == (200, {}), path
    for path in ("/i/v1/analytics/events", "/i/v1/ai/events", "/i/v0/ai"):
        assert front.call("POST", path + slash).status_code == 401, path
    for path in ("/livez", "/readyz", "/metrics", "/flags/definitions", "/array/phc_x/config", "/array/x/config.js"):
        assert front.call("GET", path + slash).status_code == 200, path
    assert front.call("POST", f"/s{slash}", content=b"x").status_code == 200


LOG_RECORDS = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, {}]}]}]}
DATA_POINTS = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": [{}, {}]}}]}]}]}


@pytest.mark.parametrize("path", [*LOGS, *METRICS])
def test_logs_and_metrics_are_rejected_with_the_reason(front: Front, path: str) -> None:
    body, field, word = (
        (LOG_RECORDS, "rejectedLogRecords", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT to SPAN_ONLY")
        if path in LOGS
        else (DATA_POINTS, "rejectedDataPoints", "metrics backend")
    )
    answer = front.call("POST", path, json=body, headers=OTLP)
    partial = answer.json()["partialSuccess"]
    assert (answer.status_code, partial[field]) == (200, "2")
    assert word in partial["errorMessage"]


FLAGS = {
    "flags": {}, "featureFlags": {}, "featureFlagPayloads": {}, "errorsWhileComputingFlags": False,
    "sessionRecording": False, "supportedCompression": ["gzip", "gzip-js"],
}  # fmt: skip
CONFIG = {
    "sessionRecording": False, "supportedCompression": ["gzip", "gzip-js"], "hasFeatureFlags": False, "surveys": False,
    "heatmaps": False, "capturePerformance": False, "autocapture_opt_out": True,
}  # fmt: skip


@pytest.mark.parametrize("path", ["/flags", "/decide"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_there_are_no_flags(front: Front, path: str, method: str) -> None:
    assert front.call(method, path).json() == FLAGS


def test_the_script_sets_the_object_that_the_config_is(front: Front) -> None:
    assert front.call("GET", "/array/phc_x/config").json() == CONFIG
    script = front.call("GET", "/array/phc_x/config.js").text
    _, _, rest = script.partition('["phc_x"]={config:')
    assert json.JSONDecoder().raw_decode(rest)[0] == CONFIG


def test_recordings_are_taken_unread_beyond_a_limit_and_counted(front: Front) -> None:
    whole = front.call("POST", "/s", content=b"x")
    large = front.call("POST", "/s/", content=bytes(stubs._UNREAD_LIMIT + 1))
    assert (whole.json(), large.json()) == ({"status": "Ok"}, {"status": "Ok"})
    assert "connection" not in whole.headers
    assert large.headers["connection"] == "close"
    assert front.count("gavel_ingest_requests_total", protocol="stub", status="200") == 2
    assert front.door.budget.reserved == 0


@pytest.mark.parametrize("path", ["/e", "/i/v1/ai/events", "/v1/traces", "/flags", "/nowhere"])
def test_every_path_answers_a_page_that_asks_first(front: Front, path: str) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Headers": "content-type,x-thing"}
    answer = front.call("OPTIONS", path, headers=asked)
    assert answer.status_code == 204
    assert {name: value for name, value in answer.headers.items() if name.startswith("access-control-")} == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "GET, POST, OPTIONS",
        "access-control-allow-headers": "content-type,x-thing",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "86400",
    }


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/e", {}, 400),
        ("POST", "/e", {"Content-Encoding": "br"}, 415),
        ("POST", "/i/v1/ai/events", {}, 401),
        ("POST", "/v1/traces", OTLP | {"Authorization": ""}, 401),
        ("POST", "/i/v0/ai", BEARER, 415),
        ("POST", "/nowhere", {}, 404),
        ("DELETE", "/e", {}, 405),
    ],
)
def test_a_page_may_read_every_refusal(
    front: Front, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = front.call(method, path, headers={"Origin": PAGE, **headers}, content=b"")
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"


def test_a_defect_of_ours_is_one_500_that_a_page_may_read(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(front.door, "check_open", fail)
    for path in ("/e", "/i/v1/ai/events", "/v1/traces"):
        answer = front.call("POST", path, headers={"Origin": PAGE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, PAGE)
    monkeypatch.undo()
    assert front.batch(generation(1)).status_code == 200


V1_HEADERS = {
    **OTLP, "User-Agent": "test", "PostHog-Sdk-Info": "a/1", "PostHog-Attempt": "1",
    "PostHog-Request-Id": "01890000-0000-7000-8000-000000000001", "PostHog-Request-Timestamp": "2026-11-28T12:00:00Z",
}  # fmt: skip
SENDS: dict[str, dict[str, Any]] = {
    "/batch": {"json": {"api_key": TOKEN, "batch": [generation(1)]}},
    "/i/v1/ai/events": {
        "json": {"created_at": "2026-11-28T12:00:00Z", "batch": [generation(1)]}, "headers": V1_HEADERS,
    },
    "/v1/traces": {"json": {}, "headers": OTLP},
    "/v1/logs": {"json": {}, "headers": OTLP},
}  # fmt: skip


@pytest.mark.parametrize("path", SENDS)
def test_without_tokens_or_kafka_every_protocol_says_when_to_come_back(tmp_path: Path, path: str) -> None:
    front = Front(tmp_path)
    assert front.call("GET", "/readyz").status_code == 503
    assert front.call("GET", "/readyz").json()["tokens"] is False
    assert front.call("GET", "/livez").status_code == 200
    answers = [front.call("POST", path, **SENDS[path])]
    with front.open():
        assert front.call("POST", path, **SENDS[path]).status_code == 200
        front.delivery.down = True
        answers.append(front.call("POST", path, **SENDS[path]))
        assert front.call("GET", "/readyz").json()["kafka"] is False
    for answer in answers:
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 5
