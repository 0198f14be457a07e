"""Inserting one batch, whatever it takes: again while ClickHouse is away, without the rows that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import structlog
from clickhouse_connect.driver.compression import get_compressor

from processor.metrics import Metrics
from processor.sink.batch import RowBatch
from processor.sink.errors import TRANSPORT, InsertFault, classify, label
from processor.sink.rows import TableFormat
from storage.clickhouse import ClickHouseProblem, RightsMissing, check
from storage.clickhouse.connect import cause_of
from storage.clickhouse.rights import missing_right

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

INSERT_SETTINGS = {
    # A batch is acknowledged when it is stored, not when it is queued.
    "async_insert": 0,
    "insert_deduplicate": 1,
    # Old events and made-up times may spread over any number of months; a limit would refuse good rows.
    "max_partitions_per_insert_block": 0,
    # Copies within a batch are left to merges and FINAL, as copies in two batches are: a quarter of an insert's time.
    "optimize_on_insert": 0,
    # A batch is too small to be worth a second thread of the engine: a tenth of an insert's time.
    "max_threads": 1,
    "max_insert_threads": 1,
}


class Abandoned(Exception):  # no error: nobody waits for the batch any more
    """The batch was given back, or the sink is closing."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `initial_s` to `max_s`.

    Args:
        random: 0 to 1; spreads the waits of many sinks that lost the same server.
    """

    initial_s: float
    max_s: float
    random: Callable[[], float]

    def wait_s(self, attempt: int) -> float:
        """Return the wait after the `attempt`-th failure (from 1): half of it fixed, half at random."""
        whole = min(self.max_s, self.initial_s * 2.0 ** min(attempt - 1, 30))
        return whole * (0.5 + 0.5 * self.random())


@dataclass(frozen=True, slots=True)
class InsertRefused:
    """A row that ClickHouse does not take.

    Attributes:
        index: of the row in its batch, as `RowBatch.locate` takes it.
        detail: the error's name; its text may repeat values of the row.
    """

    index: int
    detail: str


class Inserter:
    """Inserts batches through a client that it makes when first needed. Belongs to one thread.

    Args:
        connect: makes a client; raises `ClickHouseProblem`.
        on_blocked: told True when a try failed and another follows, False when one succeeded.
        closing: ends every wait.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        backoff: Backoff,
        metrics: Metrics,
        *,
        on_blocked: Callable[[bool], None],
        closing: Event,
    ) -> None:
        self._connect = connect
        self._backoff = backoff
        self._metrics = metrics
        self._on_blocked = on_blocked
        self._closing = closing
        self._client: Client | None = None
        self._log = structlog.get_logger("gavel.sink")

    def prepare(self) -> None:
        """Connect and check the tables, as often as it takes.

        Raises:
            Abandoned: the sink is closing.
        """
        attempt = 0
        while self._client is None:
            if self._closing.is_set():
                raise Abandoned
            client = None
            try:
                client = self._connect()
                check(client)
            except Exception as error:
                if client is not None:
                    client.close()
                attempt += 1
                if not isinstance(error, ClickHouseProblem) and classify(error, 1) is None:
                    raise
                self._wait(error, attempt, self._closing)
            else:
                self._client = client
                self._on_blocked(False)

    def insert(self, batch: RowBatch) -> list[InsertRefused]:
        """Insert all of `batch` but the rows that ClickHouse refuses, which are returned. Blocks until then.

        Raises:
            Abandoned: the batch was given back, or the sink is closing.
        """
        refused: list[InsertRefused] = []
        self._insert_range(batch, batch.token(), 0, batch.rows, refused)
        return refused

    def _insert_range(self, batch: RowBatch, token: str, start: int, end: int, refused: list[InsertRefused]) -> None:
        if whole := start == 0 and end == batch.rows:
            error = self._try_until_settled(batch, batch.body(), token)
        else:
            error = self._try_until_settled(batch, batch.excerpt(start, end), f"{token}:{start}-{end}")
        if error is None:
            return
        if end - start == 1:
            refused.append(InsertRefused(start, label(error)))
            return
        if whole:
            self._log.warning("batch_refused", table=batch.table.table, rows=batch.rows, error=label(error))
        middle = (start + end) // 2
        self._insert_range(batch, token, start, middle, refused)
        self._insert_range(batch, token, middle, end, refused)

    def _try_until_settled(self, batch: RowBatch, body: bytes, token: str) -> Exception | None:
        """Return None when the rows are in, or the error by which they are refused."""
        attempt = 0
        while True:
            if batch.abandoned.is_set() or self._closing.is_set():
                raise Abandoned
            attempt += 1
            try:
                self.prepare()
                self._send(batch.table, body, token)
            except Exception as error:
                fault = classify(error, attempt)
                if fault is None:
                    raise
                if fault is InsertFault.DATA:
                    return error
                self._wait(error, attempt, batch.abandoned)
            else:
                self._on_blocked(False)
                return None

    def _send(self, table: TableFormat, body: bytes, token: str) -> None:
        if self._client is None:
            raise RuntimeError("the inserter was not prepared")
        compression = self._client.write_compression  # as the DSN says; none for chdb
        self._client.raw_insert(
            table.table,
            column_names=table.columns,
            insert_block=_packed(body, compression),
            settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
            fmt="Native",
            compression=compression,
        )

    def _wait(self, error: Exception, attempt: int, given_up: Event) -> None:
        self._on_blocked(True)
        wait_s = self._backoff.wait_s(attempt)
        self._metrics.count("gavel_sink_retries", reason=label(error))
        self._log.warning(
            "clickhouse_blocked",
            error=label(error),
            detail=_detail(error),
            attempt=attempt,
            next_try_s=round(wait_s, 1),
        )
        # In slices: both the batch's and the sink's end must cut the wait short.
        while wait_s > 0 and not self._closing.is_set():
            if given_up.wait(min(wait_s, 0.2)):
                return
            wait_s -= 0.2

    def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _detail(error: Exception) -> str:
    """Return what to log of a failure; the text of other errors may repeat values of rows."""
    right = missing_right(error)
    problem = error if right is None else RightsMissing(right)
    if isinstance(problem, ClickHouseProblem):
        return str(problem)[:500]
    if label(error) == TRANSPORT and error.__cause__ is not None:
        return cause_of(error)  # the words of the network hold no values of rows
    return type(error).__name__


def _packed(body: bytes, compression: str | None) -> bytes:
    """Return `body` as one compressed frame: the driver sends a raw body as it is given."""
    if compression is None:
        return body
    compressor: Any = get_compressor(compression)
    return bytes(compressor.compress_block(body)) + (compressor.flush() or b"")
