"""The stage skeleton against both brokers: everything once, whatever happens in between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from prometheus_client import CollectorRegistry

from processor.events.output import Output, TopicAndPartition
from processor.metrics import Metrics
from processor.stream.committer import AtLeastOnceCommitter, Committer, TransactionalCommitter
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier, Span
from processor.stream.limits import StageLimits
from processor.stream.offsets import OffsetConsumer
from processor.stream.stage import Stage
from processor.stream.transactions import CommitAborted, PendingCommit
from processor.stream.worker import Worker
from tests.contract.conftest import Broker
from tests.services.waiting import PATIENCE_S, until

CLASSIC: dict[str, Any] = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 6000}
LIMITS = StageLimits(batch_records=50, poll_s=0.05, commit_interval_s=0.02, drain_s=PATIENCE_S)


class Echo(Worker):
    """Writes each record's value to `topic`; can be told to misbehave."""

    def __init__(self, topic: str, *, per_record: bool = False) -> None:
        self.topic = topic
        self.per_record = per_record
        self.is_ready = True
        self.is_blocked = False
        self.asked = 0
        self.hold = False
        self.held: list[Span] = []
        self.seen = 0
        self.deferred: Counter[TopicAndPartition] = Counter()
        self.waits_s: dict[bytes, float] = {}
        self.due_s: dict[bytes, float] = {}

    def ready(self) -> bool:
        self.asked += 1
        return self.is_ready

    def blocked(self) -> bool:
        self.asked += 1
        return self.is_blocked

    def admit(self, source: TopicAndPartition, messages: list[Any], control: Any) -> list[Any]:
        for index, message in enumerate(messages):
            now_s, value = time.monotonic(), message.value()
            wait_s = self.due_s.setdefault(value, now_s + self.waits_s.get(value, 0.0)) - now_s
            if wait_s > 0:
                self.deferred[source] += 1
                control.defer(source, message.offset(), wait_s=wait_s)
                return messages[:index]
        return messages

    def submit(self, spans: list[Span]) -> None:
        self.held += spans
        self.seen += sum(len(span.messages) for span in spans)

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        if self.hold:
            return []
        done, self.held = self.held, []
        # Out of order on purpose: the ledger puts it right.
        return [(s, [Output("result", self.topic, m.key(), m.value(), []) for m in s.messages]) for s in reversed(done)]

    def drain(self, deadline: Deadline) -> None:
        self.hold = False

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        self.held = [] if sources is None else [s for s in self.held if s.source not in set(sources)]


class Running:
    """A stage on a thread."""

    def __init__(
        self,
        broker: Broker,
        topics: list[str],
        group: str,
        worker: Worker,
        committer: Committer,
        groups: dict[str, Any] | None = None,
        limits: StageLimits = LIMITS,
    ) -> None:
        consumer = OffsetConsumer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                **(groups or CLASSIC),
            }
        )
        self.metrics = CollectorRegistry()
        self.stage = Stage("matcher", topics, consumer, committer, worker, limits, Metrics(self.metrics))
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.stage.run()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            self.error = error

    def stop(self) -> None:
        self.stage.stop()
        self.thread.join(PATIENCE_S)
        if self.error is not None:
            raise self.error
        assert not self.thread.is_alive(), "the stage did not end"


def transactional(broker: Broker, identity: str | None = None) -> TransactionalCommitter:
    return TransactionalCommitter(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "transactional.id": identity or uuid4().hex,
            "transaction.timeout.ms": 30000,
            "message.timeout.ms": 20000,
        }
    )


def write(broker: Broker, topic: str, values: Iterable[bytes], partition: int | None = None) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for value in values:
        producer.produce(topic, value, key=value, **({} if partition is None else {"partition": partition}))
    assert producer.flush(PATIENCE_S) == 0


def read_all(
    broker: Broker, topic: str, expected: int, *, quiet_s: float = 1.5, of: Running | None = None
) -> list[bytes]:
    """Read committed records until `expected` came and then nothing more for `quiet_s`."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": uuid4().hex,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    found: list[bytes] = []
    end, quiet_from = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < end:
        if of is not None and of.error is not None:
            raise of.error
        for message in consumer.consume(500, 0.2):
            assert message.error() is None, message.error()
            found.append(message.value())
            quiet_from = None
        if len(found) >= expected:
            quiet_from = quiet_from or time.monotonic()
            if time.monotonic() - quiet_from > quiet_s:
                break
    consumer.close()
    return found


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [f"record-{n}".encode() for n in range(start, start + count)]


@pytest.mark.parametrize("per_record", [False, True], ids=["by batch", "by record"])
@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_every_record_is_answered_once(broker: Broker, mode: str, per_record: bool) -> None:
    events, results = broker.topic("events"), broker.topic("results")
    write(broker, events, numbered(500))
    config = {"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True}
    committer = transactional(broker) if mode == "exactly_once" else AtLeastOnceCommitter(config)
    running = Running(broker, [events], uuid4().hex, Echo(results, per_record=per_record), committer)
    assert sorted(read_all(broker, results, 500, of=running)) == sorted(numbered(500))
    running.stop()


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)  # the in-process one forgets a transaction's offsets
def test_a_restart_goes_on_where_the_commit_ended(broker: Broker) -> None:
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    write(broker, events, numbered(200))
    first = Running(broker, [events], group, Echo(results), transactional(broker, group))
    read_all(broker, results, 200, quiet_s=0.2)
    first.stop()
    write(broker, events, numbered(200, start=200))
    second = Running(broker, [events], group, Echo(results), transactional(broker, group))
    assert sorted(read_all(broker, results, 400)) == sorted(numbered(400))
    second.stop()


def test_a_worker_that_is_not_ready_consumes_nothing(broker: Broker) -> None:
    events, results = broker.topic("events"), broker.topic("results")
    write(broker, events, numbered(10))
    worker = Echo(results)
    worker.is_ready = False
    running = Running(broker, [events], uuid4().hex, worker, transactional(broker))
    until(lambda: worker.asked >= 10, "ten looks whether it is ready")
    assert (worker.seen, running.stage.subscribed) == (0, False)
    worker.is_ready = True
    assert len(read_all(broker, results, 10, quiet_s=0.5)) == 10
    running.stop()


def test_a_blocked_worker_pauses_and_keeps_its_partitions(broker: Broker) -> None:
    events, results = broker.topic("events"), broker.topic("results")
    worker = Echo(results)
    running = Running(broker, [events], uuid4().hex, worker, transactional(broker))
    write(broker, events, numbered(10))
    read_all(broker, results, 10, quiet_s=0.2)
    worker.is_blocked = True
    blocked = worker.asked
    until(lambda: worker.asked > blocked + 1, "the pause")
    write(broker, events, numbered(10, start=10))
    written = worker.asked
    until(lambda: worker.asked > written + 30, "thirty polls of what is paused")
    assert worker.seen == 10
    worker.is_blocked = False
    assert len(read_all(broker, results, 20, quiet_s=0.5)) == 20
    running.stop()


def test_what_is_in_flight_at_a_stop_is_drained_and_committed(broker: Broker) -> None:
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    worker = Echo(results, per_record=True)
    worker.hold = True
    running = Running(broker, [events], group, worker, transactional(broker))
    write(broker, events, numbered(100))
    until(lambda: worker.seen == 100, "all records read")
    running.stop()
    assert sorted(read_all(broker, results, 100)) == sorted(numbered(100))


def test_an_unhandled_error_commits_nothing(broker: Broker) -> None:
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex

    class Broken(Echo):
        def submit(self, spans: list[Span]) -> None:
            raise ZeroDivisionError("a defect")

    write(broker, events, numbered(20))
    running = Running(broker, [events], group, Broken(results), transactional(broker, group))
    running.thread.join(PATIENCE_S)
    assert isinstance(running.error, ZeroDivisionError)
    again = Running(broker, [events], group, Echo(results), transactional(broker, group))
    assert sorted(read_all(broker, results, 20)) == sorted(numbered(20))
    again.stop()


def test_an_aborted_commit_is_done_again(broker: Broker) -> None:
    events, results = broker.topic("events"), broker.topic("results")

    class Flaky:
        """Refuses every third commit before anything of it is visible, as an aborted transaction does."""

        def __init__(self) -> None:
            self.inner = transactional(broker)
            self.calls = 0

        def begin(self, consumer: Consumer, frontier: Frontier, deadline: Deadline) -> PendingCommit:
            self.calls += 1
            if self.calls % 3 == 1:
                raise CommitAborted("injected")
            return self.inner.begin(consumer, frontier, deadline)

        def close(self, deadline: Deadline) -> None:
            self.inner.close(deadline)

    write(broker, events, numbered(300))
    running = Running(broker, [events], uuid4().hex, Echo(results), Flaky())
    assert sorted(read_all(broker, results, 300)) == sorted(numbered(300))
    running.stop()


def test_members_that_join_and_leave_neither_lose_nor_repeat(broker: Broker) -> None:
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    first = Running(broker, [events], group, Echo(results), transactional(broker))
    write(broker, events, numbered(300))
    second = Running(broker, [events], group, Echo(results, per_record=True), transactional(broker))
    for start in range(300, 900, 100):
        write(broker, events, numbered(100, start=start))
        time.sleep(0.3)
    first.stop()
    write(broker, events, numbered(100, start=900))
    found = read_all(broker, results, 1000)
    second.stop()
    assert Counter(found) == Counter(numbered(1000))


def test_a_deferred_record_comes_back_in_its_time_and_holds_up_no_other_partition(broker: Broker) -> None:
    events, results = broker.topic("events"), broker.topic("results")
    worker = Echo(results, per_record=True)
    worker.waits_s[b"late"] = 6.0
    write(broker, events, [b"late", b"behind"], partition=0)
    write(broker, events, numbered(5), partition=1)
    running = Running(broker, [events], uuid4().hex, worker, transactional(broker))
    early = read_all(broker, results, 5, quiet_s=0.3)
    assert sorted(early) == sorted(numbered(5))
    found = read_all(broker, results, 7)
    running.stop()
    assert Counter(found) == Counter([*numbered(5), b"late", b"behind"])
    consumed = running.metrics.get_sample_value("gavel_records_consumed_total", {"role": "matcher", "topic": events})
    assert consumed == 7, "records that were given back count when they are accepted"
    assert sum(worker.deferred.values()) <= 2, "the stage polled a deferred partition in a loop"
