"""A dead letter as its topic keeps it, the choice of letters, and the mark that closes one.

A topic cannot be changed in the middle, so a letter is closed by a *mark*: a record without a value in the
letter's own partition that names the letter's offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from processor.dead_letters.letter import ATTEMPTS, HEADER_PREFIX, REDRIVE_TOPIC, read_attempts
from processor.events.message import Message, headers_of, record_time_ms
from processor.events.output import Headers, Output

_MARK_OFFSET, _MARK_KIND = "gavel.dlq.offset", "gavel.dlq.closed"
_MAX_DIGITS = 19
"""Digits of the largest offset. Python refuses to read numbers of thousands of digits."""
_LAST_PARTITION, _LAST_OFFSET = 2**31 - 1, 2**63 - 1
"""Kafka's types are integers of 32 and 64 bits, and its client raises OverflowError for larger numbers."""
Closed = Literal["redriven", "purged"]


class LetterRef(NamedTuple):
    """The place of a letter and the figures that are kept of each, however many there are.

    Attributes:
        failed_ms: epoch milliseconds at which it became a dead letter, from 1970 to 2199.
        size_bytes: of its value, also of one that was left out.
    """

    partition: int
    offset: int
    failed_ms: int
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic.

    Attributes:
        partition, offset: of the letter itself; `partition:offset` is its id on the command line.
        reason, stage, message: the problem and its place.
        source_topic, source_partition, source_offset: of the record that failed; partition and offset are -1 for an
            event that came by HTTP, and for one that a replay read from the archive.
        redrive_topic: where a redrive sends it; the source topic unless the letter says otherwise.
        failed_at: when it became a dead letter, from 1970 to 2199.
        attempts: how often it has failed.
        evaluation_id: whose run it was, if it was one evaluation's.
        size_bytes: of the value, also of one that is not here; None for a tombstone.
        value: None for a tombstone, for one that was over the broker's limit (then `sha256` is set), and for one that
            was not asked for.
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
    attempts: int
    evaluation_id: str | None
    size_bytes: int | None
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
        return self.stage == "ingest"

    @property
    def has_topic(self) -> bool:
        """Whether there is a topic to send it to: an event from the archive has none, but a run of one has."""
        return self.source_offset >= 0 or self.redrive_topic != self.source_topic

    def original_headers(self) -> Headers:
        """The headers as they came, without ours but for the count of attempts, which the cap needs."""
        kept = [(name, value) for name, value in self.headers if not name.startswith(HEADER_PREFIX)]
        return [*kept, (ATTEMPTS, str(self.attempts).encode())]

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
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters. None takes all.

    Attributes:
        ids: `partition:offset`.
        since, until: aware; when it became a dead letter; `until` is exclusive.
        ends: the offset before which a letter has to be, by partition. Letters of other partitions are not taken.
    """

    ids: frozenset[str] | None = None
    reason: str | None = None
    stage: str | None = None
    evaluation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ends: Mapping[int, int] | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether `letter` is one of them."""
        return (
            (self.ids is None or letter.id in self.ids)
            and (self.reason is None or letter.reason == self.reason)
            and (self.stage is None or letter.stage == self.stage)
            and (self.evaluation_id is None or letter.evaluation_id == self.evaluation_id)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (self.ends is None or letter.offset < self.ends.get(letter.partition, 0))
        )

    def first_offsets(self) -> dict[int, int] | None:
        """Return the first offset that is asked for, by partition; None if the ids do not say."""
        if self.ids is None:
            return None
        first: dict[int, int] = {}
        for name in self.ids:
            partition, _, offset = name.partition(":")
            number, place = _number(partition, _LAST_PARTITION), _number(offset)
            if number >= 0 and place >= 0:
                first[number] = min(place, first.get(number, place))
        return first


def parse_letter(message: Message, *, with_value: bool = True) -> DeadLetter | None:
    """Return the letter that a record of the dead-letter topic is; None for one that is not ours.

    A header that is missing or garbled gives an empty value: a letter that cannot be shown would be lost.
    """
    headers: Headers = list(headers_of(message) or ())
    error = {name: value for name, value in headers if name.startswith(HEADER_PREFIX)}
    if not error:
        return None

    def text(name: str) -> str:
        value = error.get(HEADER_PREFIX + name) or b""
        return value if isinstance(value, str) else value.decode("utf-8", "replace")

    is_run = REDRIVE_TOPIC in error
    evaluation = dict(headers).get("gavel.task.evaluation_id" if is_run else "evaluation_id")
    value = message.value()
    left_out = _number(text("size_bytes"))
    return DeadLetter(
        partition=message.partition(),
        offset=message.offset(),
        reason=text("class"),
        stage=text("stage"),
        message=text("message"),
        source_topic=text("topic"),
        source_partition=_number(text("partition"), _LAST_PARTITION),
        source_offset=_number(text("offset")),
        redrive_topic=text("redrive_topic") or text("topic"),
        failed_at=datetime.fromtimestamp(record_time_ms(message) / 1000, UTC),
        attempts=read_attempts(error),
        evaluation_id=evaluation.decode("utf-8", "replace") if isinstance(evaluation, bytes) else evaluation,
        size_bytes=len(value) if value is not None else left_out if left_out >= 0 else None,
        key=message.key(),
        value=value if with_value else None,
        headers=headers,
        sha256=text("sha256") or None,
    )


def _number(text: str, largest: int = _LAST_OFFSET) -> int:
    """Return the whole number that `text` is; -1 for any other text and for a larger number."""
    number = int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else -1
    return number if number <= largest else -1


def closing_mark(topic: str, letter: LetterRef | DeadLetter, closed: Closed) -> Output:
    """Return the mark that closes `letter`."""
    headers: Headers = [(_MARK_OFFSET, str(letter.offset).encode()), (_MARK_KIND, closed.encode())]
    return Output("dead_letter", topic, None, None, headers, letter.partition)


def read_mark(message: Message) -> int | None:
    """Return the offset of the letter that a mark closes; None if `message` is not a mark."""
    if message.value() is not None:
        return None
    for name, value in headers_of(message) or ():
        if name == _MARK_OFFSET and value is not None and value.isdigit() and len(value) <= _MAX_DIGITS:
            return int(value)
    return None
