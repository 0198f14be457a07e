"""One event in parts: `/i/v0/ai`, whose large properties are parts of their own and not quoted inside JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from ingest.answers import Answer, Refusal, invalid
from ingest.body import Receive
from ingest.capture_v0 import Envelope, bearer, take
from ingest.door import Door, Request
from ingest.json_text import decode, has_more_members
from ingest.large_work import LARGE_PACKED_BYTES, aside_if
from ingest.limits import MAX_PROPERTIES
from ingest.multipart import Part, split
from ingest.sent_events import SentEvent
from ingest.unpacking import unpack

_MAX_EVENT_PART_BYTES = 32 * 1024
_EVENT, _PROPERTIES = "event", "event.properties"
_event_decoder = msgspec.json.Decoder(SentEvent)
_properties_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value_decoder = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode


async def capture(door: Door, request: Request, receive: Receive) -> Answer:
    """Take one event.

    Raises:
        Refusal: 400, 401, 408, 413, 415, 429 or 503.
    """
    door.check_open()
    token = door.authenticate(request, bearer(request))
    packed = await door.read(request, receive)
    event = await aside_if(len(packed) > LARGE_PACKED_BYTES, _sent, request, packed)
    return await take(door, request, token, Envelope([event], None, None, False))


def _sent(request: Request, packed: bytes) -> SentEvent:
    """Return the event of a body as it came."""
    body = unpack(packed, request.headers.get("content-encoding", "").strip().lower(), request.reservation)
    request.reservation.grow(len(body))  # the parts are copies
    return _event(_by_name(split(body, request.headers.get("content-type", ""))))


def _by_name(parts: list[Part]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in parts:
        if part.name in found:
            raise invalid("duplicate_part", "Two parts have the same name.")
        found[part.name] = part
    return found


def _event(parts: Mapping[str, Part]) -> SentEvent:
    """Return the event of the parts, its properties in one object."""
    head = parts.get(_EVENT)
    if head is None:
        raise invalid("missing_part", f"There is no part `{_EVENT}`.", _EVENT)
    if len(head.content) > _MAX_EVENT_PART_BYTES:
        detail = f"The part `{_EVENT}` is larger than {_MAX_EVENT_PART_BYTES} bytes; put properties into parts."
        raise Refusal(413, "event_too_large", detail, _EVENT)
    try:
        event, _ = decode(head.content, _event_decoder)
    except msgspec.ValidationError as error:
        raise invalid("bad_shape", f"The part `{_EVENT}` is not an object.", _EVENT) from error
    values = _properties(parts, event)
    for name, part in parts.items():
        key = name.removeprefix(f"{_PROPERTIES}.")
        if key == name or not key:
            continue
        if key in values:
            raise invalid("duplicate_property", "A part and the properties have the same name.", _PROPERTIES)
        values[key] = _value(part)
    event.properties = msgspec.Raw(_encode(values))
    return event


def _properties(parts: Mapping[str, Part], event: SentEvent) -> dict[str, msgspec.Raw]:
    part = parts.get(_PROPERTIES)
    own = b"{}" if isinstance(event.properties, msgspec.UnsetType) else bytes(event.properties)
    if part is not None and not isinstance(event.properties, msgspec.UnsetType):
        raise invalid("duplicate_part", f"The event has properties, and so has the part `{_PROPERTIES}`.", _PROPERTIES)
    text = part.content if part is not None else own
    if has_more_members(text, MAX_PROPERTIES):
        detail = f"The event has more than {MAX_PROPERTIES} properties."
        raise invalid("malformed_event_properties", detail, _PROPERTIES)
    try:
        found, _ = decode(text, _properties_decoder)
    except msgspec.ValidationError as error:
        raise invalid("malformed_event_properties", "The properties are not an object.", _PROPERTIES) from error
    return dict(found)


def _value(part: Part) -> msgspec.Raw:
    """Return the JSON of a part: JSON as it is, text as a string, and other content in base64."""
    if part.media_type == "application/json":
        return decode(part.content, _value_decoder)[0]
    if part.media_type.startswith("text/"):
        try:
            return msgspec.Raw(_encode(str(part.content, "utf-8").replace("\0", "\ufffd")))
        except UnicodeDecodeError as error:
            raise invalid("parse_error", "A part of text is not UTF-8.") from error
    return msgspec.Raw(_encode(base64.b64encode(part.content).decode()))
