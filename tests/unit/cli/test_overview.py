"""`gavel status` of embedded parts that nobody runs says what to start, and asks no broker of that name."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cli.overview import Gatherer, Problem, _attempt
from config.settings import Settings
from storage.sql.engine import open_store


@pytest.mark.parametrize(("where", "setting"), [("kafka", "kafka.bootstrap_servers"), ("clickhouse", "clickhouse.dsn")])
def test_an_embedded_part_that_does_not_run_is_said_to_be_one(tmp_path: Path, where: str, setting: str) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path})
    with closing(open_store(settings)) as database, closing(Gatherer(settings, database)) as gatherer:
        problem = _attempt(where, {"kafka": gatherer._ask_kafka, "clickhouse": gatherer._ask_clickhouse}[where])
    assert isinstance(problem, Problem)
    assert problem.what == f"it is embedded, and no `gavel up` runs on {tmp_path}"
    assert problem.remedy.startswith("start `gavel up`, or name ")
    assert setting in problem.remedy
