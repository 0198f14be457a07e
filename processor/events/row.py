"""Which records of the events topic are generations, or other events that are wanted, and which of those are valid.

The matcher, a replay and the sink's archive all read an event through `read_event`, so that every judged event is
archived, and every archived event can be judged again. `conditions.decode_row` decodes the row itself. The parts that
were not read yet (properties, person and group properties) are checked where they are decoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from conditions import EventRow, RowError, decode_row
from processor.events.generation import GENERATION_EVENT
from processor.events.message import Message, headers_of
from processor.events.output import Headers

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""Larger events are dead letters: a task or a result must fit into a message with room for headers."""
ROOM_BYTES: Final = 64 * 1024
"""The parts of a message besides the value of the event: its key and its headers."""

Passed = Literal["tombstone", "other_event", "other_track", "historical"]
"""Why a record concerns no evaluation. `historical` is an event that a client marked as a migration of its history. A
record that is not a JSON object is not one of them: it becomes a dead letter, because its producer is broken."""


class Kinds(NamedTuple):
    """The events that are wanted: their names, and the bytes by which a record shows them."""

    names: tuple[str, ...]
    marks: tuple[bytes, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> Kinds:
        """Return generations, and the events with these names."""
        all_names = tuple(dict.fromkeys((GENERATION_EVENT, *names)))
        return cls(all_names, tuple(name.encode() for name in all_names))


GENERATIONS: Final = Kinds.of(())
_TRACK_HEADER, _TRACK = "productTrack", b"llma"
_EVENT_HEADER = "event"
_HISTORY_HEADER = "historical_migration"
_ABSENT = object()


class EventTooLarge(RowError):
    """An event over the limit of spec and settings."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__("too_large", f"the event has {size_bytes} bytes; the limit is {limit_bytes}")


def read_event(
    message: Message, limit_bytes: int = MAX_EVENT_BYTES, *, history: bool = True, kinds: Kinds = GENERATIONS
) -> EventRow | Passed:
    """Return the row of a wanted event, or why the record is passed over without being decoded.

    Args:
        limit_bytes: for the value of an event.
        kinds: which events are wanted.
        history: whether events of a migration of history are wanted.

    Raises:
        RowError: the record claims to be a wanted event and is not a valid row (`EventTooLarge`: it is too large).
    """
    value = message.value()
    if value is None:
        return "tombstone"
    headers = headers_of(message)
    if headers or kinds.marks[0] not in value:  # a generation without headers is the usual record
        passed = _passed(headers, value, history=history, marks=kinds.marks)
        if passed is not None:
            return passed
    if len(value) > limit_bytes:
        raise EventTooLarge(len(value), limit_bytes)
    row = decode_row(value)
    return row if row.event in kinds.names else "other_event"


def _passed(headers: Headers | None, value: bytes, *, history: bool, marks: tuple[bytes, ...]) -> Passed | None:
    """Return why a record is passed over, as far as its headers tell, or its bytes where they do not."""
    found = dict(headers) if headers else {}
    track = found.get(_TRACK_HEADER, _ABSENT)
    if track is not _ABSENT and track != _TRACK:
        return "other_track"
    event = found.get(_EVENT_HEADER, _ABSENT)
    if event is not _ABSENT:
        if event not in marks:
            return "other_event"
    elif track is _ABSENT and not _holds_one(value, marks):
        if value[:1] == b"{" or value[:64].lstrip()[:1] == b"{":
            return "other_event"
        raise RowError("not_json", "the record is not a JSON object; only events belong on this topic")
    if not history and found.get(_HISTORY_HEADER) == b"true":
        return "historical"
    return None


def _holds_one(value: bytes, marks: tuple[bytes, ...]) -> bool:
    for mark in marks:  # noqa: SIM110  # a generator for `any` would cost more than the search
        if mark in value:
            return True
    return False
