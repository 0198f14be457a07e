"""ClickHouse for pages that people look at: read-only, with limits, and few queries at a time.

A page that asks for too much is refused after seconds, so that it neither fills the server's memory nor keeps other
readers waiting. Each query has a client of its own, because an embedded client does one query at a time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from api.http.errors import Throttled, Unavailable
from api.services.archive import Archive, other_release
from storage.clickhouse import ClickHouseProblem, SchemaMismatch, connect, release_expected

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = structlog.get_logger("gavel.console")

AT_ONCE, PER_SESSION = 8, 2
WAIT_S = 3.0
LIMITS: Mapping[str, int] = {
    # 2 allows the settings of a query and refuses every change of data.
    "readonly": 2,
    "max_execution_time": 5,
    "max_memory_usage": 1 << 30,
}
EXPORTS_AT_ONCE = 2
EXPORT_LIMITS: Mapping[str, int] = {
    "max_execution_time": 300,
    # Sorting spills to disk before the limit on memory is reached.
    "max_bytes_before_external_sort": 1 << 28,
}
_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S, _EXPORT_TIMEOUT_S = 2.0, 8.0, 310.0
_TIMEOUT_EXCEEDED, _MEMORY_EXCEEDED = 159, 241


class ArchiveAway(Unavailable):
    """ClickHouse does not answer. `since`: the first query that found it away."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        detail = "ClickHouse does not answer, so results and conversations cannot be shown. Definitions and jobs can."
        super().__init__(detail, code="clickhouse_unavailable")


class LimitedClient:
    """Stands in the place of a client where results are read; every query has the limits."""

    def __init__(self, client: Client, before: Callable[[], None]) -> None:
        self._client = client
        self._before = before

    def query(self, query: str, *, parameters: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Run a query. The limits win over the settings of the caller."""
        self._before()
        return self._client.query(query, parameters=parameters, settings={**settings, **LIMITS})


class ExportClient:
    """Stands in the place of a client where rows are exported."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def raw_stream(self, query: str, *, parameters: dict[str, Any], settings: dict[str, Any], fmt: str) -> Any:
        """Run a query and return its rows as a stream of bytes in one of ClickHouse's own formats."""
        limits = {**settings, **LIMITS, **EXPORT_LIMITS}
        return self._client.raw_stream(query, parameters=parameters, fmt=fmt, settings=limits)


class BoundedArchive:
    """The results and events, for the console. Safe to use from many threads.

    Args:
        now: the clock; aware times.
        before: called before each query of a page; it may wait.
    """

    def __init__(self, dsn: str, *, now: Callable[[], datetime], before: Callable[[], None] = lambda: None) -> None:
        self._dsn = dsn
        self._now = now
        self._before = before
        self._away_since: datetime | None = None
        self._room = threading.Condition()
        self._running: Counter[str] = Counter()
        self._idle: list[Client] = []
        self._exports = threading.BoundedSemaphore(EXPORTS_AT_ONCE)
        self._count: Callable[[float], None] = lambda _refused: None

    def count_refusals(self, count: Callable[[float], None]) -> None:
        """Let `count` add up the queries and exports that found no room; it is called with 0 at once."""
        self._count = count
        count(0)

    @contextmanager
    def exporting(self) -> Iterator[Client]:
        """Give a client of its own for one export.

        Raises:
            Throttled: two exports run already.
            Unavailable: ClickHouse does not answer or has the tables of another release, or the export takes too long.
        """
        if not self._exports.acquire(blocking=False):
            self._count(1)
            raise Throttled(WAIT_S)
        try:
            client = connect(self._dsn, connect_timeout_s=_CONNECT_TIMEOUT_S, request_timeout_s=_EXPORT_TIMEOUT_S)
            with closing(client), release_expected(client):
                yield ExportClient(client)  # type: ignore[misc]  # has the one method of it that exporting needs
        except (ClickHouseProblem, ClickHouseError) as error:
            raise self._as_api_error(error) from error
        finally:
            self._exports.release()

    @contextmanager
    def client(self, session: str) -> Iterator[Client]:
        """Give a client for one query or a few in a row.

        Raises:
            Throttled: eight queries run already, or two of this session, and none ended within three seconds.
            Unavailable: ClickHouse does not answer or has the tables of another release, or the query was too large.
        """
        self._enter(session)
        client: Client | None = None
        try:
            client = self._take()
            with release_expected(client):
                yield LimitedClient(client, self._before)  # type: ignore[misc]  # has the one method that reading needs
            self._away_since = None
        except (ClickHouseProblem, ClickHouseError) as error:
            raise self._as_api_error(error) from error
        finally:
            self._leave(session, client)

    def close(self) -> None:
        """Close the idle clients."""
        with self._room:
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    def _enter(self, session: str) -> None:
        with self._room:
            if not self._room.wait_for(lambda: self._has_room(session), WAIT_S):
                self._count(1)
                raise Throttled(WAIT_S)
            self._running[session] += 1

    def _has_room(self, session: str) -> bool:
        return self._running.total() < AT_ONCE and self._running[session] < PER_SESSION

    def _leave(self, session: str, client: Client | None) -> None:
        with self._room:
            self._running[session] -= 1
            if not self._running[session]:
                del self._running[session]
            if client is not None:
                self._idle.append(client)
            self._room.notify_all()

    def _as_api_error(self, error: Exception) -> Unavailable:
        if isinstance(error, SchemaMismatch):
            return other_release(error)
        log.error("clickhouse_failed", error=type(error).__name__)
        code = getattr(error, "code", None)
        if code == _TIMEOUT_EXCEEDED:
            return Unavailable("This takes longer than 5 seconds. Choose a shorter period.", code="query_too_slow")
        if code == _MEMORY_EXCEEDED:
            return Unavailable("This needs more than 1 GiB of memory. Choose a shorter period.", code="query_too_large")
        self._away_since = self._away_since or self._now()
        return ArchiveAway(self._away_since)

    def _take(self) -> Client:
        with self._room:
            if self._idle:
                return self._idle.pop()
        return connect(self._dsn, connect_timeout_s=_CONNECT_TIMEOUT_S, request_timeout_s=_ANSWER_TIMEOUT_S)


class SessionArchive(Archive):
    """The bounded archive of one session, in the place of the archive where a service reads for a page."""

    def __init__(self, pages: BoundedArchive, session: str) -> None:
        self._pages = pages
        self._session = session

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Give a client with limits. Errors as `BoundedArchive.client`."""
        with self._pages.client(self._session) as client:
            yield client

    def close(self) -> None:
        """Do nothing, because the connections are the bounded archive's."""
