"""The sink against bare inserts, into chdb, in one process.

    python -m benchmarks.sink [--rows 100000] [--rounds 5] [--json]

* bare insert: `client.insert` of columns that are ready, 10 000 rows at a time, same table, same settings;
* sink: the worker as it is deployed, from the bytes of the messages to the acknowledged insert - decoding,
  batching, tokens, and inserts in its own thread.

Both take turns, round by round, over the same rows; the best round of each counts, because the machine's other
work only ever takes time away. CPU time is of all threads, merges of the engine in the background included.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import structlog
from prometheus_client import CollectorRegistry

from benchmarks.table import markdown
from processor.dead_letters.letter import RatioGuard
from processor.metrics import Metrics
from processor.runtime.garbage import tune_collector
from processor.sink.insert import INSERT_SETTINGS, Backoff
from processor.sink.rows import RESULTS
from processor.sink.worker import LetterRules, SinkWorker
from processor.stream.deadline import Deadline
from processor.stream.ledger import Span
from storage.clickhouse import connect, migrate
from tests.services.stored_results import count_copies

BATCH, POLL = 10_000, 2_000
_REASONINGS = (
    "The answer names the refund window and links the policy, as asked.",
    "It declines although the question is harmless; nothing in the policy forbids it.",
    "The tool call used the right city, and the summary agrees with what the tool returned; one sentence is too long.",
)


class Record(NamedTuple):
    """The part of a Kafka message that a worker uses."""

    body: bytes
    at: int

    def value(self) -> bytes:
        return self.body

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_780_000_000_000 + self.at)

    def headers(self) -> None:
        return None


def result_messages(count: int) -> list[Record]:
    """Result events as the roles write them: half from Hog, half from a judge."""
    draw = random.Random(7)

    def uuid() -> str:
        return str(UUID(int=draw.getrandbits(128), version=4))

    evaluations = [uuid() for _ in range(20)]
    messages = []
    for n in range(count):
        target, evaluation = uuid(), n % 20
        stamp = f"2026-11-20 {n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}.{n % 1_000_000:06d}"
        properties: dict[str, Any] = {
            "$ai_evaluation_id": evaluations[evaluation],
            "$ai_evaluation_name": f"Evaluation {evaluation}",
            "$ai_evaluation_type": "online",
            "$ai_evaluation_runtime": "llm_judge" if n % 2 else "hog",
            "$ai_evaluation_result_type": "boolean",
            "$ai_evaluation_allows_na": False,
            "$ai_evaluation_version": 3,
            "$ai_evaluation_fingerprint": f"{evaluation:064x}",
            "$ai_target_event_type": "$ai_generation",
            "$ai_target_type": "generation_uuid",
            "$ai_evaluation_start_time": stamp.replace(" ", "T") + "+00:00",
            "$ai_evaluation_trigger": "live",
            "$ai_evaluation_condition_id": "everything",
            "$ai_target_event_id": target,
            "$ai_target_id": target,
            "$ai_trace_id": uuid(),
            "$ai_session_id": uuid(),
            "$ai_evaluation_reasoning": _REASONINGS[n % 3],
            "$ai_evaluation_result": n % 3 != 1,
        }
        if n % 2:
            properties |= {
                "$ai_model": "gpt-5-mini",
                "$ai_provider": "openai",
                "$ai_evaluation_model": "gpt-5-mini",
                "$ai_evaluation_provider": "openai",
                "$ai_input_tokens": 900 + n % 300,
                "$ai_output_tokens": 60,
                "$ai_evaluation_cost_usd": 0.00031,
                "$ai_evaluation_latency": 0.8 + n % 10 / 10,
                "$ai_evaluation_key_type": "own",
                "$ai_evaluation_cached": False,
            }
        row = {
            "uuid": uuid(),
            "event": "$ai_evaluation",
            "properties": orjson.dumps(properties).decode(),
            "team_id": 1 + n % 3,
            "project_id": 1 + n % 3,
            "distinct_id": f"person-{n % 5000}",
            "timestamp": stamp,
            "elements_chain": "",
            "created_at": stamp,
            "person_mode": "full",
        }
        messages.append(Record(orjson.dumps(row), n))
    return messages


class Turn(NamedTuple):
    """One contestant's round, in seconds."""

    wall_s: float
    cpu_s: float


def measure(work: Callable[[], None]) -> Turn:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work()
    return Turn(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def run(rows: int, rounds: int) -> dict[str, Any]:
    """Return rows, size, and the turns of both contestants."""
    messages: list[Any] = result_messages(rows)  # records that have what the sink reads
    # As every role's process does; the messages, which a consumer hands over bit by bit, are not the sink's garbage.
    tune_collector()
    ready = [list(zip(*map(RESULTS.decode, messages[n : n + BATCH]), strict=True)) for n in range(0, rows, BATCH)]
    turns: dict[str, list[Turn]] = {"bare insert": [], "sink": []}
    with tempfile.TemporaryDirectory(prefix="gavel-bench-") as directory:
        dsn = f"chdb://{Path(directory) / 'clickhouse'}"
        client = connect(dsn)
        migrate(client)

        def bare() -> None:
            for n, columns in enumerate(ready):
                client.insert(
                    RESULTS.table,
                    columns,
                    column_names=RESULTS.columns,
                    column_type_names=RESULTS.types,
                    column_oriented=True,
                    settings={**INSERT_SETTINGS, "insert_deduplication_token": f"bare-{time.time_ns()}-{n}"},
                )

        for attempt in range(rounds):
            for name, taken in turns.items():
                client.command("TRUNCATE TABLE evaluation_results")
                taken.append(measure(bare) if name == "bare insert" else _sink(dsn, messages, attempt))
                copies = count_copies(client)
                if (copies.ids, copies.visible) != (rows, rows):
                    raise SystemExit(f"{name}: {copies} instead of {rows} rows")
        client.close()
    size = sum(len(message.body) for message in messages) // rows
    return {"rows": rows, "bytes_per_row": size, "turns": turns}


def _sink(dsn: str, messages: list[Any], attempt: int) -> Turn:
    worker = SinkWorker(
        lambda: connect(dsn),
        {"results": RESULTS},
        letters=LetterRules("dead", 1_000_000, RatioGuard(0.5, 1000)),
        metrics=Metrics(CollectorRegistry()),
        backoff=Backoff(0.1, 1.0, random.random),
    )
    while not worker.ready():
        time.sleep(0.01)
    stored = 0

    def work() -> None:
        nonlocal stored
        for start in range(0, len(messages), POLL):
            batch = messages[start : start + POLL]
            size = sum(len(message.body) for message in batch)
            # A partition per round: the token of a batch is its offsets, and a truncated table remembers tokens.
            source = ("results", attempt)
            worker.submit([Span(source, list(batch), batch[-1].at + 1, size, 1, 0.0, len(batch))])
            stored += sum(span.count for span, _ in worker.collect())
        worker.drain(Deadline(120))
        stored += sum(span.count for span, _ in worker.collect())

    turn = measure(work)
    worker.close()
    if stored != len(messages):
        raise SystemExit(f"the sink confirmed {stored} of {len(messages)} rows")
    return turn


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures of every round")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    found = run(arguments.rows, arguments.rounds)
    if arguments.json:
        print(json.dumps(found))
        return
    rows = found["rows"]
    best = {
        name: Turn(min(t.wall_s for t in turns), min(t.cpu_s for t in turns)) for name, turns in found["turns"].items()
    }
    table = [
        [
            name,
            f"{rows / turn.wall_s:,.0f}",
            f"{turn.cpu_s / rows * 1e6:.1f}",
            f"{best['bare insert'].wall_s / turn.wall_s:.2f}",
        ]
        for name, turn in best.items()
    ]
    print(f"{rows:,} results of {found['bytes_per_row']:,} bytes into chdb, best of {arguments.rounds} rounds\n")
    print(markdown(["", "rows/s", "CPU µs/row", "of bare insert"], table))


if __name__ == "__main__":
    main()
