"""A stored letter says where it came from, what may be sent back, and which letters a filter takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from processor.dead_letters.letter import dead_letter
from processor.dead_letters.stored import DeadLetter, LetterFilter, LetterRef, closing_mark, parse_letter, read_mark
from processor.replay.sources import ArchivedMessage
from tests.services.records import Record


def stored(
    source: Any, *, stage: str = "matcher", value: bool = True, max_bytes: int = 1 << 20, **extra: str
) -> DeadLetter:
    named = [(f"gavel.error.{name}", text.encode()) for name, text in extra.items()]
    output = dead_letter(
        "dead", source, stage=stage, reason="evaluator_bug", detail="why", max_bytes=max_bytes, extra=named
    )
    headers: Any = output.headers
    letter = parse_letter(Record(output.value, 7, "dead", 1, output.key, headers), with_value=value)
    assert letter is not None
    return letter


EVENT = ArchivedMessage(b"row")


def test_only_the_front_doors_letters_came_by_http() -> None:
    assert stored(EVENT, stage="ingest").came_by_http
    assert not stored(EVENT, redrive_topic="tasks").came_by_http
    assert not stored(Record(b"row", 3)).came_by_http


def test_an_event_of_the_archive_has_no_topic_and_a_run_of_it_has() -> None:
    assert not stored(EVENT).has_topic
    assert stored(EVENT, redrive_topic="tasks").has_topic
    assert stored(Record(b"row", 3)).has_topic


def test_only_a_run_is_of_an_evaluation_by_the_headers_of_its_task() -> None:
    headers = [("gavel.task.evaluation_id", b"e1")]
    assert stored(Record(b"row", 3, head=headers)).evaluation_id is None
    assert stored(Record(b"row", 3, head=headers), redrive_topic="tasks").evaluation_id == "e1"


def test_a_value_that_was_not_asked_for_keeps_its_size() -> None:
    letter = stored(Record(b"row", 3), value=False)
    assert (letter.value, letter.size_bytes, letter.as_json()["size_bytes"]) == (None, 3, 3)


def test_a_value_that_was_left_out_keeps_its_size() -> None:
    letter = stored(Record(b"x" * 100_000, 3), max_bytes=65_536 + 10)
    assert (letter.value, letter.size_bytes, letter.sha256 is not None) == (None, 100_000, True)


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        ({}, True),
        ({"ids": frozenset({"1:7"})}, True),
        ({"ids": frozenset({"1:8"})}, False),
        ({"stage": "matcher"}, True),
        ({"stage": "judge"}, False),
        ({"reason": "decode"}, False),
        ({"ends": {1: 8}}, True),
        ({"ends": {1: 7}}, False),
        ({"ends": {0: 8}}, False),
        ({"ends": {}}, False),
    ],
)
def test_a_filter_takes_what_it_names(chosen: dict[str, Any], taken: bool) -> None:
    assert LetterFilter(**chosen).takes(stored(Record(b"row", 3))) is taken


def test_a_filter_takes_a_span_of_time_without_its_end() -> None:
    letter = stored(Record(b"row", 3))
    assert LetterFilter(since=letter.failed_at).takes(letter)
    assert not LetterFilter(until=letter.failed_at).takes(letter)
    assert not LetterFilter(since=letter.failed_at + timedelta(seconds=1)).takes(letter)


def test_ids_say_where_reading_begins_and_what_is_not_an_id_takes_nothing() -> None:
    assert LetterFilter().first_offsets() is None
    assert LetterFilter(ids=frozenset({"0:9", "0:3", "2:4", "x", "1:y", "-1:0"})).first_offsets() == {0: 3, 2: 4}


def test_a_mark_names_the_letter_that_it_closes() -> None:
    mark = closing_mark("dead", LetterRef(1, 7, 0, 3, "decode"), "purged")
    headers: Any = mark.headers
    assert (mark.partition, read_mark(Record(mark.value, 9, head=headers))) == (1, 7)
    assert read_mark(Record(b"value", 9, head=headers)) is None


@pytest.mark.parametrize(("partition", "offset"), [(2**31, 2**63), (10**19 - 1, 10**19 - 1)])
def test_numbers_that_kafka_does_not_have_are_none(partition: int, offset: int) -> None:
    headers = [
        ("gavel.error.class", b"decode"), ("gavel.error.topic", b"t"),
        ("gavel.error.partition", b"%d" % partition), ("gavel.error.offset", b"%d" % offset),
    ]  # fmt: skip
    letter = parse_letter(Record(None, head=headers))
    assert letter is not None
    assert (letter.source_partition, letter.source_offset) == (-1, -1)
    TopicPartition(letter.source_topic, letter.source_partition, letter.source_offset)  # raises nothing
    assert LetterFilter(ids=frozenset({f"{partition}:0", f"0:{offset}"})).first_offsets() == {}


def test_numbers_of_thousands_of_digits_hide_no_letter() -> None:
    digits = b"9" * 5000
    headers = [("gavel.error.class", b"decode"), ("gavel.error.partition", digits), ("gavel.error.offset", digits)]
    letter = parse_letter(Record(b"x", head=headers))
    assert letter is not None
    assert (letter.source_partition, letter.source_offset) == (-1, -1)
    assert read_mark(Record(None, head=[("gavel.dlq.offset", digits)])) is None


@pytest.mark.parametrize(("time_ms", "year"), [(-1, 1970), (2**62, 2199), (-(2**63), 1970)])
def test_a_letter_may_have_any_time(time_ms: int, year: int) -> None:
    """A stranger's record with a time beyond the calendar ended `gavel dlq list` and the pages of letters."""
    letter = parse_letter(Record(b"row", head=[("gavel.error.class", b"decode")], time_ms=time_ms))
    assert letter is not None
    assert letter.failed_at.year == year


@pytest.mark.parametrize("name", ["1:" + "9" * 5_000, "9" * 5_000 + ":1", "\u00b2:1", "x"])
def test_an_id_with_a_number_that_python_does_not_read_names_no_letter(name: str) -> None:
    assert LetterFilter(ids=frozenset({name, "2:17"})).first_offsets() == {2: 17}
