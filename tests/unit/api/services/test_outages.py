"""Outages of an evaluation, from its changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.services.one_evaluation import Outage, outages_of
from storage.sql.audit import AuditEntry

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
INVALID = {"status": ["active", "error"], "status_reason": [None, "provider_key_invalid"]}
QUOTA = {"status_reason": ["provider_key_invalid", "provider_key_quota_exceeded"]}
BACK = {"status": ["error", "active"], "status_reason": ["provider_key_quota_exceeded", None]}


def history(*changes: tuple[int, dict[str, Any]]) -> list[AuditEntry]:
    """Return the changes newest first, as the audit trail does."""
    entries = [
        AuditEntry(place, 1, "evaluation", "e", "status", "judge", START + hour * HOUR, each)
        for place, (hour, each) in enumerate(changes)
    ]
    return entries[::-1]


def test_an_outage_ends_when_the_evaluation_runs_again() -> None:
    changes = history((1, {"prompt": ["a", "b"]}), (2, INVALID), (3, QUOTA), (5, BACK), (8, INVALID))
    first = Outage(START + 2 * HOUR, START + 5 * HOUR, "provider_key_invalid")
    second = Outage(START + 8 * HOUR, None, "provider_key_invalid")
    assert outages_of(changes, START, START + 9 * HOUR) == [first, second]
    assert outages_of(changes, START + 4 * HOUR, START + 6 * HOUR) == [first]
    assert outages_of(changes, START + 6 * HOUR, START + 7 * HOUR) == []


def test_a_person_who_enables_or_pauses_it_ends_an_outage_too() -> None:
    for end in ({"enabled": [False, True]}, {"status": ["error", "paused"]}):
        found = outages_of(history((2, INVALID), (4, end)), START, START + 9 * HOUR)
        assert found == [Outage(START + 2 * HOUR, START + 4 * HOUR, "provider_key_invalid")]
