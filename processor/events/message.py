"""A record as Kafka hands it over: what roles read of it, whichever source it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from processor.events.output import Headers

if TYPE_CHECKING:
    from confluent_kafka import KafkaError


class Message(Protocol):
    """One record without an error. A message of confluent-kafka is one once its `error` was checked; so are the
    archive's rows and the records of tests.
    """

    def topic(self) -> str:
        """Return the topic that it was read from."""

    def partition(self) -> int:
        """Return its partition; -1 where the source has none."""

    def offset(self) -> int:
        """Return its offset; -1 where the source has none."""

    def key(self) -> bytes | None:
        """Return the key."""

    def value(self) -> bytes | None:
        """Return the value; None for a tombstone."""

    def headers(self) -> Headers | None:
        """Return the headers in their order; None if there are none."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of the timestamp and epoch milliseconds."""

    def __len__(self) -> int:
        """Return the size of the value in bytes."""


class PolledMessage(Message, Protocol):
    """A message as a consumer returns it. It is a record only if `error` returns None.

    The stubs of confluent-kafka say that topic and offset may be None, which holds for errors only.
    """

    def error(self) -> KafkaError | None:
        """Return the error that stands in the place of a record; None for a record."""
