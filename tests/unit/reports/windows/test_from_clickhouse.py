"""Where Kafka is embedded, the same windows are counted from the results table, each result once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reports.windows.from_clickhouse import ClickHouseWindows
from reports.windows.watch import ShiftFound
from storage.clickhouse import ClickHouseProblem
from storage.clickhouse.query import PassRule
from tests.services.records import result_row
from tests.unit.reports.windows.results import passes
from tests.unit.reports.windows.test_entry import store

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

NOW = datetime.now(UTC).replace(microsecond=0)


class Counts:
    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counted[labels.get("outcome", labels.get("direction", name))] += int(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        pass


def windows(dsn: str, counts: Counts, write: Any = lambda _: None) -> ClickHouseWindows:
    return ClickHouseWindows(
        dsn,
        metrics=counts,
        rule_of=lambda *_: PassRule(),
        loaded=lambda: True,
        write_shifts=write,
        now=lambda: NOW,
        interval_s=1.0,
        seen_ids=1_000,
    )


def results(first: int, last: int, *, minute: int = 0, passed: bool = True) -> list[bytes]:
    at = f"{NOW - timedelta(minutes=minute):%Y-%m-%d %H:%M:%S.000000}"
    return [result_row(n, row={"timestamp": at}, evaluation_result=passed) for n in range(first, last)]


def test_each_look_adds_what_is_new(client: Client, dsn: str) -> None:
    counts = Counts()
    live = windows(dsn, counts)
    assert not live.state().ready
    store(client, results(0, 50))
    assert live.look()
    store(client, results(40, 80))
    assert live.look()
    assert live.look()
    assert passes(live.counted) == 80
    assert counts.counted["pass"] == 80
    assert live.state().ready


def test_a_shift_that_could_not_be_written_is_written_at_the_next_look(client: Client, dsn: str) -> None:
    bodies: list[bytes] = []
    for n in range(50):
        good = n * 40 + (36 if n < 30 else 20)
        bodies += results(n * 40, good, minute=60 - n)
        bodies += results(good, n * 40 + 40, minute=60 - n, passed=False)
    store(client, bodies)
    written: list[ShiftFound] = []

    def fails(_: Any) -> None:
        raise OSError("no Kafka")

    counts = Counts()
    live = windows(dsn, counts, fails)
    with pytest.raises(OSError, match="no Kafka"):
        live.look()
    live._write_shifts = written.extend
    live.look()
    assert [found.shift.direction for found in written] == ["down"]
    assert counts.counted["down"] == 1
    live.look()
    assert len(written) == 1


def test_a_clickhouse_that_is_away_is_said() -> None:
    live = windows("http://nobody@127.0.0.1:9/gavel", Counts())
    with pytest.raises(ClickHouseProblem):
        live.look()
