"""The capture protocol of PostHog SDKs, version 0: `/batch`, `/capture`, `/e` and their like."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from urllib.parse import unquote_to_bytes

import msgspec

from ingest.answers import Answer, Refusal, invalid, overloaded, unauthorized
from ingest.body import Receive
from ingest.door import Door, Refused, Request, over_rate, skew_s
from ingest.json_text import has_more_members, is_too_deep, start_of
from ingest.large_work import LARGE_BYTES, LARGE_PACKED_BYTES, aside_if
from ingest.limits import MAX_DISTINCT_ID_CHARS, MAX_EVENTS, MAX_FIELD_CHARS, MAX_NAME_CHARS, MAX_PROPERTIES
from ingest.rows import (
    Event,
    InvalidEvent,
    Properties,
    capture_uuid,
    is_plain_uuid,
    normal_distinct_id,
    normal_uuid,
    person,
)
from ingest.sent_events import Batch, PlainEvent, SentEvent, SentItem, closer, decode_request
from ingest.times import correct, parse_time
from ingest.unpacking import GZIP_MAGIC, unpack
from storage.sql.project_tokens import ProjectToken

_OK = b'{"status": "Ok"}'


_MAX_FORM_FIELDS = 20
_MAX_FORM_ESCAPES = 300_000
"""Characters of a form that are written as `%xx`; each of them becomes an object for a moment."""
_STARTS_OF_NUMBERS = frozenset((b"-", *(b"%d" % digit for digit in range(10))))


class Envelope(msgspec.Struct):
    """One request: its events, and what holds for all of them."""

    events: list[SentItem]
    token: str | None
    sent_at: datetime | None
    historical: bool


async def capture(door: Door, request: Request, receive: Receive) -> Answer:
    """Take the events of one request.

    Raises:
        Refusal: 400, 401, 408, 413, 415, 429 or 503; nothing of the request was accepted, or not all of it was stored.
    """
    door.check_open()
    early = _early_token(request)
    if early is not None:
        door.authenticate(request, early)  # before the body, so that its bytes count for the token
    packed = await door.read(request, receive)
    text = await aside_if(len(packed) > LARGE_PACKED_BYTES, _content, request, packed)
    large = len(text) > LARGE_BYTES
    envelope = await aside_if(large, _envelope, request, text)
    del packed, text  # while Kafka is waited for, memory is for the rows alone
    token = door.authenticate(request, await aside_if(large, _one_token, early, envelope))
    return await take(door, request, token, envelope)


async def take(door: Door, request: Request, token: ProjectToken, envelope: Envelope) -> Answer:
    """Deliver the events of a request, which the envelope then no longer holds, and answer it.

    Raises:
        Refusal: 400, 413, 429 or 503.
    """
    if wait_s := door.rate(request, token, len(envelope.events)):
        raise over_rate(wait_s, status=429)
    now = door.now()
    if envelope.sent_at is not None:
        door.metrics.observe("gavel_ingest_clock_skew_seconds", skew_s(envelope.sent_at, now))
    sent, envelope.events = envelope.events, []
    number = len(sent)

    taken = await door.deliver(request, token, sent, read=partial(_read, door, envelope, token, now), size_of=_size)
    if not taken.complete:
        raise overloaded("not_persisted", "Kafka did not acknowledge every event. Send all of them again.", 2)
    rejected = [refused for refused in taken.refusals if refused is not None]
    if len(rejected) == number:
        raise _all_invalid(rejected[0], number)
    if request.query.get("beacon") == "1":
        return Answer(204)
    if rejected:
        return Answer(200, msgspec.json.encode({"status": "Ok", "rejected": len(rejected)}))
    return Answer(200, _OK)


def _size(sent: SentItem) -> int:
    if isinstance(sent, PlainEvent):
        return memoryview(sent.properties).nbytes
    if isinstance(sent, Refused):
        return len(sent.raw)
    return 0 if isinstance(sent.properties, msgspec.UnsetType) else memoryview(sent.properties).nbytes


def _all_invalid(first: Refused, number: int) -> Refusal:
    if number == 1 and first.tag == "ai_event_too_big":
        return Refusal(413, "event_too_large", f"The event is too large: {first.detail}.")
    return invalid(first.tag, f"No event of this request is valid. The first one: {first.detail}.")


def _early_token(request: Request) -> str | None:
    """Return the token that the URL or a header names.

    Raises:
        Refusal: 401, they name two.
    """
    return _the_one({each.strip() for each in (request.query.get("token"), bearer(request)) if each})


def bearer(request: Request) -> str | None:
    """Return the token of the header Authorization, or None."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() or None if scheme.lower() == "bearer" else None


def _content(request: Request, packed: bytes) -> bytes:
    """Return the JSON text of a request, out of whatever it was wrapped in."""
    reservation = request.reservation
    if request.method == "GET":
        packed = request.query.get("data", "").encode()
    encoding = request.headers.get("content-encoding", "").strip().lower()
    hint = request.query.get("compression", "").lower()
    # Today's browser SDK sends gzip as text/plain with neither a header nor a hint, so the first bytes decide.
    if packed[:2] == GZIP_MAGIC:
        text = unpack(packed, "gzip", reservation)
    elif encoding not in ("", "identity", "gzip"):
        text = unpack(packed, encoding, reservation)
    elif hint in ("lz64", "lz-string"):
        raise invalid("unsupported_compression", "lz64 is not supported. Use gzip, or none.")
    elif encoding == "gzip":
        raise invalid("bad_compression", "The body is not gzip data, though Content-Encoding says so.")
    else:
        text = packed
    text = _out_of_form(text, request.headers.get("content-type", ""))
    if text[:1] not in (b"{", b"["):
        if packed[:2] != GZIP_MAGIC or text[:2] != GZIP_MAGIC:
            text = _out_of_base64(text)
        if text[:2] == GZIP_MAGIC:
            if packed[:2] == GZIP_MAGIC:
                raise invalid("bad_compression", "The body is gzip data inside gzip data.")
            text = unpack(text, "gzip", reservation)
    return text


def _out_of_form(text: bytes, media_type: str) -> bytes:
    text = text.strip()
    if not (media_type.startswith("application/x-www-form-urlencoded") or text.startswith(b"data=")):
        return text
    if text[:1] in (b"{", b"["):
        return text
    data: bytes | None = None
    for each in text.split(b"&", _MAX_FORM_FIELDS):
        name, _, value = each.partition(b"=")
        if name == b"data":
            data = value
    if data is None:
        raise invalid("parse_error", "The form has no field `data`.", "data")
    if data.count(b"%") > _MAX_FORM_ESCAPES:
        raise Refusal(413, "request_too_large", "The form is too large. Send JSON, or base64 in the form.", "data")
    return unquote_to_bytes(data.replace(b"+", b" ")).strip()


def _out_of_base64(text: bytes) -> bytes:
    if not text:
        raise invalid("empty_body", "The request has no body. Send a JSON object with a list `batch`.")
    try:
        # A form turns `+` into a blank.
        return base64.b64decode(text.replace(b" ", b"+"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("parse_error", "The body is neither JSON nor base64 of JSON.") from error


def _envelope(request: Request, text: bytes) -> Envelope:
    text = text.strip()
    outer, events = decode_request(text)
    if not events:
        raise invalid("empty_batch", "The batch holds no event.", "batch")
    if len(events) > MAX_EVENTS:
        raise Refusal(413, "too_many_events", f"The batch holds more than {MAX_EVENTS} events. Split it.", "batch")
    token = None
    if not isinstance(outer.batch, msgspec.UnsetType):
        token = _the_one(set(_named(outer.api_key, outer.token)))
    return Envelope(events, token, _sent_at(outer, request), _json(outer.historical_migration) == b"true")


def _sent_at(outer: Batch, request: Request) -> datetime | None:
    if written := _text(outer.sent_at):
        return parse_time(written)
    for name in ("sent_at", "_"):
        text = request.query.get(name, "")
        if text.isascii() and text.isdigit() and len(text) < 16:
            moment = parse_time(int(text))
            if moment is not None and moment.year > 2020:
                return moment
    return None


def _one_token(early: str | None, envelope: Envelope) -> str | None:
    """Return the token of the request.

    Raises:
        Refusal: 401, it names several.
    """
    found: set[str] = set() if early is None else {early.strip()}
    if envelope.token:
        found.add(envelope.token)
        return _the_one(found)
    for each in envelope.events:
        if isinstance(each, SentEvent):
            found.update(_tokens_of(each))
    return _the_one(found)


def _the_one(tokens: set[str]) -> str | None:
    if len(tokens) > 1:
        raise unauthorized("This request names several project tokens. Send the events of one at a time.")
    return next(iter(tokens), None)


def _named(*fields: msgspec.Raw | msgspec.UnsetType) -> Iterator[str]:
    """Yield the tokens that fields hold."""
    for field in fields:
        if text := (_text(field) or "").strip():
            yield text


def _tokens_of(event: SentEvent) -> Iterator[str]:
    if named := list(_named(event.token, event.dollar_token, event.api_key)):
        yield from named
        return
    properties = _json(event.properties)
    if b'"token"' in properties:
        try:
            text = Properties(properties).text("token")
        except InvalidEvent:
            return  # the event is refused for it later
        if text:
            yield text.strip()


def _read(door: Door, envelope: Envelope, token: ProjectToken, now: datetime, event: SentItem) -> Event | Refused:
    if isinstance(event, Refused):
        return event
    if isinstance(event, PlainEvent):
        found = _plain(door, event, envelope, now)
        if found is not None:
            return found
        event = closer(event)
    try:
        return _event(door, event, envelope, token, now)
    except InvalidEvent as error:
        return Refused(error.tag, str(error), msgspec.json.encode(event), _text(event.event) or "other")


def _plain(door: Door, sent: PlainEvent, envelope: Envelope, now: datetime) -> Event | None:
    """Return the event, or None where `_event` has to look closer. Both give the same event."""
    raw = bytes(sent.properties)
    seen = door.glance(raw)
    uuid, name, distinct_id = sent.uuid, sent.event, sent.distinct_id
    if seen is None or not is_plain_uuid(uuid) or not name or name.isspace() or len(name) > MAX_NAME_CHARS:
        return None
    if not distinct_id or distinct_id.isspace() or len(distinct_id) > MAX_DISTINCT_ID_CHARS or is_too_deep(raw):
        return None
    if has_more_members(raw, MAX_PROPERTIES):
        return None
    moment = parse_time(sent.timestamp) if sent.timestamp else None
    if moment is None:
        return None
    return Event(
        uuid=uuid,
        name=name,
        distinct_id=distinct_id,
        timestamp=correct(moment, sent_at=envelope.sent_at, now=now),
        properties=raw,
        trace_id=seen,
        historical=envelope.historical,
    )


def _event(door: Door, event: SentEvent, envelope: Envelope, token: ProjectToken, now: datetime) -> Event:
    """Return the event as it is to be written.

    Raises:
        InvalidEvent: it lacks something, or something in it is of the wrong kind.
    """
    name = _text(event.event)
    if not name or not name.strip():
        raise InvalidEvent("missing_event_name", "the event has no name")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidEvent("event_name_too_long", f"the event's name has more than {MAX_NAME_CHARS} characters")
    properties = Properties(_json(event.properties) or b"{}")
    distinct_id = normal_distinct_id(
        _text(event.distinct_id) or _text(event.dollar_distinct_id) or properties.text("distinct_id")
    )
    if distinct_id is None:
        raise InvalidEvent("missing_distinct_id", "the event has no distinct_id")
    properties.tidy_ids()
    properties.drop(door.settings.drop_properties)
    trace_id = properties.text("$ai_trace_id")
    given = _text(event.uuid)
    uuid = normal_uuid(given) if given and given.strip() else None
    if given and given.strip() and uuid is None:
        raise InvalidEvent("invalid_uuid", "the event's uuid is not a UUID")
    of_event = {"$set": _json(event.set) or None, "$set_once": _json(event.set_once) or None}
    return Event(
        uuid=uuid or capture_uuid(token.team_id, name, trace_id, properties.text("$ai_span_id")),
        name=name,
        distinct_id=distinct_id,
        timestamp=_time(door, event, properties, envelope.sent_at, now),
        properties=properties.as_json(),
        trace_id=trace_id,
        person_properties=None if properties.is_false("$process_person_profile") else person(properties, of_event),
        historical=envelope.historical,
    )


def _time(door: Door, event: SentEvent, properties: Properties, sent_at: datetime | None, now: datetime) -> datetime:
    offset = _number(_json(event.offset))
    if offset is not None:
        return correct(parse_time(now.timestamp() - offset / 1000), sent_at=None, now=now)
    raw = _json(event.timestamp)
    if not raw or raw == b"null":
        return now
    number = _number(raw)
    moment = parse_time(start_of(raw) if number is None else number)
    if moment is None:
        door.metrics.count("gavel_ingest_unreadable_times")
    return correct(moment, sent_at=None if properties.is_true("$ignore_sent_at") else sent_at, now=now)


def _json(value: msgspec.Raw | msgspec.UnsetType) -> bytes:
    """Return a value's JSON text, empty if it is missing."""
    return b"" if isinstance(value, msgspec.UnsetType) else bytes(value)


def _text(value: msgspec.Raw | msgspec.UnsetType) -> str | None:
    """Return the start of a value as text; other JSON than a string as it is written. None if missing or null."""
    raw = _json(value)
    return None if not raw or raw == b"null" else start_of(raw)


def _number(raw: bytes) -> float | None:
    if raw[:1] not in _STARTS_OF_NUMBERS:
        return None
    try:
        number = float(raw[:MAX_FIELD_CHARS])
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None
