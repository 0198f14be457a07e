"""Headers whose names are not UTF-8 cost nobody more than the headers."""

from __future__ import annotations

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka import Message as Received

from processor.dead_letters.letter import dead_letter
from processor.events.message import UNREADABLE, Message, any_headers, headers_of
from processor.kafka import EMBEDDED_PARTITIONS, EmbeddedBroker
from processor.sink.rows import ARCHIVE
from tests.services.raw_headers import produce_with_header
from tests.services.records import generation_row
from tests.unit.processor.matcher.matching import event_matcher, snapshot_of

HOT = 200
"""Calls after which the interpreter has specialised the code that makes them."""


def test_a_record_whose_headers_cannot_be_read_is_processed_without_them() -> None:
    """confluent-kafka raises a SystemError, and the headers that it returns next would end the process."""
    broker = EmbeddedBroker()
    produce_with_header(broker.bootstrap_servers, "usual", generation_row(2), b"name", b"1")
    usual = read_one(broker.bootstrap_servers, "usual")
    for _ in range(HOT):
        headers_of(usual)
    event_matcher().take([usual] * HOT, snapshot_of({}), lambda *_: None)
    for topic in ("matched", "archived", "dead"):
        produce_with_header(broker.bootstrap_servers, topic, generation_row(1), b"\xff\xfe", b"1")
    matched, archived, dead = (read_one(broker.bootstrap_servers, topic) for topic in ("matched", "archived", "dead"))
    [output] = event_matcher().take([matched], snapshot_of({}), lambda *_: None)
    assert output.kind == "result"
    assert ARCHIVE.decode(archived)
    letter = dead_letter("dlq", dead, stage="sink", reason="decode", detail="", max_bytes=1_000_000)
    assert letter.headers[0] == UNREADABLE
    assert headers_of(matched) == headers_of(archived) == headers_of(dead) == [UNREADABLE]


def test_one_record_among_others_has_headers_that_cannot_be_read() -> None:
    broker = EmbeddedBroker()
    produce_with_header(broker.bootstrap_servers, "broken", generation_row(1), b"\xff\xfe", b"1")
    broken = read_one(broker.bootstrap_servers, "broken")
    before, behind = Received(value=generation_row(2)), Received(value=generation_row(3))
    assert not any_headers([before] * HOT)
    outputs = event_matcher().take([before, broken, behind], snapshot_of({}), lambda *_: None)
    assert [output.kind for output in outputs] == ["result"] * 3
    assert [headers_of(each) for each in (before, broken, behind)] == [None, [UNREADABLE], None]


def read_one(bootstrap_servers: str, topic: str) -> Message:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "g"})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(EMBEDDED_PARTITIONS)])
    while (message := consumer.poll(1.0)) is None or message.error() is not None:
        pass
    consumer.close()
    return message
