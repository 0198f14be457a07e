"""Rows that are older than the settings say are removed, and no table is altered without need."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from config.settings import Settings
from storage.clickhouse import connect, migrate
from storage.clickhouse.retention import set_retention


def clickhouse(**values: Any) -> Any:
    return Settings.model_validate({"clickhouse": values}).clickhouse


def test_old_rows_are_removed_as_the_settings_say_and_a_ttl_is_set_once(empty_dsn: str) -> None:
    wanted = clickhouse(keep_results_days=30, keep_events_days=7)
    with closing(connect(empty_dsn)) as client:
        migrate(client)
        for table in ("evaluation_results", "ai_events"):
            for age in (1, 10, 40):
                client.command(
                    f"INSERT INTO {table} (team_id, uuid, timestamp) "
                    f"VALUES (1, toString(generateUUIDv4()), now() - INTERVAL {age} DAY)"
                )
        assert [each.partition(":")[0] for each in set_retention(client, wanted)] == [
            "evaluation_results",
            "evaluation_results_recent",
            "ai_events",
        ]
        assert set_retention(client, wanted) == []
        for table, kept in (("evaluation_results", 2), ("ai_events", 1)):
            client.command(f"OPTIMIZE TABLE {table} FINAL")
            assert client.query(f"SELECT count() FROM {table}").result_rows == [(kept,)]


def test_without_a_setting_the_ttl_of_an_operator_stays_and_zero_removes_it(empty_dsn: str) -> None:
    with closing(connect(empty_dsn)) as client:
        migrate(client)
        client.command("ALTER TABLE ai_events MODIFY TTL toDateTime(timestamp) + INTERVAL 3 DAY")
        assert set_retention(client, clickhouse()) == []
        assert set_retention(client, clickhouse(keep_events_days=0)) == ["ai_events: REMOVE TTL"]
        assert set_retention(client, clickhouse(keep_events_days=0)) == []
