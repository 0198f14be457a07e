"""The row of an event as the ingestion pipeline writes it, decoded no further than needed."""

from __future__ import annotations

import json
import re
from math import inf, isfinite
from typing import Annotated, Any

import msgspec

from conditions.errors import RowError
from conditions.values import DIGIT_LIMIT

MAX_UUID_CHARACTERS = 200
"""An event's id is part of message keys, headers and identities, so its length is limited."""
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that every store can hold."""


class EventRow(msgspec.Struct, gc=False):  # nothing in it can refer back to it
    """One row. `properties`, `person_properties` and `groupN_properties` stay as they came: a string that
    holds JSON, or an object; empty and None mean that there are none.
    """

    uuid: Annotated[str, msgspec.Meta(max_length=MAX_UUID_CHARACTERS)]
    team_id: Integer
    event: str = ""
    properties: Any = None
    project_id: Integer | None = None
    distinct_id: str = ""
    timestamp: str | None = None
    created_at: str | None = None
    elements_chain: str | None = ""
    person_id: str | None = None
    person_properties: Any = None
    person_mode: str | None = None
    group0_properties: Any = None
    group1_properties: Any = None
    group2_properties: Any = None
    group3_properties: Any = None
    group4_properties: Any = None


decode_usual_row = msgspec.json.Decoder(EventRow).decode
"""Decodes the usual message, and raises one of `UNUSUAL` for those that `decode_row` yet makes sense of, or refuses in
words. An empty uuid is let through."""
UNUSUAL = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_any = msgspec.json.Decoder().decode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_row(value: bytes) -> EventRow:
    """Decode the outer row of a message.

    Raises:
        RowError: `not_json`, `not_a_row` (a field of a wrong type), `no_uuid`, `no_team_id`.
    """
    try:
        row = decode_usual_row(value)
    except UNUSUAL:
        return read_row(decode_json(value, "not_json", "the message"))
    return row if row.uuid else _identified(row)


def read_row(decoded: object) -> EventRow:
    """Return the row that decoded JSON holds; null in a field is a field that is not there.

    Raises:
        RowError: as `decode_row`.
    """
    if not isinstance(decoded, dict):
        raise RowError("not_a_row", f"the message is JSON but holds {kind_of(decoded)}, not an object")
    for field in ("uuid", "team_id"):
        if decoded.get(field) is None:
            raise RowError(f"no_{field}", f"the row has no {field}")
    found = {name: _as_text(name, item) for name, item in decoded.items() if item is not None}
    try:
        row = msgspec.convert(found, EventRow)
    except msgspec.ValidationError as error:
        raise RowError("not_a_row", f"the row has a field of a wrong type: {error}") from error
    return _identified(row)


def _as_text(name: str, item: object) -> object:
    """Return a field's value with U+FFFD for each lone surrogate: no store and no encoding takes one.

    Raises:
        RowError: the field is the uuid. Two events must not become one by a replacement in their ids.
    """
    if not isinstance(item, str) or item.isascii():
        return item
    text = _LONE_SURROGATE.sub("\ufffd", item)
    if name == "uuid" and text != item:
        raise RowError("not_a_row", "the row's uuid holds half of a surrogate pair, which is not Unicode text")
    return text


def _identified(row: EventRow) -> EventRow:
    if not row.uuid:
        raise RowError("no_uuid", "the row's uuid is empty; it identifies the event and decides its sampling")
    return row


def decode_json(source: str | bytes, reason: str, what: str) -> Any:
    """Decode JSON, also what the fast decoder refuses: lone surrogates, numbers beyond a float's range, which
    read as infinite and so do not count as numbers, and NaN and Infinity, which read as null.

    Raises:
        RowError: with `reason`, saying that `what` is not JSON.
    """
    try:
        return _decode_any(source)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return json.loads(source, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_read_constant)
    except RecursionError as error:
        raise RowError(reason, f"{what} is nested too deeply to be read") from error
    except ValueError as error:
        where = f" (at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise RowError(reason, f"{what} is not JSON{where}") from error


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGIT_LIMIT else inf


def _parse_float(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else inf  # no filter takes infinity for a number, whatever its sign


def _read_constant(_name: str) -> None:
    """Return null for NaN and Infinity, which Python's encoder writes though JSON has no word for them."""
    return


def decode_object(source: object, field: str) -> dict[str, Any]:
    """Decode a field that holds an object or its JSON; None and the empty string are the empty object.

    Raises:
        RowError: `bad_<field>`: no JSON, or JSON of something else.
    """
    decoded = decode_json(source, f"bad_{field}", field) if isinstance(source, str) and source else source
    if isinstance(decoded, dict):
        return decoded
    if not decoded and (decoded is None or isinstance(decoded, str)):
        return {}
    raise RowError(f"bad_{field}", f"{field} holds {kind_of(decoded)}, not an object")


def too_deep() -> RowError:
    """Return the error of a row whose values are nested too deeply to be looked at."""
    return RowError("bad_properties", "the row's properties are nested too deeply to be read")


def kind_of(value: object) -> str:
    """Return what kind of JSON value this is, for a message."""
    kinds = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")
