"""The live windows on a real Kafka: results per second of one process, from the results topic to the changelog.

    python -m benchmarks.windows [--results 30000] [--evaluations 200]

The results lie in Kafka before the role starts, so that it works as fast as it can. They are written as Gavel writes
them: in transactions, with lz4, and with a reasoning of a few hundred characters.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid4

from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from benchmarks.table import markdown
from config.settings import Settings
from processor.kafka import KafkaClients
from processor.kafka_topics import ensure_topics
from processor.metrics import Metrics
from reports.windows.app import WindowsParts
from reports.windows.service import FaustWindows
from storage.clickhouse.query import PassRule
from tests.services.kafka import KafkaServer
from tests.services.records import result_row

_WITHIN_S = 120.0
_TEAM_RULE = PassRule()


def settings(kafka: str, folder: Path) -> Settings:
    run = uuid4().hex[:8]
    topics = ("events", "results", "tasks", "parked", "dead_letters", "windows", "windows_state")
    section = {
        "bootstrap_servers": kafka,
        "group_prefix": f"bench-{run}",
        "topics": {name: f"{name}-{run}" for name in topics},
    }
    return Settings.model_validate({"data_dir": folder, "kafka": section})


def write(kafka: str, topic: str, count: int, evaluations: int) -> None:
    """Write results of many evaluations, 1 000 in a transaction."""
    now = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime())
    producer = Producer(
        {"bootstrap.servers": kafka, "compression.type": "lz4", "transactional.id": uuid4().hex, "linger.ms": 5}
    )
    producer.init_transactions(60)
    for first in range(0, count, 1_000):
        producer.begin_transaction()
        for number in range(first, min(first + 1_000, count)):
            value = result_row(
                number,
                row={"timestamp": now, "uuid": str(UUID(int=number, version=5))},
                evaluation_id=str(UUID(int=number % evaluations)),
                evaluation_reasoning="The answer names the refund window and links the policy, as asked. " * 4,
            )
            producer.produce(topic, value, key=str(number))
            producer.poll(0)
        producer.commit_transaction(60)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows", description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=30_000)
    parser.add_argument("--evaluations", type=int, default=200)
    given = parser.parse_args()
    with KafkaServer(short_lived=False) as kafka, tempfile.TemporaryDirectory() as folder:
        chosen = settings(kafka.bootstrap_servers, Path(folder))
        ensure_topics(KafkaClients(chosen), chosen)
        write(kafka.bootstrap_servers, chosen.kafka.topics.results, given.results, given.evaluations)
        metrics = Metrics(CollectorRegistry())
        parts = WindowsParts(
            chosen,
            kafka.bootstrap_servers,
            metrics,
            rule_of=lambda *_: _TEAM_RULE,
            write_shifts=lambda _: None,
            now_s=lambda: int(time.time()),
        )
        windows = FaustWindows(parts, lambda: True, time.monotonic)
        windows.start()
        give_up = time.monotonic() + _WITHIN_S
        first = 0.0
        while (counted := metrics.total("gavel_windows_results")) < given.results and time.monotonic() < give_up:
            if counted and not first:
                first, begun, processor = time.monotonic(), counted, time.process_time()
            time.sleep(0.05)
        if counted < given.results or not first:
            windows.stop()
            raise SystemExit(f"only {counted:.0f} of {given.results} were counted within {_WITHIN_S:g} s")
        took_s, cpu_s = time.monotonic() - first, time.process_time() - processor
        windows.stop()
    rate, per_cpu = (given.results - begun) / took_s, (given.results - begun) / cpu_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        ("results, evaluations", f"{given.results:,}, {given.evaluations:,}"),
        ("results per second", f"{rate:,.0f}"),
        ("results per second of processor time", f"{per_cpu:,.0f}"),
        ("peak memory of the process", f"{peak:.0f} MiB"),
    ]
    print(markdown(("one process, all threads", "figure"), rows))


if __name__ == "__main__":
    main()
