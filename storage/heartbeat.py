"""The thread by which a process writes its heartbeats."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from time import monotonic

import structlog

from storage.background import Background
from storage.clock import REMEDY, ClockWatch, distance_in_words, jump_in_words
from storage.sql.engine import Database, StoreError
from storage.sql.heartbeats import INTERVAL_S, Heartbeats, RoleState, Vitals

_WRONG_TIME = "ages, waits and the periods of budgets are computed by the time of day"
Probe = Callable[[], Vitals]
"""Returns how a role is now; called from the writer's thread, and must not block."""


class HeartbeatWriter(Background):
    """Writes a row per role of this process every few seconds. A store that does not answer stops nothing else.

    Args:
        probes: by role.
        clock: the time of the day.
    """

    def __init__(
        self,
        database: Database,
        probes: Mapping[str, Probe],
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("gavel-heartbeat", every_s=interval_s, stop_within_s=interval_s, at_once=True)
        self._store = Heartbeats(database)
        self._probes = dict(probes)
        self._clock = clock
        self._started = clock()
        self._clock_watch = ClockWatch(clock)
        self.clock_problem = ""
        """The words for a clock that differs from the store's or jumped; empty if all is well."""
        self._counted: dict[str, tuple[float, dict[str, float]]] = {}
        self._failing = self._differs = False
        self._log = structlog.get_logger("gavel.heartbeat")
        self.instance = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self, ended: Mapping[str, str] | None = None) -> None:
        """Write the last heartbeat, so that nobody misses this process, and end the thread.

        Args:
            ended: role → why it failed, of those that did not end in order.
        """
        if not self.alive:
            return
        super().stop()
        if self._failing:
            return  # a store that did not answer just now must not delay the end of the process
        failed = ended or {}

        def last(role: str) -> Vitals:
            state: RoleState = "failed" if role in failed else "stopped"
            return replace(self._vitals(role), state=state, reason=failed.get(role, ""), assignment={})

        self._write({role: last(role) for role in self._probes})

    def beat(self) -> None:
        """Write the heartbeats once, from the calling thread."""
        self._write({role: self._vitals(role) for role in self._probes})

    def _vitals(self, role: str) -> Vitals:
        """Return a role's vitals with the rates of its counters since the last look."""
        found, now_s = self._probes[role](), monotonic()
        before_s, before = self._counted.get(role, (now_s, {}))
        self._counted[role] = now_s, found.counters
        passed_s = now_s - before_s
        rates = {
            name: round((total - before.get(name, 0.0)) / passed_s, 3) if passed_s > 0 else 0.0
            for name, total in found.counters.items()
        }
        jumped = {"clock_jumped_s": round(self._clock_watch.recent_jump_s(), 1)}
        return replace(found, details={**found.details, "rates": rates, **jumped})

    def _look_at_clock(self, ahead_s: float) -> None:
        jump_s = self._clock_watch.jump_s()
        if jump_s:
            self._log.warning("clock_jumped", by_s=round(jump_s, 1), effect=_WRONG_TIME, remedy=REMEDY)
        differs = distance_in_words(ahead_s)
        if differs and not self._differs:
            self._log.warning("clock_differs", ahead_s=round(ahead_s, 1), effect=_WRONG_TIME, remedy=REMEDY)
        self._differs = bool(differs)
        self.clock_problem = differs or jump_in_words(self._clock_watch.recent_jump_s()) or ""

    def _write(self, vitals: dict[str, Vitals]) -> None:
        try:
            ahead_s = self._store.write(self.instance, version("gavel"), self._started, vitals, now=self._clock())
        except StoreError as error:
            if not self._failing:
                self._log.warning(
                    "heartbeat_not_written", error=str(error), effect="`gavel status` shows this process as missing"
                )
            self._failing = True
        else:
            self._failing = False
            self._look_at_clock(ahead_s)

    def _turn(self) -> None:
        self.beat()
