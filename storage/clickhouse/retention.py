"""How long ClickHouse keeps rows: the TTL of tables, as the settings ask for it. `gavel init` sets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from config.settings.sections import ClickHouse

_RESULTS = ("evaluation_results", "evaluation_results_recent")
_ARCHIVE = ("ai_events",)


def set_retention(client: Client, settings: ClickHouse) -> list[str]:
    """Give the tables the TTL of the settings, and leave those alone that have it; return what changed.

    A table whose setting is None is left as it is, so that a TTL which an operator has set stays.

    Raises:
        ClickHouseError: the server refuses, for instance because the user may not alter tables.
    """
    changed = []
    for tables, days in ((_RESULTS, settings.keep_results_days), (_ARCHIVE, settings.keep_events_days)):
        for table in tables if days is not None else ():
            change = _change(_engine(client, table), days or 0)
            if change:
                client.command(f"ALTER TABLE {table} {change}")
                changed.append(f"{table}: {change}")
    return changed


def _change(engine: str, days: int) -> str:
    """Return the change that a table needs, empty for none."""
    wanted = f"TTL toDateTime(timestamp) + toIntervalDay({days})"
    if days == 0:
        return "REMOVE TTL" if " TTL " in engine else ""
    return "" if wanted in engine else f"MODIFY {wanted}"


def _engine(client: Client, table: str) -> str:
    query = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
    return str(client.query(query, parameters={"table": table}).result_rows[0][0])
