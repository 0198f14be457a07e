"""The bounded queue between the roles and the exporter of traces."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Lock

from processor.events.output import Output
from processor.events.result import RESULT_ID_HEADER
from processor.metrics import Metrics

_RESULTS = frozenset({"result", "skip"})
_HASHED_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ResultTrace:
    """A committed result: its bytes as they are in Kafka, and when it was committed, in epoch nanoseconds."""

    value: bytes
    committed_ns: int


@dataclass(frozen=True, slots=True)
class CallTrace:
    """One call to a provider.

    Attributes:
        result_id: of the run.
        trace_id: `$ai_trace_id` of the event, of any type.
        outcome: `answered`, `cancelled` or a kind of failure.
        ended_ns: epoch nanoseconds.
    """

    result_id: str
    trace_id: object
    team_id: int
    evaluation_id: str
    provider: str
    model: str
    address: str
    outcome: str
    took_s: float
    ended_ns: int
    response_model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


Trace = ResultTrace | CallTrace


class TraceQueue:
    """Takes results and calls for the exporter. No method blocks: a full queue drops the trace and counts it.

    Args:
        limit: most traces that wait.
        sample: share of results that are traced; a result's calls are traced if it is.
    """

    def __init__(self, limit: int, sample: float, metrics: Metrics) -> None:
        self._limit = limit
        self._below = int(sample * 16**_HASHED_DIGITS)
        self._metrics = metrics
        self._waiting: deque[Trace] = deque()
        self._lock = Lock()
        self._filled = Event()

    def results(self, outputs: Iterable[Output]) -> None:
        """Take the results among outputs that were just committed."""
        now_ns = time.time_ns()
        self._take([ResultTrace(each.value or b"", now_ns) for each in outputs if self._is_traced_result(each)])

    def call(self, call: CallTrace) -> None:
        """Take one call."""
        if self.traces(call.result_id):
            self._take([call])

    def traces(self, result_id: str) -> bool:
        """Return whether a result is in the sample. UUIDs of version 5 are as good as random."""
        return int(result_id[:_HASHED_DIGITS], 16) < self._below

    def batch(self, size: int, timeout_s: float) -> list[Trace]:
        """Wait for traces, and return up to `size` of them; none if the time is over."""
        self._filled.wait(timeout_s)
        with self._lock:
            found = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            if not self._waiting:
                self._filled.clear()
        return found

    def wake(self) -> None:
        """End the wait of `batch`."""
        self._filled.set()

    def clear(self) -> int:
        """Forget the queued traces, and return their number."""
        with self._lock:
            left = len(self._waiting)
            self._waiting.clear()
        return left

    def _is_traced_result(self, output: Output) -> bool:
        if output.kind not in _RESULTS or not output.headers:
            return False
        name, value = output.headers[0]
        return name == RESULT_ID_HEADER and isinstance(value, bytes) and self.traces(value.decode())

    def _take(self, traces: Sequence[Trace]) -> None:
        if not traces:
            return
        with self._lock:
            room = max(0, self._limit - len(self._waiting))
            self._waiting.extend(traces[:room])
        self._filled.set()
        if len(traces) > room:
            self._metrics.count("gavel_traces_dropped", len(traces) - room, reason="queue_full")
