"""Backfills that are asked for, paused, resumed and cancelled over HTTP while a runner works on them.

A slow runner reads two events a second, so that there is always work left to interrupt. The tests wait for
answers of the API and the store, never for a time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from confluent_kafka import Producer, TopicPartition

from api.serve import ApiServer
from processor.replay.backfill import BackfillRunner
from processor.replay.plan import replay_consumer
from storage.sql.api_keys import ApiKeys
from storage.sql.backfills import Backfill, Backfills, backfills
from tests.integration.pipeline import TEAM, Pipeline, expected_ids, generations
from tests.services.clickhouse_http import ClickHouseFront
from tests.services.tcp_proxy import TcpProxy
from tests.services.waiting import PATIENCE_S, until

WINDOW = {"window_start": "2026-02-09T00:00:00Z", "window_end": "2026-02-10T00:00:00Z"}
"""All bundled generations: 568, so that the archive is read in more than one page of 500."""
FEW = WINDOW | {"window_end": "2026-02-09T07:40:00Z"}
SLOW = 2
"""Events a second: the whole window takes almost five minutes."""


@dataclass
class Backfilling:
    """An archive of generations, the API in front of it, and runners by hand."""

    pipeline: Pipeline
    http: httpx.Client
    events: list[bytes]

    @contextmanager
    def runner(self, rate: int | None = None) -> Iterator[None]:
        """Let a runner work within the block; it is stopped as SIGTERM stops it."""
        settings = self.pipeline.settings
        slowed = settings.model_copy(update={"matcher": settings.matcher.model_copy(update={"backfill_rate": rate})})
        runner = BackfillRunner(slowed, self.pipeline.database, self.pipeline.clients)
        runner.start()
        try:
            yield
        finally:
            runner.stop()
        assert not runner._thread.is_alive()

    def ask(self, evaluation: str, window: dict[str, Any] = WINDOW, status: int = 201) -> dict[str, Any]:
        """Ask for a backfill."""
        return self._answer(self.http.post(f"evaluations/{evaluation}/backfills/", json=window), status)

    def show(self, backfill: dict[str, Any]) -> dict[str, Any]:
        """Return the backfill as the API shows it now."""
        return self._answer(self.http.get(self._path(backfill)), 200)

    def change(self, backfill: dict[str, Any], action: str, status: int = 200) -> dict[str, Any]:
        """Pause, resume or cancel it."""
        return self._answer(self.http.post(f"{self._path(backfill)}{action}/"), status)

    def await_shown(self, backfill: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until what the API shows is `wanted`, and return it."""
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            seen.append(self.show(backfill))
            return wanted(seen[-1])

        until(look, lambda: str(seen[-1]))
        return seen[-1]

    def await_reading(self, backfill: dict[str, Any], beyond: int = 0) -> dict[str, Any]:
        """Wait until it is in the middle of its work."""
        shown = self.await_shown(backfill, lambda now: now["state"] == "running" and now["read"] > beyond)
        assert shown["read"] < shown["total"], "it was over before it could be interrupted"
        return shown

    def await_let_go(self, backfill: dict[str, Any]) -> dict[str, Any]:
        """Wait until no runner holds it, and return it: nothing more comes of it now."""
        until(lambda: self.stored(backfill).lease_owner is None, lambda: str(self.stored(backfill)))
        return self.show(backfill)

    def complete(self, backfill: dict[str, Any]) -> dict[str, Any]:
        """Wait until it is completed."""
        return self.await_shown(backfill, lambda now: now["state"] == "completed")

    def stored(self, backfill: dict[str, Any]) -> Backfill:
        """Return its row."""
        found = Backfills(self.pipeline.database).get(TEAM, backfill["id"])
        assert found is not None
        return found

    def results(self, evaluation: str) -> Counter[str]:
        """Return how often each result id of the evaluation is in Kafka."""
        records = self.pipeline.read(self.pipeline.settings.kafka.topics.results)
        rows = [json.loads(record.value()) for record in records]
        mine = [row for row in rows if json.loads(row["properties"])["$ai_evaluation_id"] == evaluation]
        return Counter(row["uuid"] for row in mine)

    def prove_that_a_runner_works(self) -> None:
        """Have another evaluation's backfill carried out in full, to prove that the other one was left alone."""
        other = self.pipeline.evaluate("other")
        done = self.complete(self.ask(other, FEW))
        assert done["read"] == done["evaluated"] == len(self.results(other)) > 3

    def _path(self, backfill: dict[str, Any]) -> str:
        return f"evaluations/{backfill['evaluation_id']}/backfills/{backfill['id']}/"

    @staticmethod
    def _answer(response: httpx.Response, status: int) -> dict[str, Any]:
        assert response.status_code == status, response.text
        found: dict[str, Any] = response.json()
        return found


@contextmanager
def open_backfilling(broker: str, folder: Path, **settings: Any) -> Iterator[Backfilling]:
    """Archive the generations and serve the API."""
    pipeline = Pipeline(broker, folder, api={"port": 0}, **settings)
    _, key = ApiKeys(pipeline.database).create(team_id=TEAM, label="test", scopes=["*"], now=datetime.now(UTC))
    server = ApiServer(pipeline.settings, pipeline.database, pipeline.clients.bootstrap_servers)
    server.start()
    try:
        base = f"http://127.0.0.1:{server.port}/api/projects/{TEAM}/"
        with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S) as http:
            events = generations()
            with pipeline.running(("sink",)):
                pipeline.produce(events)
                until(lambda: archived(http) == len(events), lambda: f"{archived(http)} archived")
                yield Backfilling(pipeline, http, events)
    finally:
        server.stop()
        pipeline.database.close()


def archived(http: httpx.Client) -> int:
    """Return how many generations the API finds in the archive."""
    window = {"after": WINDOW["window_start"], "before": WINDOW["window_end"], "limit": 1000}
    found = http.get("events/", params={"event": "$ai_generation", **window})
    assert found.status_code == 200, found.text
    return len(found.json()["results"])


@pytest.fixture(params=["sqlite", "postgresql"])
def backfilling(request: pytest.FixtureRequest, kafka: str, tmp_path: Path) -> Iterator[Backfilling]:
    settings = {} if request.param == "sqlite" else {"store": {"dsn": request.getfixturevalue("postgres_dsn")}}
    with open_backfilling(kafka, tmp_path, **settings) as opened:
        yield opened


def test_pause_and_resume_and_another_runner_leave_no_gap_and_no_repetition(backfilling: Backfilling) -> None:
    evaluation = backfilling.pipeline.evaluate()
    backfill = backfilling.ask(evaluation)
    assert backfill["state"] == "pending"
    assert backfilling.change(backfill, "pause")["state"] == "paused", "paused before any runner took it up"
    with backfilling.runner(SLOW):
        backfilling.prove_that_a_runner_works()
        untouched = backfilling.show(backfill)
        assert (untouched["state"], untouched["read"], untouched["started_at"]) == ("paused", 0, None)
        assert backfilling.results(evaluation) == Counter()

        assert backfilling.change(backfill, "resume")["state"] == "pending"
        first = backfilling.await_reading(backfill)
        assert first["total"] == len(backfilling.events)
        later = backfilling.await_reading(backfill, beyond=first["read"])
        assert later["progress"] > first["progress"] > 0
        assert backfilling.ask(evaluation, FEW, 409)["code"] == "backfill_running"

        assert backfilling.change(backfill, "pause")["state"] == "paused"
        paused, place = backfilling.await_let_go(backfill), backfilling.stored(backfill).cursor
        written = backfilling.results(evaluation)
        assert written.total() == paused["read"] == paused["evaluated"], "the counters are not what was written"
        assert backfilling.ask(evaluation, FEW, 409)["code"] == "backfill_running"
        backfilling.prove_that_a_runner_works()
        assert backfilling.show(backfill) == paused
        assert backfilling.stored(backfill).cursor == place
        assert backfilling.results(evaluation) == written, "it went on although it was paused"

        assert backfilling.change(backfill, "resume")["state"] == "pending"
        backfilling.await_reading(backfill, beyond=paused["read"])
    stopped = backfilling.show(backfill)
    assert stopped["state"] == "pending", "a runner that is stopped gives its work back"
    assert backfilling.results(evaluation).total() == stopped["read"] == stopped["evaluated"]
    assert paused["read"] < stopped["read"] < stopped["total"]
    with backfilling.runner():
        done = backfilling.complete(backfill)
    assert backfilling.results(evaluation) == expected_ids(backfilling.events, evaluation)
    figures = ("read", "matched", "evaluated", "skipped", "failed", "progress")
    assert [done[name] for name in figures] == [568, 568, 568, 0, 0, 1.0]
    assert done["finished_at"] is not None


def test_a_cancelled_backfill_ends_keeps_what_it_judged_and_makes_room(backfilling: Backfilling) -> None:
    evaluation = backfilling.pipeline.evaluate()
    backfill = backfilling.ask(evaluation)
    with backfilling.runner(SLOW):
        backfilling.await_reading(backfill)
        cancelled = backfilling.change(backfill, "cancel")
        assert cancelled["state"] == "cancelled"
        assert cancelled["finished_at"] is not None
        ended = backfilling.await_let_go(backfill)
        assert ended["state"] == "cancelled"
        written = backfilling.results(evaluation)
        assert 0 < written.total() == ended["read"] < ended["total"]
        for action in ("pause", "resume", "cancel"):
            assert backfilling.change(backfill, action, 409)["code"] == "wrong_state"
        backfilling.prove_that_a_runner_works()
        assert backfilling.results(evaluation) == written, "it went on although it was cancelled"
    assert backfilling.show(backfill) == ended

    paused = backfilling.ask(evaluation)
    backfilling.change(paused, "pause")
    assert backfilling.change(paused, "cancel")["state"] == "cancelled", "a paused one can be cancelled"
    backfilling.pipeline.await_stored(backfilling.pipeline.results())  # or a new one could not know what is there
    second = backfilling.ask(evaluation)
    with backfilling.runner():
        done = backfilling.complete(second)
    assert (done["skipped"], done["evaluated"]) == (written.total(), 568 - written.total())
    assert backfilling.results(evaluation) == expected_ids(backfilling.events, evaluation)
    states = [each["state"] for each in backfilling.http.get(f"evaluations/{evaluation}/backfills/").json()["results"]]
    assert states == ["completed", "cancelled", "cancelled"]


def test_deleting_the_evaluation_ends_its_backfill(backfilling: Backfilling) -> None:
    evaluation = backfilling.pipeline.evaluate()
    backfill = backfilling.ask(evaluation)
    with backfilling.runner(SLOW):
        backfilling.await_reading(backfill)
        assert backfilling.http.patch(f"evaluations/{evaluation}/", json={"deleted": True}).status_code == 200
        until(lambda: backfilling.stored(backfill).lease_owner is None, lambda: str(backfilling.stored(backfill)))
    ended = backfilling.stored(backfill)
    assert ended.state == "cancelled"
    assert backfilling.results(evaluation).total() == ended.progress.read < 568


def test_what_a_killed_runner_wrote_counts_once_and_its_open_transaction_neither_counts_nor_blocks(
    backfilling: Backfilling,
) -> None:
    pipeline, evaluation = backfilling.pipeline, backfilling.pipeline.evaluate()
    backfill = backfilling.ask(evaluation)
    with backfilling.runner(SLOW):
        backfilling.await_reading(backfill)
    with pipeline.database.write() as connection:  # as though none of its reports had come
        connection.execute(sa.update(backfills).values(read=0, matched=0, evaluated=0, cursor=""))
    place = replay_consumer(pipeline.clients, pipeline.settings, backfill["id"])
    identity = pipeline.settings.kafka.group(f"backfill-{backfill['id']}")
    patient = {"transactional.id": identity, "transaction.timeout.ms": 300_000}  # the broker does not end it for us
    killed = Producer({**pipeline.clients.producer_config(), **patient})
    killed.init_transactions(PATIENCE_S)
    killed.begin_transaction()
    topic = pipeline.settings.kafka.topics.results
    killed.produce(topic, b'{"uuid": "never", "properties": "{}"}')
    killed.flush(PATIENCE_S)
    the_end = {"position": {"team_id": TEAM + 1, "timestamp_us": 0, "uuid": ""}, "note": ""}
    offsets = [TopicPartition(topic, 0, 0, json.dumps(the_end))]
    killed.send_offsets_to_transaction(offsets, place.consumer_group_metadata(), 30)
    with backfilling.runner():
        done = backfilling.complete(backfill)
    place.close()
    assert (done["read"], done["evaluated"], done["skipped"]) == (568, 568, 0)
    assert pipeline.results() == expected_ids(backfilling.events, evaluation)


def test_clickhouse_away_interrupts_a_backfill_and_does_not_end_it(
    kafka: str, tmp_path: Path, tcp_proxy: TcpProxy
) -> None:
    dsn = f"http://default@{tcp_proxy.address}/gavel"
    with ClickHouseFront(tmp_path / "data") as front:
        tcp_proxy.forward_to(front.port)
        outage_in_mid_run(kafka, tmp_path, dsn, tcp_proxy)


def outage_in_mid_run(kafka: str, folder: Path, dsn: str, tcp_proxy: TcpProxy) -> None:
    with open_backfilling(kafka, folder, clickhouse={"dsn": dsn}) as backfilling:
        evaluation = backfilling.pipeline.evaluate()
        backfill = backfilling.ask(evaluation)
        with backfilling.runner(SLOW):
            backfilling.await_reading(backfill)
            tcp_proxy.refuse()
            interrupted = backfilling.await_shown(backfill, lambda now: now["error"] is not None)
            assert interrupted["state"] == "running"
            assert "ClickHouse" in interrupted["error"]
            tcp_proxy.resume()
            again = backfilling.await_shown(backfill, lambda now: now["read"] > interrupted["read"])
            assert again["error"] is None
        with backfilling.runner():
            assert backfilling.complete(backfill)["read"] == 568
        assert backfilling.results(evaluation) == expected_ids(backfilling.events, evaluation)
