"""The capture protocol of PostHog SDKs, version 1: `/i/v1/analytics/events` and `/i/v1/ai/events`.

A client sends an event again only if its result is `retry`. 429 is never sent, because every client drops its events
on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from ingest.answers import Answer, Refusal, invalid, unauthorized
from ingest.body import Receive
from ingest.door import Door, Refused, Request, Taken, over_rate, skew_s
from ingest.fair_share import FairShare
from ingest.json_text import Counted, decode, start_of
from ingest.large_work import LARGE_BYTES, LARGE_PACKED_BYTES, aside, aside_if
from ingest.limits import MAX_DISTINCT_ID_CHARS, MAX_EVENTS, MAX_NAME_CHARS
from ingest.rows import Event, InvalidEvent, Properties, normal_uuid, person
from ingest.sent_events import OPTIONAL
from ingest.times import correct, parse_rfc3339
from ingest.unpacking import unpack

_OPTIONS = {
    "cookieless_mode": "$cookieless_mode",
    "disable_skew_correction": "$ignore_sent_at",
    "product_tour_id": "$product_tour_id",
    "process_person_profile": "$process_person_profile",
}
"""Option of an event → the property that it becomes."""
_BOOLEAN_OPTIONS = ("cookieless_mode", "disable_skew_correction", "process_person_profile")
_NOT_PERSISTED: dict[str, str] = {"result": "retry", "details": "not_persisted"}
_NOT_FORWARDED: dict[str, str] = {"result": "warning", "details": "not_forwarded"}


class _Event(Counted, gc=False):
    event: OPTIONAL = msgspec.UNSET
    uuid: OPTIONAL = msgspec.UNSET
    distinct_id: OPTIONAL = msgspec.UNSET
    timestamp: OPTIONAL = msgspec.UNSET
    session_id: OPTIONAL = msgspec.UNSET
    window_id: OPTIONAL = msgspec.UNSET
    options: OPTIONAL = msgspec.UNSET
    properties: OPTIONAL = msgspec.UNSET


class _Body(msgspec.Struct, gc=False):
    created_at: OPTIONAL = msgspec.UNSET
    batch: list[_Event] | msgspec.UnsetType = msgspec.UNSET
    historical_migration: OPTIONAL = msgspec.UNSET


_body_decoder = msgspec.json.Decoder(_Body)
_decode_options = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Headers(msgspec.Struct):
    """The headers of a request, read."""

    token: str
    library: str
    library_version: str
    sent_at: datetime


async def capture(door: Door, request: Request, receive: Receive) -> Answer:
    """Take the events of one request, and say for each what became of it.

    Raises:
        Refusal: 400, 401, 408, 413, 415 or 503 for the request as a whole.
    """
    door.check_open()
    headers = _headers(request)
    token = door.authenticate(request, headers.token)
    packed = await door.read(request, receive)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    text = await aside_if(len(packed) > LARGE_PACKED_BYTES, unpack, packed, encoding, request.reservation)
    body = await aside_if(len(text) > LARGE_BYTES, _body, text)
    unique = _by_uuid(body)
    if wait_s := door.rate(request, token, len(unique)):
        raise over_rate(wait_s, status=503)
    now = door.now()
    door.metrics.observe("gavel_ingest_clock_skew_seconds", skew_s(headers.sent_at, now))
    historical = _json(body.historical_migration) == b"true"
    events: list[Event | Refused] = []
    share = FairShare()
    uuids = list(unique)
    request.reservation.grow(len(text))  # for as long as the text is held beside its copies
    for uuid in uuids:
        sent = unique.pop(uuid)
        size = len(_json(sent.properties))
        if share.over(size):
            await asyncio.sleep(0)
        if size > LARGE_BYTES:
            events.append(await aside(_read, door, uuid, sent, headers, now, historical))
        else:
            events.append(_read(door, uuid, sent, headers, now, historical))
    request.reservation.shrink(len(text))
    del packed, text, body, sent  # while Kafka is waited for, memory is for the rows alone
    return _answer(uuids, await door.deliver(request, token, events))


def _answer(uuids: list[str], taken: Taken) -> Answer:
    results: dict[str, dict[str, str]] = {}
    for uuid, outcome, refused in zip(uuids, taken.outcomes, taken.refusals, strict=True):
        if outcome == "not_persisted":
            results[uuid] = _NOT_PERSISTED
        elif refused is not None:
            results[uuid] = {"result": "drop", "details": refused.tag}
        elif outcome == "not_forwarded":
            results[uuid] = _NOT_FORWARDED
        else:
            results[uuid] = {"result": "ok"}
    headers = () if taken.complete else ((b"retry-after", b"1"),)
    return Answer(200, msgspec.json.encode({"results": results}), headers=headers)


def _headers(request: Request) -> _Headers:
    """Return what the headers say.

    Raises:
        Refusal: 401 without a Bearer token, 400 where one is missing or wrong, 415 for another media type.
    """
    given = request.headers
    scheme, _, token = given.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("Send the project token as `Authorization: Bearer <token>`.")
    if given.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send application/json.")
    if not given.get("user-agent"):
        raise _bad_header("User-Agent", "missing")
    library, slash, version = given.get("posthog-sdk-info", "").rpartition("/")
    if not slash or not library or not version:
        raise _bad_header("PostHog-Sdk-Info", "not `library/version`")
    attempt = given.get("posthog-attempt", "")
    if not (attempt.isascii() and attempt.isdigit() and len(attempt) < 10 and int(attempt) >= 1):
        raise _bad_header("PostHog-Attempt", "not a number from 1")
    if not _is_uuid(given.get("posthog-request-id", "")):
        raise _bad_header("PostHog-Request-Id", "not a UUID")
    sent_at = parse_rfc3339(given.get("posthog-request-timestamp", ""))
    if sent_at is None:
        raise _bad_header("PostHog-Request-Timestamp", "not an RFC 3339 time")
    return _Headers(token, library[:100], version[:100], sent_at)


def _bad_header(name: str, problem: str) -> Refusal:
    return invalid("invalid_header", f"The header {name} is {problem}.", name)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _body(text: bytes) -> _Body:
    try:
        body, _ = decode(text, _body_decoder)
    except msgspec.ValidationError as error:
        raise invalid("invalid_body", "The body is not an object whose `batch` is a list of events.") from error
    if isinstance(body.batch, msgspec.UnsetType) or not body.batch:
        raise invalid("empty_batch", "The batch holds no event.", "batch")
    if len(body.batch) > MAX_EVENTS:
        raise Refusal(413, "too_many_events", f"The batch holds more than {MAX_EVENTS} events. Split it.", "batch")
    if parse_rfc3339(_string(body.created_at) or "") is None:
        raise invalid("invalid_created_at", "created_at is not an RFC 3339 time.", "created_at")
    return body


def _by_uuid(body: _Body) -> dict[str, _Event]:
    """Return the events by uuid, the first of each: results are reported under it."""
    found: dict[str, _Event] = {}
    for index, event in enumerate(body.batch or ()):
        uuid = normal_uuid(_string(event.uuid) or "")
        if uuid is None:
            raise invalid("invalid_uuid", f"The event at position {index} has no valid uuid.", f"batch__{index}__uuid")
        found.setdefault(uuid, event)
    return found


def _read(door: Door, uuid: str, event: _Event, headers: _Headers, now: datetime, historical: bool) -> Event | Refused:
    try:
        return _event(door, uuid, event, headers, now, historical)
    except InvalidEvent as error:
        return Refused(error.tag, str(error), msgspec.json.encode(event), _string(event.event) or "other")


def _event(door: Door, uuid: str, event: _Event, headers: _Headers, now: datetime, historical: bool) -> Event:
    """Return the event as it is to be written.

    Raises:
        InvalidEvent: with the tag that the client is told.
    """
    name = _string(event.event)
    if not name or not name.strip():
        raise InvalidEvent("missing_event_name", "the event has no name")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidEvent("event_name_too_long", f"the event's name has more than {MAX_NAME_CHARS} characters")
    distinct_id = _string(event.distinct_id)
    if not distinct_id or not distinct_id.strip():
        raise InvalidEvent("missing_distinct_id", "the event has no distinct_id")
    if len(distinct_id) > MAX_DISTINCT_ID_CHARS:
        raise InvalidEvent("distinct_id_too_large", f"distinct_id has more than {MAX_DISTINCT_ID_CHARS} characters")
    moment = parse_rfc3339(_string(event.timestamp) or "")
    if moment is None:
        raise InvalidEvent("invalid_event_timestamp", "timestamp is not an RFC 3339 time with a zone")
    options = _options(_json(event.options))
    properties = Properties(_json(event.properties))
    for option, value in options.items():
        properties.set(_OPTIONS[option], value)
    for field, property_name in (("session_id", "$session_id"), ("window_id", "$window_id")):
        if text := _string(getattr(event, field)):
            properties.set(property_name, text)
    properties.set("$lib", headers.library)
    properties.set("$lib_version", headers.library_version)
    properties.tidy_ids()
    properties.drop(door.settings.drop_properties)
    skewed = not options.get("disable_skew_correction") and not properties.is_true("$ignore_sent_at")
    return Event(
        uuid=uuid,
        name=name,
        distinct_id=distinct_id.replace("\0", "\ufffd"),
        timestamp=correct(moment, sent_at=headers.sent_at if skewed else None, now=now),
        properties=properties.as_json(),
        trace_id=properties.text("$ai_trace_id"),
        person_properties=None if properties.is_false("$process_person_profile") else person(properties, {}),
        historical=historical,
    )


def _options(raw: bytes) -> Mapping[str, Any]:
    if not raw or raw == b"null":
        return {}
    if raw[:1] != b"{" or len(raw) > 4096:
        raise InvalidEvent("invalid_options", "options is not an object")
    found: dict[str, Any] = {}
    for name, value in _decode_options(raw).items():
        text = bytes(value)
        if name not in _OPTIONS or text == b"null":
            continue
        if name in _BOOLEAN_OPTIONS:
            if text not in (b"true", b"false"):
                raise InvalidEvent("invalid_options", f"the option {name} is not true or false")
            found[name] = text == b"true"
        elif text[:1] == b'"':
            found[name] = start_of(text)
        else:
            raise InvalidEvent("invalid_options", f"the option {name} is not text")
    return found


def _json(value: msgspec.Raw | msgspec.UnsetType) -> bytes:
    return b"" if isinstance(value, msgspec.UnsetType) else bytes(value)


def _string(value: msgspec.Raw | msgspec.UnsetType) -> str | None:
    """Return the start of a value that is a JSON string, or None."""
    raw = _json(value)
    return start_of(raw) if raw[:1] == b'"' else None
