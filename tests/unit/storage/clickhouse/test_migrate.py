from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from processor.sink.rows import ARCHIVE, RESULTS, TableFormat
from storage.clickhouse import Migration, SchemaMismatch, check, connect, load_migrations, migrate
from storage.clickhouse.query import UNREAD, ConfidenceRange
from storage.clickhouse.recent import RecentSelection, newest
from storage.clickhouse.results import ResultSelection, find_results

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


def test_an_empty_database_is_brought_to_this_release_and_then_left_alone(empty_dsn: str) -> None:
    client = connect(empty_dsn)
    with pytest.raises(SchemaMismatch, match="gavel init") as error:
        check(client)
    assert error.value.pending == tuple(m.version for m in load_migrations())
    assert migrate(client) == load_migrations()
    check(client)
    assert migrate(client) == ()
    client.close()


def test_migrations_are_numbered_without_gaps_and_their_statements_can_be_repeated() -> None:
    migrations = load_migrations()
    assert [m.version for m in migrations] == list(range(1, len(migrations) + 1))
    for migration in migrations:
        for statement in migration.statements:
            # Readers of the table of newest results drop repeated ids, and the rollup is emptied before it is filled.
            fills = statement.startswith(("INSERT INTO evaluation_results_recent", "INSERT INTO evaluation_outcomes"))
            # A query of a view is replaced as a whole, and only values that are missing are filled in.
            replaces = " MODIFY " in statement or "UPDATE confidence" in statement or " MATERIALIZE " in statement
            assert "IF NOT EXISTS" in statement or "IF EXISTS" in statement or fills or replaces


def test_a_migration_that_stopped_half_way_is_done_again(empty_dsn: str) -> None:
    """The second statement fails at first; what the first one made does not stand in the way."""
    client = connect(empty_dsn)
    good = "CREATE TABLE IF NOT EXISTS one (a Int64) ENGINE = MergeTree ORDER BY a;\n"
    broken = Migration(1, "two_tables", good + "CREATE TABLE IF NOT EXISTS two (a Nonsense) ENGINE = Memory;\n")
    with pytest.raises(DatabaseError):
        migrate(client, [broken])
    mended = replace(broken, sql=good + "CREATE TABLE IF NOT EXISTS two (a Int64) ENGINE = MergeTree ORDER BY a;\n")
    assert migrate(client, [mended]) == (mended,)
    check(client, [mended])
    client.close()


_OLD_RESULTS = """
    INSERT INTO evaluation_results
        (uuid, team_id, timestamp, start_time, evaluation_id, result_type, result, properties)
    SELECT toString(number), 1, now() - number, now(), 'e', 'boolean', true,
           if(number % 4 = 0, '{"$ai_evaluation_confidence":0.75}', '{"$ai_evaluation_confidence_source":"votes"}')
    FROM numbers(40)
"""


def test_results_that_were_stored_before_there_was_a_confidence_get_theirs(empty_dsn: str) -> None:
    client = connect(empty_dsn)
    migrate(client, load_migrations()[:8])
    client.command(_OLD_RESULTS)
    confidence, default = migrate(client)
    while client.query("SELECT count() FROM system.mutations WHERE NOT is_done").first_row[0]:
        sleep(0.05)
    sure = ResultSelection(1, confidence=ConfidenceRange(least=0.7))
    expected = [str(number) for number in range(0, 40, 4)]
    assert [each.uuid for each in find_results(client, sure, UNREAD)] == expected
    window = {"team_id": 1, "start": datetime.now(UTC) - timedelta(hours=1), "end": datetime.now(UTC)}

    def listed() -> None:
        found = newest(client, RecentSelection(**window, confidence=sure.confidence), limit=100)
        assert [(each.uuid, each.confidence) for each in found] == [(uuid, 0.75) for uuid in expected]
        everything = newest(client, RecentSelection(**window), limit=100)
        assert [each.uuid for each in everything] == [str(number) for number in range(40)]
        assert [each.uuid for each in everything if each.confidence == 0.75] == expected

    listed()
    for statement in (*confidence.statements, *default.statements):  # as after a cut
        client.command(statement)
    listed()
    client.close()


def test_a_sink_of_the_release_before_writes_results_with_their_confidence(empty_dsn: str) -> None:
    """During an upgrade `gavel init` comes first: such results were in no range of confidence for good."""
    client = connect(empty_dsn)
    migrate(client)
    client.command(_OLD_RESULTS)
    sure = ResultSelection(1, confidence=ConfidenceRange(least=0.7))
    expected = [str(number) for number in range(0, 40, 4)]
    assert [each.uuid for each in find_results(client, sure, UNREAD)] == expected
    window = {"team_id": 1, "start": datetime.now(UTC) - timedelta(hours=1), "end": datetime.now(UTC)}
    found = newest(client, RecentSelection(**window, confidence=sure.confidence), limit=100)
    assert [(each.uuid, each.confidence) for each in found] == [(uuid, 0.75) for uuid in expected]
    client.close()


def test_a_database_of_a_newer_release_is_refused(client: Client) -> None:
    with pytest.raises(SchemaMismatch, match="newer"):
        check(client, load_migrations()[:-1])


def test_a_migration_that_was_changed_after_its_release_is_refused(client: Client) -> None:
    first, *others = load_migrations()
    changed = replace(first, sql=first.sql + "-- edited")
    with pytest.raises(SchemaMismatch, match="another text"):
        check(client, [changed, *others])


@pytest.mark.parametrize("table", [RESULTS, ARCHIVE], ids=lambda table: table.table)
def test_the_sink_fills_every_column_that_the_engine_does_not(client: Client, table: TableFormat) -> None:
    described = client.query(f"DESCRIBE TABLE {table.table}").named_results()
    # The default of the confidence is for sinks of an earlier release.
    columns = {row["name"]: row["type"] for row in described if not row["default_type"] or row["name"] == "confidence"}
    assert set(table.columns) == set(columns)
    sent = dict(zip(table.columns, table.types, strict=True))
    for name, kind in columns.items():
        plain = kind.replace("LowCardinality(String)", "String")
        assert sent[name] in (plain, f"Nullable({plain})")


@pytest.mark.parametrize(
    ("table", "last"), [("evaluation_results", "uuid"), ("ai_events", "uuid")], ids=lambda value: str(value)
)
def test_tables_replace_by_a_key_that_ends_in_the_id_and_are_partitioned_by_month(
    client: Client, table: str, last: str
) -> None:
    engine, key, partition, settings = client.query(
        "SELECT engine, sorting_key, partition_key, engine_full FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows[0]
    assert engine == "ReplacingMergeTree"
    assert key.split(", ")[-1] == last
    assert partition == "toYYYYMM(timestamp)"
    assert "non_replicated_deduplication_window" in settings
