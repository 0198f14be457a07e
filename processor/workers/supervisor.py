"""The process above the workers of a role: it starts them, restarts those that end, and answers for all of them.

A worker that ends is started again after a wait that doubles. One that keeps ending ends the supervisor with an exit
code that is not 0, because only an operator can repair that; the orchestrator then restarts all, as it does with a
single process.
"""

from __future__ import annotations

import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.registry import REGISTRY

from processor.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from processor.metrics import Metrics
from processor.runtime.health import HealthServer
from processor.runtime.samples import Family, families_of
from processor.workers.child import Child, ChildPatience, Start
from processor.workers.merge import MergedMetrics

EndReason = Literal["failed", "killed", "ended", "hangs"]
"""Exit code; signal; exit code 0 that nobody asked for; no answer for too long."""
_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """How patient a supervisor is.

    Attributes:
        backoff_initial_s, backoff_max_s: the wait before a restart; it doubles with each end in a row.
        settled_s: a worker that answered for so long does not count as ended in a row.
        ends_in_row: at this number of ends in a row of one worker the supervisor gives up.
        lead_s: the first worker starts alone until it is ready, or for so long, so that settings that are wrong are
            reported once and not by every worker.
        drain_s: after SIGTERM; then workers are killed.
    """

    backoff_initial_s: float = 0.5
    backoff_max_s: float = 30.0
    settled_s: float = 60.0
    ends_in_row: int = 8
    lead_s: float = 10.0
    drain_s: float = 60.0
    patience: ChildPatience = field(default_factory=ChildPatience)


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers to run.

    Attributes:
        role: as the label of the metrics shows it; several roles in one process are joined by commas.
        one_is_enough: ready as soon as one worker is, because the others' connections go to it.
    """

    role: str
    size: int
    start: Start
    one_is_enough: bool = False


@dataclass(slots=True)
class _Slot:
    number: int
    child: Child | None = None
    starts: int = 0
    ends_in_row: int = 0
    start_at_s: float = 0.0
    last_end: str = ""


class Supervisor:
    """Runs a crew until a signal.

    Args:
        folder: for the sockets; only this user may enter it. `supervisor_socket` is in it.
        host, port: of the probes and metrics of all workers.
    """

    def __init__(self, crew: Crew, folder: Path, *, host: str, port: int, limits: RestartLimits | None = None) -> None:
        self._crew, self._folder = crew, folder
        self._limits = limits or RestartLimits()
        self._slots = [_Slot(number, start_at_s=inf if number else 0.0) for number in range(crew.size)]
        self._led = False
        self._signals: list[int] = []  # not an Event: a handler may interrupt the thread that holds its lock
        self._read_end, self._write_end = os.pipe()
        self._log = structlog.get_logger("gavel.supervisor")
        self._metrics = Metrics(CollectorRegistry())
        self._pool = ThreadPoolExecutor(crew.size, thread_name_prefix="scrape")
        self._merged = MergedMetrics(self._refresh, self._own_families)
        registry = CollectorRegistry()
        registry.register(self._merged)
        answers: dict[str, Any] = {"live": self.live, "ready": self.ready, "registry": registry}
        self._fronts = [
            HealthServer(host, port, **answers),
            HealthServer("", 0, **answers, at=supervisor_socket(folder)),
        ]
        self.port = self._fronts[0].port

    @property
    def lifeline(self) -> int:
        """The file descriptor by which workers see that the supervisor is gone."""
        return self._read_end

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until it gives up. Returns the exit code. Call it on the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        for reason in ("failed", "killed", "ended", "hangs"):
            self._metrics.born("gavel_worker_ends", role=self._crew.role, reason=reason)
        for front in self._fronts:
            front.start()
        self._log.info("supervisor_started", role=self._crew.role, workers=self._crew.size, port=self.port)
        code: int | None = None
        try:
            while not self._signals and code is None:
                code = self._turn()
                sleep(_TURN_S)
        finally:
            drained = self._drain()
            for front in self._fronts:
                front.stop()
            self._pool.shutdown(wait=False, cancel_futures=True)
            os.close(self._write_end)
            os.close(self._read_end)
        return drained if code is None else code

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Return that the supervisor lives: it ends hanging workers itself."""
        return True, {"workers": {str(slot.number): slot.child.pid if slot.child else None for slot in self._slots}}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the workers are ready, with what each of them waits for."""
        seen = {str(slot.number): self._view(slot) for slot in self._slots}
        ready = [view["ready"] for view in seen.values()]
        enough = any(ready) if self._crew.one_is_enough else all(ready)
        details: dict[str, Any] = {"workers": seen}
        if self._signals:
            details["reason"] = "the process is stopping"
        return enough and not self._signals, details

    def _view(self, slot: _Slot) -> dict[str, Any]:
        child = slot.child
        if child is not None:
            return {"ready": child.ready, **child.details, **({"last_end": slot.last_end} if slot.last_end else {})}
        waits = "the first worker, which starts alone" if not self._led else "its restart"
        return {"ready": False, "waiting_for": waits, "last_end": slot.last_end}

    def _refresh(self) -> None:
        list(self._pool.map(Child.count, [slot.child for slot in self._slots if slot.child is not None]))

    def _turn(self) -> int | None:
        """Start, restart and kill the workers that need it; return an exit code to give up."""
        now_s = monotonic()
        for slot in self._slots:
            child = slot.child
            if child is None:
                if now_s >= slot.start_at_s:
                    self._start(slot)
                continue
            code, hangs = child.ended(), False
            if code is None and child.hangs():
                hangs, code = True, child.kill()
            if code is not None:
                given_up = self._ended(slot, child, code, hangs=hangs)
                if given_up is not None:
                    return given_up
        self._follow_the_first(now_s)
        return None

    def _own_families(self) -> list[Family]:
        states = [self._state(slot) for slot in self._slots]
        for state in ("ready", "starting", "waiting"):
            self._metrics.set("gavel_workers", states.count(state), role=self._crew.role, state=state)
        return [*families_of(REGISTRY.collect()), *families_of(self._metrics.registry.collect())]

    @staticmethod
    def _state(slot: _Slot) -> str:
        if slot.child is None:
            return "waiting"
        return "ready" if slot.child.ready else "starting"

    def _follow_the_first(self, now_s: float) -> None:
        first = self._slots[0].child
        if not self._led and first is not None and (first.ready or now_s - first.started_s > self._limits.lead_s):
            self._led = True
            for slot in self._slots[1:]:
                slot.start_at_s = now_s

    def _start(self, slot: _Slot) -> None:
        slot.starts += 1
        at = self._folder / f"worker-{slot.number}-{slot.starts}.sock"
        slot.child = Child(
            self._crew.start(slot.number, at),
            key=slot.number + slot.starts * self._crew.size,
            at=at,
            keep=(self._read_end,),
            merged=self._merged,
            patience=self._limits.patience,
        )
        self._log.info("worker_started", worker=slot.number, pid=slot.child.pid, start=slot.starts)

    def _ended(self, slot: _Slot, child: Child, code: int, *, hangs: bool) -> int | None:
        """Plan the restart of a worker that ended; return an exit code if a restart cannot help."""
        lived_s = monotonic() - child.started_s
        child.release()
        slot.child = None
        reason: EndReason = "hangs" if hangs else "killed" if code < 0 else "failed" if code else "ended"
        slot.last_end = describe_end(code, hangs=hangs)
        slot.ends_in_row = 1 if child.answered_s >= self._limits.settled_s else slot.ends_in_row + 1
        self._metrics.count("gavel_worker_ends", role=self._crew.role, reason=reason)
        log = self._log.bind(worker=slot.number, pid=child.pid, how=slot.last_end, lived_s=round(lived_s, 1))
        if not self._led or code == EXIT_USAGE:
            log.critical("worker_could_not_start", remedy="its own last lines in this log say why")
            return code if code > 0 else EXIT_FAILED
        if slot.ends_in_row >= self._limits.ends_in_row:
            log.critical(
                "worker_dies_in_a_loop",
                ends_in_row=slot.ends_in_row,
                effect="all workers are drained, and this process ends",
                remedy="its own last lines in this log say why; without any, look for a limit on memory",
            )
            return EXIT_FAILED
        wait_s = min(self._limits.backoff_max_s, self._limits.backoff_initial_s * 2 ** (slot.ends_in_row - 1))
        slot.start_at_s = monotonic() + wait_s
        log.warning("worker_ended", ends_in_row=slot.ends_in_row, restarts_in_s=wait_s)
        return None

    def _drain(self) -> int:
        """Let all workers finish, kill those that do not, and return the exit code."""
        left = {slot.number: slot.child for slot in self._slots if slot.child is not None}
        for child in left.values():
            child.send(signal.SIGTERM)
        self._log.info("workers_drain", role=self._crew.role, workers=len(left))
        failed: list[int] = []
        deadline_s, signalled = monotonic() + self._limits.drain_s, len(self._signals)
        while left:
            over = monotonic() > deadline_s or len(self._signals) > max(1, signalled)
            for number, child in list(left.items()):
                code = child.kill() if over else child.ended()
                if code is not None:
                    del left[number]
                    child.release()
                    # A worker that gets the signal before it can handle it has begun nothing.
                    failed += [number] if code not in (EXIT_OK, -signal.SIGTERM) else []
            sleep(_TURN_S / 2)
        self._log.info("supervisor_stopped", role=self._crew.role, failed=sorted(failed))
        return EXIT_FAILED if failed else EXIT_OK


def describe_end(code: int, *, hangs: bool = False) -> str:
    """Return in words how a process ended."""
    if hangs:
        return "did not answer any more and was killed"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (" (often the limit on memory)" if code == -signal.SIGKILL else "")


def supervisor_socket(folder: Path) -> Path:
    """Return where a supervisor answers its workers."""
    return folder / "supervisor.sock"


def worker_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder that only this user may enter; its path is short, because that of a socket must be."""
    return tempfile.TemporaryDirectory(prefix="gavel-", ignore_cleanup_errors=True)
