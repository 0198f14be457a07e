"""From polled records to spans of the ledger and work of the worker: the way into a stage."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import structlog
from confluent_kafka import KafkaError

from processor.events.message import Message, PolledMessage
from processor.events.output import TopicAndPartition
from processor.metrics import Metrics
from processor.stream.lag import ConsumerLag
from processor.stream.ledger import Ledger, Span
from processor.stream.limits import GroupProtocolUnsupported, StageError
from processor.stream.lost import LostRanges
from processor.stream.rereads import Rereads, ascending
from processor.stream.worker import Control, Worker


class Intake:
    """Accepts the records of a stage. Belongs to the stage's thread.

    Args:
        disown: called with a source whose offsets begin anew, so that the commit in progress leaves it out.
        control: the part of the stage that a worker may call.

    Attributes:
        first_read: the offset from which each partition is read again after an abort; the commits move it on.
    """

    def __init__(
        self,
        role: str,
        ledger: Ledger,
        lag: ConsumerLag,
        lost: LostRanges,
        metrics: Metrics,
        worker: Worker,
        *,
        disown: Callable[[TopicAndPartition], None],
        control: Control,
    ) -> None:
        self.first_read: dict[TopicAndPartition, int] = {}
        self._role = role
        self._ledger = ledger
        self._lag = lag
        self._lost = lost
        self._metrics = metrics
        self._worker = worker
        self._disown = disown
        self._control = control
        self._rereads = Rereads()
        self._log = structlog.get_logger("gavel.stage").bind(role=role)

    def assigned(self, source: TopicAndPartition) -> None:
        """Begin to read a partition that the group gave."""
        self.forget(source)
        self._lost.watch(source)

    def forget(self, source: TopicAndPartition) -> None:
        """Forget a partition that is not read any more."""
        self.first_read.pop(source, None)
        self._rereads.forget(source)

    def take_up(self, messages: list[PolledMessage]) -> bool:
        """Hand the records among `messages` to the worker; return whether there were any.

        Raises:
            StageError: the consumer cannot go on.
        """
        groups: dict[TopicAndPartition, list[Message]] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._lag.arrived((message.topic(), message.partition()), message.offset())
                else:
                    self._on_message_error(error)
                continue
            source = (message.topic(), message.partition())
            group = groups.get(source)
            if group is None:
                groups[source] = group = []
            group.append(message)
        now = monotonic()
        spans = []
        for source, group in groups.items():
            if source not in self._ledger.sources:
                continue  # revoked while the batch was on its way: its new owner reads it
            for stretch in ascending(group):
                spans += self._open(source, self._news(source, stretch), now)
        if spans:
            for source, due_ms in self._ledger.due_ms().items():
                if due_ms and source in groups:
                    self._lag.taken_up(source, due_ms)
            self._worker.submit(spans)
        return bool(groups)

    def _open(self, source: TopicAndPartition, messages: list[Message], now_s: float) -> list[Span]:
        """Open the spans of `messages`, as far as the worker admits them."""
        if not messages:
            return []
        admitted = self._worker.admit(source, messages, self._control)
        if not admitted:
            return []
        size = sum(map(len, admitted))
        self._metrics.count("gavel_records_consumed", len(admitted), role=self._role, topic=source[0])
        self._metrics.count("gavel_bytes_consumed", size, role=self._role, topic=source[0])
        ledger, due_ms = self._ledger, self._worker.due_ms
        if self._worker.per_record:
            return [
                ledger.open(source, [m], size_bytes=len(m), now_s=now_s, due_ms=due_ms(source, m)) for m in admitted
            ]
        return [ledger.open(source, admitted, size_bytes=size, now_s=now_s, due_ms=due_ms(source, admitted[0]))]

    def _news(self, source: TopicAndPartition, messages: list[Message]) -> list[Message]:
        """Return those of `messages` that were not read before; a broker may give offsets a second time."""
        first, floor = messages[0].offset(), self._ledger.floor(source)
        kind = self._rereads.kind(source, messages, floor)
        if kind == "again":
            return [message for message in messages if message.offset() >= floor]
        if kind == "made_again":
            # Work in flight of the old topic has no offsets any more.
            self._log.warning("offsets_went_back", topic=source[0], partition=source[1], offset=first)
            self._worker.drop([source])
            self._ledger.assign([source])
            self.first_read[source] = first
            self._lag.rewound(source)
            self._disown(source)
        elif source not in self.first_read:
            self._lost.first_read(source, first)
        elif kind == "news":
            self._lost.read_on(source, floor or self.first_read[source], first)
        self.first_read.setdefault(source, first)
        return messages

    def _on_message_error(self, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._MAX_POLL_EXCEEDED:
            raise StageError(
                f"left the group: {error.str()}; the work of one batch took longer than max.poll.interval.ms"
            )
        if "ConsumerGroupHeartbeat" in error.str() and "not support" in error.str():
            raise GroupProtocolUnsupported(f"{error.str()}; set kafka.group_protocol to classic")
        # As a message the error that ends a consumer for good comes by this code, and is not marked as fatal.
        if error.fatal() or code == KafkaError._FATAL:
            raise StageError(f"consumer: {error.str()} (fatal)")
        self._log.warning("consumer_error", code=error.name(), error=error.str())
