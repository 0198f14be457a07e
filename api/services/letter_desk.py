"""Dead letters as the operator's pages see them. Who starts the API gives the desk that reads and sends them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from api.http.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Letter:
    """One open dead letter.

    Attributes:
        id: `partition:offset`.
        headers: name and value; bytes that are not UTF-8 have their codes in their place.
        value: None if it is left out because of its size, and in lists.
    """

    id: str
    reason: str
    stage: str
    message: str
    source: str
    redrive_topic: str
    failed_at: datetime
    attempts: int
    headers: Sequence[tuple[str, str]]
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterQuery:
    """Which letters; None and empty take all.

    Attributes:
        ends: the offset before which a letter has to be, by partition; see `FoundLetters`.
    """

    ids: Collection[str] | None = None
    reason: str = ""
    stage: str = ""
    since: datetime | None = None
    ends: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class FoundLetters:
    """Open letters.

    Attributes:
        newest: the letters that failed last, newest first, without their values.
        total: how many there are.
        ends: a query with these finds no letter that came later.
    """

    newest: Sequence[Letter]
    total: int
    ends: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of a redrive: how many went back, and the refused letters with their reasons."""

    sent: int
    refused: Sequence[tuple[str, str]]


class LettersStopped(Unavailable):
    """503: a redrive or a purge ended early.

    Attributes:
        done: the outcome of the batches before. Letters that a purge closed count as sent.
    """

    code = "kafka_unavailable"

    def __init__(self, detail: str, done: Sent) -> None:
        super().__init__(detail)
        self.done = done


class LetterDesk(Protocol):
    """Reads the dead-letter topic and closes letters.

    Every method blocks on Kafka and raises `Unavailable`; those that change letters raise `LettersStopped`.
    """

    def find(self, query: LetterQuery, *, limit: int) -> FoundLetters:
        """Return the number of open letters, and the newest `limit` of them."""

    def show(self, letter_id: str) -> Letter | None:
        """Return an open letter with its value; None if there is none of this id."""

    def redrive(self, query: LetterQuery) -> Sent:
        """Send letters that are still open back to where they came from, each once."""

    def purge(self, query: LetterQuery) -> int:
        """Close letters without sending them; return how many."""
