"""From a decoded row to the `Generation` that evaluators see.

Attributes:
    COPIED: properties of a generation that its results take over.
    JUDGE_MARK: a generation with this property is a judge's own call and is not judged: no loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from conditions import EventRow, RowError, decode_object
from evaluators.generation import Generation

GENERATION_EVENT = "$ai_generation"
COPIED = ("$ai_trace_id", "$ai_session_id", "$session_id", "$ai_prompt_name", "$ai_prompt_version")
JUDGE_MARK = "$ai_evaluation_judge"
_TEXTS = ("$ai_input", "$ai_input_state", "$ai_output_choices", "$ai_output", "$ai_output_state")
_USUAL_LENGTH = len("2026-03-01 10:00:00.000000")


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
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise RowError("bad_timestamp", f"timestamp {text[:40]!r} is outside of the years 1 to 9999") from error


_ATTRIBUTES = {name: f"f{place}" for place, name in enumerate((*_TEXTS, *COPIED, JUDGE_MARK))}
_Common = msgspec.defstruct(
    "Common",
    [(_ATTRIBUTES[name], msgspec.Raw if name in _TEXTS else Any, msgspec.UNSET) for name in _ATTRIBUTES],
    rename={attribute: name for name, attribute in _ATTRIBUTES.items()},
    gc=False,
)
_decode_common = msgspec.json.Decoder(_Common).decode
_decode_any = msgspec.json.Decoder().decode


class LazyProperties(Mapping[str, Any]):
    """The properties of one event, decoded as far as somebody asks.

    What nearly every run wants (input, output, what results take over) is found without making values of all the
    rest; to ask for any other key, or for all, decodes everything. A fault in a value that nobody asks for goes
    unseen. Made by `lazy_generation`.
    """

    __slots__ = ("_all", "_common", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._all: dict[str, Any] | None = None
        try:
            self._common = _decode_common(source)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            self._all = decode_object(source, "properties")

    def _whole(self) -> dict[str, Any]:
        if self._all is None:
            self._all = decode_object(self._source, "properties")
        return self._all

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or `default`. Raises RowError if the properties cannot be decoded."""
        attribute = _ATTRIBUTES.get(key)
        if attribute is None or self._all is not None:
            return self._whole().get(key, default)
        value = getattr(self._common, attribute)
        if value is msgspec.UNSET:
            return default
        if type(value) is not msgspec.Raw:
            return value
        try:
            return _decode_any(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._whole().get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self._whole()[key]

    def __contains__(self, key: object) -> bool:
        attribute = _ATTRIBUTES.get(key) if isinstance(key, str) else None
        if attribute is None or self._all is not None:
            return key in self._whole()
        return getattr(self._common, attribute) is not msgspec.UNSET

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())


def to_generation(row: EventRow) -> Generation:
    """Decode all properties of `row`.

    Raises:
        RowError: properties that are no JSON object, or a timestamp that is none.
    """
    return _generation(row, decode_object(row.properties, "properties"))


def lazy_generation(row: EventRow) -> Generation:
    """Return what `to_generation` does, with properties that are decoded as far as they are asked for.

    Raises:
        RowError: as `to_generation`, though a fault in a property is told when that is asked for.
    """
    source = row.properties
    return _generation(
        row, LazyProperties(source) if source and isinstance(source, str) else decode_object(source, "properties")
    )


def _generation(row: EventRow, properties: Mapping[str, Any]) -> Generation:
    return Generation(
        uuid=row.uuid,
        team_id=row.team_id,
        event=row.event,
        distinct_id=row.distinct_id,
        timestamp=parse_timestamp(row.timestamp),
        properties=properties,
        person_properties=decode_object(row.person_properties, "person_properties"),
    )
