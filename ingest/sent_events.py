"""Events as version 0 of the capture protocol sends them, and how they are decoded.

Nearly every event is plain: its fields are of the right type, and nothing of it has to be mended. A batch of plain
ones is decoded in one pass. Any other batch is decoded again with nothing taken for granted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.answers import invalid
from ingest.door import Refused
from ingest.json_text import Counted, TooMany, check_elements, decode, reset_count, too_many
from ingest.limits import MIB

OPTIONAL = msgspec.Raw | msgspec.UnsetType


class SentEvent(Counted, gc=False):
    """One event as it was sent; values are JSON that nobody has looked at yet."""

    event: OPTIONAL = msgspec.UNSET
    uuid: OPTIONAL = msgspec.UNSET
    distinct_id: OPTIONAL = msgspec.UNSET
    dollar_distinct_id: OPTIONAL = msgspec.field(default=msgspec.UNSET, name="$distinct_id")
    properties: OPTIONAL = msgspec.UNSET
    timestamp: OPTIONAL = msgspec.UNSET
    offset: OPTIONAL = msgspec.UNSET
    set: OPTIONAL = msgspec.field(default=msgspec.UNSET, name="$set")
    set_once: OPTIONAL = msgspec.field(default=msgspec.UNSET, name="$set_once")
    token: OPTIONAL = msgspec.UNSET
    dollar_token: OPTIONAL = msgspec.field(default=msgspec.UNSET, name="$token")
    api_key: OPTIONAL = msgspec.UNSET


class PlainEvent(msgspec.Struct, gc=False):
    """One event whose fields are text, and that has none of the fields that need a closer look.

    They are not counted: a text of plain events is short, and none of them takes less than 40 bytes of it.
    """

    event: str
    distinct_id: str
    properties: msgspec.Raw
    uuid: str = ""
    timestamp: str = ""
    dollar_distinct_id: None = msgspec.field(default=None, name="$distinct_id")
    offset: None = None
    set: None = msgspec.field(default=None, name="$set")
    set_once: None = msgspec.field(default=None, name="$set_once")
    token: None = None
    dollar_token: None = msgspec.field(default=None, name="$token")
    api_key: None = None


class Batch(msgspec.Struct, gc=False):
    """The fields around the events of a request."""

    batch: OPTIONAL = msgspec.UNSET
    api_key: OPTIONAL = msgspec.UNSET
    token: OPTIONAL = msgspec.UNSET
    sent_at: OPTIONAL = msgspec.UNSET
    historical_migration: OPTIONAL = msgspec.UNSET


class _PlainBatch(Batch, gc=False):
    batch: list[PlainEvent] = []  # type: ignore[assignment]  # narrower; msgspec copies the default


class _WellFormedBatch(Batch, gc=False):
    batch: list[SentEvent] = []  # type: ignore[assignment]  # as above


_PLAIN_BYTES = 4 * MIB
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_event_decoder = msgspec.json.Decoder(SentEvent)
_batch_decoder = msgspec.json.Decoder(Batch)
_typed_decoders: tuple[msgspec.json.Decoder[Any], ...] = (
    msgspec.json.Decoder(_PlainBatch),
    msgspec.json.Decoder(_WellFormedBatch),
)

SentItem = SentEvent | PlainEvent | Refused


def decode_request(text: bytes) -> tuple[Batch, list[SentItem]]:
    """Return the fields around the events, and the events. Those that are not objects are refused one by one.

    Raises:
        Refusal: 400, it is not JSON of a request.
    """
    if text[:1] == b"[":
        return Batch(), _listed(text)
    # A plain event is decoded whole, and one emoji makes four bytes of each character of its name.
    for decoder in _typed_decoders if len(text) <= _PLAIN_BYTES else _typed_decoders[1:]:
        try:
            outer, text = decode(text, decoder)
        except msgspec.ValidationError:
            continue
        if outer.batch and (outer.api_key or outer.token or decoder is not _typed_decoders[0]):
            return outer, outer.batch
    whole, text = _decoded(text, _batch_decoder)
    inner = whole.batch
    if isinstance(inner, msgspec.UnsetType):
        return whole, [parse(msgspec.Raw(text))]
    return whole, _listed(bytes(inner))


def _listed(text: bytes) -> list[SentItem]:
    try:
        check_elements(text)
    except TooMany as error:
        raise too_many() from error
    return [parse(raw) for raw in _decoded(text, _list_decoder)[0]]


def parse(raw: msgspec.Raw) -> SentEvent | Refused:
    """Return one event out of its JSON."""
    reset_count()
    try:
        return _event_decoder.decode(raw)
    except msgspec.ValidationError:
        return Refused("malformed_event", "the event is not an object", bytes(raw))


def closer(event: PlainEvent) -> SentEvent:
    """Return a plain event as one that is looked at closely."""
    reset_count()
    return _event_decoder.decode(msgspec.json.encode(event))


def _decoded(text: bytes, decoder: msgspec.json.Decoder[Any]) -> tuple[Any, bytes]:
    try:
        return decode(text, decoder)
    except msgspec.ValidationError as error:
        raise invalid("bad_shape", "Send an event, a list of events, or an object whose `batch` is one.") from error
