"""Reading the dead-letter topic, in memory that depends on the number of letters and not on their size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from heapq import nlargest
from sys import intern
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.dead_letters.stored import DeadLetter, LetterFilter, LetterRef, parse_letter, read_mark
from processor.events.message import Message, PolledMessage, record_time_ms
from processor.kafka import FETCHING, patiently
from processor.stream.deadline import Deadline

_POLLED = 50
"""Records of one poll. Each may have the size of the largest message."""


class RedriveError(RuntimeError):
    """The dead letters cannot be read or sent; says why and what to do."""


@dataclass(frozen=True, slots=True)
class OpenLetters:
    """Letters that were open when they were looked for.

    Attributes:
        refs: oldest first per partition.
        selection: takes these letters, and none that came later.
    """

    refs: list[LetterRef]
    selection: LetterFilter

    def newest(self, limit: int) -> list[LetterRef]:
        """Return the `limit` letters that failed last, newest first."""
        return nlargest(limit, self.refs, key=lambda ref: ref.failed_ms)


class DeadLetterTopic:
    """The dead-letter topic. Each method reads it as it is at the time of the call, and blocks.

    Args:
        configuration: of librdkafka clients.
        timeout_s: how long the broker may send nothing.

    Raises:
        RedriveError: from each method, if the topic cannot be read.
    """

    def __init__(self, configuration: dict[str, Any], topic: str, *, timeout_s: float = 30.0) -> None:
        self._configuration = configuration
        self.name = topic
        self._timeout_s = timeout_s

    def _consumer(self, isolation: str = "read_committed") -> Consumer:
        return Consumer(
            {
                **FETCHING,
                **self._configuration,
                "group.id": "gavel-dlq-reader",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )

    def find(
        self,
        selection: LetterFilter,
        *,
        settled: bool = False,
        on_read: Callable[[int, int], None] | None = None,
    ) -> OpenLetters:
        """Return the letters that are not closed, without their contents.

        One pass over the topic's records, or over those from the first letter on that `selection` names.

        Args:
            settled: wait for the transactions that are open now. Otherwise the marks behind the first record of such a
                transaction are not seen.
            on_read: called with records read and the total, for a progress bar.
        """
        closed: dict[int, set[int]] = {}
        found: list[LetterRef] = []
        with closing(self._consumer()) as consumer:
            bounds = self._bounds(consumer, settled=settled)
            for message in self._records(consumer, _named(selection, bounds), on_read):
                mark = read_mark(message)
                if mark is not None:
                    closed.setdefault(message.partition(), set()).add(mark)
                    continue
                letter = parse_letter(message, with_value=False)
                if letter is not None and selection.takes(letter):
                    failed_ms, size_bytes = record_time_ms(message), letter.size_bytes or 0
                    reason = intern(letter.reason)
                    found.append(LetterRef(letter.partition, letter.offset, failed_ms, size_bytes, reason))
        ends = {p: end for p, (_, end) in bounds.items()} if selection.ends is None else selection.ends
        still_open = [ref for ref in found if ref.offset not in closed.get(ref.partition, ())]
        return OpenLetters(still_open, replace(selection, ends=ends))

    def read(self, refs: Sequence[LetterRef], *, with_values: bool) -> list[DeadLetter]:
        """Return the letters of `refs` in their order, without those that the topic no longer holds.

        With values it takes as much memory as these need.
        """
        if not refs:
            return []
        spans: dict[int, tuple[int, int]] = {}
        for ref in refs:
            first, end = spans.get(ref.partition, (ref.offset, 0))
            spans[ref.partition] = min(first, ref.offset), max(end, ref.offset + 1)
        wanted = {(ref.partition, ref.offset) for ref in refs}
        found: dict[tuple[int, int], DeadLetter] = {}
        with closing(self._consumer()) as consumer:
            for message in self._records(consumer, spans):
                place = message.partition(), message.offset()
                letter = parse_letter(message, with_value=with_values) if place in wanted else None
                if letter is not None:
                    found[place] = letter
        return [found[place] for ref in refs if (place := (ref.partition, ref.offset)) in found]

    def _records(
        self,
        consumer: Consumer,
        spans: Mapping[int, tuple[int, int]],
        on_read: Callable[[int, int], None] | None = None,
    ) -> Iterator[Message]:
        """Give the records of `spans`, which are the first offset and the one behind the last by partition."""
        total = sum(end - first for first, end in spans.values())
        pending = {partition for partition, (first, end) in spans.items() if end > first}
        consumer.assign([TopicPartition(self.name, p, spans[p][0]) for p in pending])
        read, deadline = 0, Deadline(self._timeout_s)
        while pending:
            messages = self._poll(consumer)
            if messages:
                deadline = Deadline(self._timeout_s)
            elif deadline.over():
                raise RedriveError(
                    f"{self.name}: nothing came for {self._timeout_s:.0f} s. `gavel check` tests Kafka; if it is well, "
                    "a killed process left a transaction open, so try again in a minute"
                )
            for message in messages:
                error, partition = message.error(), message.partition()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        if message.offset() >= spans[partition][1]:
                            pending.discard(partition)  # otherwise this is the first record of an open transaction
                    elif not error.retriable():
                        raise RedriveError(f"{self.name}: {error.str()}")
                    continue
                if message.offset() < spans[partition][1]:
                    read += 1
                    yield message
                if message.offset() + 1 >= spans[partition][1]:
                    pending.discard(partition)
            if on_read is not None:
                on_read(read, total)

    def _poll(self, consumer: Consumer) -> list[PolledMessage]:
        try:
            return cast("list[PolledMessage]", consumer.consume(_POLLED, 0.5))
        except KafkaException as error:
            raise self._unreadable(error) from error

    def _bounds(self, consumer: Consumer, *, settled: bool) -> dict[int, tuple[int, int]]:
        """Return the first offset of each partition, and its end or the place of its first open transaction."""
        if settled:
            with closing(self._consumer("read_uncommitted")) as other:
                return self._bounds(other, settled=False)
        try:
            topic = consumer.list_topics(self.name, timeout=self._timeout_s).topics[self.name]
            if topic.error is not None:
                raise RedriveError(f"topic {self.name}: {topic.error.str()}; run `gavel init`")
            return patiently(
                lambda: {
                    partition: consumer.get_watermark_offsets(TopicPartition(self.name, partition), self._timeout_s)
                    for partition in topic.partitions
                },
                self._timeout_s,
            )
        except KafkaException as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: KafkaException) -> RedriveError:
        return RedriveError(f"topic {self.name}: {error.args[0].str()}; `gavel check` tests Kafka")

    def fetch_original(self, letter: DeadLetter) -> bytes | None:
        """Return the value of the record that `letter` left out, or None if its topic no longer gives it."""
        if letter.source_partition < 0 or letter.source_offset < 0:
            return None
        with closing(self._consumer()) as consumer:
            consumer.assign([TopicPartition(letter.source_topic, letter.source_partition, letter.source_offset)])
            deadline = Deadline(self._timeout_s)
            while not deadline.over():
                message = consumer.poll(0.5)
                error = None if message is None else message.error()
                if message is None or (error is not None and error.retriable()):
                    continue
                if error is not None or message.offset() != letter.source_offset:
                    return None
                value: bytes | None = message.value()
                return value
            return None


def _named(selection: LetterFilter, bounds: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Return the spans of `bounds` that can hold the letters of `selection` and their marks, which come later."""
    first = selection.first_offsets()
    if first is None:
        return dict(bounds)
    return {p: (max(low, first[p]), end) for p, (low, end) in bounds.items() if p in first}
