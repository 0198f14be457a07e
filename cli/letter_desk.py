"""The desk of dead letters that the console's process has, over the same topic as `gavel dlq`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from api.http.errors import Unavailable
from api.services.letter_desk import FoundLetters, Letter, LetterQuery, LettersStopped, Sent
from config.settings import Settings
from processor.dead_letters.redrive import Redriver, RedriveStopped, open_redriver
from processor.dead_letters.stored import DeadLetter, LetterFilter
from processor.dead_letters.topic import DeadLetterTopic, RedriveError
from processor.kafka import KafkaClients

T = TypeVar("T")
_TIMEOUT_S = 8.0


def _answering(call: Callable[..., T]) -> Callable[..., T]:
    """Turn the failure of Kafka into the error that pages know."""

    @wraps(call)
    def answered(*given: Any, **named: Any) -> T:
        try:
            return call(*given, **named)
        except RedriveStopped as error:
            done = Sent(error.done.sent, error.done.refused)
            raise LettersStopped(f"Kafka: {error}", done) from error
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
    def find(self, query: LetterQuery, *, limit: int) -> FoundLetters:
        """Return the number of open letters, and the newest `limit` of them."""
        topic = self._topic()
        found = topic.find(_selection(query))
        newest = topic.read(found.newest(limit), with_values=False)
        return FoundLetters([_shown(letter) for letter in newest], len(found.refs), found.selection.ends or {})

    @_answering
    def show(self, letter_id: str) -> Letter | None:
        """Return an open letter with its value; None if there is none of this id."""
        topic = self._topic()
        found = topic.read(topic.find(LetterFilter(ids=frozenset({letter_id}))).refs, with_values=True)
        return _shown(found[0]) if found else None

    @_answering
    def redrive(self, query: LetterQuery) -> Sent:
        """Send letters that are still open back to where they came from, each once."""
        done = self._redriver().redrive(_selection(query))
        return Sent(done.sent, done.refused)

    @_answering
    def purge(self, query: LetterQuery) -> int:
        """Close letters without sending them; return how many."""
        return self._redriver().purge(_selection(query))

    def _topic(self) -> DeadLetterTopic:
        topic = self._settings.kafka.topics.dead_letters
        return DeadLetterTopic(self._clients.base("dlq"), topic, timeout_s=self._timeout_s)

    def _redriver(self) -> Redriver:
        return open_redriver(self._settings, self._clients, self._topic())


def _selection(query: LetterQuery) -> LetterFilter:
    return LetterFilter(
        ids=frozenset(query.ids) if query.ids is not None else None,
        reason=query.reason or None,
        stage=query.stage or None,
        since=query.since,
        ends=query.ends,
    )


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
