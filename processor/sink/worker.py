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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING

import structlog

from processor.dead_letters.letter import RatioGuard, Reason, dead_letter, raised_at
from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition
from processor.metrics import Metrics
from processor.sink.batch import Batcher, BatchPart, Claim, RowBatch
from processor.sink.insert import Abandoned, Backoff, Inserter, InsertRefused
from processor.sink.rows import BadRow, Passed, Row, TableFormat
from processor.stream.deadline import Deadline
from processor.stream.ledger import Span
from processor.stream.worker import Worker

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


@dataclass(frozen=True, slots=True)
class LetterRules:
    """Where a record goes that cannot be inserted, and when they are too many.

    Attributes:
        max_message_bytes: above it a dead letter carries no value.
        guard: stops the role if the ratio of dead letters is too high.
    """

    topic: str
    max_message_bytes: int
    guard: RatioGuard


class SinkWorker(Worker):
    """Inserts the records that it reads.

    Args:
        connect: makes the sink's own ClickHouse client; called in the inserting thread, again until it works.
        tables: which table takes which topic.
        beside: further tables of a topic; each is asked for the events that those before it do not know.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        tables: Mapping[str, TableFormat],
        *,
        letters: LetterRules,
        metrics: Metrics,
        backoff: Backoff,
        beside: Mapping[str, Sequence[TableFormat]] | None = None,
        limits: SinkLimits | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        limits = limits or SinkLimits()
        self._tables = dict(tables)
        self._beside = dict(beside or {})
        self._letters = letters
        self._metrics = metrics
        self._clock = clock
        self._batcher = Batcher(
            max_rows=limits.batch_rows, max_bytes=limits.batch_bytes, max_age_s=limits.batch_interval_s
        )
        self._finished: list[tuple[Span, list[Output]]] = []
        self._changed = threading.Condition()
        self._waiting: deque[RowBatch] = deque()
        self._current: RowBatch | None = None
        self._inserted: deque[tuple[RowBatch, list[InsertRefused]]] = deque()
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
            claim, parts = self._decode(span, table)
            claim.parts = len(parts)
            if not parts:
                self._finished.append((span, claim.outputs))
            for of_table, part in parts:
                batch = self._batcher.add(of_table, part, now_s)
                if batch is not None:
                    self._enqueue([batch])

    def _decode(self, span: Span, table: TableFormat) -> tuple[Claim, list[tuple[TableFormat, BatchPart]]]:
        """Return the parts of a span that have rows, each with its table, and the claim that they share."""
        claim, skipped = Claim(span), Counter[str]()
        part, others = self._decode_part(claim, span.messages, table, skipped)
        found = [(table, part)]
        for further in self._beside.get(span.source[0], ()):
            if others:
                part, others = self._decode_part(claim, others, further, skipped)
                found.append((further, part))
        skipped["other_event"] += len(others)
        for reason, amount in skipped.items():
            if amount:
                self._metrics.count("gavel_records_skipped", amount, role=_STAGE, reason=reason)
        self._letters.guard.note(len(span.messages), len(claim.outputs))
        return claim, [(of_table, part) for of_table, part in found if part.messages]

    def _decode_part(
        self, claim: Claim, messages: Sequence[Message], table: TableFormat, skipped: Counter[str]
    ) -> tuple[BatchPart, list[Message]]:
        """Return the part of `messages` for one table, and those that are for the table beside it."""
        whole = claim.span.messages
        part = BatchPart(claim, whole[0].offset(), whole[-1].offset())
        has_beside = claim.span.source[0] in self._beside
        decode, kept = table.decode, part.messages
        rows: list[Row] = []
        others: list[Message] = []
        for message in messages:
            try:
                rows.append(decode(message))
            except Passed as passed:
                if has_beside and passed.reason == "other_event":
                    others.append(message)
                else:
                    skipped[passed.reason] += 1
            except BadRow as error:
                if table.keeps_bad_rows:
                    claim.outputs.append(self._dead_letter(message, "decode", str(error)))
                else:
                    skipped["bad_row"] += 1
            except Exception as error:  # noqa: BLE001  # a defect of ours: one record's dead letter, not the end
                claim.outputs.append(self._defect(message, error))
            else:
                kept.append(message)
                if len(rows) == _CHUNK:
                    self._encode(part, table, rows)
                    rows.clear()
        if rows:
            self._encode(part, table, rows)
        return part, others

    def _encode(self, part: BatchPart, table: TableFormat, rows: list[Row]) -> None:
        """Append the block of `rows`, the last ones of `part`, without those that cannot be written down."""
        try:
            part.blocks.append(table.encode(rows))
        except Exception:  # noqa: BLE001  # found again below, for the row that it belongs to
            messages = part.messages[-len(rows) :]
            del part.messages[-len(rows) :]
            for row, message in zip(rows, messages, strict=True):
                try:
                    part.blocks.append(table.encode([row]))
                except Exception as error:  # noqa: BLE001  # a defect of ours: one record's dead letter, not the end
                    part.claim.outputs.append(self._defect(message, error))
                else:
                    part.messages.append(message)

    def _defect(self, message: Message, error: Exception) -> Output:
        self._log.error(
            "row_defect",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            error=type(error).__name__,
            where=raised_at(error),
        )
        return self._dead_letter(message, "evaluator_bug", f"{type(error).__name__} while its row was made")

    def _dead_letter(self, message: Message, reason: Reason, detail: str) -> Output:
        self._metrics.count("gavel_dead_letters", role=_STAGE, reason=reason)
        return dead_letter(
            self._letters.topic,
            message,
            stage=_STAGE,
            reason=reason,
            detail=detail,
            max_bytes=self._letters.max_message_bytes,
        )

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the spans that ClickHouse has, and close the batches whose time has come."""
        self._raise_failure()
        self._enqueue(self._batcher.due(self._clock()))
        finished, self._finished = self._finished, []
        while self._inserted:
            batch, refused = self._inserted.popleft()
            self._reject(batch, refused)
            for part in batch.parts:
                if not part.dropped:
                    part.claim.parts -= 1
                    if part.claim.parts == 0:
                        finished.append((part.span, part.claim.outputs))
        return finished

    def _reject(self, batch: RowBatch, refused: list[InsertRefused]) -> None:
        """Make dead letters of the rows that ClickHouse does not take."""
        rejected = 0
        for row in refused:
            part, message = batch.locate(row.index)
            if not part.dropped:
                part.claim.outputs.append(
                    self._dead_letter(message, "sink_rejected", f"ClickHouse refused it: {row.detail}")
                )
                rejected += 1
        if rejected:
            self._letters.guard.note(0, rejected)

    def drain(self, deadline: Deadline) -> None:
        """Insert all buffered rows. It returns early when ClickHouse is away, because waiting would delay the group."""
        self._enqueue(self._batcher.flush())
        with self._changed:
            while (self._waiting or self._current) and not self._blocked and self._failure is None:
                if deadline.over():
                    return
                self._changed.wait(min(deadline.left_s(), 0.1))

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Forget the work in flight of `sources`. A batch in flight can still arrive; a repeat has the same ids."""
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
        """End the inserting thread. The rows that it holds are not committed and are read again."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _enqueue(self, batches: list[RowBatch]) -> None:
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

    def _next(self) -> RowBatch | None:
        """Return the next batch when there is one, or None when the sink closes."""
        with self._changed:
            self._current = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            if self._closing.is_set():
                return None
            self._current = self._waiting.popleft()
            return self._current

    def _insert(self, batch: RowBatch) -> None:
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
        now_s = time()
        for part in filter(lambda part: part.span.due_ms, batch.parts):
            self._metrics.observe("gavel_row_latency_seconds", max(0.0, now_s - part.span.due_ms / 1000), table=table)
        self._log.debug(
            "batch_inserted", table=table, rows=batch.rows, refused=len(refused), took_ms=round(took_s * 1000, 1)
        )
        with self._changed:
            self._inserted.append((batch, refused))
