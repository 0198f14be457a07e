"""From Kafka messages to the rows of the two ClickHouse tables.

A row is a tuple in the order of `TableFormat.columns`. The usual message is decoded by msgspec straight into
typed values; what does not fit goes the slow way, which bears what JSON allows (numbers where text is stored,
lone surrogates, nulls) and refuses the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.clickhouse import ARCHIVE_TABLE, RESULTS_TABLE
from processor.events.generation import GENERATION_EVENT
from processor.events.result import RESULT_EVENT
from processor.sink_columns import (
    ARCHIVE_FIELDS,
    ARCHIVE_ONLY,
    DECLARED,
    DEFAULTS,
    RESULT_FIELDS,
    SENT,
    SHARED,
    Fields,
    Integer,
    Kind,
)
from processor.sink_native import NativeBlocks

Row = tuple[Any, ...]


class BadRow(ValueError):
    """A message that makes no row. The text names the field and holds nothing of the payload."""


class Passed(Exception):  # no error: the message is simply for somebody else
    """The message is none of this table's. `reason` is a bounded metric label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TableFormat:
    """How messages of one topic become rows of one table.

    Attributes:
        types: what is sent, one per column. Texts are sent plain and become LowCardinality in the server,
            which is quicker than building dictionaries here.
        decode: a message to a row; raises `BadRow`, or `Passed`.
        encode: rows to a block of ClickHouse's Native format. Any number of blocks makes the body of an insert.
        keeps_bad_rows: whether a bad row is this table's to keep as a dead letter. False for the archive:
            the matcher reads the same records and answers for them.
    """

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    decode: Callable[[Any], Row]
    encode: Callable[[Sequence[Row]], bytes]
    keeps_bad_rows: bool


class _Outer(msgspec.Struct, gc=False):
    """The outer row, as it usually comes: properties are a string that holds JSON."""

    uuid: str
    event: str
    properties: str
    team_id: Integer
    timestamp: str
    created_at: str = ""
    distinct_id: str = ""
    project_id: Integer | None = None
    person_mode: str | None = None
    elements_chain: str = ""
    person_id: str | None = None
    person_properties: str | None = None
    group0_properties: str | None = None
    group1_properties: str | None = None
    group2_properties: str | None = None
    group3_properties: str | None = None
    group4_properties: str | None = None


_MAY_BE_OBJECTS = ("properties", "person_properties", *(f"group{n}_properties" for n in range(5)))

_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_as_tuple = msgspec.structs.astuple

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # subtracted from times of the same kind, naive from naive
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(text: str, field: str) -> int:
    """Return microseconds since 1970 of `YYYY-MM-DD HH:MM:SS.ffffff` (UTC) or ISO-8601."""
    try:
        moment = datetime.fromisoformat(text)
        since = moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)
    except (ValueError, OverflowError):
        raise BadRow(f"{field} is neither ISO-8601 nor YYYY-MM-DD HH:MM:SS.ffffff") from None
    if not 0 <= since.days < 84_000:
        raise BadRow(f"{field} is not between 1970 and 2199")
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _same_moment(timestamp: str, started: str) -> bool:
    """Tell whether the two are texts of one moment as live results have them; False if it takes more than a look."""
    usual = len(timestamp) == 26 and len(started) == 32
    return usual and started[:10] == timestamp[:10] and started[11:26] == timestamp[11:] and started[26:] == "+00:00"


def _read_outer(value: bytes) -> _Outer:
    try:
        return _decode_outer(value)
    except (msgspec.ValidationError, RecursionError):
        return _read_outer_slowly(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRow(f"not JSON: {error}") from error


def _read_outer_slowly(value: bytes) -> _Outer:
    """Read a row whose JSON fields are objects, not strings; their text is kept as it stands."""
    try:
        fields: dict[str, Any] = {
            name: raw for name, raw in _decode_raw(value).items() if name in _Outer.__struct_fields__
        }
        for name, raw in fields.items():
            text = bytes(raw)
            if name in _MAY_BE_OBJECTS and text[:1] == b"{":
                fields[name] = text.decode()
            else:
                fields[name] = _decode_any(text)
        return msgspec.convert(fields, _Outer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRow(f"not a row: {error}") from error


class _Properties:
    """Decodes the properties that a table has columns for, in the order of its columns."""

    def __init__(self, name: str, fields: Fields, *, lenient: bool) -> None:
        self._fields = fields
        self._lenient = lenient
        self._struct: Any = msgspec.defstruct(
            name,
            [(column, *DECLARED[kind]) for column, _, kind in fields],
            rename={column: prop for column, prop, _ in fields},
            gc=False,
        )
        self._decode = msgspec.json.Decoder(self._struct).decode

    def read(self, text: str) -> Any:
        """Return a struct of the values, in the order of the columns.

        Raises:
            BadRow: no JSON object, or (unless lenient) a value of another type than the column's.
        """
        try:
            return self._decode(text)
        except (msgspec.DecodeError, RecursionError):
            return self._read_slowly(text)

    def _read_slowly(self, text: str) -> Any:
        try:
            # The standard library takes what Python's and JavaScript's encoders write: lone surrogates, NaN.
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadRow(f"properties hold no JSON: {type(error).__name__}") from error
        if not isinstance(found, dict):
            raise BadRow(f"properties hold {type(found).__name__}, not an object")
        values: dict[str, Any] = {}
        for column, prop, kind in self._fields:
            value = found.get(prop)
            if value is None:
                continue
            fitting = _coerce(value, kind)
            if fitting is not None:
                values[column] = fitting
            elif not self._lenient:
                raise BadRow(f"{prop} is {type(value).__name__}; the table stores {kind}")
        return self._struct(**values)


def _coerce(value: Any, kind: Kind) -> Any:
    """Return `value` as the column stores it, or None if it cannot be that."""
    if kind in ("text", "time"):
        text = value if isinstance(value, str) else json.dumps(value)
        return text.encode("utf-8", "replace").decode()
    if kind == "texts":
        return tuple(_coerce(item, "text") for item in value) if isinstance(value, list) else None
    if kind in ("flag", "maybe_flag"):
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == "int":
        return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None
    try:
        return float(value)
    except OverflowError:
        return None


_result_properties = _Properties("ResultProperties", RESULT_FIELDS, lenient=False)
_archive_properties = _Properties("ArchiveProperties", ARCHIVE_FIELDS, lenient=True)


def _record_time_ms(message: Any) -> int:
    _, milliseconds = message.timestamp()
    return max(0, int(milliseconds))


def decode_result(message: Any) -> Row:
    """Return the row of a result message.

    Raises:
        BadRow: not a result of spec/events.md.
        Passed: another event.
    """
    value = message.value()
    if value is None:
        raise Passed("tombstone")
    outer = _read_outer(value)
    if outer.event != RESULT_EVENT:
        raise Passed("other_event")
    properties = _result_properties.read(outer.properties)
    if not (outer.uuid and properties.evaluation_id and properties.target_event_id):
        raise BadRow("uuid, $ai_evaluation_id and $ai_target_event_id must not be empty")
    timestamp = _microseconds(outer.timestamp, "timestamp")
    same = outer.created_at == outer.timestamp or not outer.created_at
    created_at = timestamp if same else _microseconds(outer.created_at, "created_at")
    started = properties.start_time
    same = not started or _same_moment(outer.timestamp, started)
    properties.start_time = timestamp if same else _microseconds(started, "$ai_evaluation_start_time")
    if properties.evaluation_version is None:
        properties.evaluation_version = 0
    return (
        outer.uuid,
        outer.team_id,
        outer.project_id,
        outer.distinct_id,
        timestamp,
        created_at,
        outer.person_mode or "",
        outer.properties,
        _record_time_ms(message),
        *_as_tuple(properties),
    )


_MARK = GENERATION_EVENT.encode()


def decode_generation(message: Any) -> Row:
    """Return the archive row of a generation event.

    Raises:
        BadRow: not a row of spec/events.md.
        Passed: another event, skipped undecoded where its bytes or its header tell.
    """
    value = message.value()
    if value is None:
        raise Passed("tombstone")
    headers = message.headers()
    track = next((found or b"" for name, found in headers if name == "productTrack"), None) if headers else None
    if track is None:
        if _MARK not in value:
            raise Passed("other_event")
    elif track != b"llma":
        raise Passed("other_track")
    outer = _read_outer(value)
    if outer.event != GENERATION_EVENT:
        raise Passed("other_event")
    if not outer.uuid:
        raise BadRow("uuid must not be empty")
    timestamp = _microseconds(outer.timestamp, "timestamp")
    created_at = _microseconds(outer.created_at, "created_at") if outer.created_at else timestamp
    return (
        outer.uuid,
        outer.team_id,
        outer.project_id,
        outer.distinct_id,
        timestamp,
        created_at,
        outer.person_mode or "",
        outer.properties,
        _record_time_ms(message),
        outer.event,
        outer.elements_chain,
        outer.person_id or "",
        outer.person_properties or "",
        outer.group0_properties or "",
        outer.group1_properties or "",
        outer.group2_properties or "",
        outer.group3_properties or "",
        outer.group4_properties or "",
        *_as_tuple(_archive_properties.read(outer.properties)),
    )


def _format(
    table: str,
    outer: tuple[tuple[str, str], ...],
    fields: Fields,
    decode: Callable[[Any], Row],
    *,
    keeps_bad_rows: bool,
) -> TableFormat:
    columns = (*(name for name, _ in outer), *(column for column, _, _ in fields))
    types = (*(sent for _, sent in outer), *(SENT[kind] for _, _, kind in fields))
    defaults = (*(... for _ in outer), *(DEFAULTS[kind] for _, _, kind in fields))
    encode = NativeBlocks(table, columns, types, defaults).encode
    return TableFormat(table, columns, types, decode, encode, keeps_bad_rows)


RESULTS = _format(RESULTS_TABLE, SHARED, RESULT_FIELDS, decode_result, keeps_bad_rows=True)
ARCHIVE = _format(ARCHIVE_TABLE, SHARED + ARCHIVE_ONLY, ARCHIVE_FIELDS, decode_generation, keeps_bad_rows=False)
