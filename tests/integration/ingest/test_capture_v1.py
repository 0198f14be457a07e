"""Version 1 of the capture protocol, by which each event is answered for itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.ingest.rig import UUID, IngestRig, generation
from tests.integration.pipeline import TEAM


def _v1(rig: IngestRig, *events: dict[str, Any], headers: dict[str, str] | None = None, **fields: Any) -> Any:
    now = datetime.now(UTC).isoformat()
    given = {
        "Authorization": f"Bearer {rig.token}",
        "Content-Type": "application/json",
        "User-Agent": "test",
        "PostHog-Sdk-Info": "posthog/python/8.0.0",
        "PostHog-Attempt": "1",
        "PostHog-Request-Id": f"{UUID}0",
        "PostHog-Request-Timestamp": now,
        **(headers or {}),
    }
    body = {"created_at": now, "batch": list(events), **fields}
    return rig.http.post("/i/v1/ai/events", json=body, headers={k: v for k, v in given.items() if v})


def test_v1_reports_each_event_under_its_uuid(rig: IngestRig) -> None:
    answer = _v1(
        rig,
        generation(1, session_id="s", options={"process_person_profile": False, "product_tour_id": "t"}),
        generation(2, event="$pageview"),
        generation(3, event="x" * 201),
        generation(4, distinct_id="d" * 201),
        generation(5, timestamp="2026-11-01 10:00"),
        generation(6, properties=[]),
        generation(7, options={"cookieless_mode": 1}),
        generation(8, distinct_id=""),
        generation(9, event=""),
        generation(1, distinct_id="again"),
    )
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert list(results) == [f"{UUID}{n}" for n in range(1, 10)]
    assert [results[f"{UUID}{n}"] for n in (1, 2)] == [
        {"result": "ok"},
        {"result": "warning", "details": "not_forwarded"},
    ]
    assert [results[f"{UUID}{n}"]["details"] for n in range(3, 10)] == [
        "event_name_too_long",
        "distinct_id_too_large",
        "invalid_event_timestamp",
        "malformed_event_properties",
        "invalid_options",
        "missing_distinct_id",
        "missing_event_name",
    ]
    (row,) = rig.rows()
    assert row["distinct_id"] == "user 1"
    properties = row["properties"]
    assert (properties["$session_id"], properties["$lib"], properties["$lib_version"]) == (
        "s",
        "posthog/python",
        "8.0.0",
    )
    assert (properties["$process_person_profile"], properties["$product_tour_id"]) == (False, "t")
    assert len(rig.letters()) == 7


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Basic abc"}, 401),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "br"}, 415),
        ({"PostHog-Sdk-Info": "posthog"}, 400),
        ({"PostHog-Attempt": "0"}, 400),
        ({"PostHog-Request-Id": "1"}, 400),
        ({"PostHog-Request-Timestamp": "yesterday"}, 400),
    ],
)
def test_v1_refuses_a_request_whose_headers_are_missing_or_wrong(
    shared: IngestRig, headers: dict[str, str], status: int
) -> None:
    answer = _v1(shared, generation(), headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_description", "error_uri"}


@pytest.mark.parametrize(
    "body",
    [{"batch": []}, {"batch": [generation()], "created_at": "today"}, {"batch": [{**generation(), "uuid": "1"}]}],
)
def test_v1_refuses_a_body_under_which_nothing_could_be_reported(shared: IngestRig, body: dict[str, Any]) -> None:
    assert _v1(shared, *body.pop("batch"), **body).status_code == 400


def test_v1_is_never_answered_with_429(rig: IngestRig) -> None:
    _, token = rig.tokens.create(team_id=TEAM, now=datetime.now(UTC), events_per_s=1)
    rig.server._tokens.poll()
    rig.token = token
    assert _v1(rig, *(generation(n) for n in range(5))).status_code == 200
    refused = _v1(rig, generation(6))
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 5


def test_depth_in_v1_costs_its_event_alone(rig: IngestRig) -> None:
    def deep(depth: int) -> Any:
        event = json.dumps(generation(1)).replace('"gpt-5-mini"', "[" * depth + "]" * depth)
        now = datetime.now(UTC).isoformat()
        headers = {
            "Authorization": f"Bearer {rig.token}", "Content-Type": "application/json", "User-Agent": "test",
            "PostHog-Sdk-Info": "a/1", "PostHog-Attempt": "1", "PostHog-Request-Id": f"{UUID}0",
            "PostHog-Request-Timestamp": now,
        }  # fmt: skip
        body = f'{{"created_at": "{now}", "batch": [{event}, {json.dumps(generation(2))}]}}'
        return rig.http.post("/i/v1/ai/events", content=body, headers=headers)

    for tries, depth in enumerate((200, 10_000), start=1):
        results = deep(depth).json()["results"]
        assert results[f"{UUID}1"] == {"result": "drop", "details": "malformed_event_properties"}
        assert results[f"{UUID}2"] == {"result": "ok"}
        assert len(rig.letters()) == tries
