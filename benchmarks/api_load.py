"""Requests a second that one API process answers: `python -m benchmarks.api_load [--json] [--sqlite] [--seconds 10]`.

`gavel api` runs as a process of its own on PostgreSQL (or SQLite), and 50 clients in this process ask it over
keep-alive connections, each as soon as its last answer is there. Besides requests a second and latencies it prints the
server's CPU time per request, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.table import markdown
from config.definitions import parse_draft
from storage.sql.api_keys import ApiKeys
from storage.sql.engine import open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from tests.services.ports import free_ports
from tests.services.postgres import PostgresServer
from tests.services.process import GuardedProcess

CLIENTS = 50
EVALUATIONS = 20
TEAM = 1
TARGETS = {"list of 20 evaluations": (400, 250), "one evaluation": (800, None)}
"""Requests a second at least, and milliseconds of the 95th percentile at most."""


@dataclass(frozen=True, slots=True)
class Load:
    """Figures of one load: requests a second, latencies in ms, and the server's CPU in ms per request."""

    per_second: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float


def fill(dsn: str) -> tuple[str, str]:
    """Store the evaluations, and return the id of one and the secret of a key."""
    database = open_database(dsn)
    upgrade(database)
    draft = {
        "name": "polite",
        "description": "Whether the answer is polite and to the point.",
        "evaluation_type": "hog",
        "evaluation_config": {"source": "return length(output) > 10"},
        "conditions": [
            {"id": "a", "rollout_percentage": 10, "properties": [{"key": "$ai_model", "value": ["gpt-5", "o3"]}]}
        ],
    }
    now = datetime.now(UTC)
    key, secret = ApiKeys(database).create(team_id=TEAM, label="b", scopes=["*"], now=now)
    stored = [
        Evaluations(database).create(TEAM, parse_draft(draft | {"name": f"e{n}"}), actor=key.actor, now=now)
        for n in range(EVALUATIONS)
    ]
    database.close()
    return stored[0].id, secret


@contextmanager
def serve(dsn: str, folder: Path, **settings: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run `gavel api` with more settings, by the names of their variables, and give its port and its process."""
    port, metrics = free_ports(2)
    environment = {
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "GAVEL_STORE__DSN": dsn,
        "GAVEL_DATA_DIR": str(folder),
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "GAVEL_API__PORT": str(port),
        "GAVEL_API__REQUESTS_PER_MINUTE": "10000000",
        "GAVEL_HTTP__PORT": str(metrics),
        **settings,
    }
    process = GuardedProcess(
        [sys.executable, "-c", "from cli.main import main; main()", "api"], log=folder / "api.log", env=environment
    )
    try:
        process.wait_until(lambda: _answers(port), "the API")
        yield port, _worker(process.pid)
    finally:
        process.terminate(grace_s=10)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/schema/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _worker(pid: int) -> psutil.Process:
    """Return the server among the processes that guard it: the one with the most memory."""
    found = psutil.Process(pid)
    return max([found, *found.children(recursive=True)], key=lambda each: each.memory_info().rss)


async def _client(port: int, request: bytes, until: float, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode("latin-1"))
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - began)
    writer.close()


async def load(port: int, server: psutil.Process, path: str, secret: str, seconds: float) -> Load:
    """Ask for `path` from all clients for `seconds`, after a short warm-up."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()
    for length in (1.0, seconds):
        times: list[float] = []
        used = sum(server.cpu_times()[:2])
        began = time.perf_counter()
        await asyncio.gather(*(_client(port, request, began + length, times) for _ in range(CLIENTS)))
        took = time.perf_counter() - began
        used = sum(server.cpu_times()[:2]) - used
    times.sort()
    return Load(
        per_second=len(times) / took,
        p50_ms=times[len(times) // 2] * 1000,
        p95_ms=times[int(len(times) * 0.95)] * 1000,
        cpu_ms=used / len(times) * 1000,
    )


def measure(*, sqlite: bool, seconds: float) -> dict[str, Load]:
    """Return the loads by name."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gavel-benchmark-")))
        dsn = f"sqlite:///{folder}/gavel.db"
        if not sqlite:
            postgres = PostgresServer()
            stack.callback(postgres.close)
            postgres.start()
            dsn = postgres.dsn
        evaluation_id, secret = fill(dsn)
        port, server = stack.enter_context(serve(dsn, folder))
        paths = {
            "list of 20 evaluations": f"/api/projects/{TEAM}/evaluations/",
            "one evaluation": f"/api/projects/{TEAM}/evaluations/{evaluation_id}/",
        }
        return {name: asyncio.run(load(port, server, path, secret, seconds)) for name, path in paths.items()}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--sqlite", action="store_true", help="a SQLite file in the place of PostgreSQL")
    arguments.add_argument("--seconds", type=float, default=10.0, help="length of each load")
    given = arguments.parse_args()
    found = measure(sqlite=given.sqlite, seconds=given.seconds)
    if given.json:
        print(json.dumps({name: asdict(each) for name, each in found.items()}))
        return
    rows = []
    for name, each in found.items():
        per_second, p95_ms = TARGETS[name]
        target = f"≥ {per_second}/s" + (f", p95 ≤ {p95_ms} ms" if p95_ms else "")
        figures = f"{each.per_second:.0f}", f"{each.p50_ms:.0f}", f"{each.p95_ms:.0f}", f"{each.cpu_ms:.2f}"
        rows.append([name, *figures, target])
    print(markdown(["request", "per second", "p50 (ms)", "p95 (ms)", "server CPU (ms)", "target"], rows))
    print(f"\n{CLIENTS} clients, load average {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
