"""One client's small requests beside the large bodies of others: `python -m benchmarks.ingest_large`.

The front door and librdkafka's in-process broker share a process. One client sends an event 20 times a second. Two
others each send a gzipped body of 60 MB (1,000 events) as soon as their last one is answered, with a token of another
team. `ingest.max_bytes` is 1 GiB, because the quarter that one token may hold would be too little otherwise.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from benchmarks.table import markdown
from config.settings import Settings
from ingest.serve import IngestServer
from processor.kafka import EmbeddedBroker
from processor.metrics import Metrics
from processor.runtime.garbage import tune_collector
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade
from storage.sql.project_tokens import ProjectTokens

_SENDERS = 2
_EVENTS, _EVENT_BYTES = 1_000, 60_000
_EVERY_S = 0.05
_TEXT = "The quick brown fox jumps over the lazy dog. "


def _serve(pipe: Connection) -> None:
    tune_collector()  # as the role does
    broker = EmbeddedBroker()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {"data_dir": Path(folder), "ingest": {"port": 0, "max_bytes": 2**30}, "kafka": {"partitions": 4}}
        )
        broker.create_topic(settings.kafka.topics.events)
        database = open_store(settings)
        upgrade(database)
        tokens = [ProjectTokens(database).create(team_id=team, now=datetime.now(UTC))[1] for team in (1, 2)]
        server = IngestServer(settings, database, Metrics(CollectorRegistry()), broker.bootstrap_servers)
        server.start()
        server.await_tokens(10.0)
        pipe.send((server.port, tokens))
        pipe.recv()


def _event(size_bytes: int) -> dict[str, Any]:
    text = (_TEXT * (size_bytes // len(_TEXT) + 1))[:size_bytes]
    properties = {"$ai_trace_id": "t", "$ai_input": [{"role": "user", "content": text}]}
    return {"event": "$ai_generation", "uuid": str(uuid4()), "distinct_id": "u", "properties": properties}


def _post(connection: http.client.HTTPConnection, token: str, events: list[dict[str, Any]]) -> tuple[int, float]:
    """Send events, packed if there are many; return the status and the seconds until the answer."""
    body = json.dumps({"api_key": token, "batch": events}).encode()
    headers = {"Authorization": f"Bearer {token}"}
    if len(events) > 1:
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    began_s = time.perf_counter()
    connection.request("POST", "/batch", body, headers)
    with connection.getresponse() as answer:
        answer.read()
        return answer.status, time.perf_counter() - began_s


def _send_large(port: int, token: str, until: float, answers: Any) -> None:
    statuses: Counter[int] = Counter()
    while time.time() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        statuses[_post(connection, token, [_event(_EVENT_BYTES) for _ in range(_EVENTS)])[0]] += 1
        connection.close()
    answers.put(statuses)


def _send_small(port: int, token: str, for_s: float) -> list[float]:
    """Send an event every 50 ms and return the sorted seconds; one that had to wait to be sent counts from its time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began_s = time.perf_counter()
    seconds = []
    for number in range(int(for_s / _EVERY_S)):
        due_s = began_s + number * _EVERY_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        status, _ = _post(connection, token, [_event(300)])
        if status != 200:
            raise RuntimeError(f"a small request got {status}")
        seconds.append(time.perf_counter() - due_s)
    return sorted(seconds)


def _row(name: str, seconds: list[float], bodies: str) -> list[str]:
    at = [seconds[int(len(seconds) * share)] for share in (0.5, 0.95, 0.99)]
    return [name, *(f"{second * 1000:.0f} ms" for second in (*at, seconds[-1])), bodies]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest_large", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each of the two parts")
    for_s = parser.parse_args().seconds
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    port, (small, large) = pipe.recv()
    _send_small(port, small, 1.0)
    alone = _send_small(port, small, for_s)
    answers = context.Queue()
    for _ in range(_SENDERS):
        context.Process(target=_send_large, args=(port, large, time.time() + for_s + 4, answers), daemon=True).start()
    time.sleep(4.0)  # until they have made their first bodies
    beside = _send_small(port, small, for_s)
    statuses = sum((answers.get() for _ in range(_SENDERS)), Counter[int]())
    server.kill()
    bodies = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(markdown(["", "median", "p95", "p99", "slowest", "bodies of 60 MB"], [
        _row("alone", alone, "0"), _row("beside two senders of 60 MB", beside, bodies),
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
