from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage.clickhouse import connect, migrate
from tests.services.clickhouse_http import ClickHouseFront

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@pytest.fixture
def front(tmp_path: Path) -> Iterator[ClickHouseFront]:
    """An HTTP front over chdb, with nothing in it."""
    with ClickHouseFront(tmp_path / "server") as server:
        yield server


@pytest.fixture(params=["embedded", "http"])
def empty_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """DSN of an empty ClickHouse: chdb in the process, and the same engine by HTTP."""
    if request.param == "embedded":
        yield f"chdb://{tmp_path}/embedded?database=gavel"
        return
    with ClickHouseFront(tmp_path / "server") as server:
        yield server.dsn


@pytest.fixture
def dsn(empty_dsn: str) -> str:
    """DSN of a ClickHouse that has Gavel's tables."""
    client = connect(empty_dsn)
    migrate(client)
    client.close()
    return empty_dsn


@pytest.fixture
def client(dsn: str) -> Iterator[Client]:
    opened = connect(dsn)
    yield opened
    opened.close()
