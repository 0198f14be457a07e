"""Traces of OTLP over HTTP: who may send them, and the spans of a request, each of which is taken or rejected alone."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote

from ingest.answers import Answer, Refusal, overloaded, unauthorized
from ingest.body import Receive
from ingest.door import RESERVED_TOGETHER, Door, Refused, Request, over_rate
from ingest.fair_share import FairShare
from ingest.large_work import LARGE_BYTES, LARGE_PACKED_BYTES, aside, aside_if
from ingest.limits import MAX_EVENTS
from ingest.otlp import envelope, json_form
from ingest.otlp.answers import JSON, PROTOBUF, success
from ingest.otlp.mapping import is_ai, kind_of, plan_of_span, to_event
from ingest.otlp.span import UnreadableSpan
from ingest.rows import Event
from ingest.unpacking import unpack
from processor.events.row import MAX_EVENT_BYTES
from storage.sql.project_tokens import ProjectToken

_LARGE_SPAN_BYTES = 256 * 1024
"""The size of a span from which it is decoded aside, one at a time in the process: decoded, its small fields take 27
times their bytes."""

Unpacked = envelope.Packed | json_form.JsonPacked


class Admitted(NamedTuple):
    """A request whose token is known and whose body is read: its media type, which the answer has too."""

    media_type: str
    token: ProjectToken
    body: bytes


async def traces(door: Door, request: Request, receive: Receive) -> Answer:
    """Take the spans of one request.

    Raises:
        Refusal: 400, 401, 408, 413, 415, 429 or 503 for the request as a whole.
    """
    media_type, token, body = await admit(door, request, receive)
    spans = await aside_if(len(body) > LARGE_BYTES, _spans, body, media_type)
    if wait_s := door.rate(request, token, len(spans)):
        raise over_rate(wait_s, status=429)
    events = await _read(door, request, spans, token)
    taken = await door.deliver(request, token, events)
    if not taken.complete:
        raise overloaded("not_persisted", "Kafka did not acknowledge every span. Send all of them again.", 2)
    rejected = [refused for refused in taken.refusals if refused is not None]
    message = f"{len(rejected)} spans were rejected; the first one: {rejected[0].detail}" if rejected else ""
    return success(media_type, "rejectedSpans", len(rejected), message)


async def admit(door: Door, request: Request, receive: Receive) -> Admitted:
    """Check the media type and the token of a request, and read its body.

    Raises:
        Refusal: 400, 401, 408, 413, 415 or 503.
    """
    door.check_open()
    media_type = _media_type(request.headers)
    token = door.authenticate(request, _token(request.headers))
    packed = await door.read(request, receive)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    large = len(packed) > LARGE_PACKED_BYTES
    return Admitted(media_type, token, await aside_if(large, unpack, packed, encoding, request.reservation))


def _media_type(headers: Mapping[str, str]) -> str:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in (PROTOBUF, JSON):
        raise Refusal(415, "unsupported_media_type", f"Send {PROTOBUF} or {JSON}. gRPC is not served.", close=True)
    return given


def _token(headers: Mapping[str, str]) -> str | None:
    """Return the token of a Bearer or Basic header; for Basic, the user or the password that can be one."""
    # Environment variables for headers are URL-encoded, so a blank may arrive as %20.
    scheme, _, text = unquote(headers.get("authorization", "")).strip().partition(" ")
    if scheme.lower() == "bearer":
        return text.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthorized("The header Authorization is not valid Basic authentication.") from error
    return next((each for each in (user, password) if each.startswith(("gvt_", "phc_"))), user or password or None)


def _spans(body: bytes, media_type: str) -> list[Unpacked]:
    walked: Iterator[Unpacked] = envelope.walk(body) if media_type == PROTOBUF else json_form.walk(body or b"{}")
    spans: list[Unpacked] = []
    for span in walked:
        if len(spans) == MAX_EVENTS:
            raise Refusal(413, "too_many_spans", f"The request holds more than {MAX_EVENTS} spans. Send fewer.")
        spans.append(span)
    return spans


async def _read(door: Door, request: Request, spans: list[Unpacked], token: ProjectToken) -> list[Event | Refused]:
    """Return the events of spans, each decoded alone. Spans of other applications are counted and left out."""
    events: list[Event | Refused] = []
    others = unreserved = 0
    now = door.now()
    share = FairShare()
    for packed in spans:
        size = len(packed.raw)
        if share.over(size):
            await asyncio.sleep(0)
        try:
            if size > _LARGE_SPAN_BYTES:
                event = await aside(_one, door, packed, token, now)
            else:
                event = _one(door, packed, token, now)
        except UnreadableSpan as error:
            events.append(Refused("malformed_span", str(error), packed.raw))
            continue
        except _OtherSpan:
            others += 1
            continue
        if event is None:
            continue
        events.append(event)
        unreserved += len(event.properties)
        if unreserved > RESERVED_TOGETHER:
            request.reservation.grow(unreserved)
            unreserved = 0
    request.reservation.grow(unreserved)
    if others:
        door.metrics.count("gavel_ingest_events", others, outcome="other_span")
    return events


class _OtherSpan(Exception):
    """The span is not one of an LLM application."""


def _one(door: Door, packed: Unpacked, token: ProjectToken, now: datetime) -> Event | None:
    """Return the event of a span, or None if events of its kind are not forwarded.

    Raises:
        UnreadableSpan: it cannot be taken.
        _OtherSpan: it is not one of an LLM application.
    """
    size = len(packed.raw)
    if size > MAX_EVENT_BYTES:
        raise UnreadableSpan(f"the span has {size} bytes; the limit is {MAX_EVENT_BYTES}")
    span = packed.decode()
    plan = plan_of_span(span)
    if not is_ai(span, plan):
        raise _OtherSpan
    name, convention = kind_of(span, plan)
    if not door.forwards(name):
        door.not_forwarded(name)
        return None
    return to_event(
        span, plan, name, convention,
        team_id=token.team_id, now=now, kept=door.settings.resource_attributes,
        dropped=door.settings.drop_properties,
    )  # fmt: skip
