"""The capture protocols over real HTTP and a real Kafka: their answers, records and counts."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import zstandard

from conditions import decode_row
from processor.events.generation import to_generation
from tests.integration.ingest.rig import UUID, IngestRig, generation
from tests.integration.pipeline import TEAM


def test_a_batch_is_on_the_topic_when_it_is_answered(rig: IngestRig) -> None:
    answer = rig.batch(generation(1), generation(2))
    assert (answer.status_code, answer.json()) == (200, {"status": "Ok"})
    first, second = rig.rows()
    assert [first["uuid"], second["uuid"]] == [f"{UUID}1", f"{UUID}2"]
    assert (first["team_id"], first["project_id"], first["event"]) == (TEAM, TEAM, "$ai_generation")
    assert (first["distinct_id"], first["timestamp"]) == ("user 1", "2026-11-01 10:00:00.000000")
    assert first["properties"] == generation(1)["properties"]
    assert (first["elements_chain"], first["person_mode"]) == ("", "propertyless")
    message = rig.messages()[0]
    headers = dict(message.headers())
    assert headers["productTrack"] == b"llma"
    assert headers["event"] == b"$ai_generation"
    assert headers["uuid"].decode() == json.loads(message.value())["uuid"]
    assert message.key() in (f"{TEAM}:trace 1".encode(), f"{TEAM}:trace 2".encode())
    read = to_generation(decode_row(message.value()))
    assert read.team_id == TEAM
    assert rig.count("gavel_ingest_events_total", outcome="accepted") == 2
    assert rig.count("gavel_ingest_requests_total", protocol="v0", status="200") == 1
    assert rig.count("gavel_ingest_reserved_bytes") == 0


def _encoded(kind: str, token: str) -> dict[str, Any]:
    text = json.dumps({"token": token, "batch": [generation(1)]}).encode()
    base = {"url": "/e/", "method": "POST"}
    kinds: dict[str, dict[str, Any]] = {
        "plain": {"content": text},
        "gzip header": {"content": gzip.compress(text), "headers": {"Content-Encoding": "gzip"}},
        "gzip hint": {"content": gzip.compress(text), "params": {"compression": "gzip-js"}},
        "gzip as text/plain": {"content": gzip.compress(text), "headers": {"Content-Type": "text/plain"}},
        "gzip in two members": {"content": gzip.compress(text[:50]) + gzip.compress(text[50:])},
        "deflate": {"content": zlib.compress(text), "headers": {"Content-Encoding": "deflate"}},
        "zstd": {"content": zstandard.compress(text), "headers": {"Content-Encoding": "zstd"}},
        "base64": {"content": base64.b64encode(text), "params": {"compression": "base64"}},
        "form with JSON": {
            "content": urlencode({"data": text}),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
        "form with base64, plus as blank": {
            "content": b"data=" + base64.b64encode(text).replace(b"+", b" "),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
        "query": {"method": "GET", "params": {"data": base64.b64encode(text).decode()}},
    }
    return {**base, **kinds[kind]}


@pytest.mark.parametrize(
    "kind",
    [
        "plain", "gzip header", "gzip hint", "gzip as text/plain", "gzip in two members", "deflate", "zstd", "base64",
        "form with JSON", "form with base64, plus as blank", "query",
    ],
)  # fmt: skip
def test_every_encoding_is_read(shared: IngestRig, kind: str) -> None:
    answer = shared.http.request(**_encoded(kind, shared.token))
    assert (answer.status_code, answer.json()) == (200, {"status": "Ok"})


def test_one_event_alone_and_a_list_are_requests_too(rig: IngestRig) -> None:
    alone = {**generation(1), "api_key": rig.token}
    assert rig.http.post("/capture", json=alone).status_code == 200
    listed = [{**generation(2), "token": rig.token}, {**generation(3), "$token": rig.token}]
    assert rig.http.post("/i/v0/e/", json=listed).status_code == 200
    inside = generation(4)
    inside["properties"]["token"] = rig.token
    assert rig.http.post("/track", json=inside).status_code == 200
    by_url = rig.http.post("/engage/", params={"token": rig.token, "beacon": "1"}, json=generation(5))
    assert (by_url.status_code, by_url.content) == (204, b"")
    bearer = rig.http.post("/i/v0/ai/batch", json=[generation(6)], headers={"Authorization": f"bearer {rig.token}"})
    assert bearer.status_code == 200
    assert [row["uuid"][-1] for row in rig.rows()] == list("123456")


def test_one_bad_event_does_not_cost_its_batch_and_is_a_dead_letter(rig: IngestRig) -> None:
    bad = [
        {**generation(2), "event": ""},
        {**generation(3), "properties": [1]},
        {**generation(4), "distinct_id": " "},
        {**generation(5), "uuid": "no"},
    ]
    answer = rig.batch(generation(1), *bad)
    assert (answer.status_code, answer.json()) == (200, {"status": "Ok", "rejected": 4})
    assert [row["uuid"] for row in rig.rows()] == [f"{UUID}1"]
    letters = rig.letters()
    assert [reason for reason, _ in letters] == ["decode"] * 4
    assert {json.loads(value or b"")["uuid"] for _, value in letters} == {f"{UUID}{n}" for n in (2, 3, 4)} | {"no"}
    assert rig.count("gavel_ingest_events_total", outcome="rejected") == 4


def test_a_batch_without_one_valid_event_is_refused(rig: IngestRig) -> None:
    answer = rig.batch({**generation(1), "event": None})
    assert answer.status_code == 400
    assert answer.json()["code"] == "missing_event_name"
    assert answer.json()["detail"]
    assert len(rig.letters()) == 1


def test_an_event_that_is_sent_again_is_written_once(rig: IngestRig) -> None:
    assert rig.batch(generation(1)).status_code == 200
    assert rig.batch(generation(1), generation(2)).status_code == 200
    assert len(rig.messages()) == 2
    assert rig.count("gavel_ingest_events_total", outcome="repeated") == 1


def test_an_event_without_a_uuid_gets_one_that_a_retry_reproduces(rig: IngestRig) -> None:
    sent = generation(1)
    del sent["uuid"]
    sent["properties"]["$ai_span_id"] = "span"
    rig.batch(sent)
    rig.server.door.delivery.recent.clear()
    rig.batch({**sent, "uuid": ""})
    first, second = rig.rows()
    assert first["uuid"] == second["uuid"]
    assert first["uuid"][14] == "5"


def test_other_events_are_taken_and_not_written(rig: IngestRig) -> None:
    answer = rig.batch({**generation(1), "event": "$pageview"}, {**generation(2), "event": "secret name"})
    assert answer.json() == {"status": "Ok"}
    assert rig.messages() == []
    assert rig.count("gavel_ingest_not_forwarded_total", event="$pageview") == 1
    assert rig.count("gavel_ingest_not_forwarded_total", event="other") == 1


def test_what_the_row_needs_is_tidied_and_the_rest_is_left_as_sent(rig: IngestRig) -> None:
    event = generation(1, **{"$set": {"plan": "pro"}, "$set_once": {"plan": "free", "first": 1}})
    event["properties"] |= {"$ai_trace_id": 17, "$ai_session_id": True, "$ai_span_id": {}, "$ip": "192.0.2.1"}
    event["distinct_id"] = 12345
    rig.batch(event)
    (row,) = rig.rows()
    properties = row["properties"]
    assert (properties["$ai_trace_id"], properties["$ai_session_id"]) == ("17", "true")
    assert {"$ai_span_id", "$ip"} & properties.keys() == set()
    assert row["distinct_id"] == "12345"
    assert (json.loads(row["person_properties"]), row["person_mode"]) == ({"plan": "pro", "first": 1}, "full")
    assert rig.messages()[0].key() == f"{TEAM}:17".encode()


def test_the_clock_of_the_client_is_corrected(rig: IngestRig) -> None:
    year_off = generation(1, timestamp="2025-11-28T10:00:00+00:00")
    rig.batch(year_off, sent_at="2025-11-28T10:00:10+00:00")
    (row,) = rig.rows()
    age = datetime.now(UTC) - datetime.fromisoformat(row["timestamp"] + "+00:00")
    assert 9 < age.total_seconds() < 60


def test_history_is_marked(rig: IngestRig) -> None:
    rig.batch(generation(1), historical_migration=True)
    assert dict(rig.messages()[0].headers())["historical_migration"] == b"true"


# -- refusals -------------------------------------------------------------------------------------------


def test_tokens_are_required_known_and_one_at_a_time(shared: IngestRig) -> None:
    post = shared.http.post
    assert post("/batch", json={"batch": [generation()]}).status_code == 401
    for token in ("gvt_" + "a" * 43, "phx_" + "a" * 40, "gvl_" + "a" * 40, "a" * 65, "gvt_\0", 5):
        answer = post("/batch", json={"api_key": token, "batch": [generation()]})
        assert answer.status_code == 401, token
        assert str(token) not in answer.text
    two = [{**generation(1), "token": shared.token}, {**generation(2), "token": "gvt_other"}]
    assert post("/batch", json=two).status_code == 401
    _, other = shared.tokens.create(team_id=TEAM, now=datetime.now(UTC))
    shared.server._tokens.poll()
    batch = {"api_key": shared.token, "batch": [generation(1)]}
    assert post("/batch", json=batch, params={"token": other}).status_code == 401
    assert post("/batch", json=batch, headers={"Authorization": f"Bearer {other}"}).status_code == 401
    assert post("/batch", json=batch, params={"token": f" {shared.token}"}).status_code == 200
    for both in ((shared.token, other), (other, shared.token)):
        in_header = {"Authorization": f"Bearer {both[1]}"}
        assert post("/batch", json=batch, params={"token": both[0]}, headers=in_header).status_code == 401
        assert post(f"/batch?token={both[0]}&token={both[1]}", json=batch).status_code == 401


def test_a_revoked_token_is_refused(rig: IngestRig) -> None:
    (made,) = rig.tokens.list()
    rig.tokens.revoke(made.id, now=datetime.now(UTC))
    rig.server._tokens.poll()
    assert rig.batch(generation()).status_code == 401


def test_a_token_over_its_rate_is_told_when_to_come_back(rig: IngestRig) -> None:
    _, token = rig.tokens.create(team_id=TEAM, now=datetime.now(UTC), events_per_s=1)
    rig.server._tokens.poll()
    events = [generation(n) for n in range(5)]
    assert rig.http.post("/batch", json={"api_key": token, "batch": events}).status_code == 200
    refused = rig.http.post("/batch", json={"api_key": token, "batch": events})
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 5


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 400, "empty_body"),
        (b"{", {}, 400, "parse_error"),
        (b"not json at all", {}, 400, "parse_error"),
        (b'{"batch": []}', {}, 400, "empty_batch"),
        (b'{"batch": {}}', {}, 400, "bad_shape"),
        (b'{"a": "\xff"}', {}, 400, "parse_error"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-9], {}, 400, "bad_compression"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), {}, 400, "bad_compression"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "bad_compression"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unsupported_encoding"),
        (zstandard.compress(b"{}" * 100)[:-3], {"Content-Encoding": "zstd"}, 400, "bad_compression"),
        (b'{"batch": [' * 5000, {}, 400, None),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    shared: IngestRig, content: bytes, headers: dict[str, str], status: int, code: str | None
) -> None:
    answer = shared.http.post("/batch", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["code"] == code or code is None


@pytest.mark.parametrize("depth", [129, 10_000, 1_000_000])
def test_depth_is_bounded_before_anything_is_decoded(shared: IngestRig, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    body = b'{"api_key": "%s", "event": "$ai_generation", "distinct_id": "d", "properties": {"a": %s}}'
    answer = shared.http.post("/e", content=body % (shared.token.encode(), deep))
    assert answer.status_code == 400
    assert answer.json()["code"] in ("malformed_event_properties", "too_deep")


def test_lz64_is_not_supported(shared: IngestRig) -> None:
    answer = shared.http.post("/e", params={"compression": "lz64"}, content=b"abc")
    assert answer.json()["code"] == "unsupported_compression"


def test_unknown_paths_and_methods_are_refused_and_every_path_has_two_spellings(shared: IngestRig) -> None:
    assert shared.http.post("/nowhere").status_code == 404
    assert shared.http.delete("/batch").status_code == 405
    assert shared.http.get("/flags").json() == shared.http.post("/flags/", content=b"{}").json()
    assert shared.http.get("/flags").json()["supportedCompression"] == ["gzip", "gzip-js"]


def test_a_page_of_any_origin_may_send_and_sees_errors(shared: IngestRig) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-thing",
    }
    allowed = shared.http.options("/e/", headers=headers)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert allowed.headers["access-control-allow-headers"] == "content-type,x-thing"
    assert allowed.headers["access-control-max-age"] == "86400"
    refused = shared.http.post("/e/", content=b"{", headers={"Origin": "https://shop.example"})
    assert refused.status_code == 400
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"


def test_probes_and_metrics(shared: IngestRig) -> None:
    assert shared.http.get("/livez").status_code == 200
    assert shared.http.get("/readyz").json() == {"ok": True, "tokens": True, "kafka": True, "stopping": False}
    assert "gavel_ingest_requests_total" in shared.http.get("/metrics").text


def test_the_stubs_answer_in_the_words_of_the_sdks(shared: IngestRig) -> None:
    assert shared.http.get("/flags/definitions").json() == {"flags": [], "group_type_mapping": {}, "cohorts": {}}
    config = shared.http.get("/array/phc_x/config").json()
    assert (config["sessionRecording"], config["hasFeatureFlags"], config["autocapture_opt_out"]) == (
        False,
        False,
        True,
    )
    script = shared.http.get("/array/a<b/config.js")
    assert script.headers["content-type"] == "application/javascript"
    assert "<" not in script.text
    assert shared.http.post("/s/", content=b"x" * 1000).status_code == 200


def test_an_id_belongs_to_a_team(rig: IngestRig) -> None:
    _, other = rig.tokens.create(team_id=TEAM + 1, now=datetime.now(UTC))
    rig.server._tokens.poll()
    assert rig.batch(generation(1)).status_code == 200
    assert rig.http.post("/batch", json={"api_key": other, "batch": [generation(1)]}).status_code == 200
    assert sorted(row["team_id"] for row in rig.rows()) == [TEAM, TEAM + 1]


def test_a_header_that_comes_twice_is_not_chosen_from(shared: IngestRig) -> None:
    _, other = shared.tokens.create(team_id=TEAM, now=datetime.now(UTC))
    shared.server._tokens.poll()
    both = [("Authorization", f"Bearer {shared.token}"), ("Authorization", f"Bearer {other}")]
    assert shared.http.post("/batch", json=[generation(1)], headers=both).status_code == 401
    twice = [("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")]
    assert shared.http.post("/batch", content=b"{}", headers=twice).status_code == 415


@pytest.mark.parametrize("sent_at", ["²", "٣" * 13, "-1", "9" * 30])
def test_an_odd_time_of_sending_in_the_url_is_ignored(shared: IngestRig, sent_at: str) -> None:
    answer = shared.http.post("/e", params={"_": sent_at}, json={**generation(1), "api_key": shared.token})
    assert answer.status_code == 200
