"""Names and values of properties in the newest generations, as suggestions for conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.clickhouse.query import rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_NEWEST = 500
_MAX_BYTES = 100_000
"""Larger events are left out: they are few, and reading them would take most of the time."""
_NEWEST_ROWS = f"""
    SELECT properties FROM ai_events
    WHERE team_id = {{team_id:Int64}} AND timestamp >= now() - INTERVAL 7 DAY AND length(properties) <= {_MAX_BYTES}
    ORDER BY timestamp DESC LIMIT {_NEWEST}
"""


def property_names(client: Client, team_id: int) -> list[str]:
    """Return up to 200 names of properties, the most frequent first."""
    query = f"""
        SELECT arrayJoin(JSONExtractKeys(properties)) AS name, count() AS times FROM ({_NEWEST_ROWS})
        GROUP BY name HAVING length(name) <= 200 ORDER BY times DESC, name LIMIT 200
    """
    return [row["name"] for row in rows(client, query, {"team_id": team_id})]


def property_values(client: Client, team_id: int, name: str) -> list[str]:
    """Return up to 30 values of a property that are short texts, numbers or booleans, the most frequent first."""
    query = f"""
        SELECT if(JSONType(properties, {{name:String}}) = 'String', JSONExtractString(properties, {{name:String}}),
                  JSONExtractRaw(properties, {{name:String}})) AS value, count() AS times
        FROM ({_NEWEST_ROWS})
        WHERE JSONType(properties, {{name:String}}) NOT IN ('Null', 'Object', 'Array')
        GROUP BY value HAVING length(value) BETWEEN 1 AND 200 ORDER BY times DESC, value LIMIT 30
    """
    return [row["value"] for row in rows(client, query, {"team_id": team_id, "name": name})]
