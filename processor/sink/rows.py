"""Make the rows of the ClickHouse tables from Kafka messages.

A row is a tuple in the order of `TableFormat.columns`. The usual message is decoded by msgspec straight into
typed values. Any other message takes the slow way, which accepts everything that JSON allows (numbers where text
is stored, lone surrogates, nulls) and refuses the rest. `processor.events.row` decides for the matcher and for the
archive which event rows are valid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from conditions import EventRow, RowError, decode_object
from conditions.row import decode_json
from processor.events.decision import DECISION_EVENT
from processor.events.label import LABEL_EVENT
from processor.events.measurement import MEASUREMENT_EVENT
from processor.events.message import Message, record_time_ms
from processor.events.result import RESULT_EVENT
from processor.events.row import GENERATIONS, Kinds, read_event
from processor.sink.columns import (
    ARCHIVE_FIELDS,
    ARCHIVE_ONLY,
    DECISION_FIELDS,
    DECLARED,
    DEFAULTS,
    LABEL_FIELDS,
    MEASUREMENT_FIELDS,
    RESULT_FIELDS,
    SENT,
    SHARED,
    Fields,
    Integer,
    Kind,
)
from processor.sink.native import NativeBlocks
from storage.clickhouse import ARCHIVE_TABLE, LABELS_TABLE, MEASUREMENTS_TABLE, RESULTS_TABLE
from storage.clickhouse.decisions import DECISIONS_TABLE

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
        types: the type that is sent, one per column. Texts are sent plain and become LowCardinality in the server,
            which is quicker than building dictionaries here.
        decode: a message to a row; raises `BadRow`, or `Passed`.
        encode: rows to a block of ClickHouse's Native format. Any number of blocks makes the body of an insert.
        keeps_bad_rows: whether a bad row is this table's to keep as a dead letter. False for the archive:
            the matcher reads the same records and answers for them.
    """

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    decode: Callable[[Message], Row]
    encode: Callable[[Sequence[Row]], bytes]
    keeps_bad_rows: bool


class _Outer(msgspec.Struct, gc=False):
    """The outer row of a result, as Gavel writes it: properties are a string that holds JSON."""

    uuid: str
    event: str
    properties: str
    team_id: Integer
    timestamp: str
    created_at: str = ""
    distinct_id: str = ""
    project_id: Integer | None = None
    person_mode: str | None = None


_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_outer = msgspec.json.Decoder(_Outer).decode
_as_tuple = msgspec.structs.astuple

_LAST_DAY = 84_006
"""2200-01-01 in days since 1970."""
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # subtracted from times of the same kind, naive from naive
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(text: str, field: str) -> int:
    """Return microseconds since 1970 of `YYYY-MM-DD HH:MM:SS.ffffff` (UTC) or ISO-8601.

    A time before 1970 becomes 1970, and one after 2199 the last moment of 2199: the table's partitions end there.
    """
    try:
        moment = datetime.fromisoformat(text)
        since = moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)
    except (ValueError, OverflowError):
        raise BadRow(f"{field} is neither ISO-8601 nor YYYY-MM-DD HH:MM:SS.ffffff") from None
    if since.days < 0:
        return 0
    if since.days >= _LAST_DAY:
        return _LAST_DAY * _DAY_US - 1
    return since.days * _DAY_US + since.seconds * 1_000_000 + since.microseconds


def _same_moment(timestamp: str, started: str) -> bool:
    """Tell whether the two are texts of one moment as live results have them; False if it takes more than a look."""
    usual = len(timestamp) == 26 and len(started) == 32
    return usual and started[:10] == timestamp[:10] and started[11:26] == timestamp[11:] and started[26:] == "+00:00"


def _read_outer(value: bytes) -> _Outer:
    try:
        return _decode_outer(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_outer_slowly(value)


def _read_outer_slowly(value: bytes) -> _Outer:
    """Read a result's row with the leniency of `read_row`: its properties may be an object, and null is absent."""
    try:
        decoded = decode_json(value, "not_json", "the message")
        fields = {name: item for name, item in decoded.items() if item is not None}
        if isinstance(fields.get("properties"), dict):
            fields["properties"] = _TextOf(value)("properties", fields["properties"])
        return msgspec.convert(fields, _Outer)
    except (RowError, AttributeError, msgspec.ValidationError) as error:
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
            found = decode_object(text, "properties")
        except RowError as error:
            raise BadRow(str(error)) from error
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
_measurement_properties = _Properties("MeasurementProperties", MEASUREMENT_FIELDS, lenient=False)
_decision_properties = _Properties("DecisionProperties", DECISION_FIELDS, lenient=False)
_label_properties = _Properties("LabelProperties", LABEL_FIELDS, lenient=False)
_archive_properties = _Properties("ArchiveProperties", ARCHIVE_FIELDS, lenient=True)


def decode_result(message: Message) -> Row:
    """Return the row of a result message.

    Raises:
        BadRow: it is not a result as Gavel emits it.
        Passed: another event.
    """
    value = message.value()
    if value is None:
        raise Passed("tombstone")
    outer = _read_outer(value)
    if outer.event != RESULT_EVENT:
        raise Passed("other_event")
    return _result_row(message, outer, _result_properties.read(outer.properties))


def decode_measurement(message: Message) -> Row:
    """Return the row of a measurement's result. Raises as `decode_result`."""
    value = message.value()
    if value is None:
        raise Passed("tombstone")
    outer = _read_outer(value)
    if outer.event != MEASUREMENT_EVENT:
        raise Passed("other_event")
    properties = _measurement_properties.read(outer.properties)
    if not (properties.measurement_id and properties.item):
        raise BadRow("$ai_measurement_run_id and $ai_measurement_item must not be empty")
    if properties.repeat is None:
        properties.repeat = 0
    return _result_row(message, outer, properties)


def _result_row(message: Message, outer: _Outer, properties: Any) -> Row:
    if not (outer.uuid and properties.evaluation_id and properties.target_event_id):
        raise BadRow("uuid, $ai_evaluation_id and $ai_target_event_id must not be empty")
    timestamp = _microseconds(outer.timestamp, "timestamp")
    created_at = timestamp if outer.created_at == outer.timestamp else _created_at(outer.created_at, timestamp)
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
        record_time_ms(message),
        *_as_tuple(properties),
    )


def decode_label(message: Message) -> Row:
    """Return the row of a label event.

    Raises:
        BadRow: it is not a label as Gavel emits it.
        Passed: another event.
    """
    return _decode_beside(message, LABEL_EVENT, _label_properties, ("label_id", "evaluation_id", "target_event_id"))


def decode_decision(message: Message) -> Row:
    """Return the row of a decision event.

    Raises:
        BadRow: it is not a decision as Gavel emits it.
        Passed: another event.
    """
    return _decode_beside(message, DECISION_EVENT, _decision_properties, ("evaluation_id", "target_event_id", "reason"))


def _decode_beside(message: Message, event: str, fields: _Properties, needed: tuple[str, ...]) -> Row:
    """Return the row of an event that is on the results topic beside results."""
    value = message.value()
    if value is None:
        raise Passed("tombstone")
    outer = _read_outer(value)
    if outer.event != event:
        raise Passed("other_event")
    properties = fields.read(outer.properties)
    if not outer.uuid or not all(getattr(properties, name) for name in needed):
        raise BadRow(f"uuid, {', '.join(needed)} must not be empty in {event}")
    timestamp = _microseconds(outer.timestamp, "timestamp")
    return (
        outer.uuid,
        outer.team_id,
        outer.project_id,
        outer.distinct_id,
        timestamp,
        _created_at(outer.created_at, timestamp),
        outer.person_mode or "",
        outer.properties,
        record_time_ms(message),
        *_as_tuple(properties),
    )


def decode_event(message: Message, kinds: Kinds = GENERATIONS) -> Row:
    """Return the archive row of a generation event, or of another of the `kinds`.

    Raises:
        BadRow: not a valid row (`processor.events.row`), or one whose time or properties cannot be read.
        Passed: another event, skipped undecoded where its bytes or its header tell.
    """
    try:
        row = read_event(message, kinds=kinds)
    except RowError as error:
        raise BadRow(str(error)) from error
    if type(row) is not EventRow:
        raise Passed(str(row))
    timestamp = _microseconds(row.timestamp or "", "timestamp")
    texts = [
        row.properties,
        row.person_properties,
        row.group0_properties,
        row.group1_properties,
        row.group2_properties,
        row.group3_properties,
        row.group4_properties,
    ]
    if not _PLAIN.issuperset(map(type, texts)):
        text_of = _TextOf(message.value() or b"")
        texts = [text_of(name, field) for name, field in zip(_JSON_FIELDS, texts, strict=True)]
    properties = texts[0] or "{}"
    return (
        row.uuid,
        row.team_id,
        row.project_id,
        row.distinct_id,
        timestamp,
        timestamp if row.created_at == row.timestamp else _created_at(row.created_at, timestamp),
        row.person_mode or "",
        properties,
        record_time_ms(message),
        row.event,
        row.elements_chain or "",
        row.person_id or "",
        *[text or "" for text in texts[1:]],
        *_as_tuple(_archive_properties.read(properties)),
    )


_JSON_FIELDS = ("properties", "person_properties", *(f"group{n}_properties" for n in range(5)))
_PLAIN = frozenset({str, type(None)})


def _created_at(text: str | None, timestamp_us: int) -> int:
    """Return when the row was created; its timestamp where the row does not say it readably: no verdict needs it."""
    if not text:
        return timestamp_us
    try:
        return _microseconds(text, "created_at")
    except BadRow:
        return timestamp_us


class _TextOf:
    """The text of fields of one message that hold JSON or its text; an object's text as it stands in the message.

    Args:
        value: the message.
    """

    __slots__ = ("_raw", "_value")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._raw: dict[str, msgspec.Raw] | None = None

    def __call__(self, name: str, field: Any) -> str:
        """Return the text of a field that was decoded to `field`; empty for None."""
        if isinstance(field, str):
            return field
        if field is None:
            return ""
        if self._raw is None:
            try:
                self._raw = _decode_raw(self._value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._raw = {}  # JSON that only `decode_json` takes, which has no text to be kept
        raw = self._raw.get(name)
        return bytes(raw).decode() if raw is not None else json.dumps(field, separators=(",", ":"))


def _format(
    table: str,
    outer: tuple[tuple[str, str], ...],
    fields: Fields,
    decode: Callable[[Message], Row],
    *,
    keeps_bad_rows: bool,
) -> TableFormat:
    columns = (*(name for name, _ in outer), *(column for column, _, _ in fields))
    types = (*(sent for _, sent in outer), *(SENT[kind] for _, _, kind in fields))
    defaults = (*(... for _ in outer), *(DEFAULTS[kind] for _, _, kind in fields))
    encode = NativeBlocks(table, columns, types, defaults).encode
    return TableFormat(table, columns, types, decode, encode, keeps_bad_rows)


RESULTS = _format(RESULTS_TABLE, SHARED, RESULT_FIELDS, decode_result, keeps_bad_rows=True)
MEASUREMENTS = _format(MEASUREMENTS_TABLE, SHARED, MEASUREMENT_FIELDS, decode_measurement, keeps_bad_rows=True)
DECISIONS = _format(DECISIONS_TABLE, SHARED, DECISION_FIELDS, decode_decision, keeps_bad_rows=True)
LABELS = _format(LABELS_TABLE, SHARED, LABEL_FIELDS, decode_label, keeps_bad_rows=True)
ARCHIVE = _format(ARCHIVE_TABLE, SHARED + ARCHIVE_ONLY, ARCHIVE_FIELDS, decode_event, keeps_bad_rows=False)


def archive_of(names: Sequence[str]) -> TableFormat:
    """Return the archive that keeps generations and the other events with these names."""
    kinds = Kinds.of(names)
    return ARCHIVE if kinds == GENERATIONS else replace(ARCHIVE, decode=partial(decode_event, kinds=kinds))
