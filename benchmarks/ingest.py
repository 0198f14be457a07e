"""The front door against a bare loop: `python -m benchmarks.ingest [--only PART]`.

Both serve in a process of their own and write to librdkafka's in-process broker with the same producer. The bare loop
only unpacks, decodes with raw properties, and produces: no token, no limits, no checks. Reported are events per second
of CPU time of the serving process, which includes its broker; clients have other processes. Single events come over
64 connections at once, and batches over 8. Half load is half of the events per second that full load brought.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvicorn
from confluent_kafka import Producer
from isal import isal_zlib
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
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

_CLIENTS = 4
_WARM_UP = 50
"""Requests of a client that are not measured: imports, first connections, memory that the allocator keeps."""
_TEXT = ("The quick brown fox jumps over the lazy dog. " * 80)[:2900]


class Case(NamedTuple):
    """One kind of request. `fresh` makes its body anew from a number, so that no event repeats."""

    name: str
    path: str
    events: int
    fresh: Callable[[str, int], tuple[bytes, dict[str, str]]]
    target: float
    connections: int
    """Connections of each client."""


class Measured(NamedTuple):
    """The figures of a run: events per second of CPU time and of time, and the 99th percentile of the seconds."""

    per_core_s: float
    per_s: float
    p99_s: float
    peak_mib: float


def _event(number: int) -> dict[str, Any]:
    return {
        "event": "$ai_generation",
        "uuid": f"{os.getpid() & 0xFFFF:08x}-{number >> 32 & 0xFFFF:04x}-7000-8000-{number & 0xFFFFFFFF:012x}",
        "distinct_id": f"user {number}",
        "timestamp": "2026-11-01T10:00:00Z",
        "properties": {
            "$ai_trace_id": f"trace {number}",
            "$ai_model": "gpt-5-mini",
            "$ai_input": [{"role": "user", "content": _TEXT}],
            "$ai_output_choices": [{"role": "assistant", "content": _TEXT[:400]}],
        },
    }


def _batch(size: int) -> Callable[[str, int], tuple[bytes, dict[str, str]]]:
    def fresh(token: str, number: int) -> tuple[bytes, dict[str, str]]:
        events = [_event(number * size + index) for index in range(size)]
        body = json.dumps({"api_key": token, "batch": events}).encode()
        if size == 1:
            return body, {"Content-Type": "application/json"}
        return gzip.compress(body, 1), {"Content-Encoding": "gzip"}

    return fresh


def _spans(size: int) -> Callable[[str, int], tuple[bytes, dict[str, str]]]:
    def text(key: str, value: str) -> KeyValue:
        return KeyValue(key=key, value=AnyValue(string_value=value))

    messages = json.dumps(_event(0)["properties"]["$ai_input"])

    def fresh(token: str, number: int) -> tuple[bytes, dict[str, str]]:
        spans = [
            Span(
                trace_id=(os.getpid() << 64 | number + 1).to_bytes(16, "big"),
                span_id=(index + 1).to_bytes(8, "big"),
                name="chat",
                start_time_unix_nano=1_790_000_000_000_000_000,
                end_time_unix_nano=1_790_000_001_000_000_000,
                attributes=[
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.request.model", "gpt-5-mini"),
                    text("gen_ai.input.messages", messages),
                ],
            )
            for index in range(size)
        ]
        request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {token}"}
        return request.SerializeToString(), headers

    return fresh


CASES = (
    Case("batch of 100, gzip", "/batch", 100, _batch(100), 20_000, 2),
    Case("single events", "/batch", 1, _batch(1), 5_000, 16),
    Case("OTLP protobuf, 100 spans", "/v1/traces", 100, _spans(100), 15_000, 2),
)


_PARTS = ("batches", "single", "otlp")
"""The names of the cases on the command line."""


class _RawEvent(msgspec.Struct, gc=False):
    uuid: str
    event: str
    distinct_id: str
    timestamp: str
    properties: msgspec.Raw


class _RawBatch(msgspec.Struct, gc=False):
    batch: list[_RawEvent]


class BareLoop:
    """The least that can be done: unpack, decode with raw properties, produce, wait, answer."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._decode = msgspec.json.Decoder(_RawBatch).decode

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if body[:2] == b"\x1f\x8b":
            body = isal_zlib.decompress(body, 31)
        events = self._decode(body).batch
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        left = len(events)

        def on_delivery(_error: object, _message: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                loop.call_soon_threadsafe(done.set_result, None)

        for event in events:
            row = {
                "uuid": event.uuid, "event": event.event, "properties": str(event.properties, "utf-8"), "team_id": 1,
                "distinct_id": event.distinct_id, "timestamp": event.timestamp,
            }  # fmt: skip
            self._producer.produce(self._topic, msgspec.json.encode(row), event.uuid, on_delivery=on_delivery)
        await done
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


def _serve(kind: str, pipe: Connection) -> None:
    """Serve until told to end; answer every message with the CPU seconds and the peak memory of this process."""
    tune_collector()  # as the role does
    broker = EmbeddedBroker()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {"data_dir": Path(folder), "ingest": {"port": 0}, "kafka": {"partitions": 4}}
        )
        topic = settings.kafka.topics.events
        broker.create_topic(topic)
        if kind == "gavel":
            database = open_store(settings)
            upgrade(database)
            _, token = ProjectTokens(database).create(team_id=1, now=datetime.now(UTC))
            server = IngestServer(settings, database, Metrics(CollectorRegistry()), broker.bootstrap_servers)
            server.start()
            port = server.port
            while not server.door.tokens.ready:
                time.sleep(0.01)
        else:
            token = "none"
            producer = Producer(
                {"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 5, "compression.type": "lz4",
                 "enable.idempotence": True, "acks": "all", "queue.buffering.max.messages": 1_000_000}
            )  # fmt: skip
            threading.Thread(target=lambda: [producer.poll(0.1) for _ in iter(int, 1)], daemon=True).start()
            config = uvicorn.Config(
                BareLoop(producer, topic), port=0, log_config=None, access_log=False, lifespan="off", http="httptools",
                loop="uvloop",
            )  # fmt: skip
            bare = uvicorn.Server(config)
            threading.Thread(target=bare.run, daemon=True).start()
            while not bare.started:
                time.sleep(0.01)
            port = bare.servers[0].sockets[0].getsockname()[1]
        pipe.send((port, token))
        while pipe.recv():
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))


def _load(port: int, token: str, index: int, first: int, bodies: int, pipe: Connection) -> None:
    """Make `bodies` requests; send them at the times asked for, and answer with the seconds that each took."""
    case = CASES[index]
    made = [_as_http(case, *case.fresh(token, first + number)) for number in range(bodies)]
    pipe.send(None)
    while (asked := pipe.recv()) is not None:
        amount, interval_s = asked
        now, made = made[:amount], made[amount:]
        pipe.send(asyncio.run(_send_all(case, port, now, interval_s)))


def _as_http(case: Case, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {case.path} HTTP/1.1", "Host: gavel", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + body


async def _send_all(case: Case, port: int, made: list[bytes], interval_s: float) -> list[float]:
    """Send over all connections, one request every `interval_s` (0: as fast as they are answered)."""
    seconds: list[float] = []
    numbers = iter(range(len(made)))
    began_s = time.perf_counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due_s = began_s + number * interval_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            started_s = max(due_s, began_s) if interval_s else time.perf_counter()
            writer.write(made[number])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if b" 200 " not in head[:16]:
                raise RuntimeError(f"{case.name}: {head[:16]!r} {body[:200]!r}")
            seconds.append(time.perf_counter() - started_s)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(case.connections)))
    return seconds


class _Run:
    """A server and its clients."""

    def __init__(self, kind: str, case: Case, bodies: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._case = case
        self._pipe, theirs = context.Pipe()
        self._server = context.Process(target=_serve, args=(kind, theirs), daemon=True)
        self._server.start()
        port, token = self._pipe.recv()
        self._clients: list[Connection] = []
        for number in range(_CLIENTS):
            ours, its = context.Pipe()
            arguments = (port, token, CASES.index(case), number * bodies, bodies, its)
            context.Process(target=_load, args=arguments, daemon=True).start()
            self._clients.append(ours)
        for client in self._clients:
            client.recv()

    def measure(self, requests: int, per_s: float = 0.0) -> Measured:
        """Send so many requests from each client, at `per_s` events per second in all; 0 is as many as possible."""
        cpu_before_s, _ = self._usage()
        began_s = time.perf_counter()
        interval_s = _CLIENTS * self._case.events / per_s if per_s else 0.0
        for client in self._clients:
            client.send((requests, interval_s))
        seconds = sorted(second for client in self._clients for second in client.recv())
        took_s = time.perf_counter() - began_s
        cpu_after_s, peak_mib = self._usage()
        total = len(seconds) * self._case.events
        p99_s = seconds[int(len(seconds) * 0.99)]
        return Measured(total / (cpu_after_s - cpu_before_s), total / took_s, p99_s, peak_mib)

    def end(self) -> None:
        """End all processes."""
        for client in self._clients:
            client.send(None)
        self._server.kill()

    def _usage(self) -> tuple[float, float]:
        self._pipe.send(True)
        cpu_s, peak_mib = self._pipe.recv()
        return cpu_s, peak_mib


def compare(case: Case, requests: int) -> list[str]:
    """Return the row of one kind of request."""
    ours = _Run("gavel", case, _WARM_UP + 2 * requests)
    ours.measure(_WARM_UP)
    full = ours.measure(requests)
    half = ours.measure(requests, full.per_s / 2)
    ours.end()
    bare = None
    if case.path != "/v1/traces":
        other = _Run("bare", case, _WARM_UP + requests)
        other.measure(_WARM_UP)
        bare = other.measure(requests)
        other.end()
    return [
        case.name, f"{full.per_core_s:,.0f}", f"{case.target:,.0f}", f"{bare.per_core_s:,.0f}" if bare else "–",
        f"{full.per_core_s / bare.per_core_s:.2f}" if bare else "–", f"{half.p99_s * 1000:.0f} ms",
        f"{full.peak_mib:.0f} MiB",
    ]  # fmt: skip


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=80, help="requests of each of the clients, for batches")
    parser.add_argument("--only", action="append", choices=_PARTS, help="measure this part, and not all")
    given = parser.parse_args()
    cases = [CASES[_PARTS.index(part)] for part in given.only or _PARTS]
    rows = [compare(case, given.requests * (20 if case.events == 1 else 1)) for case in cases]
    headers = ["", "events per core-second", "target", "bare loop", "share of it", "p99 at half load", "peak memory"]
    print(markdown(headers, rows))


if __name__ == "__main__":
    main()
