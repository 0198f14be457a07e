"""The memory of the front door while Kafka does not answer and a hundred clients send large requests."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from config.settings import Settings
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade
from storage.sql.project_tokens import ProjectTokens
from tests.integration.ingest.rig import generation
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S

_MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"
MIB = 1024 * 1024
MAX_BYTES = 128 * MIB
CLIENTS, BODY_BYTES = 100, 10 * MIB
BASE_BYTES = 120 * 1_000_000
"""The memory of the role itself, the copies of the one request that is being read among it."""


TRIES = 3
"""A peak depends on which threads the machine lets run together; a fault exceeds the limit in every try."""


def test_a_hundred_large_requests_stay_within_the_limit_while_kafka_is_paused(tmp_path: Path) -> None:
    """Kafka is an open port behind which nobody answers. Several tokens fill what one of them may not."""
    database = open_store(Settings.model_validate({"data_dir": tmp_path}))
    upgrade(database)
    tokens = [ProjectTokens(database).create(team_id=team, now=datetime.now(UTC))[1] for team in range(1, 9)]
    database.close()
    peaks: list[str] = []
    for _ in range(TRIES):
        answers, before, peak = _under_load(tmp_path, tokens)
        assert set(answers) == {503}
        assert peak - before > 2 * BODY_BYTES, "some were let in"
        if peak <= BASE_BYTES + MAX_BYTES:
            return
        peaks.append(f"{peak / MIB:.0f} MiB, {before / MIB:.0f} before")
    raise AssertionError("; ".join(peaks))


def _under_load(folder: Path, tokens: list[str]) -> tuple[list[int], int, int]:
    """Return the answers of a new front door to all clients at once, and its peaks of memory before and after."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (port,) = free_ports(1)
        process = GuardedProcess(
            [sys.executable, "-c", _MAIN, "ingest"],
            log=folder / "log",
            env={
                "PYTHONPATH": str(CHECKOUT), "GAVEL_DATA_DIR": str(folder), "GAVEL_INGEST__PORT": str(port),
                "GAVEL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}",
                "GAVEL_INGEST__MAX_BYTES": str(MAX_BYTES), "GAVEL_INGEST__DRAIN_S": "0",
            },
        )  # fmt: skip
        try:
            process.wait_until(lambda: _alive(port), "the front door")
            before = _peak_bytes(process.pid)
            with ThreadPoolExecutor(CLIENTS) as pool:
                answers = list(pool.map(lambda number: _send(port, tokens[number % len(tokens)]), range(CLIENTS)))
            return answers, before, _peak_bytes(process.pid)
        finally:
            process.kill()


def _send(port: int, token: str) -> int:
    """Send one event of 10 MiB and others that make as much; return the status, also where the body was not read."""
    event = generation(0)
    event["properties"]["$ai_input"] = "x" * (BODY_BYTES // 2)
    body = json.dumps([event, event]).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        try:
            connection.request("POST", "/batch", body, {"Authorization": f"Bearer {token}"})
            with connection.getresponse() as answer:
                return answer.status
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            return 503  # refused while the body was on its way; the answer may be lost with the connection


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} says nothing of its memory")


def _alive(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S).json()["tokens"] is True
    except httpx2.TransportError:
        return False
