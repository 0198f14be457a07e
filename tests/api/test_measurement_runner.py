"""How measurements end: whole, over budget, or without an answer, which is never a flip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config.settings import load_settings
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.measurements import runner as module
from processor.measurements.runner import MeasurementRunner
from processor.metrics import Metrics
from storage.clickhouse import connect
from storage.sql.measurements import MeasurementRun, MeasurementRuns, Standing
from tests.api.conftest import Api
from tests.api.test_comparisons import SINCE, measured, two_versions
from tests.services.claims import claim_only


@pytest.fixture
def runner(api: Api) -> Iterator[MeasurementRunner]:
    settings = load_settings(environ={}, overrides={})
    clients = KafkaClients(settings, EmbeddedBroker())
    yield MeasurementRunner(settings, api.services.database, clients, Metrics(CollectorRegistry()))
    clients.close()


def waited_for(api: Api, runner: MeasurementRunner, verdicts: dict[str, Any], **columns: Any) -> MeasurementRun:
    """Ask for a comparison of three generations, let results come in, and have the runner wait for the rest."""
    evaluation = two_versions(api, 3)
    body = {"version_a": 1, "version_b": 2, **SINCE}
    made = api.ok("POST", f"evaluations/{evaluation['id']}/comparisons/", 202, json=body)
    measured(api, evaluation, made, verdicts, **columns)
    store = MeasurementRuns(api.services.database)
    run = claim_only(lambda: store.claim(runner._owner, now=datetime.now(UTC), lease_s=600), made["id"])
    client = connect(api.clickhouse_dsn)
    runner._await_results(run, Standing(3, 0), client)
    client.close()
    ended = store.get(api.team, made["id"])
    assert ended is not None
    return ended


def test_a_run_with_all_results_is_completed_and_counted_to_the_cent(api: Api, runner: MeasurementRunner) -> None:
    run = waited_for(api, runner, {f"event:event-{n}": True for n in range(3)}, cost_usd=0.013)
    assert (run.state, run.done, run.skipped, run.error) == ("completed", 3, 0, "")
    assert run.cost_usd == pytest.approx(0.039)
    assert run.finished_at is not None
    assert runner._metrics.total("gavel_measurement_runs", kind="comparison", outcome="completed") == 1


def test_a_run_that_is_over_its_share_of_the_budget_is_incomplete(api: Api, runner: MeasurementRunner) -> None:
    run = waited_for(api, runner, {f"event:event-{n}": None for n in range(3)}, skip_reason="over_budget")
    assert (run.state, run.skipped) == ("incomplete", 3)
    assert "over the budget of measurements" in run.error


def test_a_provider_that_is_down_makes_a_run_incomplete(
    api: Api, runner: MeasurementRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALLED_S", 0.0)
    run = waited_for(api, runner, {"event:event-0": True})
    assert (run.state, run.done) == ("incomplete", 1)
    assert run.error == "2 judgements did not come back"
    assert runner._metrics.total("gavel_measurement_runs", kind="comparison", outcome="incomplete") == 1
    shown = api.ok("GET", f"evaluations/{run.evaluation_id}/comparisons/{run.id}/")
    assert (shown["outcome"]["n"], shown["outcome"]["not_compared"]) == (1, 2)


def test_a_defect_ends_the_run_that_it_concerns_and_the_runner_goes_on(
    api: Api, runner: MeasurementRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a defect")

    evaluation = two_versions(api, 1)
    body = {"version_a": 1, "version_b": 2, **SINCE}
    made = api.ok("POST", f"evaluations/{evaluation['id']}/comparisons/", 202, json=body)
    store = MeasurementRuns(api.services.database)
    run = claim_only(lambda: store.claim(runner._owner, now=datetime.now(UTC), lease_s=600), made["id"])
    monkeypatch.setattr(module, "connect", lambda _: connect(api.clickhouse_dsn))
    monkeypatch.setattr(runner, "_send_all", broken)
    runner._carry_out(run)
    ended = store.get(api.team, made["id"])
    assert ended is not None
    assert (ended.state, ended.error) == ("failed", "internal error (ValueError); the log has more")


def test_the_items_of_a_dataset_become_generations(api: Api, runner: MeasurementRunner) -> None:
    evaluation = two_versions(api, 1)
    dataset = api.ok("POST", "datasets/", 201, json={"name": "cases"})["id"]
    item = {"dataset": dataset, "input": "a question", "output": "an answer", "ref_source_id": "generation-1"}
    made = api.ok("POST", "dataset_items/", 201, json=item)
    body = {"version_a": 1, "version_b": 2, "source": "dataset", "dataset": dataset}
    asked = api.ok("POST", f"evaluations/{evaluation['id']}/comparisons/", 202, json=body)
    run = MeasurementRuns(api.services.database).get(api.team, asked["id"])
    assert run is not None
    [(key, row)] = runner._fixed(run).items()
    assert key == f"dataset_item:{made['id']}"
    assert (row.uuid, row.team_id, row.event) == ("generation-1", api.team, "$ai_generation")
    assert json.loads(row.properties) == {"$ai_input": "a question", "$ai_output_choices": "an answer"}


@pytest.fixture
def narrow(api: Api) -> Iterator[MeasurementRunner]:
    """A runner whose client holds half a megabyte of messages, of one megabyte at the most."""
    narrow = {"max_message_bytes": 1_000_000, "extra": {"queue.buffering.max.kbytes": 512}}
    settings = load_settings(environ={}, overrides={"kafka": narrow})
    clients = KafkaClients(settings, EmbeddedBroker())
    yield MeasurementRunner(settings, api.services.database, clients, Metrics(CollectorRegistry()))
    clients.close()


def of_dataset(api: Api, runner: MeasurementRunner, *characters: int) -> MeasurementRun:
    """Ask for a comparison over items of a dataset with outputs of these lengths, and give the run to the runner."""
    evaluation = two_versions(api, 1)
    dataset = api.ok("POST", "datasets/", 201, json={"name": "cases"})["id"]
    for number, length in enumerate(characters):
        item = {"dataset": dataset, "input": f"question {number}", "output": "x" * length}
        api.ok("POST", "dataset_items/", 201, json=item)
    body = {"version_a": 1, "version_b": 2, "source": "dataset", "dataset": dataset}
    asked = api.ok("POST", f"evaluations/{evaluation['id']}/comparisons/", 202, json=body)
    store = MeasurementRuns(api.services.database)
    return claim_only(lambda: store.claim(runner._owner, now=datetime.now(UTC), lease_s=600), asked["id"])


def test_items_that_the_client_cannot_hold_together_are_sent_one_after_the_other(
    api: Api, narrow: MeasurementRunner
) -> None:
    run = of_dataset(api, narrow, *[200_000] * 6)
    client = connect(api.clickhouse_dsn)
    assert narrow._send_all(run, client) == Standing(6, 0)
    client.close()


def test_an_item_that_is_too_large_for_a_task_is_missing_and_holds_up_no_other(
    api: Api, narrow: MeasurementRunner
) -> None:
    run = of_dataset(api, narrow, 100, 990_000, 100)
    client = connect(api.clickhouse_dsn)
    assert narrow._send_all(run, client) == Standing(3, 2)
    client.close()


def test_a_task_that_is_refused_is_missing_and_holds_up_no_other(
    api: Api, narrow: MeasurementRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the client here, and by brokers with a lower limit too: the run was sent again each minute, and paid again."""
    monkeypatch.setattr(module, "ROOM_BYTES", -100_000)
    run = of_dataset(api, narrow, 100, 1_010_000, 100)
    client = connect(api.clickhouse_dsn)
    assert narrow._send_all(run, client) == Standing(3, 2)
    client.close()


def test_the_progress_is_noted_before_the_next_large_items_are_sent(
    api: Api, narrow: MeasurementRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER_BYTES", 500_000)
    run = of_dataset(api, narrow, *[200_000] * 3)
    noted: list[int] = []
    report = narrow._runs.report

    def noting(run_id: str, owner: str, standing: Standing, **more: Any) -> bool:
        noted.append(standing.sent)
        return report(run_id, owner, standing, **more)

    monkeypatch.setattr(narrow._runs, "report", noting)
    client = connect(api.clickhouse_dsn)
    narrow._send_all(run, client)
    client.close()
    assert noted == [1, 2, 3]
