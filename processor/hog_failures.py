"""Switching off a Hog evaluator that keeps failing by its own fault.

One `hog_error` does not stop an evaluation; five in a row, with no success between, do. Inputs that did
not fit (`hog_input_error`) count neither way.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from config.definitions import Evaluation
from evaluators.verdict import Skip, Verdict

FAILURES_IN_A_ROW = 5


class HogFailures:
    """Counts failures in a row per version of an evaluation and reports the fifth.

    Args:
        report: called with (team_id, evaluation_id, detail) on a thread of its own, because it writes to
            the store. An exception from it is logged, and the next failure reports again.
    """

    def __init__(self, report: Callable[[int, str, str], None]) -> None:
        self._report = report
        self._in_a_row: dict[tuple[str, int], int] = {}
        self._due: queue.SimpleQueue[tuple[int, str, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def note(self, definition: Evaluation, outcome: Verdict | Skip) -> None:
        """Note the outcome of one run. Never blocks."""
        if isinstance(outcome, Verdict):
            if self._in_a_row:
                self._in_a_row.pop((definition.id, definition.version), None)
            return
        if outcome.reason != "hog_error":
            return
        key = (definition.id, definition.version)
        failures = self._in_a_row.get(key, 0) + 1
        self._in_a_row[key] = failures
        # Every further fifth reports again, should the first report have failed.
        if failures % FAILURES_IN_A_ROW == 0:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hog-status", daemon=True)
                self._thread.start()
            self._due.put((definition.team_id, definition.id, outcome.detail))

    def _run(self) -> None:
        log = structlog.get_logger("gavel.hog_status")
        while (due := self._due.get()) is not None:
            team_id, evaluation_id, detail = due
            try:
                self._report(team_id, evaluation_id, detail)
            except Exception as error:  # noqa: BLE001  # the stream goes on; the next failures report again
                log.error("status_not_written", evaluation_id=str(evaluation_id), error=type(error).__name__)
            else:
                log.warning("evaluation_stopped", evaluation_id=str(evaluation_id), team_id=team_id, reason="hog_error")

    def close(self) -> None:
        """End the reporting thread after what is due."""
        if self._thread is not None:
            self._due.put(None)
            self._thread.join(timeout=5.0)
            self._thread = None
