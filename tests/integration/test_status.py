"""`gavel status` on real parts: a running pipeline, and parts that are away, without rights, or of another release."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from cli.findings import find_problems
from cli.main import build_app
from cli.overview import Gatherer, Overview
from config.settings import Settings
from storage.clickhouse import connect, migrate
from storage.sql.engine import open_database
from storage.sql.migrations import upgrade
from tests.integration.pipeline import Pipeline, generations
from tests.services.cache import CHECKOUT
from tests.services.clickhouse_http import ClickHouseFront, Faults
from tests.services.ports import free_ports
from tests.services.waiting import until


def gathered(settings: Settings, dsn: str) -> Overview:
    with (
        closing(open_database(dsn, connect_timeout_s=10.0)) as database,
        closing(Gatherer(settings, database)) as gatherer,
    ):
        return gatherer.gather()


def problems(seen: Overview) -> dict[str, str]:
    return {each.where: f"{each.what} -> {each.remedy}" for each in find_problems(seen)}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ClickHouseFront]:
    with ClickHouseFront(tmp_path / "server") as front:
        yield front


def test_a_running_pipeline_is_seen_with_its_groups_and_a_role_that_nobody_runs(
    kafka: str, tmp_path: Path, served: ClickHouseFront
) -> None:
    pipeline = Pipeline(kafka, tmp_path, clickhouse={"dsn": served.dsn})
    pipeline.evaluate()
    dsn = pipeline.settings.store.dsn.get_secret_value()
    with pipeline.running(("matcher", "sink")) as runtime:
        runtime._heartbeat._interval_s = 0.1
        pipeline.produce(generations()[:200])

        def read() -> dict[str, int]:
            kafka_view = gathered(pipeline.settings, dsn).kafka
            return {} if kafka_view is None else kafka_view.lag.get("matcher", {})

        until(lambda: read() and sum(read().values()) <= 3 * 3, lambda: f"lag {read()}")
        seen = gathered(pipeline.settings, dsn)
    assert seen.kafka is not None
    assert seen.kafka.groups["matcher"] == ("stable", 1)
    assert seen.kafka.missing == []
    assert seen.clickhouse
    assert problems(seen) == {"judge": "no process runs this role -> start `gavel run --role judge`"}
    after = gathered(pipeline.settings, dsn)
    assert {"matcher", "judge", "sink"} <= set(problems(after)), "they said that they end, and are not there"
    assert not any(each.what.startswith("it has been silent") for each in find_problems(after))


def test_each_part_that_is_away_says_so_and_what_to_do(tmp_path: Path) -> None:
    broker, clickhouse, postgres = free_ports(3)
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap_servers": f"127.0.0.1:{broker}"},
            "clickhouse": {"dsn": f"http://u:s3cret-pass@127.0.0.1:{clickhouse}/gavel"},
        }
    )
    found = problems(gathered(settings, f"postgresql://u:s3cret-pass@127.0.0.1:{postgres}/gavel"))
    assert set(found) == {"store", "kafka", "clickhouse"}
    assert "kafka.bootstrap_servers" in found["kafka"]
    assert "store.dsn" in found["store"]
    assert "Results wait in Kafka meanwhile" in found["clickhouse"]
    assert "s3cret-pass" not in str(found)


def test_missing_topics_tables_and_rights_are_told_apart(
    kafka: str, tmp_path: Path, postgres_dsn: str, served: ClickHouseFront
) -> None:
    topics = {name: f"absent-{name}" for name in ("events", "results", "tasks", "parked", "dead_letters")}
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"bootstrap_servers": kafka, "topics": topics},
            "clickhouse": {"dsn": served.dsn},
        }
    )
    found = problems(gathered(settings, postgres_dsn))
    assert "topics do not exist: absent-events" in found["kafka"]
    assert "gavel init" in found["store"]
    assert "gavel init" in found["clickhouse"]

    store = open_database(postgres_dsn)
    upgrade(store)
    with store.write() as connection:
        connection.execute(text("CREATE ROLE watcher LOGIN PASSWORD 'pw'"))
    watching = store.engine.url.set(username="watcher", password="pw").render_as_string(hide_password=False)
    try:
        assert "grant this user rights" in problems(gathered(settings, watching))["store"]
    finally:
        with store.write() as connection:
            connection.execute(text("DROP ROLE watcher"))
        store.close()


def run(*words: str, **env: Any) -> Result:
    return CliRunner().invoke(build_app(), list(words), env=env)


def test_the_exit_code_says_whether_there_is_an_error(tmp_path: Path) -> None:
    (broker,) = free_ports(1)
    upgrade(open_database(f"sqlite:///{tmp_path}/gavel.db"))
    done = run(
        "status", "--once", "--json",
        GAVEL_DATA_DIR=str(tmp_path), GAVEL_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{broker}",
    )  # fmt: skip
    assert done.exit_code == 1
    found = json.loads(done.stdout)["problems"]
    assert {"kafka", "clickhouse", "matcher", "judge", "sink"} == {each["where"] for each in found}
    assert all(each["remedy"] for each in found)
    assert not (tmp_path / "clickhouse").exists(), "looking opens no folder of chdb"


@pytest.mark.parametrize("right", ["SELECT", "INSERT", "CREATE"])
def test_a_clickhouse_user_without_a_right_is_told_which_one_by_every_command(
    tmp_path: Path, served: ClickHouseFront, right: str
) -> None:
    """`check` looks for the rights of all roles, `status` for its own; `init` needs the right to make tables."""
    with closing(connect(served.dsn)) as client:
        if right != "CREATE":
            migrate(client)
    upgrade(open_database(f"sqlite:///{tmp_path}/gavel.db"))
    served.faults = Faults(denied=right)
    (broker,) = free_ports(1)
    env = {
        "GAVEL_DATA_DIR": str(tmp_path), "GAVEL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker}",
        "GAVEL_CLICKHOUSE__DSN": served.dsn,
    }  # fmt: skip
    commands = {"SELECT": (["check"], ["status", "--once"]), "INSERT": (["check"],), "CREATE": (["init"],)}
    for words in commands[right]:
        done = run(*words, **env)
        told = " ".join(f"{done.stdout} {done.stderr}".split())
        assert done.exit_code == 1, words
        assert f"the user of clickhouse.dsn lacks the right {right} ON gavel." in told, words
        assert "grant it, or use the DSN of a user who has it" in told, words
        assert "Traceback" not in told, words
    served.faults = Faults()
    assert "lacks the right" not in run("check", **env).stdout


def test_a_store_of_the_next_release_and_a_full_disk_are_named_by_check_and_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(store)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    (broker,) = free_ports(1)
    env = {"GAVEL_DATA_DIR": str(tmp_path), "GAVEL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker}"}
    usage = shutil.disk_usage(tmp_path)._replace(total=1000 << 20, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for words in (["status", "--once"], ["check"]):
        done = run(*words, **env)
        told = " ".join(f"{done.stdout} {done.stderr}".split())
        assert done.exit_code == 1, words
        assert "migration 9999" in told, words
        assert "newer release" in told, words
        assert "0 of 1000 MiB are free" in told, words


def test_the_first_screen_waits_for_no_client_and_no_compiler(tmp_path: Path) -> None:
    """It is there within a second because only the heartbeats are read for it; the rest loads afterwards."""
    upgrade(open_database(f"sqlite:///{tmp_path}/gavel.db"))
    code = """
import sys
from cli.main import build_app
build_app()
from cli.overview import Gatherer
from cli.status import watched_or_exit
from cli.status_view import screen
from storage.sql.engine import open_store
from rich.console import Console
settings = watched_or_exit(None)
Console().print(screen(Gatherer(settings, open_store(settings)).glance()))
heavy = ("confluent_kafka", "clickhouse_connect", "conditions", "config.definitions", "evaluators.llm_judge.judge",
         "evaluators.hog", "openai", "httpx")
print("loaded:", [name for name in heavy if name in sys.modules])
"""
    env = {"GAVEL_DATA_DIR": str(tmp_path), "PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert "store sqlite" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_looking_at_nothing_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    for words in (["status", "--once"], ["doctor", "-o", str(tmp_path / "report")]):
        done = run(*words, GAVEL_DATA_DIR=str(folder))
        assert done.exit_code == 1
        assert "start `gavel up`" in done.stderr
    assert not folder.exists()
