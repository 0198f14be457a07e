"""Sends labels to the results topic, from which the sink takes them into ClickHouse.

A label is stored together with its place in the outbox, and leaves it once the brokers have confirmed its event. If a
process dies in between, the label is sent again, and its event has the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from datetime import UTC, datetime

import structlog
from confluent_kafka import KafkaException

from config.settings import Settings
from processor.events.confirmed import ConfirmedProducer
from processor.events.label import label_output
from processor.kafka import KafkaClients
from processor.metrics import Metrics
from storage.background import Background
from storage.sql.engine import Database, StoreError
from storage.sql.label_queues import LabelQueues
from storage.sql.labels import Label, LabelOutbox

_LOOK_INTERVAL_S = 1.0
_COUNT_EVERY = 30
_STOP_WITHIN_S = 10.0


class LabelSender(Background):
    """Looks for labels that Kafka does not have (a `Service` of the runtime).

    Labels in flight at the end are sent again by the next process.
    """

    name = "labels"
    outages = (StoreError, KafkaException)

    def __init__(self, settings: Settings, database: Database, clients: KafkaClients, metrics: Metrics) -> None:
        super().__init__("labels", every_s=_LOOK_INTERVAL_S, stop_within_s=_STOP_WITHIN_S)
        self._topic = settings.kafka.topics.results
        self._flush_s = settings.kafka.message_timeout_s + 1
        self._outbox = LabelOutbox(database)
        self._queues = LabelQueues(database)
        self._metrics = metrics
        self._producer = ConfirmedProducer(clients.producer_config)
        self._turns = 0
        self._log = structlog.get_logger("gavel.labels")

    def _turn(self) -> None:
        while self.send_some() and not self.stopping:
            pass
        if self._turns % _COUNT_EVERY == 0:
            for state, count in self._queues.item_states().items():
                self._metrics.set("gavel_label_queue_items", count, state=state)
        self._turns += 1

    def _on_outage(self, error: Exception) -> None:
        self._log.warning("labels_wait", error=type(error).__name__, detail=str(error)[:300])

    def send_some(self) -> int:
        """Send the labels that wait, up to a few hundred, and return how many were tried.

        A label that the brokers refuse by its own fault stays in the outbox, and is tried again when its claim is over.

        Raises:
            KafkaException: the brokers have not confirmed all of them. All are sent again later.
            StoreError: the store does not answer; the same.
        """
        waiting = self._outbox.claim(now=datetime.now(UTC))
        if waiting:
            refused = self._send(waiting)
            sent = [label for label in waiting if label.id not in refused]
            self._outbox.sent(sent)
            for source, count in Counter(label.source for label in sent).items():
                self._metrics.count("gavel_labels", count, source=source)
        return len(waiting)

    def _send(self, waiting: Sequence[Label]) -> Collection[Hashable]:
        """Send labels, and return the ids of those that are refused by their own fault."""
        with self._producer.sending(self._flush_s) as sent:
            for label in waiting:
                output = label_output(label, self._topic)
                sent.produce(output.topic, name=label.id, key=output.key, value=output.value, headers=output.headers)
        for label_id, reason in sent.refused.items():
            remedy = f"raise max.message.bytes of the topic {self._topic}"
            self._log.error("label_refused", label_id=label_id, reason=reason, remedy=remedy)
        return sent.refused
