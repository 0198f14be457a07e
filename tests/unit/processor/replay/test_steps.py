"""A replay's steps: its counts, and how it polls the commit of one batch while it processes the next."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import TopicPartition

import processor.replay.sources
import processor.stream.transactions
from processor.events.output import Output
from processor.replay.replay import Replay, ReplayError, ReplaySender
from processor.replay.sources import TopicSource
from processor.stream.deadline import Deadline
from processor.stream.transactions import CommitFailed
from storage.snapshot import Snapshot
from tests.services.records import Record, generation_row
from tests.services.waiting import PATIENCE_S
from tests.unit.processor.matcher.matching import event_matcher, snapshot_of

OUTPUTS = [Output("result", "results", b"k", b"v", [("result_id", b"r"), ("evaluation_id", b"e")])] * 3
PLACE = [TopicPartition("events", 0, 7)]


class Broker:
    """A producer and a consumer that record their calls, and the thread of each."""

    def __init__(self, undelivered: int = 0) -> None:
        self.undelivered = undelivered
        self.steps: list[tuple[str, bool]] = []

    def __getattr__(self, name: str) -> Any:
        def note(*_: Any, **__: Any) -> None:
            self.steps.append((name, threading.current_thread() is threading.main_thread()))

        return note

    def __len__(self) -> int:
        return self.undelivered

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.steps]


def sender(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> ReplaySender:
    monkeypatch.setattr(processor.stream.transactions, "Producer", lambda _configuration: broker)
    made: Any = broker
    return ReplaySender({}, made)


def test_deliveries_are_served_by_the_thread_that_works_and_the_commit_is_left_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker(undelivered=3)
    pending = sender(monkeypatch, broker).begin(OUTPUTS, PLACE)
    assert not pending.ended()
    assert not pending.ended()
    broker.undelivered = 0
    assert not pending.ended()
    pending.wait(Deadline(PATIENCE_S))
    started = ["init_transactions", "consumer_group_metadata", "poll", "begin_transaction"]
    own = [*started, *["produce"] * 3, *["poll"] * 3]
    assert broker.steps == [
        *((name, True) for name in own),
        ("send_offsets_to_transaction", False),
        ("commit_transaction", False),
    ]


class Source:
    """Gives the batches that it was made with."""

    note, cursor = "", ""

    def __init__(self, *batches: list[Any]) -> None:
        self._batches = batches
        self.total, self.done = len(batches), 0

    def read(self, _records: int) -> list[Any]:
        self.done += 1
        return self._batches[self.done - 1] if self.done <= self.total else []

    def place(self, _note: str) -> list[TopicPartition]:
        return PLACE

    def close(self) -> None:
        return


class Events:
    """Gives one output for each batch, and pulses while `busy` says so."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._busy = busy

    def take(self, _messages: Any, _snapshot: Any, _refuse: Any, pulse: Callable[[], None]) -> list[Output]:
        pulse()
        while self._busy():
            pulse()
        return OUTPUTS[:1]

    def flush_counts(self) -> None:
        return


def replay(sender: Any, events: Any) -> Replay:
    return Replay(Source([object()], [object()]), Snapshot(1, {}), events, existing=None, sender=sender)


def test_a_batch_is_durable_while_the_runs_of_the_next_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    give_up_s = monotonic() + PATIENCE_S

    def busy() -> bool:
        return (
            broker.names.count("produce") == 1 and "commit_transaction" not in broker.names and monotonic() < give_up_s
        )

    running = replay(sender(monkeypatch, broker), Events(busy))
    assert running.step()
    assert running.report.read == 0, "sent is not durable"
    assert running.step()
    assert broker.names.index("commit_transaction") < broker.names.index("produce", broker.names.index("produce") + 1)
    assert (running.report.read, running.report.evaluated) == (1, 1)
    assert not running.step()
    assert (running.report.read, running.report.evaluated) == (2, 2)


def test_a_commit_that_fails_while_runs_go_on_ends_the_replay_so_that_it_can_be_resumed() -> None:
    class Failing:
        def begin(self, _outputs: Any, _place: Any) -> Any:
            return self

        def ended(self) -> bool:
            raise CommitFailed("the broker is away.")

    running = replay(Failing(), Events(lambda: False))
    assert running.step()
    with pytest.raises(ReplayError, match="resume the replay"):
        running.step()
    assert running.report.read == 0


def test_many_events_of_a_moment_look_once_after_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = events = 0
    now_s = 0.0

    class Sent:
        def begin(self, _outputs: Any, _place: Any) -> Any:
            return self

        def ended(self) -> bool:
            nonlocal looks
            looks += 1
            return False

        def wait(self, _deadline: Any) -> None:
            return

    def busy() -> bool:
        nonlocal events, now_s
        events += 1
        now_s += 0.0001
        return events % 1000 != 0

    monkeypatch.setattr(processor.replay.replay, "monotonic", lambda: now_s)
    running = replay(Sent(), Events(busy))
    while running.step():
        pass
    assert events == 2000, "in two batches, and nothing was sent during the first"
    assert looks == 10, "the second took 0.1 s"


class Topic:
    """A consumer of two partitions, one of which begins behind a gap. `asked`: how many records, each time."""

    def __init__(self) -> None:
        here = [(0, offset) for offset in range(10)] + [(1, offset) for offset in range(7, 9)]
        self.records = [Record(b"", at, in_partition=partition) for partition, at in here]
        self.asked: list[int] = []

    def consume(self, records: int, _timeout_s: float) -> list[Record]:
        self.asked.append(records)
        given, self.records = self.records[:records], self.records[records:]
        return given

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, -1001) for each in partitions]

    def assign(self, _partitions: Any) -> None:
        return

    def incremental_unassign(self, _partitions: Any) -> None:
        return


def test_a_topic_is_asked_for_no_more_records_than_are_left() -> None:
    topic: Any = Topic()
    source = TopicSource(topic, "events", {0: (0, 10), 1: (5, 9)})
    read = []
    while messages := source.read(8):
        read.append(len(messages))
    assert (topic.asked, read) == ([8, 6], [8, 4]), "14 offsets, two of which hold nothing"
    assert (source.done, source.total) == (14, 14)


def test_a_topic_is_silent_by_the_clock_however_often_nothing_came(monkeypatch: pytest.MonkeyPatch) -> None:
    topic: Any = Topic()
    topic.records = []
    monkeypatch.setattr(processor.replay.sources, "monotonic", lambda: len(topic.asked) * 0.1)
    with pytest.raises(ReplayError, match="no record for 30 s"):
        TopicSource(topic, "events", {0: (0, 10)}).read(8)
    assert len(topic.asked) == 301


def test_what_was_sent_does_not_wait_for_a_slow_source(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    passed_s = 0.0
    committed: list[int] = []
    asked: set[int] = set()

    class Slow(Source):
        def read(self, records: int) -> list[Any]:
            nonlocal passed_s
            committed.append(broker.names.count("commit_transaction"))
            asked.add(records)
            passed_s += 70.0  # longer than the time limit of a transaction
            return super().read(records)

    monkeypatch.setattr(processor.replay.replay, "monotonic", lambda: passed_s)
    events: Any = Events(lambda: False)
    source = Slow([object()], [object()], [object()])
    running = Replay(source, Snapshot(1, {}), events, existing=None, sender=sender(monkeypatch, broker))
    while running.step():
        pass
    assert committed == [0, 1, 2, 3]
    assert asked == {8000}, "smaller batches would make a slow source slower still"


def test_batches_of_slow_runs_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    passed_s = 0.0
    asked: list[int] = []

    class Noting(Source):
        def read(self, records: int) -> list[Any]:
            asked.append(records)
            return super().read(records)

    class Slow(Events):
        def take(self, *arguments: Any) -> list[Output]:
            nonlocal passed_s
            passed_s += asked[-1] * 0.004
            return super().take(*arguments)

    monkeypatch.setattr(processor.replay.replay, "monotonic", lambda: passed_s)
    events: Any = Slow(lambda: False)
    running = Replay(Noting(*[[object()]] * 6), Snapshot(1, {}), events, existing=None, sender=None)
    while running.step():
        pass
    assert asked == [8000, 4000, 2000, 1000, 2000, 1000, 2000]


def test_results_are_counted_once_whether_made_skipped_or_there_before() -> None:
    snapshot = snapshot_of({}, {"evaluation_config": {"source": "return 7"}})
    verdicts, skips = (str(each.definition.id) for each in snapshot.teams[1].evaluations)
    asked: list[dict[str, list[str]]] = []

    def existing(ids: Any) -> set[str]:
        asked.append(ids)
        return {ids[skips][0]}

    batch = [Record(generation_row(n)) for n in (1, 2, 3, 1)]  # the first event comes twice
    running = Replay(Source(batch), snapshot, event_matcher(), existing=existing, sender=None)
    while running.step():
        pass
    report = running.report
    assert (report.read, report.matched, report.existing) == (4, 8, 1)
    assert (report.evaluated, report.skipped) == (5, 2)
    (ids,) = asked
    assert {name: len(each) for name, each in ids.items()} == {verdicts: 3, skips: 3}
    assert all(str(UUID(each)) == each for each in [*ids[verdicts], *ids[skips]])


@pytest.mark.parametrize("headers", [[], [("gavel.task.run_key", b"of a stranger")]])
def test_a_whole_event_that_an_evaluator_cannot_take_is_a_dead_letter_and_does_not_end_the_replay(
    monkeypatch: pytest.MonkeyPatch, headers: list[tuple[str, bytes]]
) -> None:
    matcher = event_matcher()

    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(matcher, "_run_all", fails)
    sent: list[list[Output]] = []

    class Sender:
        def begin(self, outputs: list[Output], _place: Any) -> Any:
            sent.append(outputs)
            return SimpleNamespace(wait=lambda _deadline: None, ended=lambda: True)

    sender: Any = Sender()
    batch = [Record(generation_row(n), head=headers) for n in (1, 2)]
    running = Replay(Source(batch), snapshot_of({}), matcher, existing=lambda _ids: set(), sender=sender)
    while running.step():
        pass
    (outputs,) = sent
    assert [output.kind for output in outputs] == ["dead_letter"] * 2
    assert (running.report.read, running.report.failed) == (2, 2)
