from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage.clickhouse import connect
from tests.services.clickhouse_http import ClickHouseFront
from tests.services.clickhouse_tables import fill

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@pytest.fixture
def front(tmp_path: Path) -> Iterator[ClickHouseFront]:
    """An HTTP front over chdb, with Gavel's tables."""
    with ClickHouseFront(fill(tmp_path / "server")) as server:
        yield server


@pytest.fixture(params=["embedded", "http"])
def empty_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """DSN of an empty ClickHouse: chdb in the process, and the same engine by HTTP."""
    with opened(request.param, tmp_path / "clickhouse") as found:
        yield found


@pytest.fixture(params=["embedded", "http"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """DSN of a ClickHouse that has Gavel's tables."""
    with opened(request.param, fill(tmp_path / "clickhouse")) as found:
        yield found


@contextmanager
def opened(way: str, directory: Path) -> Iterator[str]:
    """Give the DSN of the ClickHouse in `directory`."""
    if way == "embedded":
        yield f"chdb://{directory}?database=gavel"
        return
    with ClickHouseFront(directory) as server:
        yield server.dsn


@pytest.fixture
def client(dsn: str) -> Iterator[Client]:
    opened = connect(dsn)
    yield opened
    opened.close()
