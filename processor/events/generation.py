"""From a decoded row to the `Generation` that evaluators see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from conditions import EventRow, RowError, decode_object
from evaluators.generation import COPIED, USUAL, Generation

GENERATION_EVENT = "$ai_generation"
_USUAL_LENGTH = len("2026-03-01 10:00:00.000000")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ISO_LENGTH = len("2026-03-01T10:00:00.000000+00:00")


def parse_timestamp(text: str | None) -> datetime:
    """Return the aware UTC time of `YYYY-MM-DD HH:MM:SS[.f]` (UTC) or ISO-8601.

    Raises:
        RowError: it is missing or neither.
    """
    if not text:
        raise RowError("bad_timestamp", "the row has no timestamp; send ISO-8601 or YYYY-MM-DD HH:MM:SS.ffffff in UTC")
    if len(text) == _USUAL_LENGTH and text[19] == ".":
        # As ingestion writes it, without an offset. To add one is several times as fast as to replace the zone.
        try:
            return datetime.fromisoformat(text + "+00:00")
        except ValueError:
            pass  # such as an offset in hours behind three digits of the second: the long way knows
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RowError(
            "bad_timestamp", f"timestamp {text[:40]!r} is neither ISO-8601 nor YYYY-MM-DD HH:MM:SS.ffffff"
        ) from error
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # such as Go's zero time with an offset: it is the calendar's first or last moment
        return _FIRST if moment.year == 1 else _LAST


def clickhouse_time(text: str | None) -> str:
    """Return a time that `parse_timestamp` takes as ClickHouse does: UTC, with a blank and microseconds.

    The form that ingestion writes, and ISO-8601 of the same precision in UTC, are cut and not parsed.
    """
    if text and (len(text) == _USUAL_LENGTH or (len(text) == _ISO_LENGTH and text.endswith("+00:00"))):
        plain = text[7] == "-" and text[19] == "." and text[20:26].isdecimal()
        if plain:  # otherwise it has a date by weeks, a decimal comma, or fewer digits and an offset in hours
            return f"{text[:10]} {text[11:26]}"
    return parse_timestamp(text).replace(tzinfo=None).isoformat(" ", "microseconds")


_ATTRIBUTES = {key: attribute for attribute, key in USUAL.items()}
_COPIED = tuple((key, _ATTRIBUTES[key]) for key in COPIED)
_Usual = msgspec.defstruct(
    "Usual",
    [(attribute, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for attribute in USUAL],
    rename=USUAL,
    gc=False,
)
_decode_usual = msgspec.json.Decoder(_Usual).decode
_decode_any = msgspec.json.Decoder().decode


class LazyProperties(Mapping[str, Any]):
    """The properties of one event, decoded as far as somebody asks.

    The keys that nearly every run reads (`USUAL`) are found without decoding the rest. Any other key, or all of them,
    decodes everything.

    Args:
        source: JSON text.
        view: where a matcher has found what is usual already (`MatchResult.properties`).
    """

    __slots__ = ("_all", "_copied", "_source", "_view")

    def __init__(self, source: str, view: Any = None) -> None:
        self._source = source
        self._all: dict[str, Any] | None = None
        self._copied: dict[str, Any] | None = None
        self._view = view
        if view is None:
            try:
                self._view = _decode_usual(source)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                self._all = decode_object(source, "properties")

    def whole(self) -> dict[str, Any]:
        """Return all of it, decoded. Not to be changed. Raises RowError if it cannot be decoded."""
        if self._all is None:
            self._all = decode_object(self._source, "properties")
        return self._all

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or `default`. Raises RowError if the properties cannot be decoded."""
        attribute = _ATTRIBUTES.get(key)
        if attribute is None or self._all is not None:
            return self.whole().get(key, default)
        value = getattr(self._view, attribute)
        if value is msgspec.UNSET:
            return default
        if type(value) is msgspec.Raw:
            try:
                return _decode_any(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self.whole()[key]  # such as a number beyond a float's range
        # As a filter sees it, who does not tell null from what is not there.
        return self.whole().get(key, default) if value is None and default is not None else value

    def copied(self) -> dict[str, Any]:
        """Return what results take over (`COPIED`), as far as it is there and not null. Not to be changed."""
        if self._copied is not None:
            return self._copied
        view, found = self._view, {}
        for key, attribute in _COPIED:
            if getattr(view, attribute, None) is not msgspec.UNSET:
                value = self.get(key)
                if value is not None:
                    found[key] = value
        self._copied = found
        return found

    def __getitem__(self, key: str) -> Any:
        return self.whole()[key]

    def __contains__(self, key: object) -> bool:
        attribute = _ATTRIBUTES.get(key) if isinstance(key, str) else None
        if attribute is None or self._all is not None:
            return key in self.whole()
        value = getattr(self._view, attribute)
        return key in self.whole() if value is None else value is not msgspec.UNSET

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())


class LazyObject(Mapping[str, Any]):
    """A field that holds an object or its JSON, decoded when it is first read.

    Most evaluators do not read the person. Broken JSON in a field that nobody reads must not cost a verdict.

    Every method raises RowError if the field holds anything else than an object.
    """

    __slots__ = ("_field", "_found", "_source")

    def __init__(self, source: object, field: str) -> None:
        self._source = source
        self._field = field
        self._found: dict[str, Any] | None = None

    def whole(self) -> dict[str, Any]:
        """Return all of it, decoded. Not to be changed. Raises RowError if it cannot be decoded."""
        if self._found is None:
            self._found = decode_object(self._source, self._field)
        return self._found

    def __getitem__(self, key: str) -> Any:
        return self.whole()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())


def to_generation(row: EventRow) -> Generation:
    """Decode all properties of `row`.

    Raises:
        RowError: the properties are not a JSON object, or the timestamp is not a time.
    """
    return _generation(row, decode_object(row.properties, "properties"))


def lazy_generation(row: EventRow, view: Any = None) -> Generation:
    """Return what `to_generation` does, with properties that are decoded as far as they are asked for.

    Args:
        view: `MatchResult.properties` of this row.

    Raises:
        RowError: as `to_generation`.
    """
    source = row.properties
    if isinstance(source, str) and source:
        return _generation(row, LazyProperties(source, view))
    return _generation(row, decode_object(source, "properties"))


def copied(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return what results take over of a generation's properties."""
    if isinstance(properties, LazyProperties):
        return properties.copied()
    return {key: properties[key] for key in COPIED if properties.get(key) is not None}


def _generation(row: EventRow, properties: Mapping[str, Any]) -> Generation:
    return Generation(
        uuid=row.uuid,
        team_id=row.team_id,
        event=row.event,
        distinct_id=row.distinct_id,
        timestamp=parse_timestamp(row.timestamp),
        properties=properties,
        person_properties=LazyObject(row.person_properties, "person_properties") if row.person_properties else {},
    )
