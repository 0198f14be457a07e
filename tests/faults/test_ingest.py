"""The front door while Kafka or its own process fails: no acknowledged event is lost."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from storage.sql.project_tokens import ProjectTokens
from tests.integration.ingest.rig import IngestRig, generation
from tests.integration.pipeline import TEAM, Pipeline
from tests.services.cache import CHECKOUT
from tests.services.kafka import KafkaServer
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S, until

_MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"

_DOOMED = """
import os, signal, sys
from cli.main import main
from ingest.delivery import Delivery

real = Delivery.send

async def send(self, messages):
    fatal = any(b"the last one" in (each.value or b"") for each in messages)
    acknowledged = await real(self, messages)
    if fatal and all(acknowledged):
        os.kill(os.getpid(), signal.SIGKILL)
    return acknowledged

Delivery.send = send
sys.argv[0] = "gavel"
main()
"""
"""Dies when Kafka has acknowledged an event and its client has no answer yet."""


def test_a_broker_that_is_gone_is_answered_with_503_and_nothing_is_lost(own_kafka: KafkaServer, tmp_path: Path) -> None:
    with IngestRig(own_kafka.bootstrap_servers, tmp_path).running() as rig:
        assert rig.batch(generation(1)).status_code == 200
        own_kafka.freeze()
        refused = rig.batch(generation(2))
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        until(lambda: rig.http.get("/readyz").status_code == 503, "not ready")
        at_once = rig.batch(generation(3))
        assert (at_once.status_code, at_once.json()["code"]) == (503, "kafka_unavailable")
        own_kafka.thaw()
        until(lambda: rig.http.get("/readyz").status_code == 200, "ready again")
        until(lambda: rig.batch(generation(2), generation(3)).status_code == 200, "taken again")
        assert {row["uuid"][-1] for row in rig.rows()} == {"1", "2", "3"}
        assert rig.server.door.budget.reserved == 0


class Sender(threading.Thread):
    """Sends generations one after the other until each is acknowledged, as an SDK that retries does."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._token = token
        self.ending = threading.Event()
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()

    def run(self) -> None:
        while not self.ending.is_set():
            uuid = str(uuid4())
            event = generation(0, uuid=uuid)
            while not self._sent(event):
                time.sleep(0.05)
            self.acknowledged.append(uuid)

    def _sent(self, event: dict[str, Any]) -> bool:
        try:
            answer = httpx2.post(
                f"{self._url}/batch", json={"api_key": self._token, "batch": [event]}, timeout=PATIENCE_S
            )
        except httpx2.TransportError:
            return False
        self.statuses.add(answer.status_code)
        return answer.status_code == 200


def test_a_broker_that_dies_in_the_middle_of_requests_loses_nothing_that_was_acknowledged(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    with IngestRig(own_kafka.bootstrap_servers, tmp_path).running() as rig:
        senders = [Sender(str(rig.http.base_url), rig.token) for _ in range(4)]
        for sender in senders:
            sender.start()
        until(partial(_have_sent, senders, [5] * 4), "events sent")
        own_kafka.freeze()  # so that requests are in hand when it dies, sent to the broker and not acknowledged
        until(lambda: rig.server.door.delivery._batches == len(senders), "every request in hand")
        own_kafka.kill()
        until(lambda: all(503 in sender.statuses for sender in senders), "an answer to each of them")
        own_kafka.start()
        wanted = [len(sender.acknowledged) + 5 for sender in senders]
        until(partial(_have_sent, senders, wanted), "events sent again")
        for sender in senders:
            sender.ending.set()
        for sender in senders:
            sender.join(PATIENCE_S)
        assert not any(sender.is_alive() for sender in senders)
        sent = {uuid for sender in senders for uuid in sender.acknowledged}
        assert {row["uuid"] for row in rig.rows()} == sent
        assert {status for sender in senders for status in sender.statuses} == {200, 503}
        assert rig.server.door.budget.reserved == 0


class Door:
    """`gavel ingest` as a process that can be started again. Its settings are the defaults, but for the addresses."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.pipeline = Pipeline(kafka, folder)
        _, self.token = ProjectTokens(self.pipeline.database).create(team_id=TEAM, now=datetime.now(UTC))
        (port,) = free_ports(1)
        topics = {f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in self.pipeline.settings.kafka.topics}
        self._env = {
            "PYTHONPATH": str(CHECKOUT), "GAVEL_DATA_DIR": str(folder), "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "GAVEL_INGEST__PORT": str(port), **topics,
        }  # fmt: skip
        self._folder = folder
        self.url = f"http://127.0.0.1:{port}"

    @contextmanager
    def running(self, program: str = _MAIN) -> Iterator[GuardedProcess]:
        """Start it and wait until it is ready; kill it at the end of the block, if it still lives."""
        log = self._folder / f"log{time.monotonic_ns()}"
        process = GuardedProcess([sys.executable, "-c", program, "ingest"], log=log, env=self._env)
        try:
            process.wait_until(lambda: _ready(self.url), "the front door")
            yield process
        finally:
            process.kill()

    def written(self) -> list[str]:
        """Return the id of each message on the events topic."""
        messages = self.pipeline.read(self.pipeline.settings.kafka.topics.events)
        return [dict(each.headers())["uuid"].decode() for each in messages]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_under_load_loses_nothing_that_it_acknowledged(
    kafka: str, tmp_path: Path, how: signal.Signals
) -> None:
    door = Door(kafka, tmp_path)
    senders = [Sender(door.url, door.token) for _ in range(4)]
    for last in (False, True):
        with door.running() as process:
            if not last:
                for sender in senders:
                    sender.start()
            wanted = [len(sender.acknowledged) + 5 for sender in senders]
            until(partial(_have_sent, senders, wanted), "events sent")
            if last:
                for sender in senders:
                    sender.ending.set()
                for sender in senders:
                    sender.join(PATIENCE_S)
            code = process.terminate(by=how)
            assert code == (0 if how == signal.SIGTERM else -signal.SIGKILL), process.log_tail()
    assert not any(sender.is_alive() for sender in senders)
    sent = {uuid for sender in senders for uuid in sender.acknowledged}
    assert set(door.written()) == sent
    assert {status for sender in senders for status in sender.statuses} <= {200, 503}


def test_an_event_whose_answer_was_lost_is_the_same_event_when_it_is_sent_again(kafka: str, tmp_path: Path) -> None:
    door = Door(kafka, tmp_path)
    event = generation(1, distinct_id="the last one")
    body = {"api_key": door.token, "batch": [event]}
    with door.running(_DOOMED) as process:
        with pytest.raises(httpx2.TransportError):
            httpx2.post(f"{door.url}/batch", json=body, timeout=PATIENCE_S)
        until(lambda: process.exit_code is not None, "the death of the front door")
        assert process.exit_code == -signal.SIGKILL
    assert door.written() == [event["uuid"]]
    with door.running():
        assert httpx2.post(f"{door.url}/batch", json=body, timeout=PATIENCE_S).status_code == 200
    assert set(door.written()) == {event["uuid"]}


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=PATIENCE_S).status_code == 200
    except httpx2.TransportError:
        return False


def _have_sent(senders: list[Sender], wanted: list[int]) -> bool:
    return all(len(sender.acknowledged) >= number for sender, number in zip(senders, wanted, strict=True))
