"""The stall watchdog: a partition that stands still with work pending ends the process.

A thread that hangs cannot report itself, so the watchdog is a thread of its own. It dumps all stacks, counts
the stall and exits: the orchestrator restarts, and the group gives the partitions to somebody who moves.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Collection
from time import monotonic
from typing import Protocol

import structlog

from processor.exit_codes import EXIT_STALLED
from processor.metrics import Metrics
from storage.background import Background


class Watched(Protocol):
    """A stage as the watchdog sees it; both times are monotonic seconds."""

    role: str
    heartbeat_s: float
    progress_s: float


class Watchdog(Background):
    """Watches stages.

    Args:
        limit_s: without progress while work is pending, or without a turn of the loop.
        end: what to do; tests pass their own.
        counted: called after the stall was counted and before the end; returns when the count was read, or when it
            is not worth waiting for.
    """

    def __init__(
        self,
        stages: Collection[Watched],
        *,
        limit_s: float,
        metrics: Metrics,
        end: Callable[[int], None] = os._exit,
        counted: Callable[[], object] = lambda: None,
        interval_s: float = 1.0,
    ) -> None:
        super().__init__("watchdog", every_s=interval_s, stop_within_s=5.0)
        self._stages = stages
        self._limit_s = limit_s
        self._metrics = metrics
        self._end = end
        self._counted = counted

    def stalled(self) -> Watched | None:
        """Return a stage that stands still, or None."""
        now = monotonic()
        for stage in self._stages:
            if now - stage.progress_s > self._limit_s or now - stage.heartbeat_s > self._limit_s:
                return stage
        return None

    def _turn(self) -> None:
        stage = self.stalled()
        if stage is None:
            return
        self._metrics.count("gavel_stalls", role=stage.role)
        structlog.get_logger("gavel.watchdog").critical(
            "stalled",
            role=stage.role,
            without_progress_s=round(monotonic() - stage.progress_s, 1),
            without_turn_s=round(monotonic() - stage.heartbeat_s, 1),
        )
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        self._counted()
        self._end(EXIT_STALLED)
        self._stopping.set()
