"""The models that answered, as providers name them: which of them count as a change, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.sql.engine import Database
from storage.sql.served_models import FORGOTTEN_AFTER, MOST_NAMES, Served, ServedModels

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def served(database: Database) -> ServedModels:
    return ServedModels(database)


def by(fingerprint: str, *, model: str = "openai/m", evaluation: str = "e1") -> Served:
    return Served(evaluation, model, "m-2026-01-01", fingerprint)


def test_the_first_name_is_not_a_change_and_the_second_is(served: ServedModels) -> None:
    served.note([by("a"), by("a", evaluation="e2")], now=NOW)
    assert served.changed(NOW - HOUR) == {}
    served.note([by("b")], now=NOW + HOUR)
    assert served.changed(NOW - HOUR) == {"e1": NOW + HOUR}
    assert served.changed(NOW + 2 * HOUR) == {}
    assert [(each.served.system_fingerprint, each.changed_at) for each in served.of("e1")] == [
        ("b", NOW + HOUR),
        ("a", None),
    ]


def test_another_model_that_is_asked_is_not_a_change_of_the_provider(served: ServedModels) -> None:
    served.note([by("a")], now=NOW)
    served.note([by("b", model="openai/other")], now=NOW + HOUR)
    assert served.changed(NOW - HOUR) == {}


def test_names_that_alternate_change_once_and_one_that_was_away_for_a_week_is_new_again(served: ServedModels) -> None:
    for hour in range(20):
        served.note([by("ab"[hour % 2])], now=NOW + hour * HOUR)
    assert served.changed(NOW) == {"e1": NOW + HOUR}
    later = NOW + FORGOTTEN_AFTER + 20 * HOUR
    served.note([by("b")], now=later - 21 * HOUR)
    served.note([by("a")], now=later)
    assert served.changed(NOW) == {"e1": later}


def test_the_only_name_that_returns_after_a_silence_is_not_a_change(served: ServedModels) -> None:
    served.note([by("a")], now=NOW)
    served.note([by("a")], now=NOW + 2 * FORGOTTEN_AFTER)
    assert served.changed(NOW) == {}


def test_a_server_with_a_name_for_each_call_keeps_a_bounded_number(served: ServedModels) -> None:
    served.note([by(f"{n:03}") for n in range(MOST_NAMES)], now=NOW)
    served.note([by("new"), by("newer")], now=NOW + HOUR)
    found = [each.served.system_fingerprint for each in served.of("e1")]
    assert len(found) == MOST_NAMES
    assert found[:2] == ["new", "newer"]
