"""A large request holds nobody up: while it is worked on, the requests of others are answered."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ingest.limits import MIB
from tests.integration.ingest.rig import UUID, IngestRig, generation
from tests.services.waiting import PATIENCE_S

_TEXT = "x" * (2 * MIB)


@pytest.fixture
def rig(kafka: str, tmp_path: Path) -> Iterator[IngestRig]:
    with IngestRig(kafka, tmp_path).running() as rig:
        yield rig


def _large_event() -> dict[str, Any]:
    return generation(1, properties={"$ai_trace_id": "t", "$ai_input": _TEXT})


def _v0(rig: IngestRig) -> httpx2.Response:
    return rig.http.post("/batch/", content=json.dumps({"api_key": rig.token, "batch": [_large_event()]}))


def _packed(rig: IngestRig) -> httpx2.Response:
    noise = random.Random(17).randbytes(MIB // 2).hex()
    event = generation(1, properties={"$ai_trace_id": "t", "$ai_input": noise})
    body = gzip.compress(json.dumps({"api_key": rig.token, "batch": [event]}).encode(), 1)
    return rig.http.post("/batch/", content=body, headers={"Content-Encoding": "gzip"})


def _v1(rig: IngestRig) -> httpx2.Response:
    headers = {
        "Authorization": f"Bearer {rig.token}", "Content-Type": "application/json", "User-Agent": "test",
        "PostHog-Sdk-Info": "test/1", "PostHog-Attempt": "1", "PostHog-Request-Id": f"{UUID}9",
        "PostHog-Request-Timestamp": "2026-11-01T10:00:00Z",
    }  # fmt: skip
    body = {"created_at": "2026-11-01T10:00:00Z", "batch": [_large_event()]}
    return rig.http.post("/i/v1/analytics/events", content=json.dumps(body), headers=headers)


def _otlp(rig: IngestRig) -> httpx2.Response:
    values = {"gen_ai.operation.name": "chat", "gen_ai.prompt": _TEXT}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "attributes": attributes}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    headers = {"Authorization": f"Bearer {rig.token}", "Content-Type": "application/json"}
    return rig.http.post("/v1/traces", content=json.dumps(body), headers=headers)


@pytest.mark.parametrize(
    ("send", "work"),
    [
        pytest.param(_packed, "ingest.capture_v0.unpack", id="unpacking"),
        pytest.param(_v0, "ingest.capture_v0.decode_request", id="v0: decoding"),
        pytest.param(_v0, "ingest.capture_v0._event", id="v0: looking closely at an event"),
        pytest.param(_v0, "ingest.door.make_message", id="making a row"),
        pytest.param(_v1, "ingest.capture_v1._body", id="v1: decoding"),
        pytest.param(_v1, "ingest.capture_v1._event", id="v1: reading an event"),
        pytest.param(_otlp, "ingest.otlp.json_form.walk", id="OTLP: walking the envelope"),
        pytest.param(_otlp, "ingest.otlp.service.to_event", id="OTLP: mapping a span"),
    ],
)
def test_others_are_answered_while_a_large_request_is_worked_on(
    rig: IngestRig, monkeypatch: pytest.MonkeyPatch, send: Callable[[IngestRig], httpx2.Response], work: str
) -> None:
    begun, others_answered = threading.Event(), threading.Event()
    held: list[bool] = []
    module, _, name = work.rpartition(".")
    original = getattr(__import__(module, fromlist=[name]), name)

    def hold(*arguments: Any, **named: Any) -> Any:
        if not begun.is_set():
            begun.set()
            held.append(not others_answered.wait(PATIENCE_S))
        return original(*arguments, **named)

    if name == "_event":  # a plain event of v0 is not looked at closely
        monkeypatch.setattr("ingest.capture_v0._plain", lambda *_: None)
    monkeypatch.setattr(work, hold)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(send, rig)
        assert begun.wait(PATIENCE_S)
        small = rig.batch(generation(2))
        others_answered.set()
        assert large.result().status_code == 200, large.result().text
    assert small.status_code == 200
    assert held == [False], "the small request waited for the large one"
    assert len(rig.rows()) == 2
