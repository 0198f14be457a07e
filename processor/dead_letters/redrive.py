"""Reading the dead letters, and sending them back to where they came from.

A topic cannot be changed in the middle, so a letter is closed by a *mark*: a record without a value in the
letter's own partition that names the letter's offset. A redrive writes the record and the mark in one
transaction: a letter is redriven once, whoever is killed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.dead_letters.letter import HEADER_PREFIX, read_attempts
from processor.events.message import Message, PolledMessage
from processor.events.output import Headers, Output
from processor.kafka import patiently
from processor.stream.deadline import Deadline
from processor.stream.transactions import CommitAborted, CommitFailed, OutputTooLarge, Transactions

_MARK_OFFSET, _MARK_KIND = "gavel.dlq.offset", "gavel.dlq.closed"
_ATTEMPTS = HEADER_PREFIX + "attempts"
Closed = Literal["redriven", "purged"]
_TOGETHER = 500
"""Letters of one transaction."""
_COMMIT_S = 60.0


class RedriveError(RuntimeError):
    """The dead letters cannot be read or sent; says why and what to do."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic.

    Attributes:
        partition, offset: of the letter itself; `partition:offset` is its id on the command line.
        reason, stage, message: the problem and its place.
        source_topic, source_partition, source_offset: of the record that failed; partition and offset are -1 for an
            event that came by HTTP.
        redrive_topic: where a redrive sends it; the source topic unless the letter says otherwise.
        failed_at: when it became a dead letter.
        first_failed_ms: epoch milliseconds of the record that failed first.
        attempts: how often it has failed.
        evaluation_id: whose run it was, if it was one evaluation's.
        value: None for a tombstone or one that was over the broker's limit (then `sha256` is set).
    """

    partition: int
    offset: int
    reason: str
    stage: str
    message: str
    source_topic: str
    source_partition: int
    source_offset: int
    redrive_topic: str
    failed_at: datetime
    first_failed_ms: int
    attempts: int
    evaluation_id: str | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    sha256: str | None = None

    @property
    def id(self) -> str:
        """`partition:offset`."""
        return f"{self.partition}:{self.offset}"

    @property
    def came_by_http(self) -> bool:
        """Whether it is an event as an application sent it to the front door, so that it never was a record."""
        return self.source_offset < 0

    def original_headers(self) -> Headers:
        """The headers as they came, without ours but for the count of attempts, which the cap needs."""
        kept = [(name, value) for name, value in self.headers if not name.startswith(HEADER_PREFIX)]
        return [*kept, (_ATTEMPTS, str(self.attempts).encode())]

    def as_json(self) -> dict[str, Any]:
        """Return the letter for `--json`, without its payload."""
        return {
            "id": self.id,
            "reason": self.reason,
            "stage": self.stage,
            "message": self.message,
            "source": {"topic": self.source_topic, "partition": self.source_partition, "offset": self.source_offset},
            "redrive_topic": self.redrive_topic,
            "failed_at": self.failed_at.isoformat(),
            "attempts": self.attempts,
            "evaluation_id": self.evaluation_id,
            "size_bytes": None if self.value is None else len(self.value),
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters. None takes all.

    Attributes:
        ids: `partition:offset`.
        since, until: aware; when it became a dead letter; `until` is exclusive.
    """

    ids: frozenset[str] | None = None
    reason: str | None = None
    evaluation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether `letter` is one of them."""
        return (
            (self.ids is None or letter.id in self.ids)
            and (self.reason is None or letter.reason == self.reason)
            and (self.evaluation_id is None or letter.evaluation_id == self.evaluation_id)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
        )


def parse_letter(message: Message) -> DeadLetter | None:
    """Return the letter that a record of the dead-letter topic is; None for one that is not ours.

    A header that is missing or garbled gives an empty value: a letter that cannot be shown would be lost.
    """
    headers: Headers = list(message.headers() or ())
    error = {name: value for name, value in headers if name.startswith(HEADER_PREFIX)}
    if not error:
        return None

    def text(name: str) -> str:
        value = error.get(HEADER_PREFIX + name) or b""
        return value if isinstance(value, str) else value.decode("utf-8", "replace")

    def number(name: str) -> int:
        return int(text(name)) if text(name).isdigit() else -1

    evaluation = dict(headers).get("gavel.task.evaluation_id") or dict(headers).get("evaluation_id")
    return DeadLetter(
        partition=message.partition(),
        offset=message.offset(),
        reason=text("class"),
        stage=text("stage"),
        message=text("message"),
        source_topic=text("topic"),
        source_partition=number("partition"),
        source_offset=number("offset"),
        redrive_topic=text("redrive_topic") or text("topic"),
        failed_at=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
        first_failed_ms=number("first_failure"),
        attempts=read_attempts(error),
        evaluation_id=evaluation.decode("utf-8", "replace") if isinstance(evaluation, bytes) else evaluation,
        key=message.key(),
        value=message.value(),
        headers=headers,
        sha256=text("sha256") or None,
    )


class DeadLetterTopic:
    """The dead-letter topic, read as it stands when it is opened.

    Args:
        configuration: of librdkafka clients.
        group: used for nothing but its name: no offset is ever committed.
    """

    def __init__(self, configuration: dict[str, Any], topic: str, *, timeout_s: float = 30.0) -> None:
        self._configuration = configuration
        self._topic = topic
        self._timeout_s = timeout_s

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._configuration,
                "group.id": "gavel-dlq-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )

    def open_letters(
        self, selection: LetterFilter, *, on_read: Callable[[int, int], None] | None = None
    ) -> list[DeadLetter]:
        """Return the letters that are not closed, oldest first per partition.

        One pass over the topic's records; only selected letters are kept in memory.

        Args:
            on_read: called with records read and the total, for a progress bar.
        """
        closed: dict[int, set[int]] = {}
        found: list[DeadLetter] = []
        for message in self._read(on_read):
            mark = _read_mark(message)
            if mark is not None:
                closed.setdefault(message.partition(), set()).add(mark)
                continue
            letter = parse_letter(message)
            if letter is not None and selection.takes(letter):
                found.append(letter)
        return [letter for letter in found if letter.offset not in closed.get(letter.partition, ())]

    def _read(self, on_read: Callable[[int, int], None] | None) -> Iterator[Message]:
        consumer = self._consumer()
        try:
            ends = self._ends(consumer)
            total = sum(high - low for low, high in ends.values())
            pending = {partition for partition, (low, high) in ends.items() if high > low}
            consumer.assign([TopicPartition(self._topic, p, ends[p][0]) for p in pending])
            read, deadline = 0, Deadline(self._timeout_s)
            while pending:
                messages = cast("list[PolledMessage]", consumer.consume(500, 0.5))
                if messages:
                    deadline = Deadline(self._timeout_s)
                elif deadline.over():
                    raise RedriveError(
                        f"{self._topic}: nothing came for {self._timeout_s:.0f} s; is the broker reachable?"
                    )
                for message in messages:
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            pending.discard(message.partition())
                        elif not error.retriable():
                            raise RedriveError(f"{self._topic}: {error.str()}")
                        continue
                    read += 1
                    yield message
                    if message.offset() + 1 >= ends[message.partition()][1]:
                        pending.discard(message.partition())
                if on_read is not None:
                    on_read(read, total)
        finally:
            consumer.close()

    def _ends(self, consumer: Consumer) -> dict[int, tuple[int, int]]:
        try:
            topic = consumer.list_topics(self._topic, timeout=self._timeout_s).topics[self._topic]
            if topic.error is not None:
                raise RedriveError(f"topic {self._topic}: {topic.error.str()}; run `gavel init`")
            return patiently(
                lambda: {
                    partition: consumer.get_watermark_offsets(TopicPartition(self._topic, partition), self._timeout_s)
                    for partition in topic.partitions
                },
                self._timeout_s,
            )
        except KafkaException as error:
            raise RedriveError(f"topic {self._topic}: {error.args[0].str()}; `gavel check` tests Kafka") from error

    def fetch_original(self, letter: DeadLetter) -> bytes | None:
        """Return the value of the record that `letter` left out, or None if its topic no longer holds it."""
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(letter.source_topic, letter.source_partition, letter.source_offset)])
            deadline = Deadline(self._timeout_s)
            while not deadline.over():
                message = consumer.poll(0.5)
                if message is None:
                    continue
                if message.error() is not None or message.offset() != letter.source_offset:
                    return None
                value: bytes | None = message.value()
                return value
            return None
        finally:
            consumer.close()


@dataclass(frozen=True, slots=True)
class Redriven:
    """The outcome of a redrive: the number of letters sent, and the refused letters with their reasons."""

    sent: int
    refused: list[tuple[DeadLetter, str]]


class Redriver:
    """Sends letters back and closes them.

    Args:
        configuration: of a transactional producer; a second redrive at the same time fences the first.
        max_attempts: letters that failed that often stay where they are.
    """

    def __init__(
        self, configuration: dict[str, Any], letters: DeadLetterTopic, topic: str, *, max_attempts: int
    ) -> None:
        self._letters = letters
        self._topic = topic
        self._max_attempts = max_attempts
        with _stopped():
            self._transactions = Transactions(configuration, start_timeout_s=_COMMIT_S)

    def redrive(self, letters: list[DeadLetter], *, on_sent: Callable[[int], None] | None = None) -> Redriven:
        """Send `letters` back, 500 to a transaction.

        Raises:
            RedriveError: the broker refused; transactions before that one stand.
        """
        sent, refused = 0, []
        for start in range(0, len(letters), _TOGETHER):
            with self._transaction() as deadline:
                for letter in letters[start : start + _TOGETHER]:
                    problem = self._send(letter, deadline)
                    if problem is None:
                        sent += 1
                    else:
                        refused.append((letter, problem))
            if on_sent is not None:
                on_sent(sent)
        return Redriven(sent, refused)

    def purge(self, letters: list[DeadLetter]) -> int:
        """Close `letters` without sending them anywhere. Returns how many."""
        for start in range(0, len(letters), _TOGETHER):
            with self._transaction() as deadline:
                for letter in letters[start : start + _TOGETHER]:
                    self._mark(letter, "purged", deadline)
        return len(letters)

    @contextmanager
    def _transaction(self) -> Iterator[Deadline]:
        """Make what the block produces durable together, within 60 s; nothing of it if the block raises."""
        with _stopped():
            deadline = self._transactions.deadline(Deadline(_COMMIT_S))
            self._transactions.begin(deadline)
            yield deadline
            self._transactions.commit((), None, deadline).wait(deadline)

    def _send(self, letter: DeadLetter, deadline: Deadline) -> str | None:
        if letter.came_by_http:
            return "the front door refused it, so it is not a row; mend the event and send it again with `gavel send`"
        if letter.attempts >= self._max_attempts:
            return f"failed {letter.attempts} times already (dead_letters.max_redrives)"
        value = letter.value
        if value is None and letter.sha256 is not None:
            value = self._letters.fetch_original(letter)
            if value is None:
                return f"{letter.source_topic} no longer holds its value"
        try:
            self._transactions.produce(
                Output("redriven", letter.redrive_topic, letter.key, value, letter.original_headers()), deadline
            )
        except OutputTooLarge:
            return "its value is over kafka.max_message_bytes"
        self._mark(letter, "redriven", deadline)
        return None

    def _mark(self, letter: DeadLetter, closed: Closed, deadline: Deadline) -> None:
        headers: Headers = [(_MARK_OFFSET, str(letter.offset).encode()), (_MARK_KIND, closed.encode())]
        self._transactions.produce(
            Output("dead_letter", self._topic, letter.key, None, headers, letter.partition), deadline
        )


@contextmanager
def _stopped() -> Iterator[None]:
    try:
        yield
    except (CommitAborted, CommitFailed) as error:
        raise RedriveError(
            f"the redrive stopped: {error}; letters that were sent are marked, so run it again"
        ) from error


def _read_mark(message: Message) -> int | None:
    """Return the offset of the letter that a mark closes; None if `message` is not a mark."""
    if message.value() is not None:
        return None
    for name, value in message.headers() or ():
        if name == _MARK_OFFSET and value is not None and value.isdigit():
            return int(value)
    return None
