"""From an event to the row on the events topic (the same shape as an ingestion pipeline writes)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from time import time_ns
from typing import Annotated, Any

import msgspec
import orjson

from ingest.json_text import has_more_members, is_too_deep, string_of
from ingest.limits import MAX_DISTINCT_ID_CHARS, MAX_PROPERTIES, MAX_TRACE_ID_CHARS
from ingest.times import row_time
from processor.events.identity import url_uuid
from processor.events.output import Headers, Output
from processor.events.row import MAX_EVENT_BYTES

ID_PROPERTIES = ("$ai_trace_id", "$ai_parent_id", "$ai_span_id", "$ai_session_id")
_UUID = re.compile(
    r"(?i:urn:uuid:)?\{?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?"
)
_LOOKED_AT = ("$set", "$set_once", "$process_person_profile", "$ignore_sent_at")
_NUL = "\0"
_TRACK = ("productTrack", b"llma")
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_QUOTES = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"), (b"\t", b"\\t"))
_SHORT_TEXT = 64 * 1024
_NEVER = Annotated[int, msgspec.Meta(ge=1, le=0)] | msgspec.UnsetType
"""No JSON value is of this type, so an object that has such a field is not decoded."""


class InvalidEvent(Exception):
    """One event that cannot be taken; the others of its request can.

    Attributes:
        tag: the reason, as protocol v1 names it.
    """

    def __init__(self, tag: str, detail: str) -> None:
        self.tag = tag
        super().__init__(detail)


class Event(msgspec.Struct, gc=False):
    """An event that was read, of whatever protocol.

    Attributes:
        timestamp: aware UTC.
        properties: JSON text of an object, UTF-8.
        trace_id: of the properties, where it is text.
        person_properties: JSON text of an object, where the event sets some.
    """

    uuid: str
    name: str
    distinct_id: str
    timestamp: datetime
    properties: bytes
    trace_id: str | None = None
    person_properties: bytes | None = None
    historical: bool = False


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    uuid: str
    event: str
    properties: msgspec.Raw
    distinct_id: str
    timestamp: str
    created_at: str
    team_id: int
    project_id: int
    person_mode: str
    elements_chain: str | msgspec.UnsetType = msgspec.UNSET
    person_properties: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Properties:
    """The properties of one event; a value is decoded when somebody asks for it.

    Args:
        raw: valid JSON text.

    Raises:
        InvalidEvent: it is not an object, nested too deeply, too large, or has too many members.
    """

    __slots__ = ("_changed", "_raw", "_values")

    def __init__(self, raw: bytes) -> None:
        if raw[:1] != b"{":
            raise InvalidEvent("malformed_event_properties", "properties is not an object")
        if len(raw) <= MAX_EVENT_BYTES and is_too_deep(raw):
            raise InvalidEvent("malformed_event_properties", "properties is nested too deeply")
        self._raw = raw
        self._values: dict[str, msgspec.Raw | bytes] = {**_members(raw)}
        self._changed = False

    def text(self, name: str) -> str | None:
        """Return a value as text, other JSON than a string as it is written; None if missing, null or blank."""
        raw = self.raw(name)
        if raw is None or raw == b"null":
            return None
        text = string_of(raw)
        return text if text.strip() else None

    def is_true(self, name: str) -> bool:
        """Return whether a value is `true`."""
        return self.raw(name) == b"true"

    def is_false(self, name: str) -> bool:
        """Return whether a value is `false`."""
        return self.raw(name) == b"false"

    def raw(self, name: str) -> bytes | None:
        """Return a value's JSON text, or None."""
        found = self._values.get(name)
        return None if found is None else bytes(found)

    def set(self, name: str, value: object, *, replace: bool = True) -> None:
        """Set a value; with `replace` false only where there is none."""
        if replace or name not in self._values:
            self._values[name] = _encode(value)
            self._changed = True

    def drop(self, names: Collection[str]) -> None:
        """Remove values that may not be stored."""
        for name in names:
            if self._values.pop(name, None) is not None:
                self._changed = True

    def tidy_ids(self) -> None:
        """Make the ids of a trace text, and remove values that cannot be ids."""
        for name in ID_PROPERTIES:
            raw = self.raw(name)
            if raw is None or raw[:1] == b'"':
                continue
            if raw[:1] in b"{[n":
                del self._values[name]
            else:
                self._values[name] = _encode(str(raw, "utf-8"))
            self._changed = True

    def as_json(self) -> bytes:
        """Return the JSON text: the client's own where nothing was changed."""
        if not self._changed:
            return self._raw
        return _encode({name: _as_raw(value) for name, value in self._values.items()})


def _members(raw: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of a JSON object of an event.

    Raises:
        InvalidEvent: it is larger than an event may be, or has too many members; nothing of it was decoded.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise _too_big(len(raw), MAX_EVENT_BYTES)
    if has_more_members(raw, MAX_PROPERTIES):
        raise InvalidEvent("malformed_event_properties", f"the event has more than {MAX_PROPERTIES} properties")
    return _decode_object(raw)


def _as_raw(value: msgspec.Raw | bytes) -> msgspec.Raw:
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(value)


is_plain_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
"""Truthy for a UUID that is written as it is stored, and for no other text."""


def glance_at(dropped: Collection[str]) -> Callable[[bytes], str | None]:
    """Return a function that looks at the properties of an event without decoding them.

    It returns the id of the trace where nothing has to be changed, and None where somebody has to look closely: a
    property is one of the `dropped`, is not an object's, says something about the person or the clock, or is an id
    that is not text.
    """
    ids = [(f"id{number}", str | msgspec.UnsetType, msgspec.UNSET) for number in range(len(ID_PROPERTIES))]
    names = (*_LOOKED_AT, *dropped)
    others = [(f"other{number}", _NEVER, msgspec.UNSET) for number in range(len(names))]
    renamed = {f"id{n}": name for n, name in enumerate(ID_PROPERTIES)}
    renamed |= {f"other{n}": name for n, name in enumerate(names)}
    decoded: Any = msgspec.defstruct("Glance", [*ids, *others], rename=renamed, gc=False)
    decode = msgspec.json.Decoder(decoded).decode

    def glance(raw: bytes) -> str | None:
        try:
            trace_id: str | msgspec.UnsetType = decode(raw).id0
        except msgspec.ValidationError:
            return None
        return trace_id if trace_id and not trace_id.isspace() else None

    return glance


def normal_uuid(text: str) -> str | None:
    """Return a UUID in lower case with hyphens, or None if `text` is not one."""
    found = _UUID.fullmatch(text.strip())
    return None if found is None else "-".join(found.groups()).lower()


def capture_uuid(team_id: int, name: str, trace_id: str | None, span_id: str | None) -> str:
    """Return the id of an event that came without one: reproducible where its trace and span are known."""
    if trace_id and span_id:
        return url_uuid(f"gavel://capture/{team_id}/{name}/{trace_id}/{span_id}")
    return new_uuid()


def new_uuid() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7)."""
    milliseconds = time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (milliseconds << 80) | (0x7 << 76) | ((random >> 62) << 64) | (0b10 << 62) | (random & ((1 << 62) - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def normal_distinct_id(text: str | None) -> str | None:
    """Return a distinct id as it is stored, or None if it is missing or blank."""
    if text is None or not text.strip():
        return None
    return text.replace(_NUL, "\ufffd")[:MAX_DISTINCT_ID_CHARS]


def person(properties: Properties, of_event: Mapping[str, bytes | None]) -> bytes | None:
    """Return the person's properties that an event sets: `$set` over `$set_once`. None if it sets none.

    Raises:
        InvalidEvent: they are too large, or too many.
    """
    merged: dict[str, msgspec.Raw] = {}
    for name in ("$set_once", "$set"):
        for raw in (properties.raw(name), of_event.get(name)):
            if raw is not None and raw[:1] == b"{":
                merged.update(_members(raw))
    return _encode(merged) if merged else None


def _quoted(text: bytes) -> msgspec.Raw:
    """Return JSON text as a JSON string. As text it would take four times its bytes where one character is an emoji.

    So only a short one is made a text, which is quicker. Valid JSON holds three control characters at most, and those
    between its values.
    """
    if len(text) <= _SHORT_TEXT:
        return msgspec.Raw(orjson.dumps(str(text, "utf-8")))
    for char, escape in _QUOTES:
        text = text.replace(char, escape)
    return msgspec.Raw(b'"%b"' % text)


def make_message(topic: str, event: Event, team_id: int, received: str, *, max_bytes: int = MAX_EVENT_BYTES) -> Output:
    """Return the Kafka message of an event.

    Args:
        received: when it came, as `row_time` writes it.

    Raises:
        InvalidEvent: `ai_event_too_big`, its row is over the limit.
    """
    size = len(event.properties) + len(event.person_properties or b"")
    if size > max_bytes:
        raise _too_big(size, max_bytes)
    row = _Row(
        uuid=event.uuid,
        event=event.name,
        properties=_quoted(event.properties),
        distinct_id=event.distinct_id,
        timestamp=row_time(event.timestamp),
        created_at=received,
        team_id=team_id,
        project_id=team_id,
        person_mode="propertyless" if event.person_properties is None else "full",
        elements_chain="",
        person_properties=msgspec.UNSET if event.person_properties is None else _quoted(event.person_properties),
    )
    value = _encode(row)
    if len(value) > max_bytes:
        # Quoting JSON inside JSON can nearly double it; an object needs no quotes.
        row.properties = msgspec.Raw(event.properties)
        value = _encode(row)
    if len(value) > max_bytes:
        raise _too_big(len(value), max_bytes)
    headers: Headers = [
        _TRACK,
        ("event", event.name.encode()),
        ("uuid", event.uuid.encode()),
        ("now", received.encode()),
    ]
    if event.historical:
        headers.append(("historical_migration", b"true"))
    return Output("event", topic, _key(team_id, event), value, headers)


def _key(team_id: int, event: Event) -> bytes:
    """Return the key that keeps a trace together. A long id is hashed: the broker counts the bytes of a key too."""
    of = event.trace_id or event.uuid
    return f"{team_id}:{of if len(of) <= MAX_TRACE_ID_CHARS else url_uuid(of)}".encode()


def _too_big(size: int, limit: int) -> InvalidEvent:
    return InvalidEvent("ai_event_too_big", f"the event makes a row of {size} bytes; the limit is {limit}")
