"""`gavel compare`, `gavel trust measure` and `gavel trust consistency` over the items of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from config.definitions import parse_draft
from storage.sql.datasets import Datasets
from storage.sql.engine import Database
from storage.sql.evaluations import Evaluations
from storage.sql.measurements import MeasurementRun, MeasurementRuns
from tests.services.clickhouse_http import ClickHouseFront

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMANDS = (["compare", "e", "1", "2"], ["trust", "measure", "e"], ["trust", "consistency", "e"])
HOG = {"name": "e", "evaluation_type": "hog"}


@pytest.fixture
def dataset(database: Database) -> Iterator[str]:
    """A dataset of three items, beside an evaluation of two versions."""
    store, datasets = Evaluations(database), Datasets(database)
    first, second = (
        parse_draft({**HOG, "evaluation_config": {"source": f"return {word}"}}) for word in ("true", "false")
    )
    made = store.create(1, first, actor=None, now=NOW)
    store.update(1, made.id, lambda _: second, actor=None, now=NOW)
    found = str(datasets.create(1, {"name": "d"}, actor="a", now=NOW)["id"])
    for expected in ("pass", "fail", "pass"):
        item = {"dataset": found, "input": "i", "output": "o", "metadata": {"expected": expected}}
        datasets.create_item(1, item, actor="a", now=NOW)
    yield found
    database.close()


def gavel(*words: str) -> Result:
    return CliRunner().invoke(build_app(), list(words))


@pytest.mark.parametrize(("command", "calls"), list(zip(COMMANDS, (6, 3, 15), strict=True)))
def test_a_dry_run_counts_the_items_of_the_dataset(dataset: str, command: list[str], calls: int) -> None:
    done = gavel(*command, "--dataset", dataset, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    cost = json.loads(done.stdout)
    assert (cost["items"], cost["calls"]) == (3, calls)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_dataset_is_wrong_usage(dataset: str, command: list[str]) -> None:
    for words, told in (
        (["--dataset", "d"], "--dataset: 'd' is not an id; `datasets/` of the API lists them"),
        (["--dataset", str(uuid4())], "dataset: The team has no such dataset."),
        (["--dataset", dataset, "--golden", str(uuid4())], "give either --golden or --dataset"),
        (["--golden", str(uuid4())], "golden_set: The evaluation has no such golden set"),
    ):
        done = gavel(*command, *words)
        assert (done.exit_code, told in done.stderr) == (2, True), done.output


def test_a_measurement_needs_items(dataset: str) -> None:
    assert dataset
    done = gavel("trust", "measure", "e")
    assert (done.exit_code, done.stderr) == (2, "gavel: give either --golden or --dataset\n")
    assert "--dataset ID" in gavel("trust", "measure", "--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_run_is_over_the_dataset_and_a_run_that_does_not_complete_ends_with_1(
    dataset: str, command: list[str], front: ClickHouseFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process judges here, so the run is cancelled as soon as the command waits for it."""
    monkeypatch.setenv("GAVEL_CLICKHOUSE__DSN", front.dsn)
    waited: list[MeasurementRun] = []

    def cancelled(services: Any, run: MeasurementRun) -> MeasurementRun:
        waited.append(run)
        MeasurementRuns(services.database).cancel(1, run.id, actor="cli", now=NOW)
        return MeasurementRuns(services.database).get(1, run.id) or run

    monkeypatch.setattr("cli.compare.finished", cancelled)
    done = gavel(*command, "--dataset", dataset)
    assert (done.exit_code, "is cancelled" in done.stderr) == (1, True), done.output
    assert waited[0].dataset == dataset
    assert waited[0].params["dataset"] == dataset
