"""How often results are in ClickHouse, for tests and benchmarks that check that each is there exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.clickhouse.query import Where, rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class Copies:
    """How often results are there.

    Attributes:
        ids: distinct result ids.
        visible: rows that readers see (`FINAL`); equal to `ids` or something is wrong.
        stored: rows on disk, repeats that no merge has collapsed yet included.
    """

    ids: int
    visible: int
    stored: int


def count_copies(client: Client, team_id: int | None = None) -> Copies:
    """Return whether every result is there exactly once, for a team or for all."""
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    counts: dict[str, Any] = {}
    for name, what, final in (
        ("ids", "uniqExact(uuid)", ""),
        ("visible", "count()", "FINAL"),
        ("stored", "count()", ""),
    ):
        query = f"SELECT {what} AS found FROM evaluation_results {final} WHERE {where.text}"
        counts[name] = int(rows(client, query, where.values)[0]["found"])
    return Copies(**counts)


def result_ids(client: Client, team_id: int | None = None) -> dict[str, int]:
    """Return how often readers see each result id; for checks of completeness, not for large tables."""
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    query = f"SELECT uuid, count() AS copies FROM evaluation_results FINAL WHERE {where.text} GROUP BY uuid"
    return {row["uuid"]: int(row["copies"]) for row in rows(client, query, where.values)}
