"""ClickHouse as the routes see it: connected at the first question, and an honest 503 while it is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from api.http.errors import Unavailable
from storage.clickhouse import ClickHouseProblem, SchemaMismatch, connect, release_expected

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = structlog.get_logger("gavel.api")


def other_release(error: SchemaMismatch) -> Unavailable:
    """Return the answer to a client while the tables are not those of this release, with the operator's next step."""
    log.error("clickhouse_failed", error=type(error).__name__, detail=str(error))
    return Unavailable(f"{error}.", code="clickhouse_other_release")


class Archive:
    """Events and results. Safe to use from many threads."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._client: Client | None = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Give the client that all threads share. Blocks for the connect timeout at the first use.

        Raises:
            Unavailable: ClickHouse does not answer, has the tables of another release, or did not like a query within
                the block.
        """
        try:
            client = self._open()
            with release_expected(client):
                yield client
        except SchemaMismatch as error:
            raise other_release(error) from error
        except (ClickHouseProblem, ClickHouseError) as error:
            # The driver's text may hold parts of the query; the class says enough to look further.
            log.error("clickhouse_failed", error=type(error).__name__)
            detail = "ClickHouse does not answer; `gavel check` says why. Try again later."
            raise Unavailable(detail, code="clickhouse_unavailable") from error

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = connect(self._dsn)
            return self._client
