"""Heartbeats on SQLite and PostgreSQL: each process is seen, and one that falls silent is told from one that ended."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import update
from structlog.testing import capture_logs

from config.settings import Settings, load_settings
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.metrics import Metrics
from processor.runtime import setup
from processor.runtime.process import Runtime, RuntimeOptions
from processor.runtime.setup import Finding, inspect
from storage.heartbeat import HeartbeatWriter
from storage.sql.engine import Database, StoreSchemaError, open_database
from storage.sql.heartbeats import MISSING_AFTER_S, Heartbeat, Heartbeats, Vitals
from storage.sql.heartbeats import heartbeats as table
from storage.sql.migrations import upgrade
from tests.services.waiting import until

NOW = datetime.now(UTC)


@pytest.fixture
def store(database: Database) -> Database:
    return database


def only(store: Database, *, now: datetime | None = None) -> Heartbeat:
    [beat] = Heartbeats(store).read(now=now or datetime.now(UTC))
    return beat


def states(store: Database) -> list[str]:
    return [beat.vitals.state for beat in Heartbeats(store).read(now=NOW)]


def test_a_heartbeat_replaces_the_one_before_and_says_how_the_role_is(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([100.0, 102.0])
    monkeypatch.setattr("storage.heartbeat.monotonic", lambda: next(looks))
    states = iter(
        [
            Vitals("waiting", "no partitions", counters={"results": 10}),
            Vitals("running", assignment={"events": [0, 2]}, counters={"results": 40}, details={"lag": {"events": 7}}),
        ]
    )
    writer = HeartbeatWriter(store, {"matcher": lambda: next(states)})
    writer.beat()
    assert only(store).vitals.reason == "no partitions"
    writer.beat()
    beat = only(store)
    assert (beat.role, beat.instance) == ("matcher", writer.instance)
    assert beat.version[0].isdigit()
    assert beat.vitals.state == "running"
    assert beat.vitals.assignment == {"events": [0, 2]}
    assert beat.vitals.details["lag"] == {"events": 7}
    assert beat.vitals.details["rates"]["results"] == 15, "30 results in two seconds"
    assert not beat.missing


def test_a_process_that_falls_silent_is_missing_and_one_that_ended_is_not(store: Database) -> None:
    writer = HeartbeatWriter(store, {"judge": lambda: Vitals("running", assignment={"tasks": [1]})}, interval_s=60)
    writer.start()
    until(lambda: Heartbeats(store).read(now=NOW), lambda: "no heartbeat")
    seen = only(store).seen
    if store.dialect == "sqlite":
        assert only(store, now=seen + timedelta(seconds=MISSING_AFTER_S + 1)).missing
    writer.stop({"judge": "the broker refused it"})
    ended = only(store, now=seen + timedelta(hours=1))
    assert (ended.vitals.state, ended.vitals.reason, ended.vitals.assignment) == ("failed", "the broker refused it", {})
    assert not ended.missing


def test_rows_that_nobody_wrote_for_a_day_are_removed(store: Database) -> None:
    heartbeats = Heartbeats(store)
    for instance in ("kept:1", "old:1"):
        heartbeats.write(instance, "1", NOW, {"sink": Vitals("running")}, now=NOW)
    with store.write() as connection:
        old = update(table).where(table.c.instance == "old:1").values(seen=NOW - timedelta(hours=25))
        connection.execute(old)
    heartbeats.write("new:1", "1", NOW, {"sink": Vitals("running")}, now=NOW)
    assert {beat.instance for beat in heartbeats.read(now=NOW)} == {"kept:1", "new:1"}


def test_a_clock_that_is_wrong_is_noted_and_the_process_is_not_missed(postgres_dsn: str) -> None:
    """The ages of heartbeats are by the database server's clock."""
    store = open_database(postgres_dsn)
    upgrade(store)
    wrong = datetime.now(UTC) - timedelta(hours=3)
    HeartbeatWriter(store, {"sink": lambda: Vitals("running")}, clock=lambda: wrong).beat()
    beat = only(store, now=wrong)
    assert not beat.missing
    assert beat.age_s < MISSING_AFTER_S
    assert -10_900 < beat.vitals.details["clock_ahead_s"] < -10_700
    store.close()


def test_a_clock_that_jumps_is_logged_once_and_told_to_the_probe_and_to_status(store: Database) -> None:
    ahead = timedelta()
    writer = HeartbeatWriter(store, {"sink": lambda: Vitals("running")}, clock=lambda: datetime.now(UTC) + ahead)
    with capture_logs() as logs:
        writer.beat()
        assert writer.clock_problem == ""
        ahead = timedelta(hours=2)
        writer.beat()
        writer.beat()
    told = [each for each in logs if each["event"] == "clock_jumped"]
    assert [round(each["by_s"], -1) for each in told] == [7200]
    assert "time synchronisation" in told[0]["remedy"]
    assert writer.clock_problem.startswith(("its clock jumped 7", "its clock is 7"))
    assert only(store).vitals.details["clock_jumped_s"] == pytest.approx(7200, abs=30)


def test_check_names_a_clock_that_is_not_the_stores(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Ahead:
            return cls.fromtimestamp(datetime.now(tz).timestamp() + 7200, tz)

    settings = load_settings(environ={}, overrides={"data_dir": str(tmp_path), "store": {"dsn": postgres_dsn}})

    def clocks() -> list[Finding]:
        return [each for each in inspect(settings, KafkaClients(settings), store) if each.subject == "clock"]

    with closing(open_database(postgres_dsn)) as store:
        upgrade(store)
        assert clocks() == []
        monkeypatch.setattr(setup, "datetime", Ahead)
        [found] = clocks()
    assert not found.ok
    assert found.detail.startswith("this host: its clock is 7")
    assert found.detail.endswith("s ahead of the store's")
    assert "time synchronisation" in found.remedy


def test_a_store_without_the_table_names_the_command_that_makes_it_and_does_not_end_the_process(
    empty: Database,
) -> None:
    with pytest.raises(StoreSchemaError, match="gavel init"):
        Heartbeats(empty).read(now=NOW)
    writer = HeartbeatWriter(empty, {"sink": lambda: Vitals("running")})
    writer.beat()
    upgrade(empty)
    writer.beat()
    assert only(empty).role == "sink"


def test_each_role_of_a_running_process_is_seen(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "http": {"port": 0}})
    store = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(store)
    runtime = Runtime(
        settings, ("matcher",), store, Metrics(CollectorRegistry()), RuntimeOptions(embedded=EmbeddedBroker())
    )
    runtime._heartbeat._interval_s = 0.1
    runtime.start()
    try:
        until(lambda: "running" in states(store), lambda: f"states: {states(store)}")
        vitals = only(store).vitals
        assert vitals.assignment == {settings.kafka.topics.events: [0, 1, 2, 3]}
        assert vitals.counters["rebalances"] == 1
        assert vitals.details["snapshot"]["broken"] == 0
    finally:
        assert runtime.stop() == 0
    assert only(store).vitals.state == "stopped"
    store.close()
