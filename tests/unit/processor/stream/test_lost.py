"""Records that were removed before they were read are counted; gaps of transactions and compaction are not."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry

from processor.metrics import Metrics
from processor.stream.lost import LostRanges

SOURCE = ("events", 3)


class Broker:
    """A consumer whose group has committed `committed` and whose partition begins at `begins`."""

    def __init__(self, begins: int, committed: int = -1001) -> None:
        self.begins, self.at = begins, committed
        self.asked = 0

    def committed(self, partitions: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, self.at) for each in partitions]

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        self.asked += 1
        if self.begins < 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return self.begins, 10_000


def lost(broker: Any, *, expected: int | None, first: int) -> float | None:
    registry = CollectorRegistry()
    ranges = LostRanges("matcher", broker, Metrics(registry))
    ranges.watch(SOURCE)
    if expected is None:
        ranges.first_read(SOURCE, first)
    else:
        ranges.read_on(SOURCE, expected, first)
    return registry.get_sample_value("gavel_lost_records_total", {"role": "matcher", "topic": "events"})


@pytest.mark.parametrize(
    ("begins", "committed", "first", "records"),
    [
        (500, 100, 500, 400),  # retention overtook a role that was stopped
        (500, 100, 520, 400),  # and the log begins with markers of transactions
        (0, 100, 130, 0),  # markers and compacted records behind the committed offset
        (100, 100, 130, 0),
        (500, 500, 500, 0),
        (500, -1001, 500, 0),  # a new group has lost nothing
        (-1, 100, 500, 0),  # the broker does not answer: nothing is known
    ],
)
def test_the_first_read_is_held_against_the_commit(begins: int, committed: int, first: int, records: int) -> None:
    assert lost(Broker(begins, committed), expected=None, first=first) == records


@pytest.mark.parametrize(
    ("begins", "expected", "first", "records", "asked"),
    [
        (500, 100, 500, 400, 1),  # retention overtook a role that is too slow
        (0, 100, 500, 0, 1),  # compaction, or a large transaction that was aborted
        (101, 100, 102, 0, 0),  # a marker: not worth a request
        (100, 100, 100, 0, 0),
    ],
)
def test_reading_on_is_held_against_the_beginning_of_the_log(
    begins: int, expected: int, first: int, records: int, asked: int
) -> None:
    broker = Broker(begins)
    assert lost(broker, expected=expected, first=first) == records
    assert broker.asked == asked
