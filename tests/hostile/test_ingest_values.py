"""Values in events sent to the front door by somebody who wants it to fall over."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.answers import Refusal
from ingest.limits import MIB
from ingest.sent_events import decode_request
from processor.events.generation import to_generation
from tests.integration.ingest.rig import UUID, IngestRig, generation
from tests.integration.pipeline import TEAM

from conditions import decode_row  # isort: skip


@pytest.fixture
def rig(kafka: str, tmp_path: Path) -> Iterator[IngestRig]:
    with IngestRig(kafka, tmp_path).running() as rig:
        yield rig


def raw_batch(rig: IngestRig, *events: str) -> Any:
    return rig.http.post("/batch", content=f'{{"api_key": "{rig.token}", "batch": [{", ".join(events)}]}}')


def test_nan_and_infinity_cost_neither_the_batch_nor_the_event(rig: IngestRig) -> None:
    strange = json.dumps(generation(1)).replace('"gpt-5-mini"', '{"a": [NaN, -Infinity, Infinity], "b": "NaN"}')
    answer = raw_batch(rig, strange, *(json.dumps(generation(n)) for n in range(2, 8)))
    assert answer.json() == {"status": "Ok"}
    rows = rig.rows()
    assert len(rows) == 7
    assert rows[0]["properties"]["$ai_model"] == {"a": [None, None, None], "b": "NaN"}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (r"a\u0000b", "a\ufffdb"),
        (r"\ud800", "\ufffd"),
        (r"\udc00 \ud83d\ude00", "\ufffd \U0001f600"),
        (r"\\u0000", r"\u0000"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\\\ud800", "\\\ufffd"),
    ],
)
def test_nul_and_lone_surrogates_become_the_replacement_character(rig: IngestRig, written: str, stored: str) -> None:
    strange = json.dumps(generation(1)).replace("gpt-5-mini", written).replace("user 1", written)
    assert raw_batch(rig, strange, json.dumps(generation(2))).json() == {"status": "Ok"}
    first, _ = rig.rows()
    assert (first["properties"]["$ai_model"], first["distinct_id"]) == (stored, stored)
    for message in rig.messages():
        assert to_generation(decode_row(message.value())).team_id == TEAM


def test_a_key_that_comes_twice_has_its_last_value(rig: IngestRig) -> None:
    strange = json.dumps(generation(1)).replace('"$ai_model"', '"$ai_trace_id": "b", "$ai_model"')
    raw_batch(rig, strange)
    (row,) = rig.rows()
    assert row["properties"]["$ai_trace_id"] == "b"
    assert rig.messages()[0].key() == f"{TEAM}:b".encode()


@pytest.mark.parametrize("value", ["[]", "5", '"x"', "null", "{}", '{"a": 1}'])
def test_the_input_of_a_model_may_be_any_json(rig: IngestRig, value: str) -> None:
    event = json.dumps({**generation(1), "properties": {}}).replace(
        '"properties": {}', f'"properties": {{"$ai_input": {value}}}'
    )
    assert raw_batch(rig, event).json() == {"status": "Ok"}
    assert rig.rows()[0]["properties"]["$ai_input"] == json.loads(value)


def test_a_row_of_quotes_is_written_as_an_object(rig: IngestRig) -> None:
    event = generation(1)
    event["properties"]["$ai_input"] = '"' * (3 * MIB)
    assert rig.batch(event).json() == {"status": "Ok"}
    message = rig.messages()[0]
    assert len(message.value()) < 8 * MIB
    assert isinstance(json.loads(message.value())["properties"], dict)
    assert to_generation(decode_row(message.value())).properties["$ai_input"] == '"' * (3 * MIB)


def test_an_event_over_the_limit_is_a_dead_letter_and_not_the_end_of_its_batch(rig: IngestRig) -> None:
    large = generation(1)
    large["properties"]["$ai_input"] = '"' * (8 * MIB)
    answer = rig.batch(large, generation(2))
    assert answer.json() == {"status": "Ok", "rejected": 1}
    assert [row["uuid"] for row in rig.rows()] == [f"{UUID}2"]
    ((reason, _),) = rig.letters()
    assert reason == "too_large"
    alone = rig.batch({**large, "uuid": f"{UUID}3"})
    assert (alone.status_code, alone.json()["code"]) == (413, "event_too_large")


@pytest.mark.parametrize(
    ("timestamp", "stored"),
    [
        ("2026-11-01T12:00:00+03", "2026-11-01 09:00:00.000000"),
        ("2026-11-01T12:00:00", "2026-11-01 12:00:00.000000"),
        ("2026-11-01", "2026-11-01 00:00:00.000000"),
        (1_793_534_400, "2026-11-01 12:00:00.000000"),
        ("1793534400000", "2026-11-01 12:00:00.000000"),
        ("Sun, 01 Nov 2026 12:00:00 GMT", "2026-11-01 12:00:00.000000"),
        ("soon", None),
        ("9999-12-31T23:59:59-23:00", None),
        ("0001-01-01T00:00:00+23:00", None),
        (1e300, None),
        (-1e300, None),
        ("1" * 5000, None),
        ({"a": 1}, None),
    ],
)
def test_times_of_all_kinds_are_read_or_become_now(rig: IngestRig, timestamp: Any, stored: str | None) -> None:
    before = datetime.now(UTC)
    assert rig.batch(generation(1, timestamp=timestamp)).json() == {"status": "Ok"}
    (row,) = rig.rows()
    if stored is None:
        assert abs((datetime.fromisoformat(row["timestamp"] + "+00:00") - before).total_seconds()) < 60
        assert rig.count("gavel_ingest_unreadable_times_total") == 1
    else:
        assert row["timestamp"] == stored


def test_what_is_redacted_is_nowhere_on_kafka(kafka: str, tmp_path: Path) -> None:
    settings = {"port": 0, "drain_s": 0, "redact": {"$ai_input": "email"}}
    with IngestRig(kafka, tmp_path, ingest=settings).running() as rig:
        event = generation(1)
        event["properties"]["$ai_input"] = [{"role": "user", "content": "I am ann@mail.example.org"}]
        invalid = {**event, "uuid": f"{UUID}2", "event": ""}
        assert rig.batch(event, invalid).json() == {"status": "Ok", "rejected": 1}
        assert rig.rows()[0]["properties"]["$ai_input"] == [{"role": "user", "content": "I am [email]"}]
        assert rig.letters() == [("decode", b"")]


def test_more_events_than_the_limit_are_refused(rig: IngestRig) -> None:
    answer = raw_batch(rig, *["{}"] * 10_001)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_events")


def test_no_answer_and_no_log_holds_a_token_or_a_payload(rig: IngestRig, capfd: pytest.CaptureFixture[str]) -> None:
    secret = "phx_" + "secret" * 6
    for body in (
        {"api_key": secret, "batch": [generation(1)]},
        {"api_key": rig.token, "batch": [{**generation(1), "event": "x" * 300, "distinct_id": secret}]},
    ):
        assert secret not in rig.http.post("/batch", json=body).text
    written = "".join(capfd.readouterr())
    assert secret not in written
    assert rig.token not in written


@pytest.mark.parametrize("unit", [b'"",', b"NaN,", b'"\\\\",'])
def test_a_text_that_would_take_seconds_to_repair_is_refused(unit: bytes) -> None:
    text = b'{"api_key": "x", "batch": [NaN, ' + unit * 1_000_001 + b'"\\ud800"]}'
    with pytest.raises(Refusal) as refused:
        decode_request(text)
    assert refused.value.status == 413


def test_text_with_wide_characters_is_checked_piece_by_piece() -> None:
    """As one string it would take four bytes for each character."""
    wide = b"\xf0\x9f\x98\x80" + b"a" * (8 * MIB)
    text = b'{"api_key": "x", "batch": [{"event": "e", "properties": {"a": "' + wide + b'"}}]}'
    tracemalloc.start()
    try:
        decode_request(text)
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()
    with pytest.raises(Refusal) as refused:
        decode_request(text.replace(b'"}}]}', b'\xf0\x9f"}}]}'))
    assert refused.value.status == 400
