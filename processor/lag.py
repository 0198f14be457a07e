"""How far a group is behind the end of its partitions, paused or not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from time import monotonic

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processor.ledger import TopicAndPartition
from processor.metrics import Metrics

_ASK_EVERY_S = 1.0
_ASK_TIMEOUT_S = 0.2


class ConsumerLag:
    """Sets `gavel_consumer_lag`: records between what the group has committed and the end of a partition.

    The client learns a partition's end by fetching from it. From one that is paused it does not fetch, and that is when
    somebody wants to know: so one such partition a second is asked for, or one whose place is not known yet.

    Args:
        role: the metric's label.
    """

    def __init__(self, role: str, consumer: Consumer, metrics: Metrics) -> None:
        self._role = role
        self._consumer = consumer
        self._metrics = metrics
        self._asked: dict[TopicAndPartition, tuple[int, int]] = {}
        """Committed offset (negative: none) and end, as the broker said."""
        self._next_ask_s = 0.0
        self._turn = 0

    def export(self, places: Mapping[TopicAndPartition, int], paused: Collection[TopicAndPartition]) -> None:
        """Set the metric of every assigned partition of which both ends are known.

        Args:
            places: the offset that is committed, or from which was read first, of partitions that were read from.
            paused: partitions that are not fetched from now, or were not yet.
        """
        # What was asked for is old as soon as a partition is fetched from again.
        self._asked = {source: told for source, told in self._asked.items() if source in paused}
        self._ask([*paused])
        for source in {*places, *self._asked}:
            committed, end = self._asked.get(source, (-1, -1))
            place = places.get(source, committed)
            with suppress(KafkaException):  # not fetched from it yet
                end = max(end, self._consumer.get_watermark_offsets(TopicPartition(*source), cached=True)[1])
            if place >= 0 and end >= 0:
                self._set(source, max(0, end - place))

    def _ask(self, paused: list[TopicAndPartition]) -> None:
        now = monotonic()
        if not paused or now < self._next_ask_s:
            return
        self._next_ask_s = now + _ASK_EVERY_S
        self._turn += 1
        source = sorted(paused)[self._turn % len(paused)]
        partition = TopicPartition(*source)
        try:
            committed = self._consumer.committed([partition], timeout=_ASK_TIMEOUT_S)[0].offset
            watermarks = self._consumer.get_watermark_offsets(partition, timeout=_ASK_TIMEOUT_S)
        except KafkaException:
            return  # the broker does not answer in time; the metric stays as it is
        if watermarks is not None:
            low, end = watermarks
            self._asked[source] = (committed if committed >= 0 else low, end)

    def _set(self, source: TopicAndPartition, lag: int) -> None:
        topic, partition = source
        self._metrics.set("gavel_consumer_lag", lag, role=self._role, topic=topic, partition=str(partition))

    def forget(self, source: TopicAndPartition) -> None:
        """Take the metric of a partition away that is not ours any more."""
        self._asked.pop(source, None)
        topic, partition = source
        self._metrics.remove("gavel_consumer_lag", role=self._role, topic=topic, partition=str(partition))
