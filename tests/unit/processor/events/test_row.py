"""One definition of a valid row: the matcher judges an event if and only if the sink archives it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conditions import RowError
from processor.events.row import Kinds, read_event
from processor.sink.rows import ARCHIVE, BadRow, Passed, archive_of
from tests.services.records import Record, generation_row
from tests.unit.processor.matcher.matching import outputs_of, snapshot_of

ANY = snapshot_of({"evaluation_config": {"source": "return true"}})
PERSON = snapshot_of({"evaluation_config": {"source": "return person.properties.plan = 'pro'"}})


def row(**fields: Any) -> bytes:
    """A generation with these outer fields."""
    return generation_row(1, row=fields)


def raw(field: str, text: str) -> bytes:
    """A generation whose `field` stands in the message as `text`."""
    return json.dumps(json.loads(generation_row(1)) | {field: "<here>"}).encode().replace(b'"<here>"', text.encode())


VALID = {
    "half of a surrogate pair in a text": raw("distinct_id", '"u\\ud83d"'),
    "half of a surrogate pair in properties": raw("properties", '"{\\"$ai_trace_id\\": \\"t\\ud83d\\"}"'),
    "the same, escaped twice": raw("properties", '"{\\"$ai_trace_id\\": \\"t\\\\ud83d\\"}"'),
    "the year 9999": row(timestamp="9999-12-31 23:59:59.000000"),
    "Go's zero time": row(timestamp="0001-01-01T00:00:00Z"),
    "the zero time east of Greenwich": row(timestamp="0001-01-01T00:00:00+14:00"),
    "the last moment west of it": row(timestamp="9999-12-31T23:59:59-12:00"),
    "NaN in the properties": row(properties='{"$ai_input": "q", "$ai_total_cost_usd": NaN}'),
    "Infinity in the properties": row(properties='{"$ai_input": "q", "$ai_latency": -Infinity}'),
    "a number beyond a float": row(properties='{"$ai_latency": 1e999}'),
    "properties that are null": row(properties=None),
    "properties that are the text null": row(properties="null"),
    "no properties": row(properties=""),
    "properties that are an object": row(properties={"$ai_input": "q"}),
    "a broken person that nobody reads": row(person_properties='{"a":'),
    "a person that is a list": row(person_properties=[1]),
    "a broken group": row(group3_properties='{"a":'),
    "no created_at": row(created_at=""),
    "a created_at that is not a time": row(created_at="yesterday"),
    "nulls": row(project_id=None, person_mode=None, person_id=None, elements_chain=None, created_at=None),
}
INVALID = {
    "half of a surrogate pair in the uuid": raw("uuid", '"x\\ud83d"'),
    "a long uuid": row(uuid="u" * 201),
    "an empty uuid": row(uuid=""),
    "a team beyond 64 bits": row(team_id=2**63),
    "a project beyond 64 bits": row(project_id=-(2**63) - 1),
    "a team that is a text": row(team_id="1"),
    "a distinct_id that is a number": row(distinct_id=7),
    "a timestamp that is not a time": row(timestamp="yesterday"),
    "no timestamp": row(timestamp=None),
    "a month 13": row(timestamp="2026-13-01 00:00:00"),
    "properties that are a list": row(properties="[]"),
    "properties cut off": row(properties='{"$ai_input": "q'),
    "properties nested too deeply": row(properties='{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a list": b'["$ai_generation"]',
    "not JSON": b"\xff\xfe$ai_generation\x00",
    "too large": row(distinct_id="x" * (8 * 1024 * 1024)),
}


def archived(body: bytes) -> bool:
    try:
        values = ARCHIVE.decode(Record(body))
    except (BadRow, Passed):
        return False
    assert ARCHIVE.encode([values]), "the row can be written down for ClickHouse"
    return True


@pytest.mark.parametrize("kind", VALID)
def test_a_valid_row_is_judged_and_archived(kind: str) -> None:
    (output,) = outputs_of(ANY, VALID[kind])
    assert (output.kind, archived(VALID[kind])) == ("result", True)
    assert (output.value or b"").decode()
    assert all(isinstance(value, bytes) and value.decode() for _, value in output.headers)


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_row_is_neither(kind: str) -> None:
    refused: list[bytes] = []
    assert outputs_of(ANY, INVALID[kind], refused=refused) == []
    assert (refused, archived(INVALID[kind])) == ([INVALID[kind]], False)


def test_a_broken_person_costs_the_verdict_only_of_an_evaluation_that_reads_it() -> None:
    body, refused = VALID["a broken person that nobody reads"], []
    assert len(outputs_of(ANY, body, refused=refused)) == 1
    assert not refused
    (output,) = outputs_of(PERSON, body, refused=refused)
    assert (output.kind, refused) == ("skip", [])


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (None, [], "tombstone"),
        (b'{"event": "$pageview"}', [], "other_event"),
        (b' \n\t{"event": "$pageview"}', [], "other_event"),
        (generation_row(1), [("productTrack", b"general")], "other_track"),
        (generation_row(1, row={"event": "$ai_span"}), [("productTrack", b"llma")], "other_event"),
    ],
)
def test_a_record_that_is_passed_over_has_a_reason(
    body: bytes | None, headers: list[tuple[str, bytes]], reason: str
) -> None:
    assert read_event(Record(body, head=headers)) == reason


@pytest.mark.parametrize("body", [b"\x00\x01\x02", b"", b"hello", b"[1, 2]", b"\xff" * 100])
def test_a_record_that_is_not_an_object_of_json_is_refused(body: bytes) -> None:
    """Garbage must become a dead letter: passed over like any other event, nobody would learn of its producer."""
    with pytest.raises(RowError, match="not a JSON object"):
        read_event(Record(body))


@pytest.mark.parametrize("headers", [[], [("productTrack", b"llma")], [("event", b"$ai_span")]])
def test_the_archive_keeps_other_events_where_the_operator_forwards_them(headers: list[tuple[str, bytes]]) -> None:
    span = Record(generation_row(1, row={"event": "$ai_span"}), head=headers)
    archive = archive_of(["$ai_generation", "$ai_span", "$ai_metric"])
    kept = dict(zip(archive.columns, archive.decode(span), strict=True))
    assert kept["event"] == "$ai_span"
    assert archive.decode(Record(generation_row(1))) == ARCHIVE.decode(Record(generation_row(1)))
    for other in (ARCHIVE, archive_of(["$ai_generation"]), archive_of(["$ai_trace"])):
        with pytest.raises(Passed, match="other_event"):
            other.decode(span)
    assert read_event(span) == "other_event"


def test_a_wanted_event_that_is_only_named_in_a_text_is_not_one() -> None:
    body = generation_row(1, row={"event": "$pageview"}, note="$ai_span")
    assert read_event(Record(body), kinds=Kinds.of(["$ai_span"])) == "other_event"
