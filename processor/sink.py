"""The sink role: results and the archive of events, from Kafka into ClickHouse.

Kafka is the truth and the tables can be filled again from it, so offsets are committed only for what
ClickHouse has acknowledged. The polling thread decodes, encodes and batches; one thread inserts, so that a
slow or absent ClickHouse never keeps the polling thread from its group, and the engine of an embedded one
works while the next batch is made. Meanwhile the stage pauses the partitions,
and evaluation, a group of its own, goes on.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from processor.dead_letters import RatioGuard, Reason, dead_letter
from processor.deadline import Deadline
from processor.ledger import Output, Span, TopicAndPartition
from processor.metrics import Metrics
from processor.sink_batch import Batch, Batcher, Part
from processor.sink_insert import Abandoned, Backoff, Inserter, Refused
from processor.sink_rows import BadRow, Passed, Row, TableFormat
from processor.worker import Worker

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_STAGE = "sink"
_CHUNK = 512
"""Rows of a block. They are written down while they are in the processor's cache; as objects that live as long as
a batch of ten thousand they would also keep the garbage collector busy, for a third of the sink's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkLimits:
    """When a batch is inserted.

    Attributes:
        batch_rows, batch_bytes: of one insert.
        batch_interval_s: after which a smaller batch goes.
    """

    batch_rows: int = 10_000
    batch_bytes: int = 64 * 1024 * 1024
    batch_interval_s: float = 1.0


class SinkWorker(Worker):
    """Inserts what it reads.

    Args:
        connect: makes the sink's own ClickHouse client; called in the inserting thread, again until it works.
        tables: which table takes which topic.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        tables: Mapping[str, TableFormat],
        *,
        dead_letters_topic: str,
        max_message_bytes: int,
        guard: RatioGuard,
        metrics: Metrics,
        backoff: Backoff,
        limits: SinkLimits | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        limits = limits or SinkLimits()
        self._tables = dict(tables)
        self._dead_letters_topic = dead_letters_topic
        self._max_message_bytes = max_message_bytes
        self._guard = guard
        self._metrics = metrics
        self._clock = clock
        self._batcher = Batcher(
            max_rows=limits.batch_rows, max_bytes=limits.batch_bytes, max_age_s=limits.batch_interval_s
        )
        self._finished: list[tuple[Span, list[Output]]] = []
        self._changed = threading.Condition()
        self._waiting: deque[Batch] = deque()
        self._current: Batch | None = None
        self._inserted: deque[tuple[Batch, list[Refused]]] = deque()
        self._failure: BaseException | None = None
        self._prepared = False
        self._blocked = False
        self._closing = threading.Event()
        self._log = structlog.get_logger("gavel.sink")
        self._inserter = Inserter(connect, backoff, metrics, on_blocked=self._set_blocked, closing=self._closing)
        self._thread = threading.Thread(target=self._insert_batches, name="sink-insert", daemon=True)
        self._thread.start()

    # -- the polling thread ---------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether ClickHouse answered and has the tables of this release."""
        self._raise_failure()
        return self._prepared

    def blocked(self) -> bool:
        """Whether ClickHouse does not take the current batch; it is tried again meanwhile."""
        return self._blocked

    def submit(self, spans: list[Span]) -> None:
        """Decode `spans` and add them to their tables' batches."""
        self._raise_failure()
        now_s = self._clock()
        for span in spans:
            table = self._tables.get(span.source[0])
            if table is None:
                raise RuntimeError(f"the sink has no table for topic {span.source[0]}")
            part = self._decode(span, table)
            if not part.messages:
                self._finished.append((span, part.outputs))
                continue
            batch = self._batcher.add(table, part, now_s)
            if batch is not None:
                self._enqueue([batch])

    def _decode(self, span: Span, table: TableFormat) -> Part:
        messages = span.messages
        part = Part(span, messages[0].offset(), messages[-1].offset())
        decode, kept = table.decode, part.messages
        rows: list[Row] = []
        skipped: Counter[str] = Counter()
        for message in messages:
            try:
                rows.append(decode(message))
            except Passed as passed:
                skipped[passed.reason] += 1
            except BadRow as error:
                if table.keeps_bad_rows:
                    part.outputs.append(self._dead_letter(message, "decode", str(error)))
                else:
                    skipped["bad_row"] += 1
            else:
                kept.append(message)
                if len(rows) == _CHUNK:
                    part.blocks.append(table.encode(rows))
                    rows.clear()
        if rows:
            part.blocks.append(table.encode(rows))
        for reason, amount in skipped.items():
            self._metrics.count("gavel_records_skipped", amount, role=_STAGE, reason=reason)
        self._guard.note(len(messages), len(part.outputs))
        return part

    def _dead_letter(self, message: Any, reason: Reason, detail: str) -> Output:
        self._metrics.count("gavel_dead_letters", role=_STAGE, reason=reason)
        return dead_letter(
            self._dead_letters_topic,
            message,
            stage=_STAGE,
            reason=reason,
            detail=detail,
            max_bytes=self._max_message_bytes,
        )

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the spans that ClickHouse has, and close the batches whose time has come."""
        self._raise_failure()
        self._enqueue(self._batcher.due(self._clock()))
        finished, self._finished = self._finished, []
        while self._inserted:
            batch, refused = self._inserted.popleft()
            self._reject(batch, refused)
            finished += [(part.span, part.outputs) for part in batch.parts if not part.dropped]
        return finished

    def _reject(self, batch: Batch, refused: list[Refused]) -> None:
        """Make dead letters of the rows that ClickHouse does not take."""
        rejected = 0
        for row in refused:
            part, message = batch.locate(row.index)
            if not part.dropped:
                part.outputs.append(self._dead_letter(message, "sink_rejected", f"ClickHouse refused it: {row.detail}"))
                rejected += 1
        if rejected:
            self._guard.note(0, rejected)

    def drain(self, deadline: Deadline) -> None:
        """Insert what is there. Returns early when ClickHouse is away: waiting would only hold up the group."""
        self._enqueue(self._batcher.flush())
        with self._changed:
            while (self._waiting or self._current) and not self._blocked and self._failure is None:
                if deadline.over():
                    return
                self._changed.wait(min(deadline.left_s(), 0.1))

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget what is in flight of `sources`. A batch that is on its way may still arrive: same ids, no harm."""
        gone = None if sources is None else frozenset(sources)
        self._batcher.drop(gone)
        self._finished = [] if gone is None else [pair for pair in self._finished if pair[0].source not in gone]
        with self._changed:
            for batch in self._waiting:
                batch.drop(gone)
            for batch, _ in self._inserted:
                batch.drop(gone)
            if self._current is not None:
                self._current.drop(gone)
            self._waiting = deque(batch for batch in self._waiting if not batch.abandoned.is_set())

    def close(self) -> None:
        """End the inserting thread; what it holds is not committed and is read again."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _enqueue(self, batches: list[Batch]) -> None:
        if batches:
            with self._changed:
                self._waiting.extend(batches)
                self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise RuntimeError("the inserting thread of the sink ended") from self._failure

    # -- the inserting thread -------------------------------------------------------------------------

    def _set_blocked(self, blocked: bool) -> None:
        if blocked != self._blocked:
            self._blocked = blocked
            self._metrics.set("gavel_sink_blocked", int(blocked))
            if not blocked:
                self._log.info("clickhouse_answers")

    def _insert_batches(self) -> None:
        try:
            self._inserter.prepare()
            self._prepared = True
            while (batch := self._next()) is not None:
                self._insert(batch)
        except Abandoned:
            pass  # closing
        except BaseException as error:  # noqa: BLE001  # handed to the polling thread, which ends the process
            self._failure = error
        finally:
            self._inserter.close()
            with self._changed:
                self._changed.notify_all()

    def _next(self) -> Batch | None:
        """Return the next batch when there is one, or None when the sink closes."""
        with self._changed:
            self._current = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            if self._closing.is_set():
                return None
            self._current = self._waiting.popleft()
            return self._current

    def _insert(self, batch: Batch) -> None:
        started_s = monotonic()
        table = batch.table.table
        try:
            refused = self._inserter.insert(batch)
        except Abandoned:
            self._set_blocked(False)
            return
        took_s = monotonic() - started_s
        self._metrics.observe("gavel_sink_insert_seconds", took_s, table=table)
        self._metrics.count("gavel_sink_rows", batch.rows - len(refused), table=table)
        self._log.debug(
            "batch_inserted", table=table, rows=batch.rows, refused=len(refused), took_ms=round(took_s * 1000, 1)
        )
        with self._changed:
            self._inserted.append((batch, refused))
