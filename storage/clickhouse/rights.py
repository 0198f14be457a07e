"""Missing rights of the user of `clickhouse.dsn`: named as the server names them, and looked for beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import DatabaseError

from storage.clickhouse import ARCHIVE_TABLE, LABELS_TABLE, MEASUREMENTS_TABLE, RESULTS_TABLE
from storage.clickhouse.decisions import DECISIONS_TABLE
from storage.clickhouse.errors import RightsMissing

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

WRITTEN_TABLES = (RESULTS_TABLE, ARCHIVE_TABLE, LABELS_TABLE, MEASUREMENTS_TABLE, DECISIONS_TABLE)
"""The tables that the sink writes."""
_ACCESS_DENIED, _DATABASE_ACCESS_DENIED = 497, 291
_NAMED = "the grant "
"""ClickHouse says: `… To execute this query, it's necessary to have the grant RIGHT. (ACCESS_DENIED)`."""
_COLUMNS = re.compile(r"\([^()]*\)")


def missing_right(error: BaseException) -> str | None:
    """Return the right that a refused statement needs, such as `INSERT ON gavel.ai_events`; None for other errors.

    Rights on single columns are shown as rights on their table. If the server names no right, it is said so.
    """
    if getattr(error, "code", None) not in (_ACCESS_DENIED, _DATABASE_ACCESS_DENIED):
        return None
    named = str(error).partition(_NAMED)[2].partition(". (")[0]
    right = " ".join(_COLUMNS.sub("", named).split())
    return right[:200] or "that the server did not name"


@contextmanager
def rights_expected() -> Iterator[None]:
    """Turn a refusal for a missing right into `RightsMissing`."""
    try:
        yield
    except DatabaseError as error:
        right = missing_right(error)
        if right is None:
            raise
        raise RightsMissing(right) from error


def check_rights(client: Client) -> None:
    """Return if the user of `client` may read and write `WRITTEN_TABLES`. It writes no rows.

    Raises:
        RightsMissing: the user may not.
    """
    with rights_expected():
        for table in WRITTEN_TABLES:
            client.command(f"INSERT INTO {table} SELECT * FROM {table} WHERE 0")
