"""From an event's send to its results: milliseconds until they are readable in Kafka, and until a row is in ClickHouse.

    python -m benchmarks.latency [--seconds 20] [--kafka HOST:PORT] [--json]

One matcher process as `gavel run --role matcher` starts it, at its defaults, with the 21 example evaluators; a real
Kafka; real generations sent evenly at 20 and at 200 events a second. A result counts from the call of `produce` for its
event to its arrival at a consumer that reads committed records. The first second of each rate is left out.

The quiet table: one sink process, and an event every two seconds; the time until a query finds a row of its results.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.table import markdown
from config.files import read_definitions
from config.settings import load_settings
from processor.kafka import KafkaClients
from processor.runtime.setup import initialise
from storage.apply import apply_definitions
from storage.clickhouse import connect
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from tests.faults.load import Expectation, bundled
from tests.services.cache import CHECKOUT
from tests.services.ports import accepts, free_ports
from tests.services.process import GuardedProcess

Events = list[tuple[str, bytes]]
"""Ids and rows."""
TEAM = 1
RATES = (20, 200)
WARM_UP_S = 1.0
QUIET_EVENTS = 8
TARGETS = {20: (40, 150), 200: (120, 500)}
"""Events a second → milliseconds of the median and of the 99th percentile at most."""
QUIET_TARGET_MS = 300


class Results:
    """Reads committed results on a thread of its own and notes when each event's results came.

    Attributes:
        came: seconds of the monotonic clock at which results came, by the event's uuid.
    """

    def __init__(self, kafka: str, topic: str) -> None:
        self.came: dict[str, list[float]] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": uuid4().hex,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                now = time.monotonic()
                self.came.setdefault((message.key() or b"").decode().partition(":")[2], []).append(now)

    def close(self) -> None:
        """End the thread and the consumer."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()


def generations(expectation: Expectation, count: int) -> list[tuple[str, bytes]]:
    """Return ids and rows of real generations that have results."""
    found: list[tuple[str, bytes]] = []
    rows = [row for row in bundled() if expectation.of(json.dumps(row).encode())]
    while len(found) < count:
        uuid = str(uuid4())
        found.append((uuid, json.dumps({**rows[len(found) % len(rows)], "uuid": uuid}).encode()))
    return found


@contextmanager
def role(name: str, env: dict[str, str], folder: Path) -> Iterator[None]:
    """Run `gavel run --role NAME` within the block."""
    argv = [sys.executable, "-c", "from cli.main import main; main()", "run", "--role", name]
    process = GuardedProcess(argv, log=folder / f"{name}.log", env={**env, "PYTHONPATH": str(CHECKOUT)})
    try:
        process.wait_until(lambda: "partitions_assigned" in process.log.read_text(), f"The {name}")
        yield
    finally:
        process.terminate()


def at_rate(producer: Producer, topic: str, results: Results, rate: int, events: Events) -> dict[str, Any]:
    """Send events evenly, and return the latencies of their results in milliseconds."""
    sent: dict[str, float] = {}
    started = time.monotonic()
    for number, (uuid, value) in enumerate(events):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        sent[uuid] = time.monotonic()
        producer.produce(topic, value, key=uuid)
        producer.poll(0)
    producer.flush(30)
    time.sleep(3.0)
    counted = [(uuid, at) for uuid, at in sent.items() if at - started >= WARM_UP_S]
    took = sorted(1000 * (came - at) for uuid, at in counted for came in results.came.get(uuid, ()))
    cuts = statistics.quantiles(took, n=100)
    return {
        "rate": rate,
        "events": len(counted),
        "results": len(took),
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
    }


def quiet_table(producer: Producer, topic: str, dsn: str, events: Events) -> list[float]:
    """Send an event now and then, and return the milliseconds until a row of its results is found."""
    client, took = connect(dsn), []
    for uuid, value in events:
        time.sleep(2.0)
        before = time.monotonic()
        producer.produce(topic, value, key=uuid)
        producer.poll(0)
        query = f"SELECT count() FROM evaluation_results WHERE target_event_id = '{uuid}'"
        while not client.query(query).result_rows[0][0]:
            assert time.monotonic() < before + 30.0, "no row came"
            time.sleep(0.005)
        took.append(1000 * (time.monotonic() - before))
    client.close()
    return sorted(took)


def environment(kafka: str, folder: Path, clickhouse: str) -> dict[str, str]:
    """Return the settings of the processes: topics and groups of this run, and everything else at its default."""
    run = uuid4().hex[:8]
    topics = {name: f"{run}-{name}" for name in ("events", "results", "tasks", "parked", "dead_letters")}
    return {
        "GAVEL_DATA_DIR": str(folder),
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "GAVEL_KAFKA__GROUP_PREFIX": run,
        "GAVEL_KAFKA__PARTITIONS": "4",
        "GAVEL_CLICKHOUSE__DSN": clickhouse,
        "GAVEL_HTTP__PORT": "0",
        "GAVEL_LOG__FORMAT": "json",
        **{f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in topics.items()},
    }


def measure(kafka: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Return the latencies at each rate and those of the quiet table."""
    (port,) = free_ports(1)
    front: list[str | Path] = [sys.executable, "-m", "tests.services.clickhouse_http", folder / "clickhouse", str(port)]
    with ExitStack() as stack:
        clickhouse = GuardedProcess(front, log=folder / "clickhouse.log", env={"PYTHONPATH": str(CHECKOUT)})
        stack.callback(clickhouse.kill)
        clickhouse.wait_until(lambda: accepts(port), "The ClickHouse front")
        env = environment(kafka, folder, f"http://127.0.0.1:{port}/gavel")
        settings = load_settings(environ=env)
        database = open_store(settings)
        failed = [finding for finding in initialise(settings, KafkaClients(settings), database) if not finding.ok]
        wanted, problems = read_definitions([CHECKOUT / "examples" / "evaluators"])
        assert not failed, failed
        assert not problems, problems
        apply_definitions(database, TEAM, wanted, actor="benchmark", now=datetime.now(UTC))
        topics = settings.kafka.topics
        producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0, "enable.idempotence": True})
        results = Results(kafka, topics.results)
        stack.callback(results.close)
        stack.enter_context(role("matcher", env, folder))
        expectation = Expectation(list(Evaluations(database).each(TEAM)))
        rates = [
            at_rate(producer, topics.events, results, rate, generations(expectation, int(rate * seconds)))
            for rate in RATES
        ]
        stack.enter_context(role("sink", env, folder))
        time.sleep(5.0)  # it reads what the rates wrote
        return {
            "evaluators": len(wanted),
            "rates": rates,
            "quiet_ms": quiet_table(
                producer, topics.events, env["GAVEL_CLICKHOUSE__DSN"], generations(expectation, QUIET_EVENTS)
            ),
        }


def show(found: dict[str, Any]) -> None:
    """Print Markdown."""
    rows = []
    for each in found["rates"]:
        p50, p99 = TARGETS[each["rate"]]
        figures = [f"{each[name]:.0f}" for name in ("p50", "p95", "p99")]
        rows.append([f"{each['rate']} events/s", f"{each['results']:,}", *figures, f"≤ {p50}, ≤ {p99}"])
    quiet = found["quiet_ms"]
    rows.append(
        [
            "row of a quiet table",
            str(len(quiet)),
            f"{statistics.median(quiet):.0f}",
            "",
            f"{quiet[-1]:.0f}",
            f"≤ {QUIET_TARGET_MS}",
        ]
    )
    print(f"{found['evaluators']} evaluators; milliseconds from an event's send.\n")
    print(markdown(["", "results", "p50", "p95", "p99", "target p50, p99"], rows))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of Markdown")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate")
    parser.add_argument("--kafka", help="use this broker instead of starting one")
    options = parser.parse_args()
    with ExitStack() as stack:
        kafka = options.kafka
        if kafka is None:
            from tests.services.kafka import KafkaServer

            kafka = stack.enter_context(KafkaServer(short_lived=False)).bootstrap_servers
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gavel-latency-")))
        found = measure(kafka, folder, options.seconds)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
