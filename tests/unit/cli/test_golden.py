"""`gavel golden`: a golden set is built, frozen, shown and compared from the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from config.definitions import parse_draft
from storage.sql.datasets import Datasets
from storage.sql.engine import Database, open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    dsn = f"sqlite:///{tmp_path}/gavel.db"
    monkeypatch.setenv("GAVEL_STORE__DSN", dsn)
    monkeypatch.delenv("GAVEL_CONFIG", raising=False)
    found = open_database(dsn)
    upgrade(found)
    draft = parse_draft({"name": "e", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    Evaluations(found).create(1, draft, actor=None, now=NOW)
    return found


def golden(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["golden", *words])


def answer(*words: str) -> Any:
    done = golden(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_golden_set_of_a_dataset_is_built_frozen_shown_and_compared(database: Database) -> None:
    datasets = Datasets(database)
    dataset = datasets.create(1, {"name": "d"}, actor="a", now=NOW)["id"]
    for expected in ("pass", "fail"):
        item = {"dataset": dataset, "input": "i", "output": "o", "metadata": {"expected": expected}}
        last = datasets.create_item(1, item, actor="a", now=NOW)
    made = answer("build", "g", "--evaluation", "e", "--dataset", dataset)
    assert made["items"] == 2
    first = answer("freeze", "g")
    assert (first["version"], first["items"], first["missing"]) == (1, 2, 0)
    datasets.update_item(1, last["id"], {"metadata": {"expected": "pass"}}, actor="a", now=NOW)
    assert answer("freeze", made["id"])["version"] == 2
    assert [each["sha256"] for each in answer("show", "g")["versions"]][1] == first["sha256"]
    assert golden("diff", "g", "1", "2").stdout == f"~ dataset_item:{last['id']}: false -> true\n1 unchanged\n"
    database.close()


def test_what_is_not_there_is_told(database: Database) -> None:
    assert "there is no golden set 'x'" in golden("show", "x").stderr
    assert "there is no evaluation 'x'" in golden("build", "g", "--evaluation", "x").stderr
    answer("build", "g", "--evaluation", "e")
    assert "There is nothing to freeze" in golden("freeze", "g").stderr
    assert "has no version 1" in golden("diff", "g", "1", "2").stderr
    database.close()
