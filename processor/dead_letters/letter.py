"""Dead letters: records that cannot be processed, kept with their original bytes and the reason.

A dead letter is produced in the transaction that commits its record's offset, so a record is either worked
through or a dead letter, never neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Literal

from processor.events.message import Message, headers_of
from processor.events.output import Headers, Output
from processor.events.row import ROOM_BYTES
from processor.events.task import TASK_PREFIX, has_task
from processor.notices import Notices

Reason = Literal["decode", "too_large", "evaluator_bug", "expired", "sink_rejected"]
HEADER_PREFIX = "gavel.error."
ATTEMPTS = HEADER_PREFIX + "attempts"
REDRIVE_TOPIC = HEADER_PREFIX + "redrive_topic"
"""The header of every letter that is a run's. Headers of a task in another letter are a stranger's."""

_VERSION = version("gavel").encode()
_notices = Notices("gavel.dead_letters")
_FIRST_FAILURE = HEADER_PREFIX + "first_failure"
_MAX_DIGITS = 20
"""Numbers in headers are cut here, because a header that somebody else wrote may have any length."""
_HEADER_BYTES = 10
"""The lengths of a header's name and value take no more bytes."""


class TooManyDeadLetters(RuntimeError):
    """Most of the newest records are dead letters, so the topic or the release is wrong, not a record."""


def _text(value: object, limit: int = 500) -> bytes:
    return str(value)[:limit].encode("utf-8", "replace")


def dead_letter(
    topic: str,
    message: Message,
    *,
    stage: str,
    reason: Reason,
    detail: str,
    max_bytes: int,
    extra: Sequence[tuple[str, str | bytes | None]] = (),
) -> Output:
    """Return `message` as a dead letter for `topic`.

    Key, value and headers are kept byte for byte; `gavel.error.*` headers are added. A task in `extra` replaces all
    headers of a task that `message` has. If the whole would not fit into
    `max_bytes`, the value is left out: its SHA-256 and its topic, partition and offset tell where it is. Headers
    and the key are left out too if they do not fit even without it, and headers tell their size.

    Args:
        detail: the problem in words, without any part of the payload.
        extra: further headers, such as the evaluation's id.
    """
    _notices.note(
        "dead_letters",
        stage,
        reason,
        role=stage,
        reason=reason,
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        detail=detail,
        remedy="see `gavel dlq list`",
    )
    original = list(headers_of(message) or ())
    replaced = (HEADER_PREFIX, TASK_PREFIX) if has_task(extra) else HEADER_PREFIX
    kept = [(name, value) for name, value in original if not name.startswith(replaced)]
    earlier = {name: value for name, value in original if name.startswith(HEADER_PREFIX)}
    key, kept, value, left_out = _fitting(message.key(), kept, message.value(), max_bytes - ROOM_BYTES)
    timestamp = str(message.timestamp()[1]).encode()
    headers: Headers = [
        *kept,
        (HEADER_PREFIX + "stage", stage.encode()),
        (HEADER_PREFIX + "class", reason.encode()),
        (HEADER_PREFIX + "message", _text(detail)),
        (HEADER_PREFIX + "topic", message.topic().encode()),
        (HEADER_PREFIX + "partition", str(message.partition()).encode()),
        (HEADER_PREFIX + "offset", str(message.offset()).encode()),
        (HEADER_PREFIX + "timestamp", timestamp),
        (ATTEMPTS, str(read_attempts(earlier) + 1).encode()),
        (HEADER_PREFIX + "version", _VERSION),
        (_FIRST_FAILURE, (earlier.get(_FIRST_FAILURE) or timestamp)[:_MAX_DIGITS]),
        *extra,
        *left_out,
    ]
    return Output("dead_letter", topic, key, value, headers)


def _fitting(
    key: bytes | None, headers: Headers, value: bytes | None, limit_bytes: int
) -> tuple[bytes | None, Headers, bytes | None, Headers]:
    """Return the key, the headers and the value of a record as far as they fit, and headers that tell of the rest."""
    left_out: Headers = []
    key_bytes = len(key or b"")
    headers_bytes = sum(len(name.encode()) + len(text or b"") + _HEADER_BYTES for name, text in headers)
    if value is not None and key_bytes + headers_bytes + len(value) > limit_bytes:
        left_out += _described("", value)
        value = None
    if headers and key_bytes + headers_bytes > limit_bytes:
        left_out.append((HEADER_PREFIX + "headers_size_bytes", str(headers_bytes).encode()))
        headers = []
    if key is not None and key_bytes > limit_bytes:
        left_out += _described("key_", key)
        key = None
    return key, headers, value, left_out


def _described(part: str, content: bytes) -> Headers:
    return [
        (f"{HEADER_PREFIX}{part}sha256", sha256(content).hexdigest().encode()),
        (f"{HEADER_PREFIX}{part}size_bytes", str(len(content)).encode()),
    ]


def raised_at(error: BaseException) -> str:
    """Return file and line where `error` was raised, for a log line.

    A whole traceback may show the values of variables, and with them the payload.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def read_attempts(headers: Mapping[str, str | bytes | None]) -> int:
    """Return how often a record has failed before; 0 if its headers do not say."""
    raw = headers.get(ATTEMPTS)
    return int(raw[:_MAX_DIGITS]) if raw is not None and raw.isascii() and raw.isdigit() else 0


class RatioGuard:
    """Stops a role when most of its records fail, so that a wrong topic does not become a million dead letters.

    Args:
        limit: the ratio, 0 to 1, above which it stops.
        window: over how many of the last records; fewer decide nothing.
    """

    def __init__(self, limit: float, window: int) -> None:
        self._limit = limit
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._failed = 0

    def note(self, records: int, failed: int) -> None:
        """Note a batch.

        Raises:
            TooManyDeadLetters: over the limit; the batch must not be committed.
        """
        self._batches.append((records, failed))
        self._records += records
        self._failed += failed
        while self._batches and self._records - self._batches[0][0] >= self._window:
            old_records, old_failed = self._batches.popleft()
            self._records -= old_records
            self._failed -= old_failed
        if self._records >= self._window and self._failed > self._limit * self._records:
            raise TooManyDeadLetters(
                f"{self._failed} of the last {self._records} records could not be processed (limit {self._limit:.0%}); "
                "is this the right topic, and does its producer send what Gavel reads? See `gavel dlq list`. "
                "Raise dead_letters.ratio_limit to go on all the same."
            )
