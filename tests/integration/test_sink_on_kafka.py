"""The sink as a consumer group of a real Kafka, with a ClickHouse that goes away, refuses, and comes back."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from cli.main import build_app
from processor.exit_codes import EXIT_FAILED
from processor.metrics import Metrics
from processor.runtime.process import Runtime
from processor.stream.limits import StageLimits
from storage.clickhouse import connect
from tests.integration.pipeline import Pipeline
from tests.services.clickhouse_http import ClickHouseFront, Faults
from tests.services.clickhouse_tables import fill
from tests.services.kafka import KafkaServer
from tests.services.records import generation_row, measurement_row, result_id, result_row
from tests.services.waiting import PATIENCE_S, until

SINK = {"batch_interval_s": 0.2, "retry_initial_s": 0.05, "retry_max_s": 0.2}
POLITE = "CONSTRAINT polite CHECK reasoning NOT LIKE '%rude%'"


class Sinks(Pipeline):
    """A pipeline of which only the sink runs; the tests write the results."""

    def __init__(self, broker: str, folder: Path, dsn: str, **clickhouse: Any) -> None:
        super().__init__(
            broker,
            folder,
            clickhouse={"dsn": dsn, **clickhouse},
            sink=SINK,
            matcher={},
        )
        self.topic = self.settings.kafka.topics.results

    def send(self, numbers: range, **properties: Any) -> None:
        self.produce([result_row(n, **properties) for n in numbers], self.topic)

    def execute(self, statement: str) -> None:
        client = connect(self.settings.clickhouse.dsn.get_secret_value())
        client.command(statement)
        client.close()

    def await_rows(self, numbers: range, *, without: frozenset[int] = frozenset()) -> None:
        self.await_stored(Counter(result_id(n) for n in numbers if n not in without))

    def waiting(self, topic: str | None = None) -> int:
        """Return the group's lag: records of the topic that it has not committed."""
        consumer = Consumer({**self.clients.base("test"), "group.id": self.settings.kafka.group("sink")})
        topic = topic or self.topic
        partitions = [TopicPartition(topic, n) for n in range(self.settings.kafka.partitions)]
        lag = 0
        for done in consumer.committed(partitions, timeout=PATIENCE_S):
            first, end = consumer.get_watermark_offsets(done, timeout=PATIENCE_S)
            lag += end - max(done.offset, first)
        consumer.close()
        return lag

    def await_committed(self, topic: str | None = None, *, markers: int = 0) -> None:
        """Wait until all is committed but the offsets that the ends of transactions take at a partition's end."""
        until(lambda: self.waiting(topic) == markers, lambda: f"{self.waiting(topic)} records not committed")

    def measured(self) -> Counter[str]:
        """Return how often readers see each result of a measurement in ClickHouse."""
        client = connect(self.settings.clickhouse.dsn.get_secret_value())
        found = client.query("SELECT uuid FROM evaluation_measurements FINAL").result_rows
        client.close()
        return Counter(str(uuid) for (uuid,) in found)

    def letters(self) -> list[Any]:
        return self.read(self.settings.kafka.topics.dead_letters)


def metric(runtime: Runtime, name: str, **labels: str) -> float:
    return runtime._metrics.registry.get_sample_value(name, labels) or 0.0


def lag_metric(runtime: Runtime, sinks: Sinks) -> float:
    """Return the lag over all partitions of the sink's topic, as the metrics tell it."""
    partitions = map(str, range(sinks.settings.kafka.partitions))
    return sum(metric(runtime, "gavel_consumer_lag", role="sink", topic=sinks.topic, partition=p) for p in partitions)


def await_blocked(runtime: Runtime) -> None:
    until(lambda: metric(runtime, "gavel_sink_blocked"), lambda: "the sink is not blocked")


@pytest.fixture
def front(tmp_path: Path) -> Iterator[ClickHouseFront]:
    with ClickHouseFront(fill(tmp_path / "server")) as server:
        yield server


@pytest.fixture
def sinks(kafka: str, tmp_path: Path, front: ClickHouseFront) -> Sinks:
    return Sinks(kafka, tmp_path / "gavel", front.dsn, archive_events=False)


@pytest.mark.parametrize("embedded", [True, False])
def test_results_and_archive_arrive_and_are_committed(kafka: str, tmp_path: Path, embedded: bool) -> None:
    with ClickHouseFront(fill(tmp_path / "server")) as front:
        # The front has the directory open; in this process it can be had directly, too.
        dsn = f"chdb://{front.directory}?database=gavel" if embedded else front.dsn
        sinks = Sinks(kafka, tmp_path / "gavel", dsn, archive_events=True)
        events = sinks.settings.kafka.topics.events
        sinks.send(range(1500))
        sinks.produce([generation_row(n) for n in range(300)], events)
        with sinks.running(("sink",)):
            sinks.await_rows(range(1500))
            sinks.await_committed()
            sinks.await_committed(events)
        client = connect(dsn)
        assert client.query("SELECT count(), uniqExact(uuid) FROM ai_events FINAL").result_rows == [(300, 300)]
        client.close()
        assert sinks.letters() == []


def test_a_refused_row_is_one_dead_letter_and_goes_in_when_the_table_takes_it(
    sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks.execute(f"ALTER TABLE evaluation_results ADD {POLITE}")
    sinks.send(range(60))
    sinks.send(range(60, 61), evaluation_reasoning="rude")
    sinks.send(range(61, 120))
    with sinks.running(("sink",)):
        sinks.await_rows(range(120), without=frozenset({60}))
        sinks.await_committed()
        (letter,) = sinks.letters()
        assert json.loads(letter.value())["uuid"] == result_id(60)
        headers = dict(letter.headers())
        assert headers["gavel.error.class"] == b"sink_rejected"
        assert headers["gavel.error.message"] == b"ClickHouse refused it: VIOLATED_CONSTRAINT"

        sinks.execute("ALTER TABLE evaluation_results DROP CONSTRAINT polite")
        kafka = sinks.settings.kafka
        monkeypatch.setenv("GAVEL_KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
        monkeypatch.setenv("GAVEL_KAFKA__GROUP_PREFIX", kafka.group_prefix)
        monkeypatch.setenv("GAVEL_KAFKA__TOPICS__DEAD_LETTERS", kafka.topics.dead_letters)
        monkeypatch.setenv("GAVEL_KAFKA__TOPICS__RESULTS", kafka.topics.results)
        monkeypatch.setenv("GAVEL_DATA_DIR", str(sinks.settings.data_dir))
        done = CliRunner().invoke(build_app(), ["dlq", "redrive", "--reason", "sink_rejected", "--yes", "--json"])
        assert json.loads(done.stdout) == {"sent": 1, "refused": [], "gone": 0}, done.output
        sinks.await_rows(range(120))
        sinks.await_committed(markers=1)


def test_a_refused_row_whose_letter_cannot_be_written_is_not_committed(sinks: Sinks) -> None:
    """The letter comes before the commit: without a topic for it the role ends, and the record is read again."""
    sinks.execute(f"ALTER TABLE evaluation_results ADD {POLITE}")
    letters = sinks.settings.kafka.topics.dead_letters
    admin = AdminClient({"bootstrap.servers": sinks.clients.bootstrap_servers})
    admin.delete_topics([letters])[letters].result(PATIENCE_S)
    sinks.send(range(1), evaluation_reasoning="rude")
    with pytest.raises(AssertionError, match="sink"), sinks.running(("sink",)) as runtime:
        until(runtime.errors, "the end of a role without its dead letter")
    assert sinks.waiting() == 1


def test_a_sink_keeps_its_group_while_clickhouse_is_away(
    kafka: str, tmp_path: Path, sinks: Sinks, front: ClickHouseFront
) -> None:
    with sinks.running(("sink",)) as runtime:
        sinks.send(range(100))
        sinks.await_rows(range(100))
        sinks.await_committed()
        rebalances = metric(runtime, "gavel_rebalances_total", role="sink", kind="assigned")
        partitions = 2 * sinks.settings.kafka.partitions  # the sink reads results and measurements
        assert metric(runtime, "gavel_partitions_assigned", role="sink") == partitions
        front.close()
        sinks.send(range(100, 200))
        await_blocked(runtime)
        until(
            lambda: metric(runtime, "gavel_partitions_paused", role="sink") == partitions,
            lambda: "not all partitions are paused",
        )
        sinks.send(range(200, 400))
        assert sinks.waiting() == 300
        time.sleep(1.5 * sinks.settings.kafka.session_timeout_s)  # a member that does not poll would be out by now
        assert metric(runtime, "gavel_rebalances_total", role="sink", kind="assigned") == rebalances
        assert metric(runtime, "gavel_rebalances_total", role="sink", kind="lost") == 0
        assert sinks.waiting() == 300
        until(lambda: lag_metric(runtime, sinks) == 300, lambda: f"the lag metric is {lag_metric(runtime, sinks)}")
        with ClickHouseFront(front.directory, front.port):
            sinks.await_rows(range(400))
            sinks.await_committed()
            assert metric(runtime, "gavel_partitions_paused", role="sink") == 0
    assert sinks.letters() == []


def test_a_sink_that_joins_during_a_blocked_insert_loses_and_repeats_nothing(
    sinks: Sinks, front: ClickHouseFront
) -> None:
    """Both topics have records: whichever partitions the second sink is given, it has something to insert."""
    measurements = sinks.settings.kafka.topics.measurements
    front.faults = Faults(refuse_code=252, refuse_times=-1)
    sinks.send(range(300))
    sinks.produce([measurement_row(n) for n in range(300)], measurements)
    with sinks.running(("sink",)) as first:
        await_blocked(first)
        with sinks.running(("sink",)) as second:
            until(
                lambda: metric(second, "gavel_partitions_assigned", role="sink"),
                lambda: "the second sink has no partition",
            )
            await_blocked(second)
            assert sinks.waiting() == sinks.waiting(measurements) == 300
            front.faults = Faults()
            sinks.await_rows(range(300))
            sinks.await_committed()
            sinks.await_committed(measurements)
            assert sinks.measured() == Counter(result_id(n) for n in range(300))
            assert metric(first, "gavel_partitions_assigned", role="sink") > 0
    assert sinks.letters() == []


@contextmanager
def committing_to_a_broker_that_hangs(sinks: Sinks, front: ClickHouseFront, broker: KafkaServer) -> Iterator[Runtime]:
    """Run a sink whose broker hangs: some of the second hundred rows are stored, and cannot be committed.

    The broker is well again in the end.
    """
    sinks.send(range(100))
    runtime = Runtime(sinks.settings, ("sink",), sinks.database, Metrics(CollectorRegistry()))
    runtime.start()
    try:
        sinks.await_rows(range(100))
        sinks.await_committed()
        front.faults = Faults(refuse_code=252, refuse_times=-1)
        sinks.send(range(100, 200))
        await_blocked(runtime)
        broker.freeze()
        front.faults = Faults()
        until(lambda: len(sinks.stored()) > 100, lambda: "no batch was inserted")
        yield runtime
    finally:
        broker.thaw()
        runtime.stop()


def test_a_sink_whose_broker_hangs_says_so_stays_alive_and_commits_later(
    own_kafka: KafkaServer, tmp_path: Path, front: ClickHouseFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.runtime.vitals.ANSWERS_WITHIN_S", 1.0)
    sinks = Sinks(own_kafka.bootstrap_servers, tmp_path / "gavel", front.dsn, archive_events=False)
    with committing_to_a_broker_that_hangs(sinks, front, own_kafka) as runtime:
        until(lambda: not runtime._ready()[0], lambda: "the sink is ready without a broker")
        assert "Kafka" in runtime._ready()[1]["waiting_for"]
        turned_s = runtime._stages["sink"].heartbeat_s
        until(lambda: runtime._stages["sink"].heartbeat_s > turned_s, lambda: "its loop stands still")
        own_kafka.thaw()
        sinks.await_committed()
        sinks.send(range(200, 250))
        sinks.await_rows(range(250))
        sinks.await_committed()
        assert not runtime.errors()


def test_a_sink_whose_broker_hangs_for_too_long_ends_and_the_next_one_stores_every_row_once(
    own_kafka: KafkaServer, tmp_path: Path, front: ClickHouseFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome of its commit is unknown, so the next process repeats the rows or goes on behind them."""
    monkeypatch.setattr("processor.sink.role.StageLimits", partial(StageLimits, commit_timeout_s=1.0))
    monkeypatch.setattr("processor.stream.stage._CLOSE_S", 1.0)
    sinks = Sinks(own_kafka.bootstrap_servers, tmp_path / "gavel", front.dsn, archive_events=False)
    with committing_to_a_broker_that_hangs(sinks, front, own_kafka) as runtime:
        until(lambda: not runtime._threads["sink"].is_alive(), "the end of the sink")
        assert "is the broker reachable" in str(runtime.errors()["sink"])
        assert runtime.stop() == EXIT_FAILED
    with sinks.running(("sink",)):
        sinks.send(range(200, 250))
        sinks.await_rows(range(250))
        sinks.await_committed()
    assert sinks.letters() == []


def test_a_sink_that_starts_again_goes_on_from_what_is_committed(sinks: Sinks) -> None:
    sinks.send(range(200))
    with sinks.running(("sink",)):
        sinks.await_rows(range(200))
        sinks.await_committed()
    sinks.send(range(200, 250))
    with sinks.running(("sink",)) as again:
        sinks.await_rows(range(250))
        sinks.await_committed()
        assert metric(again, "gavel_records_consumed_total", role="sink", topic=sinks.topic) == 50
