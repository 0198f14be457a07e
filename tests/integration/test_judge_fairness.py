"""A flood of one evaluation in Kafka's backlog does not make the others wait for it.

The wait of an event is counted in results of the flood that came between the event and its result. A slow machine
makes all of them slow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from examples.stand_in.client import StandInServer
from processor.events.decision import DECISION_EVENT
from tests.integration.judge_rig import TEAM, JudgeRig, judge_rig
from tests.services.waiting import PATIENCE_S, until

LATENCY_S = 0.5
PACE_S = 0.15
"""How many seconds pass between two events of the trickle."""
CONCURRENCY = 40
FLOOD = 3_000
IN_TURN = FLOOD // 5
"""Results of the flood that may come first: those that are being judged, and those that the same commits bring."""


@pytest.fixture
def rig(kafka: str, tmp_path: Path) -> Iterator[JudgeRig]:
    provider = StandInServer("--latency", str(LATENCY_S))
    try:
        with judge_rig(kafka, tmp_path, provider.base_url, concurrency=CONCURRENCY, cache_ttl_s=0) as rig:
            yield rig
    finally:
        provider.close()


class Stream:
    """Sends events of two kinds and notes in which order their results are there to be read."""

    def __init__(self, rig: JudgeRig) -> None:
        self.rig = rig
        self.sent: dict[str, int] = {}
        self.waited: dict[str, int] = {}
        self.flood: set[str] = set()
        self.flooded = 0
        self.results = 0

    def send(self, kind: str) -> str:
        uuid = str(uuid4())
        properties = {"$ai_input": f"Question {uuid}?", "$ai_output": "It left on Monday.", "kind": kind}
        row = {
            "uuid": uuid,
            "event": "$ai_generation",
            "properties": json.dumps(properties),
            "team_id": TEAM,
            "distinct_id": "d",
            "timestamp": "2026-03-02 12:00:00.000000",
        }
        self.sent[uuid] = self.flooded
        if kind == "flood":
            self.flood.add(uuid)
        self.rig.producer.produce(self.rig.topics.events, json.dumps(row), key=uuid)
        self.rig.producer.poll(0)
        return uuid

    def look(self) -> None:
        for record in self.rig.records(self.rig.topics.results)[self.results :]:
            self.results += 1
            row = json.loads(record["value"])
            if row["event"] == DECISION_EVENT:
                continue
            event = json.loads(row["properties"])["$ai_target_event_id"]
            assert event not in self.waited, "judged twice"
            self.waited[event] = self.flooded - self.sent[event]
            self.flooded += event in self.flood

    def trickle(self, count: int) -> list[str]:
        sent = []
        for _ in range(count):
            sent.append(self.send("quiet"))
            end = time.monotonic() + PACE_S
            while time.monotonic() < end:
                self.look()
        return sent

    def wait(self) -> None:
        def all_are_there() -> bool:
            self.look()
            return len(self.waited) == len(self.sent)

        until(all_are_there, lambda: f"{len(self.sent)} results, not {len(self.waited)}", limit_s=2 * PATIENCE_S)

    def p95(self, events: list[str]) -> int:
        waited = sorted(self.waited[event] for event in events)
        return waited[int(0.95 * len(waited))]


def only(kind: str) -> list[dict[str, Any]]:
    wanted = {"key": "kind", "value": kind, "operator": "exact", "type": "event"}
    return [{"id": kind, "rollout_percentage": 100, "properties": [wanted]}]


def test_a_trickle_does_not_wait_for_a_flood_in_the_backlog(rig: JudgeRig) -> None:
    rig.add_key()
    rig.add_evaluation(name="busy", conditions=only("flood"))
    rig.add_evaluation(name="quiet", conditions=only("quiet"))
    rig.start()
    stream = Stream(rig)
    stream.trickle(20)  # connections, limits and groups are there
    stream.wait()
    for _ in range(FLOOD):
        stream.send("flood")
    within = stream.trickle(60)
    assert len(stream.sent) - len(stream.waited) > FLOOD / 10, "the flood was over before it could be in the way"
    stream.wait()
    rig.stop()
    stream.look()
    assert stream.p95(within) <= IN_TURN
    assert set(stream.waited) == set(stream.sent)
    parked = rig.records(rig.topics.parked)
    runs = [record["headers"]["gavel.task.run_key"] for record in parked]
    assert len(runs) == len(set(runs)) <= FLOOD, "a run waits in a lane once"
    assert {record["headers"]["gavel.task.parked_cause"] for record in parked} == {"overflow"}
    assert not any("gavel.task.attempt" in record["headers"] for record in parked)
