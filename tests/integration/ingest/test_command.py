"""`gavel ingest` and the front door of `gavel up`, as processes."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from storage.sql.project_tokens import ProjectTokens
from tests.integration.ingest.rig import generation
from tests.integration.pipeline import TEAM, Pipeline
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess, ServiceError
from tests.services.waiting import PATIENCE_S, until


def gavel(folder: Path, *words: str, **env: str) -> GuardedProcess:
    return GuardedProcess(
        [sys.executable, "-c", _MAIN, *words],
        log=folder / "log",
        env={"PYTHONPATH": str(CHECKOUT), "GAVEL_DATA_DIR": str(folder), **env},
    )


_MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"


def test_gavel_ingest_serves_until_sigterm_and_ends_in_order(kafka: str, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, tmp_path)
    _, token = ProjectTokens(pipeline.database).create(team_id=TEAM, now=datetime.now(UTC))
    (port,) = free_ports(1)
    topics = {f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in pipeline.settings.kafka.topics}
    process = gavel(
        tmp_path, "ingest",
        GAVEL_KAFKA__BOOTSTRAP_SERVERS=kafka, GAVEL_INGEST__PORT=str(port), GAVEL_INGEST__DRAIN_S="0.5", **topics,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: _answers(f"{url}/readyz"), "the front door")
        with httpx2.Client(base_url=url, timeout=PATIENCE_S) as http:
            sent = http.post("/batch", json={"api_key": token, "batch": [generation(1)]})
            assert sent.json() == {"status": "Ok"}
        code = process.terminate()
    finally:
        process.kill()
    assert code == 0, (tmp_path / "log").read_text()
    assert len(pipeline.read(pipeline.settings.kafka.topics.events)) == 1
    assert token not in (tmp_path / "log").read_text()


def test_the_embedded_broker_cannot_be_reached_from_another_process(tmp_path: Path) -> None:
    process = gavel(tmp_path, "ingest")
    with pytest.raises(ServiceError, match="exit code 2"):
        process.wait_until(lambda: False, "the front door")
    process.kill()
    assert "embedded" in (tmp_path / "log").read_text()


def test_gavel_up_prints_a_line_that_sends_an_event(tmp_path: Path) -> None:
    api, ingest, http = free_ports(3)
    process = gavel(
        tmp_path, "up",
        GAVEL_API__PORT=str(api), GAVEL_INGEST__PORT=str(ingest), GAVEL_HTTP__PORT=str(http),
        GAVEL_INGEST__DRAIN_S="10",
    )  # fmt: skip
    log = tmp_path / "log"
    try:
        process.wait_until(lambda: "Send a first event" in log.read_text(), "gavel up")
        line = next(line.strip() for line in log.read_text().splitlines() if line.strip().startswith("curl "))
        process.wait_until(lambda: _answers(f"http://127.0.0.1:{ingest}/readyz"), "the front door")
        sent = subprocess.run([*shlex.split(line), "-sS"], capture_output=True, text=True, check=True)
        assert json.loads(sent.stdout) == {"status": "Ok"}, sent.stderr
        by_api = line.replace(f":{ingest}/", f":{api}/")
        sent = subprocess.run([*shlex.split(by_api), "-sS"], capture_output=True, text=True, check=True)
        assert json.loads(sent.stdout) == {"status": "Ok"}, sent.stderr
        assert httpx2.get(f"http://127.0.0.1:{api}/api/schema/", timeout=PATIENCE_S).status_code == 200
        metrics = httpx2.get(f"http://127.0.0.1:{http}/metrics", timeout=PATIENCE_S).text
        assert re.search(r'gavel_ingest_events_total\{outcome="accepted"\} 2\.0', metrics)
        process.send(signal.SIGTERM)
        ready = f"http://127.0.0.1:{ingest}/readyz"
        process.wait_until(lambda: not _answers(ready), "the news that it ends")
        late = subprocess.run([*shlex.split(line), "-sS"], capture_output=True, text=True, check=True)
        assert json.loads(late.stdout) == {"status": "Ok"}, "a balancer may not have noticed yet"
        assert httpx2.get(ready, timeout=PATIENCE_S).json()["stopping"] is True
        until(lambda: process.exit_code is not None, lambda: log.read_text())
        assert process.exit_code == 0, log.read_text()
    finally:
        process.kill()


def test_more_events_than_the_embedded_broker_holds_are_all_judged(tmp_path: Path) -> None:
    """Its partitions hold 5 MiB and drop the oldest records; these events have 15 MiB, and all go to one partition."""
    api, ingest, http = free_ports(3)
    process = gavel(
        tmp_path, "up",
        GAVEL_API__PORT=str(api), GAVEL_INGEST__PORT=str(ingest), GAVEL_HTTP__PORT=str(http), GAVEL_INGEST__DRAIN_S="0",
    )  # fmt: skip
    url, metrics = f"http://127.0.0.1:{ingest}", f"http://127.0.0.1:{http}/metrics"
    consumed = re.compile(r'gavel_records_consumed_total\{role="matcher",topic="[^"]+"\} (\d+)')
    try:
        process.wait_until(lambda: _answers(f"{url}/readyz"), "the front door")
        token = (tmp_path / "project_token").read_text().strip()
        with httpx2.Client(base_url=url, timeout=PATIENCE_S) as client:
            for _ in range(5):
                events = [generation(0, uuid=str(uuid4())) for _ in range(100)]
                for event in events:  # with texts that cannot be compressed
                    text = base64.b64encode(os.urandom(22_500)).decode()
                    event["properties"] |= {"$ai_input": text, "$ai_trace_id": "one"}
                while client.post("/batch", json={"api_key": token, "batch": events}).status_code == 503:
                    assert process.exit_code is None
        process.wait_until(
            lambda: (
                (found := consumed.search(httpx2.get(metrics, timeout=PATIENCE_S).text)) is not None
                and int(found[1]) >= 500
            ),
            "500 events that the matcher has read",
        )
        assert process.terminate() == 0
    finally:
        process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=PATIENCE_S).status_code == 200
    except httpx2.TransportError:
        return False


def test_every_route_of_the_front_door_is_served_on_the_port_of_the_api() -> None:
    from ingest.app import IngestApp
    from ingest.routes import ROUTES

    app = IngestApp.__new__(IngestApp)
    served = {path for path in ROUTES if app.serves(path)}
    assert set(ROUTES) - served == {"/livez", "/readyz", "/metrics"}
    assert not app.serves("/api/projects/1/evaluations/")
