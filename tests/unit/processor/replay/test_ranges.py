"""Ranges of a topic: an answer that Kafka does not give is asked for again, and never taken for an empty range."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from processor.replay.catch_up import _holds
from processor.replay.sources import ReplayError, TopicSource, ranges_by_time

BEGIN, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
MOVED, AWAY = KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._ALL_BROKERS_DOWN


class Broker:
    """A topic of two partitions with offsets 5 to 9, whose first answers to `question` are errors.

    Args:
        per_partition: the error comes with one partition of the answer, as librdkafka gives it for some questions.
    """

    def __init__(self, question: str = "", *errors: int, per_partition: bool = False) -> None:
        self.question = question
        self.errors = list(errors)
        self.per_partition = per_partition

    def _fails(self, question: str) -> KafkaError | None:
        return KafkaError(self.errors.pop(0)) if question == self.question and self.errors else None

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None, 1: None})})

    def get_watermark_offsets(self, _partition: TopicPartition, timeout: float) -> tuple[int, int]:
        error = self._fails("bounds")
        if error is not None:
            raise KafkaException(error)
        return 5, 9

    def _each(self, question: str, partitions: list[TopicPartition], offset: int) -> list[Any]:
        found = [SimpleNamespace(partition=p.partition, offset=offset, error=None, metadata="") for p in partitions]
        error = self._fails(question)
        if error is not None and not self.per_partition:
            raise KafkaException(error)
        if error is not None:
            found[1].error, found[1].offset = error, -1001
        return found

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float) -> list[Any]:
        return self._each("times", partitions, 6 if partitions[0].offset == int(BEGIN.timestamp() * 1000) else 8)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[Any]:
        return self._each("committed", partitions, 7)

    def assign(self, _partitions: list[TopicPartition]) -> None:
        return


def ranges(broker: Any) -> dict[int, tuple[int, int]]:
    return ranges_by_time(broker, "events", BEGIN, END)


def held(broker: Any) -> bool:
    return _holds(broker, "events", {0: (6, 8), 1: (6, 8)})


@pytest.mark.parametrize("per_partition", [False, True])
@pytest.mark.parametrize("question", ["bounds", "times"])
def test_a_range_is_asked_for_again_while_a_leader_moves(question: str, per_partition: bool) -> None:
    assert ranges(Broker(question, MOVED, per_partition=per_partition)) == {0: (6, 8), 1: (6, 8)}


@pytest.mark.parametrize("per_partition", [False, True])
@pytest.mark.parametrize("question", ["bounds", "times"])
def test_a_range_that_cannot_be_read_ends_the_try_and_is_not_empty(question: str, per_partition: bool) -> None:
    with pytest.raises(ReplayError, match="gavel check"):
        ranges(Broker(question, AWAY, per_partition=per_partition))


def test_whether_a_topic_still_holds_a_range_survives_a_hiccup_of_kafka() -> None:
    assert held(Broker("bounds", MOVED))
    with pytest.raises(ReplayError, match="gavel check"):
        held(Broker("bounds", AWAY))


def test_a_range_whose_first_record_is_the_first_of_its_partition_may_have_lost_earlier_ones() -> None:
    broker: Any = Broker()
    assert not _holds(broker, "events", {0: (6, 8), 1: (5, 8)})


@pytest.mark.parametrize("per_partition", [False, True])
def test_a_place_that_cannot_be_read_is_not_the_beginning(per_partition: bool) -> None:
    broker: Any = Broker("committed", AWAY, per_partition=per_partition)
    with pytest.raises(ReplayError, match="offsets cannot be read"):
        TopicSource(broker, "events", {0: (6, 8), 1: (6, 8)})
