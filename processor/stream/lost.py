"""Ranges of records that the broker removed before they were read, by retention or by a new beginning of the log.

The client goes on at the first record that is left and reports nothing but a line of its own log. A gap alone does not
show a loss, because transactions and compaction leave gaps too; the beginning of the partition does.
"""

from __future__ import annotations

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from processor.events.output import TopicAndPartition
from processor.metrics import Metrics

_USUAL_GAP = 16
"""Offsets without a record up to which a gap is taken for the markers of transactions, and the broker is not asked."""
_ASK_TIMEOUT_S = 1.0


class LostRanges:
    """Counts and logs the records of a role that were removed before it read them.

    Args:
        role: the metric's label.
    """

    def __init__(self, role: str, consumer: Consumer, metrics: Metrics) -> None:
        self._role = role
        self._consumer = consumer
        self._metrics = metrics
        self._log = structlog.get_logger("gavel.stage").bind(role=role)

    def watch(self, source: TopicAndPartition) -> None:
        """Export the metric from the beginning: an alert on its increase needs the value before."""
        self._metrics.born("gavel_lost_records", role=self._role, topic=source[0])
        self._metrics.born("gavel_lost_ranges", role=self._role, topic=source[0])

    def first_read(self, source: TopicAndPartition, first: int) -> None:
        """Look at the first record that is read of a partition since it was assigned, against what the group committed.

        Blocks for two short requests; a broker that does not answer is not asked again.
        """
        try:
            committed = self._consumer.committed([TopicPartition(*source)], timeout=_ASK_TIMEOUT_S)[0].offset
        except KafkaException:
            return
        if 0 <= committed < first:
            self._compare(source, committed, first)

    def read_on(self, source: TopicAndPartition, expected: int, first: int) -> None:
        """Look at a record that follows `expected - 1`. Blocks for a short request if there is a large gap."""
        if first - expected > _USUAL_GAP:
            self._compare(source, expected, first)

    def _compare(self, source: TopicAndPartition, expected: int, first: int) -> None:
        try:
            watermarks = self._consumer.get_watermark_offsets(TopicPartition(*source), timeout=_ASK_TIMEOUT_S)
        except KafkaException:
            return
        end = min(first, watermarks[0]) if watermarks is not None else expected
        if end <= expected:
            return
        topic, partition = source
        self._metrics.count("gavel_lost_records", end - expected, role=self._role, topic=topic)
        self._metrics.count("gavel_lost_ranges", role=self._role, topic=topic)
        self._log.error(
            "range_lost",
            topic=topic,
            partition=partition,
            first_offset=expected,
            last_offset=end - 1,
            remedy="replay the time of the range from the archive: gavel replay --source clickhouse --from … --to …; "
            "then raise the topic's retention or start more processes",
        )
