"""The desk of dead letters that the console's process has, over the same topic as `gavel dlq`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from api.http.errors import Unavailable
from api.services.letter_desk import Letter, LetterQuery, Sent
from config.settings import Settings
from processor.dead_letters.redrive import (
    DeadLetter,
    DeadLetterTopic,
    LetterFilter,
    RedriveError,
    Redriver,
)
from processor.kafka import KafkaClients

T = TypeVar("T")
_TIMEOUT_S = 8.0


def _answering(call: Callable[..., T]) -> Callable[..., T]:
    """Turn the failure of Kafka into the error that pages know."""

    @wraps(call)
    def answered(*given: Any) -> T:
        try:
            return call(*given)
        except RedriveError as error:
            raise Unavailable(f"Kafka: {error}", code="kafka_unavailable") from error

    return answered


class KafkaLetterDesk:
    """See `api.services.letter_desk.LetterDesk`.

    Args:
        clients: of the broker that the process uses.
        timeout_s: how long to wait for the broker.
    """

    def __init__(self, settings: Settings, clients: KafkaClients, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._settings = settings
        self._clients = clients
        self._timeout_s = timeout_s

    @_answering
    def find(self, query: LetterQuery) -> list[Letter]:
        """Return the open letters, newest first."""
        found = sorted(self._open(query), key=lambda letter: letter.failed_at, reverse=True)
        return [_shown(letter) for letter in found]

    @_answering
    def redrive(self, query: LetterQuery) -> Sent:
        """Send letters back to where they came from, each once."""
        done = self._redriver().redrive(self._open(query))
        return Sent(done.sent, [(letter.id, problem) for letter, problem in done.refused])

    @_answering
    def purge(self, query: LetterQuery) -> int:
        """Close letters without sending them; return how many."""
        return self._redriver().purge(self._open(query))

    def _open(self, query: LetterQuery) -> list[DeadLetter]:
        ids = frozenset(query.ids) if query.ids is not None else None
        wanted = LetterFilter(ids=ids, reason=query.reason or None, since=query.since)
        found = self._topic().open_letters(wanted)
        return [letter for letter in found if not query.stage or letter.stage == query.stage]

    def _topic(self) -> DeadLetterTopic:
        topic = self._settings.kafka.topics.dead_letters
        return DeadLetterTopic(self._clients.base("dlq"), topic, timeout_s=self._timeout_s)

    def _redriver(self) -> Redriver:
        configuration = {
            **self._clients.producer_config(),
            "transactional.id": self._settings.kafka.group("dlq-redrive"),
            "transaction.timeout.ms": int(self._settings.kafka.transaction_timeout_s * 1000),
        }
        topic = self._settings.kafka.topics.dead_letters
        limit = self._settings.dead_letters.max_redrives
        return Redriver(configuration, self._topic(), topic, max_attempts=limit)


def _shown(letter: DeadLetter) -> Letter:
    headers = [(name, _text(value)) for name, value in letter.headers]
    source = f"{letter.source_topic} {letter.source_partition}:{letter.source_offset}"
    return Letter(
        letter.id,
        letter.reason,
        letter.stage,
        letter.message,
        source,
        letter.redrive_topic,
        letter.failed_at,
        letter.attempts,
        headers,
        letter.value,
    )


def _text(value: str | bytes | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
