"""How far a group is behind the end of its partitions, in records and in seconds, paused or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from time import monotonic

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processor.events.output import TopicAndPartition
from processor.metrics import Metrics

_ASK_EVERY_S = 1.0
_ASK_TIMEOUT_S = 0.2


class ConsumerLag:
    """Sets `gavel_consumer_lag` and `gavel_lag_seconds`, and for partitions that wait on purpose `gavel_parked_*`.

    The client learns a partition's end by fetching from it. It does not fetch from a paused partition, which is exactly
    when the lag matters: so one such partition a second is asked for, or one whose place is not known yet.

    The end of a partition may lie behind markers of transactions, which are not records: a group that has read all
    records stands below the end. The client reports when it has arrived there, and the place of the arrival counts.

    Args:
        role: the metric's label.
        now_s: epoch seconds.
    """

    def __init__(self, role: str, consumer: Consumer, metrics: Metrics, now_s: Callable[[], float] = time.time) -> None:
        self._role = role
        self._consumer = consumer
        self._metrics = metrics
        self._now_s = now_s
        self._asked: dict[TopicAndPartition, tuple[int, int]] = {}
        """Committed offset (negative: none) and end, as the broker said."""
        self._arrived: dict[TopicAndPartition, int] = {}
        """The offset at which the client had nothing left to read."""
        self._since_s: dict[TopicAndPartition, float] = {}
        """Epoch seconds of the newest record that was next to be committed, of partitions that are behind."""
        self._parked_s: dict[TopicAndPartition, float] = {}
        self._next_ask_s = 0.0
        self._turn = 0

    def arrived(self, source: TopicAndPartition, offset: int) -> None:
        """Note that the client has read `source` up to its end; `offset` is behind markers that are not records."""
        self._arrived[source] = offset

    def rewound(self, source: TopicAndPartition) -> None:
        """Note that `source` is read again from an earlier offset."""
        self._arrived.pop(source, None)

    def parked(self, source: TopicAndPartition, since_ms: int) -> None:
        """Note that the next record of `source` waits on purpose, since an epoch time in milliseconds."""
        self._parked_s[source] = since_ms / 1000

    def taken_up(self, source: TopicAndPartition, due_ms: int) -> None:
        """Let the age of `source` count from now on if it was at rest: its thread may hang in the work that follows."""
        labels = {"role": self._role, "topic": source[0], "partition": str(source[1])}
        if self._metrics.age_s("gavel_lag_seconds", **labels) == 0.0:
            self._metrics.since("gavel_lag_seconds", due_ms / 1000, **labels)

    def export(
        self,
        places: Mapping[TopicAndPartition, int],
        paused: Collection[TopicAndPartition],
        due_ms: Mapping[TopicAndPartition, int],
        deferred: Collection[TopicAndPartition] = (),
    ) -> None:
        """Set the metrics of every assigned partition of which both ends are known.

        Args:
            places: the offset that is committed, or from which was read first, of partitions that were read from.
            paused: partitions that are not fetched from now, or were not yet.
            due_ms: when the record that is committed next was due, in epoch milliseconds, of partitions that have
                records in flight.
            deferred: those of the paused partitions whose next record was given back.
        """
        # An answer is old as soon as a partition is fetched from again.
        self._asked = {source: told for source, told in self._asked.items() if source in paused}
        self._ask([*paused])
        for source in {*places, *self._asked, *self._arrived}:
            committed, end = self._asked.get(source, (-1, -1))
            place = places.get(source, committed)
            if source not in due_ms:
                place = max(place, self._arrived.get(source, -1))
            with suppress(KafkaException):  # not fetched from it yet
                end = max(end, self._consumer.get_watermark_offsets(TopicPartition(*source), cached=True)[1])
            if place >= 0 and end >= 0:
                self._set(source, max(0, end - place), due_ms.get(source), on_purpose=source in deferred)

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

    def _set(self, source: TopicAndPartition, records: int, due_ms: int | None, *, on_purpose: bool) -> None:
        topic, partition = source[0], str(source[1])
        parked_s = self._parked_s.get(source)
        if parked_s is not None:
            waits = on_purpose and records > 0 and due_ms is None
            self._metrics.set("gavel_parked_records", records if waits else 0, topic=topic, partition=partition)
            moment_s = parked_s if waits else 0.0
            self._metrics.since("gavel_parked_oldest_seconds", moment_s, topic=topic, partition=partition)
            if waits:
                records = 0
            else:
                del self._parked_s[source]
        self._metrics.set("gavel_consumer_lag", records, role=self._role, topic=topic, partition=partition)
        since_s = self._behind_since(source, due_ms) if records else 0.0
        self._metrics.since("gavel_lag_seconds", since_s, role=self._role, topic=topic, partition=partition)

    def _behind_since(self, source: TopicAndPartition, due_ms: int | None) -> float:
        """Return when the record that is committed next was due.

        A record that was not read yet is younger than the last one that was, so its lag is stated too high rather than
        too low. Without any record the time counts from when the lag was first seen.
        """
        if due_ms is not None and due_ms > 0:
            self._since_s[source] = due_ms / 1000
        return self._since_s.setdefault(source, self._now_s())

    def forget(self, source: TopicAndPartition) -> None:
        """Take the metrics of a partition away that is not ours any more."""
        self._asked.pop(source, None)
        self._arrived.pop(source, None)
        self._since_s.pop(source, None)
        topic, partition = source[0], str(source[1])
        if self._parked_s.pop(source, None) is not None:
            self._metrics.remove("gavel_parked_records", topic=topic, partition=partition)
            self._metrics.remove("gavel_parked_oldest_seconds", topic=topic, partition=partition)
        self._metrics.remove("gavel_consumer_lag", role=self._role, topic=topic, partition=partition)
        self._metrics.remove("gavel_lag_seconds", role=self._role, topic=topic, partition=partition)
