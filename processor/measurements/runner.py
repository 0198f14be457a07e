"""Carries out measurements: sends their items as tasks, waits for the results, and ends the run with exact counts.

A process that runs the matcher has a runner, and the store decides who works on what. The judge role judges the items,
and the sink stores the results, as with any task. A run without results for a while is `incomplete`, because a provider
that is down gives no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException, Producer

from conditions import EventRow
from config.settings import Settings
from processor.events.confirmed import Confirmed
from processor.events.row import ROOM_BYTES
from processor.events.task import Task
from processor.kafka import KafkaClients
from processor.measurements.canaries import canary_events, count_successes
from processor.metrics import Metrics
from storage.background import Background, claimant
from storage.clickhouse import ClickHouseProblem, connect
from storage.clickhouse.measurements import RunCounts, count_run, results_of_run
from storage.clickhouse.rows import GENERATION, RowSelection, newest_rows
from storage.clickhouse.times import time_text
from storage.clock import utc_now
from storage.sql.datasets import Datasets, event_of
from storage.sql.engine import Database, StoreError
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluations import Evaluations
from storage.sql.golden_sets import GoldenSets
from storage.sql.measurements import MeasuredItem, MeasurementEnd, MeasurementRun, MeasurementRuns, Standing

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

LEASE_S = 60.0
STALLED_S = 1800.0
"""Without a new result for this long, a run ends as `incomplete`."""
_LOOK_INTERVAL_S = 1.0
_AT_ONCE = 50
_TOGETHER_BYTES = 32 * 1024 * 1024
"""Tasks that are confirmed and noted together. A failure sends them again, and the judge is paid again for them."""
_STOP_WITHIN_S = 15.0
_OUTAGES = (StoreError, KafkaException, ClickHouseProblem, ClickHouseError)


class MeasurementRunner(Background):
    """Looks for measurements and runs them (a `Service` of the runtime). At its end it gives the present run back."""

    name = "measurements"
    outages = _OUTAGES

    def __init__(self, settings: Settings, database: Database, clients: KafkaClients, metrics: Metrics) -> None:
        super().__init__("measurements", every_s=_LOOK_INTERVAL_S, stop_within_s=_STOP_WITHIN_S)
        self._settings = settings
        self._database = database
        self._runs = MeasurementRuns(database)
        self._clients = clients
        self._metrics = metrics
        self._owner = claimant()
        self._log = structlog.get_logger("gavel.measurements")

    def _turn(self) -> None:
        run = self._runs.claim(self._owner, now=utc_now(), lease_s=LEASE_S)
        if run is not None:
            self._carry_out(run)

    def _on_outage(self, error: Exception) -> None:
        # A claimed run continues when its lease has run out.
        self._log.warning("measurement_waits", error=type(error).__name__, detail=str(error)[:300])

    def _carry_out(self, run: MeasurementRun) -> None:
        client = connect(self._settings.clickhouse.dsn.get_secret_value())
        try:
            standing = self._send_all(run, client)
            if standing is not None:
                self._await_results(run, standing, client)
        except _OUTAGES:
            raise
        except Exception as error:  # noqa: BLE001  # see below
            # A defect of ours ends this run where its reason can be read, not the work on all others.
            self._log.exception("measurement_failed", run_id=run.id, error=type(error).__name__)
            self._finish(run, "failed", f"internal error ({type(error).__name__}); the log has more")
        finally:
            client.close()

    def _send_all(self, run: MeasurementRun, client: Client) -> Standing | None:
        """Send the items that were not sent yet. Return the standing, or None if the run goes on elsewhere or ended."""
        try:
            evaluation = Evaluations(self._database).get(run.team_id, run.evaluation_id)
        except EvaluationNotFound:
            self._finish(run, "failed", "the evaluation is deleted")
            return None
        standing = Standing(run.sent, run.missing, run.done, run.skipped, run.cost_usd)
        producer = Producer(self._clients.producer_config())
        fixed = self._fixed(run)
        while standing.sent < run.items:
            if self.stopping:
                self._runs.give_back(run.id, self._owner, now=utc_now())
                return None
            part = self._runs.items(run.id, offset=standing.sent, limit=_AT_ONCE)
            texts = self._texts(_rows(client, run.team_id, part, fixed))
            for together in _together(run, part, texts):
                tasks = Confirmed(producer)
                for item in together:
                    if item.item in texts:
                        self._send(tasks, run, evaluation.revision, item, *texts[item.item])
                tasks.wait(self._settings.kafka.message_timeout_s + 1)
                gone = sum(_judgements(run, item) for item in together if item.item not in texts) + len(tasks.refused)
                standing = replace(standing, sent=standing.sent + len(together), missing=standing.missing + gone)
                if not self._runs.report(run.id, self._owner, standing, now=utc_now(), lease_s=LEASE_S):
                    return None
        return standing

    def _texts(self, rows: Mapping[str, EventRow]) -> dict[str, tuple[str, bytes]]:
        """Return the id and the message of each row that fits into a task."""
        limit_bytes = self._settings.kafka.max_message_bytes - ROOM_BYTES
        encoded = {key: (row.uuid, msgspec.json.encode(row)) for key, row in rows.items()}
        return {key: (uuid, value) for key, (uuid, value) in encoded.items() if len(value) <= limit_bytes}

    def _send(
        self, tasks: Confirmed, run: MeasurementRun, revision: int, item: MeasuredItem, uuid: str, value: bytes
    ) -> None:
        for version in run.versions:
            for repeat in range(run.repeats):
                if version in item.reused:
                    continue
                task = Task(
                    team_id=run.team_id,
                    evaluation_id=run.evaluation_id,
                    event_uuid=uuid,
                    run_key=f"llma-measurement-{run.id}-{item.item}-{version}-{repeat}",
                    condition_id="",
                    started_at=run.created_at.isoformat(),
                    trigger="measurement",
                    revision=revision,
                    version=version,
                    measurement_id=run.id,
                    measurement_kind=run.kind,
                    item=item.item,
                    repeat=repeat,
                )
                topic, headers = self._settings.kafka.topics.tasks, list(task.headers())
                tasks.produce(topic, name=task.run_key, key=task.key(), value=value, headers=headers)

    def _await_results(self, run: MeasurementRun, standing: Standing, client: Client) -> None:
        wanted = run.total - standing.missing
        last, since_s = -1, monotonic()
        while True:
            found = count_run(client, run.team_id, run.evaluation_id, run.id)
            if found.done != last:
                last, since_s = found.done, monotonic()
            standing = Standing(run.items, standing.missing, found.done, found.skipped, found.cost_usd)
            if not self._runs.report(run.id, self._owner, standing, now=utc_now(), lease_s=LEASE_S):
                return
            if found.done >= wanted:
                self._end(run, standing, found, client)
                return
            if monotonic() - since_s > STALLED_S:
                self._finish(run, "incomplete", f"{wanted - found.done} judgements did not come back")
                return
            if self._stopping.wait(_LOOK_INTERVAL_S):
                self._runs.give_back(run.id, self._owner, now=utc_now())
                return

    def _end(self, run: MeasurementRun, standing: Standing, found: RunCounts, client: Client) -> None:
        if run.kind == "canaries":
            results = results_of_run(client, run.team_id, run.evaluation_id, run.id)
            self._metrics.count("gavel_canary_successes", count_successes(results, run.params))
        if found.over_budget:
            self._finish(run, "incomplete", f"{found.over_budget} judgements were over the budget of measurements")
        elif standing.missing:
            self._finish(
                run, "incomplete", f"the text of {standing.missing} judgements is gone from the archive, or too large"
            )
        else:
            self._finish(run, "completed", "")

    def _finish(self, run: MeasurementRun, state: MeasurementEnd, error: str) -> None:
        if self._runs.finish(run.id, self._owner, state, error=error, now=utc_now()):
            self._metrics.count("gavel_measurement_runs", kind=run.kind, outcome=state)
            self._log.info("measurement_ended", run_id=run.id, kind=run.kind, state=state, error=error)

    def _fixed(self, run: MeasurementRun) -> Mapping[str, EventRow]:
        """Return the generations of the golden set or dataset that the run is over, by item; empty for a window."""
        if run.params.get("dataset") is not None:
            rows = Datasets(self._database).items(run.team_id, run.params["dataset"])
            return {f"dataset_item:{row['id']}": _row_of(run.team_id, event_of(row)) for row in rows}
        golden_id, version = run.params.get("golden_set"), run.params.get("golden_set_version")
        if golden_id is None or version is None:
            return {}
        items = GoldenSets(self._database).items(run.team_id, golden_id, version)
        if run.kind == "canaries":
            events = canary_events(self._runs.items(run.id), items, run.params)
            return {item: _row_of(run.team_id, event) for item, event in events}
        return {item.key: _row_of(run.team_id, item.event) for item in items}


def _judgements(run: MeasurementRun, item: MeasuredItem) -> int:
    return len(run.versions) * run.repeats - len(item.reused)


def _together(
    run: MeasurementRun, items: Sequence[MeasuredItem], texts: Mapping[str, tuple[str, bytes]]
) -> Iterator[list[MeasuredItem]]:
    """Give items in parts whose tasks have `_TOGETHER_BYTES` at the most; one larger item is a part of its own."""
    part: list[MeasuredItem] = []
    size_bytes = 0
    for item in items:
        _, value = texts.get(item.item, ("", b""))
        added_bytes = _judgements(run, item) * len(value)
        if part and size_bytes + added_bytes > _TOGETHER_BYTES:
            yield part
            part, size_bytes = [], 0
        part.append(item)
        size_bytes += added_bytes
    if part:
        yield part


def _row_of(team_id: int, event: Mapping[str, Any]) -> EventRow:
    text = time_text(datetime.fromisoformat(event["timestamp"]))
    return EventRow(
        uuid=event["uuid"],
        event=GENERATION,
        team_id=team_id,
        distinct_id=event.get("distinct_id", ""),
        timestamp=text,
        created_at=text,
        properties=msgspec.json.encode(event["properties"]).decode(),
    )


def _rows(
    client: Client, team_id: int, part: Sequence[MeasuredItem], fixed: Mapping[str, EventRow]
) -> dict[str, EventRow]:
    """Return the generations of items that can still be had."""
    if fixed:
        return {each.item: fixed[each.item] for each in part if each.item in fixed}
    found = {row.uuid: row for row in _archived(client, team_id, [each.event_uuid for each in part])}
    return {each.item: found[each.event_uuid] for each in part if each.event_uuid in found}


def _archived(client: Client, team_id: int, uuids: Sequence[str]) -> Iterator[EventRow]:
    yield from newest_rows(client, RowSelection(team_id, event=GENERATION, uuids=uuids))
