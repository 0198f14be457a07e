"""A record as Kafka hands it over: what roles read of it, whichever source it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from operator import length_hint, methodcaller
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from processor.events.output import Headers

if TYPE_CHECKING:
    from confluent_kafka import KafkaError


LAST_MS: Final = 7_258_118_400_000 - 1
"""The last millisecond of 2199, where the times of stores and of ClickHouse's partitions end."""
UNREADABLE: Final[tuple[str, bytes]] = ("gavel.headers", b"not readable: the name of a header is not UTF-8")
"""The header in the place of those that cannot be read."""


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


def record_time_ms(message: Message) -> int:
    """Return the time that the record's producer gave it, which may be any number, between 1970 and 2199."""
    return min(max(0, message.timestamp()[1]), LAST_MS)


_read_headers = methodcaller("headers")
"""Return what `Message.headers` returns; SystemError if it left an exception behind, as for a name that is not UTF-8.

A plain call would not do: in hot code the interpreter calls functions of C without that check, and the null pointer
in the headers ends the process.
"""


def headers_of(message: Message) -> Headers | None:
    """Return the headers of a record that a stranger may have written; `UNREADABLE` alone if they cannot be read."""
    try:
        headers: Headers | None = _read_headers(message)
        return headers
    except SystemError:
        return _replace_headers(message)


def any_headers(messages: Sequence[Message]) -> bool:
    """Return whether any of `messages`, at least one and all of one class, has headers. It takes a third of the time
    of `headers_of`, because `map` calls a function of C directly, and with the check that a plain call would lack.
    """
    rest = iter(messages)
    try:
        return any(map(type(messages[0]).headers, rest))
    except SystemError:
        _replace_headers(messages[-1 - length_hint(rest)])  # the last one that was taken from `rest`
        return True


def _replace_headers(message: Message) -> Headers:
    """Put `UNREADABLE` in the place of headers after `Message.headers` has raised a SystemError, and return it.

    confluent-kafka raises it if a name is not UTF-8. Its next answer would be headers with a null pointer for the name,
    which end the process when they are used.
    """
    cast("Any", message).set_headers([UNREADABLE])
    return [UNREADABLE]
