"""Where a replay reads from: a topic, or the archive in ClickHouse when the topic no longer holds the range.

Both give batches of messages and know their place. The place is committed with the outputs of each batch, in
the offsets of a consumer group of the replay's own that nothing ever joins, so a replay that was killed goes
on exactly behind the last batch that is visible. A note goes with the place: what the replay had counted there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.events.message import Message, PolledMessage
from processor.kafka import patiently
from storage.clickhouse import ARCHIVE_TABLE
from storage.clickhouse.archive import ArchivePosition, count_archive, read_archive
from storage.clickhouse.results import evaluations_with_results, existing_ids

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_T = TypeVar("_T")
_SILENCE_S = 30.0
_ANSWER_S = 30.0
"""How long to wait for an answer of the broker, and for the leader of a partition to be known."""
_ASK_AGAIN_S = 1.0
"""As long as the sink may hold a result back (`sink.batch_interval_s`)."""


class ReplayError(RuntimeError):
    """A replay that cannot be made; says why and what to do."""


class ReplaySource(Protocol):
    """A stretch of the past, fixed when it is opened."""

    total: int
    """Records in the stretch, as far as it can be known: gaps in offsets count."""

    done: int
    """The records of `total` that were read."""

    note: str
    """The note that was committed with the position from which this continues; empty at the beginning."""

    @property
    def cursor(self) -> str:
        """The place behind all that was read as text, for a caller that keeps it; empty if only Kafka does."""

    def read(self, records: int) -> list[Message]:
        """Return up to `records` messages; an empty list is the end.

        Raises:
            ReplayError: the source cannot be read.
        """

    def place(self, note: str) -> list[TopicPartition]:
        """Return the place behind all that was read, as offsets to commit, with a note of at most 2 KB."""

    def close(self) -> None:
        """Release the connection."""


class TopicSource:
    """A range of offsets per partition. Assigns, never joins a group.

    Args:
        consumer: with the replay's own group; committed offsets of an earlier part of the same replay count.
        ranges: partition to (first, behind the last) offset; see `ranges_by_time`.
        client: of ClickHouse, closed with the source.
    """

    def __init__(
        self, consumer: Consumer, topic: str, ranges: dict[int, tuple[int, int]], client: Client | None = None
    ) -> None:
        self._consumer = consumer
        self._client = client
        self._topic = topic
        self._ends = {partition: end for partition, (_, end) in ranges.items()}
        self._next = {partition: start for partition, (start, _) in ranges.items()}
        self.total = sum(end - start for start, end in ranges.values())
        self.note = ""
        for partition in _committed(consumer, [TopicPartition(topic, p) for p in ranges]):
            if partition.offset >= 0:
                self.note = partition.metadata or ""
                self._next[partition.partition] = min(partition.offset, self._ends[partition.partition])
        self.done = self.total - sum(self._ends[p] - self._next[p] for p in ranges)
        self._pending = {p for p in ranges if self._next[p] < self._ends[p]}
        consumer.assign([TopicPartition(topic, p, self._next[p]) for p in sorted(self._pending)])

    @property
    def cursor(self) -> str:
        """See `ReplaySource.cursor`."""
        return ""

    def read(self, records: int) -> list[Message]:
        """See `ReplaySource.read`."""
        began_s = monotonic()
        while self._pending:
            # No more than there can be: for what never comes, `consume` waits until its time is over.
            with _asked(self._topic):
                polled = self._consumer.consume(min(records, self.total - self.done), 0.5)
            taken = self._within(cast("list[PolledMessage]", polled))
            if taken:
                return taken
            if monotonic() - began_s > _SILENCE_S:
                raise ReplayError(f"{self._topic}: no record for {_SILENCE_S:.0f} s; is Kafka reachable?")
        return []

    def _within(self, messages: list[PolledMessage]) -> list[Message]:
        taken: list[Message] = []
        ends, behind = self._ends, self._next
        for message in messages:
            error = message.error()
            partition = message.partition()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._finish(partition)  # a gap at the end: compaction, or transaction markers
                elif not error.retriable():
                    raise ReplayError(f"{self._topic}[{partition}]: {error.str()}")
                continue
            after = message.offset() + 1
            if behind[partition] < after <= ends[partition]:
                taken.append(message)
                behind[partition] = after
            if after >= ends[partition]:
                self._finish(partition)
        self.done = self.total - sum(ends[p] - behind[p] for p in ends)
        return taken

    def _finish(self, partition: int) -> None:
        if partition in self._pending:
            self._pending.discard(partition)
            self._next[partition] = self._ends[partition]
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def place(self, note: str) -> list[TopicPartition]:
        """See `ReplaySource.place`."""
        return [TopicPartition(self._topic, partition, offset, note) for partition, offset in self._next.items()]

    def close(self) -> None:
        """See `ReplaySource.close`."""
        self._consumer.close()
        if self._client is not None:
            self._client.close()


@dataclass(frozen=True, slots=True)
class ArchivedMessage:
    """An archived event in the shape of a Kafka message. The archive keeps neither headers nor places."""

    body: bytes

    def topic(self) -> str:
        """Return the archive's table: a dead letter says by it where the event came from."""
        return ARCHIVE_TABLE

    def partition(self) -> int:
        """Return -1."""
        return -1

    def offset(self) -> int:
        """Return -1."""
        return -1

    def key(self) -> None:
        """Return None."""
        return

    def value(self) -> bytes:
        """Return the row as JSON."""
        return self.body

    def headers(self) -> None:
        """Return None."""
        return

    def timestamp(self) -> tuple[int, int]:
        """Return (0, -1): there is none."""
        return 0, -1

    def __len__(self) -> int:
        return len(self.body)


class ArchiveSource:
    """Archived events of a time window, by team, time and id.

    Args:
        place_topic: any topic that exists; its partition 0 carries the place in the group's offsets.
        consumer: with the replay's own group; only its committed place is used.
        resume: a place that the caller kept (`cursor`); counts where the group has committed none.
    """

    def __init__(
        self,
        client: Client,
        consumer: Consumer,
        place_topic: str,
        *,
        after: datetime | None,
        before: datetime | None,
        team_id: int | None = None,
        resume: str = "",
    ) -> None:
        self._client = client
        self._consumer = consumer
        self._place_topic = place_topic
        self.note = ""
        position = json.loads(resume) if resume else None
        (committed,) = _committed(consumer, [TopicPartition(place_topic, 0)])
        if committed.offset >= 0 and committed.metadata:
            kept = json.loads(committed.metadata)
            position, self.note = kept["position"], kept["note"]
        self._position = ArchivePosition(**position) if position else None
        with _readable():
            self.total = count_archive(client, after=after, before=before, team_id=team_id)
        self.done = 0
        self._events = read_archive(client, after=after, before=before, team_id=team_id, resume=self._position)

    def read(self, records: int) -> list[Message]:
        """See `ReplaySource.read`."""
        found: list[Message] = []
        with _readable():
            for event in _take(self._events, records):
                found.append(ArchivedMessage(event.value))
                self._position = event.position
        self.done += len(found)
        return found

    @property
    def cursor(self) -> str:
        """See `ReplaySource.cursor`."""
        return "" if self._position is None else json.dumps(asdict(self._position))

    def place(self, note: str) -> list[TopicPartition]:
        """See `ReplaySource.place`."""
        position = None if self._position is None else asdict(self._position)
        return [TopicPartition(self._place_topic, 0, self.done, json.dumps({"position": position, "note": note}))]

    def close(self) -> None:
        """See `ReplaySource.close`; the client is closed too."""
        self._consumer.close()
        self._client.close()


@contextmanager
def _readable() -> Iterator[None]:
    """Say of a query that failed that the replay can go on later."""
    try:
        yield
    except ClickHouseError as error:
        # The driver's text may hold a part of the query; the class says enough to look further.
        raise ReplayError(
            f"ClickHouse refused a query ({type(error).__name__}); resume the replay when it answers"
        ) from error


def existing_in(client: Client) -> Callable[[Mapping[str, Collection[str]]], set[str]]:
    """Return a function that says which of some result ids, by evaluation, ClickHouse has.

    Most replays are of evaluations that are new. For one that has no result yet only that is asked again, after
    `_ASK_AGAIN_S`, which costs a fifth of looking for a batch's ids.

    It raises `ReplayError` if ClickHouse does not answer.
    """
    answered: set[str] = set()
    asked_s: dict[str, float] = {}

    def existing(ids: Mapping[str, Collection[str]]) -> set[str]:
        now = monotonic()
        with _readable():
            new = [name for name in ids.keys() - answered if now - asked_s.get(name, -inf) >= _ASK_AGAIN_S]
            if new:
                answered.update(evaluations_with_results(client, new))
                asked_s.update(dict.fromkeys(new, now))
            return existing_ids(client, [each for name in ids.keys() & answered for each in ids[name]])

    return existing


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    try:
        return _whole(consumer.committed(partitions, timeout=_ANSWER_S))
    except KafkaException as error:
        raise ReplayError(
            f"the replay's offsets cannot be read: {error.args[0].str()}; `gavel check` tests Kafka"
        ) from error


def _take(events: Iterator[_T], count: int) -> Iterator[_T]:
    for _ in range(count):
        event = next(events, None)
        if event is None:
            return
        yield event


def ranges_by_time(
    consumer: Consumer, topic: str, after: datetime | None, before: datetime | None
) -> dict[int, tuple[int, int]]:
    """Return the offsets of records from `after` on and before `before`; None is the beginning, and now.

    Raises:
        ReplayError: the topic does not exist or cannot be read.
    """
    with _asked(topic):
        metadata = consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
        if metadata.error is not None:
            raise ReplayError(f"topic {topic}: {metadata.error.str()}; see --topic")
        partitions = list(metadata.partitions)
        bounds = bounds_of(consumer, topic, partitions)
        starts = patiently(lambda: _offsets_at(consumer, topic, partitions, after), _ANSWER_S)
        ends = patiently(lambda: _offsets_at(consumer, topic, partitions, before), _ANSWER_S)
    ranges = {}
    for p in partitions:
        low, high = bounds[p]
        start = low if after is None else starts.get(p, high)
        end = high if before is None else ends.get(p, high)
        if start < end:
            ranges[p] = (start, end)
    return ranges


def bounds_of(consumer: Consumer, topic: str, partitions: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return the first offset of each partition and the one behind its last. Blocks.

    Raises:
        ReplayError: Kafka does not answer.
    """
    with _asked(topic):
        return patiently(
            lambda: {
                p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_ANSWER_S) for p in partitions
            },
            _ANSWER_S,
        )


@contextmanager
def _asked(topic: str) -> Iterator[None]:
    """Say of a question that Kafka did not answer that the replay can go on later."""
    try:
        yield
    except KafkaException as error:
        raise ReplayError(f"topic {topic}: {error.args[0].str()}; `gavel check` tests Kafka") from error


def _offsets_at(consumer: Consumer, topic: str, partitions: list[int], moment: datetime | None) -> dict[int, int]:
    if moment is None:
        return {}
    at_ms = int(moment.timestamp() * 1000)
    asked = [TopicPartition(topic, p, at_ms) for p in partitions]
    found = _whole(consumer.offsets_for_times(asked, timeout=_ANSWER_S))
    return {each.partition: each.offset for each in found if each.offset >= 0}


def _whole(answers: list[TopicPartition]) -> list[TopicPartition]:
    """Return `answers`; raise the failure of one partition, because without its answer it seems to have no offset."""
    for each in answers:
        if each.error is not None:
            raise KafkaException(each.error)
    return answers
