"""From a decoded row to the `Generation` that evaluators see."""

from __future__ import annotations

from datetime import UTC, datetime

from conditions import EventRow, RowError, decode_object
from evaluators.generation import Generation

GENERATION_EVENT = "$ai_generation"
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


def to_generation(row: EventRow) -> Generation:
    """Decode all properties of `row`. The costly step: called only when an evaluator needs them.

    Raises:
        RowError: properties that are no JSON object, or a timestamp that is none.
    """
    return Generation(
        uuid=row.uuid,
        team_id=row.team_id,
        event=row.event,
        distinct_id=row.distinct_id,
        timestamp=parse_timestamp(row.timestamp),
        properties=decode_object(row.properties, "properties"),
        person_properties=decode_object(row.person_properties, "person_properties"),
    )
