"""Version 0 of the capture protocol: each field of an event in the row, and each refusal."""

from __future__ import annotations

import base64
import gzip
import json
import uuid
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import zstandard

from ingest.limits import MAX_DEPTH
from ingest.rows import normal_uuid
from ingest.times import row_time
from tests.unit.ingest.front import NOW, TEAM, TOKEN, UUID, Front, generation

HOUR_AGO_MS = int((NOW - timedelta(hours=1)).timestamp() * 1000)
TEXT = json.dumps({"api_key": TOKEN, "batch": [generation(1)]}).encode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("content", "around"),
    [
        (gzip.compress(TEXT), {"params": {"compression": "gzip"}}),
        (gzip.compress(TEXT), {"headers": {"Content-Encoding": "deflate"}, "params": {"compression": "base64"}}),
        (gzip.compress(TEXT), {"headers": {"Content-Encoding": "br"}}),
        (gzip.compress(TEXT), {"params": {"compression": "lz64"}}),
        (base64.b64encode(TEXT), {}),
        (base64.b64encode(gzip.compress(TEXT)), {}),
        (urlencode({"data": base64.b64encode(gzip.compress(TEXT)), "compression": "gzip"}), {"headers": FORM}),
        (zlib.compress(b"data=" + base64.b64encode(TEXT)), {"headers": {"Content-Encoding": "deflate"}}),
        (zstandard.compress(TEXT), {"headers": {"Content-Encoding": "ZSTD "}}),
    ],
)  # fmt: skip
def test_the_first_bytes_win_over_what_is_said_of_the_encoding(
    front: Front, content: bytes | str, around: dict[str, Any]
) -> None:
    assert front.call("POST", "/e", content=content, **around).json() == {"status": "Ok"}
    assert [row["uuid"] for row in front.rows()] == [f"{UUID}1"]


def test_lz64_is_refused(front: Front) -> None:
    answer = front.call("POST", "/e", params={"compression": "lz64"}, content=base64.b64encode(TEXT))
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported_compression")


def test_a_refusal_has_the_fields_of_the_api(front: Front) -> None:
    assert front.call("POST", "/e", content=b"[]").json() == {
        "type": "validation_error",
        "code": "empty_batch",
        "detail": "The batch holds no event.",
        "attr": "batch",
    }


# -- token ----------------------------------------------------------------------------------------------

OTHER = "phc_" + "o" * 43


@pytest.mark.parametrize(
    ("body", "around"),
    [
        ({"api_key": TOKEN, "token": OTHER, "batch": [generation(1)]}, {}),
        ({**generation(1), "token": TOKEN, "$token": OTHER}, {}),
        ({**generation(1), "token": TOKEN, "api_key": OTHER}, {}),
        ([{**generation(1), "token": TOKEN}, {**generation(2), "api_key": OTHER}], {}),
        ([{**generation(1), "token": TOKEN}, generation(2, properties={"token": OTHER})], {}),
        ({"api_key": TOKEN, "batch": [generation(1)]}, {"headers": {"Authorization": f"Bearer {OTHER}"}}),
        ({"token": OTHER, "batch": [generation(1)]}, {"params": {"token": TOKEN}}),
        ({**generation(1), "$token": OTHER}, {"params": {"token": TOKEN}}),
        ([generation(1)], {"params": {"token": TOKEN}, "headers": {"Authorization": f"Bearer {OTHER}"}}),
    ],
)
def test_two_tokens_in_two_places_are_refused(front: Front, body: Any, around: dict[str, Any]) -> None:
    front.add_token(OTHER, 2)
    answer = front.call("POST", "/batch", json=body, **around)
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
    assert "several" in answer.json()["detail"]
    assert front.messages() == []


@pytest.mark.parametrize(
    ("body", "around"),
    [
        ({"api_key": TOKEN, "token": f" {TOKEN}\n", "batch": [generation(1)]}, {"params": {"token": TOKEN}}),
        ({"api_key": "", "token": TOKEN, "batch": [generation(1)]}, {}),
        ({**generation(1), "token": TOKEN, "$token": TOKEN, "api_key": " "}, {}),
        ([generation(1)], {"headers": {"Authorization": f"bEARER   {TOKEN} "}}),
    ],
)
def test_one_token_may_be_named_twice(front: Front, body: Any, around: dict[str, Any]) -> None:
    assert front.call("POST", "/batch", json=body, **around).status_code == 200


def test_a_token_may_be_kept_to_the_origins_of_its_pages(front: Front) -> None:
    token = front.add_token(OTHER, 2, origins=("https://shop.example",))
    body = {"api_key": token, "batch": [generation(1)]}
    for origin, status in (("https://shop.example", 200), ("https://evil.example", 401), (None, 200)):
        headers = {} if origin is None else {"Origin": origin}
        assert front.call("POST", "/batch", json=body, headers=headers).status_code == status, origin


@pytest.mark.parametrize("limit", [{"events_per_s": 1}, {"bytes_per_s": 100}])
def test_a_token_over_one_of_its_rates_is_told_when_to_come_back(front: Front, limit: dict[str, int]) -> None:
    token = front.add_token(OTHER, 2, **limit)
    body = {"api_key": token, "batch": [generation(n) for n in range(9)]}
    assert front.call("POST", "/batch", json=body).status_code == 200
    refused = front.call("POST", "/batch", json=body)
    assert (refused.status_code, refused.json()["code"]) == (429, "over_rate")
    assert 1 <= int(refused.headers["retry-after"]) <= 5


# -- fields ---------------------------------------------------------------------------------------------


def in_row(front: Front, event: dict[str, Any], params: dict[str, str] | None = None, **around: Any) -> dict[str, Any]:
    answer = front.batch(event, params=params, **around)
    assert answer.json() == {"status": "Ok"}, answer.text
    (row,) = front.rows()
    return row


def without(name: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in generation(1, **changes).items() if key != name}


HOUR_AGO = row_time(NOW - timedelta(hours=1))
SLOW_CLOCK = "2016-11-28T11:30:00Z"
"""Half an hour before `SLOW_SENT`, by a clock that is ten years behind."""
SLOW_SENT = "2016-11-28T12:00:00Z"
IGNORING = {"$ai_trace_id": "t", "$ignore_sent_at": True}
HALF_AN_HOUR_AGO = row_time(NOW - timedelta(minutes=30))


@pytest.mark.parametrize(
    ("event", "params", "around", "stored"),
    [
        (without("timestamp", offset=3_600_000), {}, {}, HOUR_AGO),
        (generation(1, offset=3_600_000), {}, {"sent_at": SLOW_SENT}, HOUR_AGO),
        (generation(1, offset=-86_400_000), {}, {}, row_time(NOW)),
        (without("timestamp"), {}, {"sent_at": SLOW_SENT}, row_time(NOW)),
        (generation(1, timestamp=SLOW_CLOCK), {}, {"sent_at": SLOW_SENT}, HALF_AN_HOUR_AGO),
        (generation(1, timestamp=SLOW_CLOCK), {}, {}, "2016-11-28 11:30:00.000000"),
        (generation(1, timestamp=SLOW_CLOCK, properties=IGNORING), {}, {"sent_at": SLOW_SENT},
         "2016-11-28 11:30:00.000000"),
        (generation(1, timestamp="2026-11-28T09:00:00Z"), {"_": str(HOUR_AGO_MS)}, {},
         row_time(NOW - timedelta(hours=2))),
        (generation(1, timestamp="2026-11-28T09:00:00Z"), {"sent_at": str(HOUR_AGO_MS)}, {},
         row_time(NOW - timedelta(hours=2))),
        (generation(1, timestamp=SLOW_CLOCK), {"_": str(HOUR_AGO_MS)}, {"sent_at": SLOW_SENT}, HALF_AN_HOUR_AGO),
        (generation(1, timestamp=SLOW_CLOCK), {"_": "1480334400000"}, {}, "2016-11-28 11:30:00.000000"),
        (generation(1, timestamp="2026-11-29T10:59:59Z"), {}, {}, "2026-11-29 10:59:59.000000"),
        (generation(1, timestamp="2026-11-29T11:00:01Z"), {}, {}, row_time(NOW)),
    ],
)  # fmt: skip
def test_when_an_event_happened(
    front: Front, event: dict[str, Any], params: dict[str, str], around: dict[str, Any], stored: str
) -> None:
    assert in_row(front, event, params, **around)["timestamp"] == stored


@pytest.mark.parametrize(
    ("event", "stored"),
    [
        (without("distinct_id", **{"$distinct_id": "b"}), "b"),
        (generation(1, **{"$distinct_id": "b"}), "user 1"),
        (without("distinct_id", properties={"distinct_id": "p", "$ai_trace_id": "t"}), "p"),
        (generation(1, distinct_id="", properties={"distinct_id": "p", "$ai_trace_id": "t"}), "p"),
        (generation(1, distinct_id="d" * 201), "d" * 200),
        (generation(1, distinct_id=["a", 1]), '["a",1]'),
        (generation(1, distinct_id=True), "true"),
        (generation(1, distinct_id="a\0b"), "a\ufffdb"),
    ],
)
def test_who_an_event_is_of(front: Front, event: dict[str, Any], stored: str) -> None:
    assert in_row(front, event)["distinct_id"] == stored


@pytest.mark.parametrize(
    ("name", "taken"), [("x" * 200, True), ("x" * 201, False), (" ", False), ("", False), ("ü" * 200, True)]
)
def test_names_have_200_characters_at_the_most(front: Front, name: str, taken: bool) -> None:
    answer = front.batch(generation(1, event=name), generation(2))
    assert answer.json() == ({"status": "Ok"} if taken else {"status": "Ok", "rejected": 1})
    alone = front.batch(generation(1, event=name))
    assert alone.status_code == (200 if taken else 400)


@pytest.mark.parametrize(("levels", "taken"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_properties_have_128_levels_at_the_most(front: Front, levels: int, taken: bool) -> None:
    inner = "[" * (levels - 1) + "]" * (levels - 1)
    event = json.dumps(generation(1)).replace('"hello"', inner)
    answer = front.call("POST", "/e", content=f'{{"api_key": "{TOKEN}", "batch": [{event}]}}')
    assert answer.status_code == (200 if taken else 400)
    assert len(front.messages()) == taken


@pytest.mark.parametrize(
    "written",
    [
        "01890000-0000-7000-8000-00000000000A", "0189000000007000800000000000000a",
        "{01890000-0000-7000-8000-00000000000a}", "urn:uuid:01890000-0000-7000-8000-00000000000a",
        "URN:UUID:01890000-0000-7000-8000-00000000000A", " 01890000-0000-7000-8000-00000000000a ",
    ],
)  # fmt: skip
def test_a_uuid_may_be_spelled_in_every_way(front: Front, written: str) -> None:
    assert in_row(front, generation(1, uuid=written))["uuid"] == "01890000-0000-7000-8000-00000000000a"


@pytest.mark.parametrize("text", ["", "no", "0189", "01890000-0000-7000-8000-00000000000g", "0" * 33])
def test_other_texts_are_not_uuids(text: str) -> None:
    assert normal_uuid(text) is None


def test_an_event_without_a_uuid_and_a_span_gets_a_new_one(front: Front) -> None:
    event = without("uuid")
    first, second = (uuid.UUID(in_row(front, event)["uuid"]) for _ in range(2))
    assert (first.version, second.version, first.variant) == (7, 7, "specified in RFC 4122")
    assert first != second


def test_the_uuid_of_a_span_depends_on_its_team_name_trace_and_span(front: Front) -> None:
    ids = {"$ai_trace_id": "t", "$ai_span_id": "s"}
    first = in_row(front, without("uuid", properties=ids))["uuid"]
    assert uuid.UUID(first).version == 5
    other = in_row(front, without("uuid", properties={**ids, "$ai_span_id": "s2"}))["uuid"]
    number_id = in_row(front, without("uuid", properties={**ids, "$ai_span_id": 5}))["uuid"]
    assert len({first, other, number_id}) == 3
    assert uuid.UUID(number_id).version == 5


@pytest.mark.parametrize(
    ("changes", "person", "mode"),
    [
        ({}, None, "propertyless"),
        ({"$set": {"a": 1}, "$set_once": {"a": 2, "b": 3}}, {"a": 1, "b": 3}, "full"),
        ({"properties": {"$set": {"a": 1}}}, {"a": 1}, "full"),
        ({"$set": {"a": 1}, "properties": {"$process_person_profile": False}}, None, "propertyless"),
    ],
)
def test_what_an_event_says_of_the_person(
    front: Front, changes: dict[str, Any], person: dict[str, int] | None, mode: str
) -> None:
    row = in_row(front, generation(1, **changes))
    found = row.get("person_properties")
    assert (None if found is None else json.loads(found), row["person_mode"]) == (person, mode)


def test_the_key_of_an_event_without_a_trace_is_its_id(front: Front) -> None:
    front.batch(generation(1, properties={}), generation(2))
    assert [each.key for each in front.messages()] == [f"{TEAM}:{UUID}1".encode(), f"{TEAM}:trace 2".encode()]


def test_a_message_says_in_its_headers_what_it_is(front: Front) -> None:
    front.batch(generation(1), historical_migration=True)
    (message,) = front.messages()
    assert dict(message.headers or ()) == {
        "productTrack": b"llma",
        "event": b"$ai_generation",
        "uuid": f"{UUID}1".encode(),
        "now": b"2026-11-28 12:00:00.000000",
        "historical_migration": b"true",
    }
    row = json.loads(message.value or b"")
    assert (row["created_at"], row["elements_chain"]) == ("2026-11-28 12:00:00.000000", "")


def test_keys_are_mended_like_values(front: Front) -> None:
    event = json.dumps(generation(1)).replace("$ai_input", r"a\u0000b\ud800")
    answer = front.call("POST", "/e", content=f'{{"api_key": "{TOKEN}", "batch": [{event}]}}')
    assert answer.status_code == 200
    assert front.rows()[0]["properties"]["a\ufffdb\ufffd"] == "hello"


@pytest.mark.parametrize("name", ["$ai_trace_id", "$ai_parent_id", "$ai_span_id", "$ai_session_id"])
def test_ids_become_text_or_are_removed(front: Front, name: str) -> None:
    stored = [
        in_row(front, without("uuid", properties={name: value}))["properties"].get(name)
        for value in ("x", 5, 1.5, True, None, [], {"a": 1})
    ]
    assert stored == ["x", "5", "1.5", "true", None, None, None]


def test_the_operator_says_which_properties_and_events_are_kept(tmp_path: Path) -> None:
    settings = {"drop_properties": ("secret",), "forward": ("$ai_generation", "$ai_metric")}
    with Front(tmp_path, **settings).open() as front:
        front.batch(
            generation(1, properties={"secret": 1, "$ip": "192.0.2.1"}),
            generation(2, event="$ai_metric"),
            generation(3, event="$ai_feedback"),
        )
        rows = front.rows()
    assert [(row["event"], row["uuid"][-1]) for row in rows] == [("$ai_generation", "1"), ("$ai_metric", "2")]
    assert rows[0]["properties"] == {"$ip": "192.0.2.1"}
    assert front.count("gavel_ingest_not_forwarded_total", event="$ai_feedback") == 1


def test_an_evaluation_is_never_forwarded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="forward"):
        Front(tmp_path, forward=("$ai_evaluation",))


def test_what_cannot_be_redacted_is_a_dead_letter_without_its_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise MemoryError

    with Front(tmp_path, redact={"$ai_input": "email"}).open() as front:
        monkeypatch.setattr("ingest.redaction.unescaped", fail)
        event = generation(1)
        event["properties"]["$ai_input"] = "ann@example.org"
        answer = front.batch(event, generation(2, properties={"$ai_trace_id": "t"}))
        assert answer.json() == {"status": "Ok", "rejected": 1}
        letter, row = sorted(front.delivery.given, key=lambda each: each.topic != front.topics.dead_letters)
        assert (letter.topic, letter.value) == (front.topics.dead_letters, b"")
        assert dict(letter.headers or ())["gavel.error.stage"] == b"ingest"
        assert json.loads(row.value or b"")["uuid"] == f"{UUID}2"


def test_bytes_and_the_error_of_clocks_are_measured(front: Front) -> None:
    front.call("POST", "/e", content=TEXT)
    front.batch(generation(2), sent_at="2026-11-28T12:00:30Z")
    assert front.count("gavel_ingest_bytes_total") > len(TEXT)
    assert front.count("gavel_ingest_clock_skew_seconds_sum") == 30


def test_when_kafka_does_not_acknowledge_one_event_all_are_sent_again(front: Front) -> None:
    front.delivery.lost = {f"{UUID}2"}
    answer = front.batch(generation(1), generation(2))
    assert (answer.status_code, answer.json()["code"]) == (503, "not_persisted")
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    front.delivery.lost.clear()
    front.messages()
    assert front.batch(generation(1), generation(2)).status_code == 200
    assert [row["uuid"] for row in front.rows()] == [f"{UUID}2"], "the first one was acknowledged"
