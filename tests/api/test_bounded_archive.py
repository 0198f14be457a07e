"""Queries of the console: they read only, within limits, and few of them at a time."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from api.http.errors import Throttled, Unavailable
from api.services import bounded_archive
from api.services.bounded_archive import AT_ONCE, LIMITS, PER_SESSION, ArchiveAway, BoundedArchive
from tests.services.ports import free_ports

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def refused() -> list[float]:
    return []


@pytest.fixture
def archive(clickhouse_dsn: str, refused: list[float], monkeypatch: pytest.MonkeyPatch) -> BoundedArchive:
    monkeypatch.setattr(bounded_archive, "WAIT_S", 0.01)
    made = BoundedArchive(clickhouse_dsn, now=lambda: NOW)
    made.count_refusals(refused.append)
    return made


def test_a_query_has_the_limits_whatever_its_caller_asks_for(archive: BoundedArchive) -> None:
    query = "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}"
    with archive.client("a") as client:
        asked = {"max_execution_time": 600, "max_memory_usage": 0, "readonly": 0}
        found = client.query(query, parameters={"names": list(LIMITS)}, settings=asked).result_rows
    assert {name: int(value) for name, value in found} == LIMITS


def test_a_query_changes_nothing(archive: BoundedArchive) -> None:
    with pytest.raises(Unavailable) as caught, archive.client("a") as client:
        client.query("TRUNCATE TABLE evaluation_results", parameters={}, settings={})
    assert isinstance(caught.value.__cause__, DatabaseError)
    assert "readonly" in str(caught.value.__cause__).lower()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT sleepEachRow(3) FROM numbers(3) SETTINGS max_block_size = 1", "query_too_slow"),
        ("SELECT groupArray(number) FROM numbers(1000000000)", "query_too_large"),
    ],
)
def test_a_query_that_takes_too_much_is_refused_with_the_way_out(
    archive: BoundedArchive, monkeypatch: pytest.MonkeyPatch, query: str, code: str
) -> None:
    monkeypatch.setattr(bounded_archive, "LIMITS", {**LIMITS, "max_execution_time": 2, "max_memory_usage": 1 << 24})
    with pytest.raises(Unavailable) as caught, archive.client("a") as client:
        client.query(query, parameters={}, settings={})
    assert caught.value.code == code
    assert "Choose a shorter period" in caught.value.detail


def test_a_session_has_room_for_two_queries_and_all_for_eight(archive: BoundedArchive, refused: list[float]) -> None:
    with ExitStack() as stack:
        for _ in range(PER_SESSION):
            stack.enter_context(archive.client("a"))
        with pytest.raises(Throttled), archive.client("a"):
            pass
        for place in range(AT_ONCE - PER_SESSION):
            stack.enter_context(archive.client(f"other {place}"))
        with pytest.raises(Throttled), archive.client("b"):
            pass
    with archive.client("a"):
        pass
    assert refused == [0, 1, 1]


def test_it_is_away_since_the_first_query_that_found_it_so() -> None:
    [port] = free_ports(1)
    times = iter((datetime(2026, 11, 1, 14, 3, tzinfo=UTC), datetime(2026, 11, 1, 14, 9, tzinfo=UTC)))
    archive = BoundedArchive(f"http://default@127.0.0.1:{port}/gavel", now=lambda: next(times))
    for _ in range(2):
        with pytest.raises(ArchiveAway) as caught, archive.client("a"):
            pass
        assert caught.value.since.minute == 3
