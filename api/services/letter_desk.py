"""Dead letters as the operator's pages see them. Who starts the API gives the desk that reads and sends them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """One open dead letter.

    Attributes:
        id: `partition:offset`.
        headers: name and value; bytes that are not UTF-8 have their codes in their place.
        value: None if it is left out because of its size.
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
    """Which letters; None and empty take all."""

    ids: Collection[str] | None = None
    reason: str = ""
    stage: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of a redrive: how many went back, and the refused letters with their reasons."""

    sent: int
    refused: Sequence[tuple[str, str]]


class LetterDesk(Protocol):
    """Reads the dead-letter topic and closes letters. Every method blocks on Kafka and raises `Unavailable`."""

    def find(self, query: LetterQuery) -> list[Letter]:
        """Return the open letters, newest first."""

    def redrive(self, query: LetterQuery) -> Sent:
        """Send letters back to where they came from, each once."""

    def purge(self, query: LetterQuery) -> int:
        """Close letters without sending them; return how many."""
