"""How long a provider asks to wait: by its headers, by fields of its error object, or in its words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import re2

from evaluators.llm_judge.output import printable

MAX_WAIT_S = 86_400.0
"""A longer wait is cut to a day: parked runs end then."""
_ASKED = re2.compile(
    r"(?i)(?:try again|retry|wait|available again|reset\w*)\s+(?:in|after|for)?\s*"
    r"((?:[0-9]{1,9}(?:\.[0-9]{1,9})?\s*(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)\b[\s,]*|"
    r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+)"
)
_PART = re2.compile(r"(?i)([0-9]+(?:\.[0-9]+)?)\s*(ms|mil|s|mi|m|h|d)")
_SECONDS = {"ms": 0.001, "mil": 0.001, "s": 1.0, "mi": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_EPOCH_MS = 1e11


def retry_after(headers: Mapping[str, str], words: str = "", body: object = None, *, now_s: float) -> float | None:
    """Return the seconds that a reply asks to wait, at most a day, or None if it asks for nothing.

    Args:
        headers: those of the reply; `retry-after-ms` and `Retry-After` (seconds or an HTTP date) are read.
        words: the error's words, such as "Please retry in 43.2s."
        body: the error object; `RetryInfo.retryDelay` and `metadata.headers` are read.
        now_s: epoch seconds.
    """
    found = _by_headers(headers, now_s=now_s)
    if found is None:
        found = _by_fields(body, now_s=now_s)
    if found is None:
        asked = _ASKED.search(printable(words[:4_000]))
        found = duration(asked[1]) if asked else None
    return None if found is None else min(found, MAX_WAIT_S)


def duration(text: str) -> float | None:
    """Return the seconds of a duration such as `43s`, `6m0s`, `150ms` or `20 seconds`; None if it is not one."""
    parts = _PART.findall(printable(text[:100]))
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts) if parts else None


def _by_headers(headers: Mapping[str, str], *, now_s: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    raw = headers.get("retry-after")
    if raw is None:
        return None
    seconds = _number(raw)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(raw[:100])
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())


def _by_fields(body: object, *, now_s: float) -> float | None:
    error = body[0] if isinstance(body, list) and body else body
    error = error.get("error", error) if isinstance(error, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    details = error.get("details")
    for each in details[:20] if isinstance(details, list) else ():
        delay = each.get("retryDelay") if isinstance(each, Mapping) else None
        if isinstance(delay, str):
            return duration(delay)
    metadata = error.get("metadata")
    named: Any = metadata.get("headers") if isinstance(metadata, Mapping) else None
    for name, value in named.items() if isinstance(named, Mapping) else ():
        if str(name).lower() == "retry-after":
            return _number(str(value))
        if str(name).lower() == "x-ratelimit-reset":
            moment = _number(str(value))
            if moment is not None:
                return max(0.0, (moment / 1000 if moment > _EPOCH_MS else moment) - now_s)
    return None


def _number(raw: str | None) -> float | None:
    if raw is None or len(raw) > 100:
        return None
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
