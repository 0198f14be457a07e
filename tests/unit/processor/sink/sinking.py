"""Tests make a worker of the sink here, and wait for its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from processor.dead_letters.letter import RatioGuard
from processor.events.output import Output
from processor.metrics import Metrics
from processor.sink.insert import Backoff
from processor.sink.rows import ARCHIVE, DECISIONS, LABELS, RESULTS
from processor.sink.worker import LetterRules, SinkLimits, SinkWorker
from processor.stream.ledger import Span
from storage.clickhouse import connect
from tests.services.records import Record, result_row, span_of
from tests.services.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@contextmanager
def sink(dsn: str | Callable[[], Client], **limits: Any) -> Iterator[SinkWorker]:
    worker = SinkWorker(
        (lambda: connect(dsn, request_timeout_s=PATIENCE_S)) if isinstance(dsn, str) else dsn,
        {"results": RESULTS, "events": ARCHIVE},
        beside={"results": (LABELS, DECISIONS)},
        letters=LetterRules("dead", 1_000_000, RatioGuard(0.5, 1000)),
        metrics=Metrics(CollectorRegistry()),
        backoff=Backoff(0.01, 0.05, lambda: 0.5),
        limits=SinkLimits(**{"batch_interval_s": 0.01} | limits),
    )
    try:
        yield worker
    finally:
        worker.close()


def finish(worker: SinkWorker, spans: list[Span]) -> dict[int, list[Output]]:
    """Collect until every span came back; outputs by the index of the span."""
    found: dict[int, list[Output]] = {}

    def collect() -> bool:
        for span, outputs in worker.collect():
            index = next(i for i, known in enumerate(spans) if known is span)
            assert index not in found, "a span came back twice"
            found[index] = outputs
        return len(found) == len(spans)

    until(collect)
    return found


def until_blocked(worker: SinkWorker) -> None:
    """Wait until ClickHouse takes nothing; nothing may be reported as stored meanwhile."""

    def blocked() -> bool:
        assert list(worker.collect()) == []
        return worker.blocked()

    until(blocked)


def results(numbers: range, *, partition: int = 0, **more: Any) -> Span:
    return span_of([Record(result_row(n, **more), at=n, in_partition=partition) for n in numbers])
