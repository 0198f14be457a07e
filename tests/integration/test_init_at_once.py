"""`gavel init` in several processes at once, as hooks of several installations or impatient people start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from config.settings import Settings
from processor.kafka import KafkaClients
from processor.runtime.setup import Finding, initialise
from storage.clickhouse import check, connect, load_migrations, migrate
from storage.sql.engine import Database, StoreSchemaError, open_store
from storage.sql.migrations import check_current
from storage.sql.turns import turn
from tests.services.cache import CHECKOUT
from tests.services.clickhouse_http import ClickHouseFront
from tests.services.ports import free_ports
from tests.services.waiting import PATIENCE_S, until

MAIN = "from cli.main import main; main()"


def is_current(store: Database) -> bool:
    """Tell whether the store has the tables of this release."""
    try:
        check_current(store)
    except StoreSchemaError:
        return False
    return True


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ClickHouseFront]:
    with ClickHouseFront(tmp_path / "clickhouse") as front:
        yield front


@pytest.mark.parametrize(("store", "applied"), [("sqlite", 0), ("postgresql", 5)])
def test_processes_that_migrate_at_once_take_turns(
    request: pytest.FixtureRequest, tmp_path: Path, kafka: str, served: ClickHouseFront, store: str, applied: int
) -> None:
    """From nothing, and from the tables of an old release, whose later migrations drop what earlier ones make."""
    with closing(connect(served.dsn)) as client:
        if applied:
            migrate(client, load_migrations()[:applied])
    run = uuid4().hex[:8]
    topics = {name: f"at-once-{run}-{name}" for name in type(Settings().kafka.topics).model_fields}
    env = {
        **os.environ, "PYTHONPATH": str(CHECKOUT), "GAVEL_DATA_DIR": str(tmp_path), "GAVEL_CLICKHOUSE__DSN": served.dsn,
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka, "GAVEL_KAFKA__PARTITIONS": "1",
        **{f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in topics.items()},
    }  # fmt: skip
    if store == "postgresql":
        env["GAVEL_STORE__DSN"] = request.getfixturevalue("postgres_dsn")
    argv = [sys.executable, "-c", MAIN, "init"]
    commands = [
        subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)
    ]
    told = [each.communicate(timeout=PATIENCE_S)[0] for each in commands]
    assert [each.returncode for each in commands] == [0, 0, 0], "\n".join(told)
    last = f"{load_migrations()[-1].version:04}_{load_migrations()[-1].name}"
    assert sum(last in " ".join(text.split()).replace(" ", "") for text in told) == 1, "\n".join(told)
    with closing(connect(served.dsn)) as client:
        check(client)
        tables = {name for (name,) in client.query("SHOW TABLES").result_rows}
    assert {"evaluation_results", "evaluation_outcomes_hourly"} <= tables


def test_clickhouse_is_left_alone_until_the_turn_of_another_process_is_over(
    tmp_path: Path, served: ClickHouseFront
) -> None:
    (broker,) = free_ports(1)
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path, "clickhouse": {"dsn": served.dsn},
            "kafka": {"bootstrap_servers": f"127.0.0.1:{broker}", "message_timeout_s": 1},
        }
    )  # fmt: skip
    found: list[Finding] = []
    with closing(open_store(settings)) as store, closing(open_store(settings)) as other:
        second = Thread(target=lambda: found.extend(initialise(settings, KafkaClients(settings), other)))
        with turn(store):
            second.start()
            until(lambda: is_current(store), "the store, which comes before ClickHouse")
            second.join(5)
            assert second.is_alive()
            with closing(connect(served.dsn)) as client, pytest.raises(Exception, match="gavel init"):
                check(client)
        second.join(PATIENCE_S)
    assert [(each.subject, each.ok) for each in found][1:] == [("store", True), ("clickhouse", True)]


def test_without_the_store_clickhouse_waits_and_the_way_out_is_the_stores(tmp_path: Path) -> None:
    broker, away = free_ports(2)
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap_servers": f"127.0.0.1:{broker}", "message_timeout_s": 1},
            "store": {"dsn": f"postgresql://gavel@127.0.0.1:{away}/gavel", "connect_timeout_s": 1},
        }
    )  # fmt: skip
    with closing(open_store(settings)) as store:
        _, of_store, of_clickhouse = initialise(settings, KafkaClients(settings), store)
    assert not of_store.ok
    assert not of_clickhouse.ok
    assert "definition store does not answer" in of_clickhouse.detail
    assert "GAVEL_STORE__DSN" in of_clickhouse.remedy == of_store.remedy
