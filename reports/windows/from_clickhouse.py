"""The windows without Faust, for the broker inside the process: the same state, fed from the results table.

`gavel up` uses it. librdkafka's in-process broker lacks the parts of the protocol that Faust's driver needs, and it
keeps nothing, so a changelog there would be of no use. The state is built from the last day at each start.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import structlog

from reports.metrics import ReportsMetrics
from reports.service import ServiceState
from reports.windows.entry import NotCounted, RuleOf, batches, read_row
from reports.windows.gauges import show
from reports.windows.state import PartitionState
from reports.windows.watch import ShiftWriter
from storage.background import Background
from storage.clickhouse import ClickHouseProblem, connect
from storage.clickhouse.windows import fresh_results

_ROWS = 50_000
_OVERLAP_S = 60
"""Rows become visible in another order than they are stamped; those that come twice are told by their ids."""
_LOOK_BACK = timedelta(days=1)


class ClickHouseWindows(Background):
    """The windows, counted from ClickHouse every few seconds by one thread.

    Args:
        dsn: of ClickHouse.
        loaded: whether the definitions are known.
        now: the aware time of the day.
    """

    name = "windows"

    def __init__(
        self,
        dsn: str,
        *,
        metrics: ReportsMetrics,
        rule_of: RuleOf,
        loaded: Callable[[], bool],
        write_shifts: ShiftWriter,
        now: Callable[[], datetime],
        interval_s: float,
        seen_ids: int,
    ) -> None:
        super().__init__("windows", every_s=interval_s, stop_within_s=30.0, at_once=True)
        self._dsn = dsn
        self._metrics = metrics
        self._rule_of = rule_of
        self._loaded = loaded
        self._write_shifts = write_shifts
        self._now = now
        self.counted = PartitionState(0, (), seen_ids=max(seen_ids, 2 * _ROWS))
        self._offset = 0
        self._since = now() - _LOOK_BACK
        self._problem = "the live windows have not asked ClickHouse yet"
        self._log = structlog.get_logger("gavel.windows")

    def state(self) -> ServiceState:
        """Return how it is. Safe from any thread."""
        return ServiceState(not self._problem, self._problem)

    def _turn(self) -> None:
        try:
            while self._loaded() and not self.look() and not self.stopping:
                pass
        except ClickHouseProblem as error:
            self._fail(str(error), error)
        except Exception as error:  # noqa: BLE001  # the next look reads the same rows again
            self._fail(type(error).__name__, error)

    def _fail(self, problem: str, error: Exception) -> None:
        if not self._problem:
            self._log.warning("windows_failed", role="reports", error=problem, exc_info=error)
        self._problem = f"the live windows cannot read results: {problem}"

    def look(self) -> bool:
        """Count the results since the last look; return whether they were all.

        Raises:
            ClickHouseProblem, clickhouse_connect's errors: it does not answer; the next look reads on.
        """
        with closing(connect(self._dsn)) as client:
            found = fresh_results(client, self._since, limit=_ROWS)
        now_s = int(self._now().timestamp())
        entries = []
        for row in found:
            try:
                entries.append(read_row(row, self._rule_of))
            except NotCounted:
                continue
        for batch in batches(sorted(entries, key=lambda pair: pair[1].at_s)):
            self._offset += 1
            self.counted.apply(self._offset, batch, now_s)
        self._write_shifts(self.counted.shifts)
        for shift in self.counted.take_shifts():
            self._metrics.count("gavel_windows_shifts", direction=shift.shift.direction)
        self.counted.changes(now_s)
        for verdict, amount in self.counted.take_counted().items():
            self._metrics.count("gavel_windows_results", amount, outcome=verdict)
        show(self._metrics, [self.counted], now_s)
        if found:
            newest = datetime.fromtimestamp(int(found[-1]["inserted_s"]), UTC)
            self._since = max(self._since, newest - timedelta(seconds=_OVERLAP_S if len(found) < _ROWS else 0))
        self._problem = ""
        return len(found) < _ROWS
