"""The connection of a command to ClickHouse, and the one line that a failure of it ends the command with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from cli.terminal import fail

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from config.settings import Settings


@contextmanager
def connected(settings: Settings) -> Iterator[Client]:
    """Yield a client of ClickHouse. If ClickHouse cannot be reached, or refuses a query, the command ends with 1."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from storage.clickhouse.connect import connect
    from storage.clickhouse.errors import ClickHouseProblem, SchemaMismatch
    from storage.clickhouse.migrate import release_expected

    try:
        with closing(connect(settings.clickhouse.dsn.get_secret_value())) as client, release_expected(client):
            yield client
    except SchemaMismatch as error:
        fail(str(error))
    except ClickHouseProblem as error:
        fail(f"{error}; check clickhouse.dsn with `gavel check`")
    except ClickHouseError as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        fail(f"ClickHouse refused the query: {problem}; `gavel check` tests the connection")
