"""The live windows count each result once, with processes killed and joined and the broker restarted under load."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer

from config.settings import Settings, load_settings
from processor.kafka import KafkaClients
from processor.kafka_topics import ensure_topics
from reports.windows.state import PartitionState, partition_of
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade
from tests.services.cache import CHECKOUT
from tests.services.kafka import KafkaServer
from tests.services.process import GuardedProcess
from tests.services.records import result_row
from tests.services.waiting import PATIENCE_S, until


class Windows:
    """Processes of the role on one broker, the results that were written, and the windows in the changelog."""

    def __init__(self, kafka: str, folder: Path) -> None:
        run = uuid4().hex[:8]
        topics = ("events", "results", "tasks", "parked", "dead_letters", "windows", "windows_state")
        self.folder = folder
        self.env = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(CHECKOUT),
            "GAVEL_DATA_DIR": str(folder / "data"),
            "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "GAVEL_KAFKA__GROUP_PREFIX": f"windows-{run}",
            "GAVEL_KAFKA__PARTITIONS": "4",
            "GAVEL_KAFKA__SESSION_TIMEOUT_S": "6",
            "GAVEL_CLICKHOUSE__DSN": "http://nobody@127.0.0.1:9/gavel",
            "GAVEL_HTTP__PORT": "0",
            **{f"GAVEL_KAFKA__TOPICS__{name.upper()}": f"{run}-{name}" for name in topics},
        }
        self.settings: Settings = load_settings(environ=self.env)
        (folder / "data").mkdir()
        store = open_store(self.settings)
        upgrade(store)
        store.close()
        ensure_topics(KafkaClients(self.settings), self.settings)
        self.written = 0
        self._processes: list[GuardedProcess] = []
        self.kafka = kafka
        self._now = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime())
        options = {"bootstrap.servers": kafka, "compression.type": "lz4", "log_level": 0}
        self._producer = Producer({**options, "transactional.id": run, "message.timeout.ms": 60_000})
        self._producer.init_transactions(PATIENCE_S)

    def start(self, name: str) -> GuardedProcess:
        argv = [sys.executable, "-c", "from cli.main import main; main()", "run", "--role", "reports"]
        process = GuardedProcess(argv, log=self.folder / f"{name}.log", env=self.env)
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            process.kill()

    def write(self, count: int, *, commit: bool = True, again: int = 0) -> None:
        """Write new results in one transaction, the last `again` ones twice."""
        self._producer.begin_transaction()
        for number in [
            *range(self.written, self.written + count),
            *range(self.written + count - again, self.written + count),
        ]:
            value = result_row(
                number, row={"timestamp": self._now}, evaluation_id=f"0190c0de-0000-7000-8000-{number % 7:012}"
            )
            self._producer.produce(self.settings.kafka.topics.results, value, key=str(number))
            self._producer.poll(0)
        if commit:
            self._producer.commit_transaction(PATIENCE_S)
            self.written += count
        else:
            self._producer.flush(PATIENCE_S)
            self._producer.abort_transaction(PATIENCE_S)

    def counted(self) -> tuple[int, int]:
        """Return the passes of all day windows in the changelog, and the distinct ids that were seen."""
        newest: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        consumer = Consumer(
            {"bootstrap.servers": self.kafka, "group.id": uuid4().hex, "auto.offset.reset": "earliest",
             "enable.partition.eof": True, "log_level": 0}
        )  # fmt: skip
        consumer.subscribe([self.settings.kafka.topics.windows_state])
        ended: set[int] = set()
        while len(ended) < 4:
            for message in consumer.consume(500, 0.2):
                if message.error() is not None:
                    ended.add(message.partition())
                    continue
                key, value = message.key(), message.value()
                assert key is not None
                assert partition_of(key) == message.partition()
                if value is None:
                    newest[message.partition()].pop(key, None)
                else:
                    newest[message.partition()][key] = value
        consumer.close()
        states = [PartitionState(each, records.items(), seen_ids=100_000) for each, records in newest.items()]
        days = [tally for state in states for _, place, tally in state.windows() if place[0] == 86_400]
        return sum(tally.passed for tally in days), sum(len(state.seen) for state in states)

    def await_all(self) -> None:
        def all_counted() -> bool:
            found = self.counted()
            assert found[0] <= self.written
            return found == (self.written, self.written)

        until(all_counted, self.logs)

    def logs(self) -> str:
        return "\n".join(log.read_text()[-1500:] for log in self.folder.glob("*.log"))


@pytest.fixture
def windows(own_kafka: KafkaServer, tmp_path: Path) -> Iterator[Windows]:
    made = Windows(own_kafka.bootstrap_servers, tmp_path)
    yield made
    made.close()


def probes(process: GuardedProcess) -> dict[str, int]:
    """Return what the process answers on the port of its metrics."""
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    (address,) = (line["metrics"].removesuffix("/metrics") for line in lines if line.get("event") == "started")
    answers = {}
    for path in ("/livez", "/readyz", "/metrics"):
        with urllib.request.urlopen(address + path, timeout=PATIENCE_S) as answer:
            answers[path] = answer.status
    return answers


def listening(process: GuardedProcess) -> int:
    """Return the number of TCP ports that the process listens on."""
    proc = Path(f"/proc/{process.pid}")
    sockets = {str(each.readlink()) for each in (proc / "fd").iterdir()}
    rows = [line.split() for table in ("tcp", "tcp6") for line in (proc / "net" / table).read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in sockets for row in rows)


def test_every_result_counts_once_whatever_ends(windows: Windows, own_kafka: KafkaServer) -> None:
    first = windows.start("first")
    windows.write(2_000, again=100)
    windows.write(500, commit=False)
    windows.await_all()
    assert probes(first) == {"/livez": 200, "/readyz": 200, "/metrics": 200}
    assert listening(first) == 1, "Faust serves pages of its own beside the role's port"
    second = windows.start("second")
    for _ in range(8):  # while it joins
        windows.write(300, again=50)
        time.sleep(0.25)
    first.kill()
    for _ in range(4):
        windows.write(300)
    windows.await_all()
    own_kafka.restart()
    windows.write(1_000, again=1_000)
    windows.await_all()
    assert second.terminate() == 0, windows.logs()
