"""The stage skeleton when partitions come and go, and when time runs out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from processor.events.output import Output
from processor.stream.committer import AtLeastOnceCommitter
from processor.stream.deadline import Deadline
from processor.stream.ledger import Span
from processor.stream.limits import StageLimits
from tests.contract.conftest import Broker
from tests.contract.test_stage import CLASSIC, LIMITS, Echo, Running, numbered, read_all, transactional, write
from tests.services.waiting import PATIENCE_S, until


@pytest.fixture
def slow_drain(monkeypatch: pytest.MonkeyPatch) -> StageLimits:
    """Return limits by which a drain may take 3 s, and the commit after it the rest of the patience."""
    monkeypatch.setattr("processor.stream.stage._DRAIN_SHARE", 3.0 / PATIENCE_S)
    return replace(LIMITS, drain_s=PATIENCE_S)


class Slow(Echo):
    """Finishes half of its records; the rest takes longer than any drain."""

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        half = [span for span in self.held if int(span.messages[0].value().rpartition(b"-")[2]) % 2 == 0]
        if not self.hold:
            self.held = [span for span in self.held if span not in half]
            return [(s, [Output("result", self.topic, m.key(), m.value(), []) for m in s.messages]) for s in half]
        return []

    def drain(self, deadline: Deadline) -> None:
        self.hold = False
        while not deadline.over():
            time.sleep(0.01)


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_a_partition_that_was_deferred_when_it_went_is_read_when_it_comes_back(broker: Broker) -> None:
    """librdkafka remembers a pause over an assignment; the stage's reasons for it end with the assignment."""
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    worker = Echo(results, per_record=True)
    worker.waits_s = {f"record-{n}".encode(): 8.0 for n in range(8)}
    for partition in range(4):
        write(broker, events, numbered(2, start=2 * partition), partition=partition)
    first = Running(broker, [events], group, worker, transactional(broker))
    until(lambda: len(worker.deferred) == 4, "all partitions are deferred")
    other = Echo(results, per_record=True)
    other.waits_s = dict.fromkeys(worker.waits_s, 3600.0)
    second = Running(broker, [events], group, other, transactional(broker))
    until(lambda: other.deferred, "the second member has partitions")
    second.stop()
    found = read_all(broker, results, 8, of=first)
    first.stop()
    assert Counter(found) == Counter(numbered(8))


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_what_is_done_is_committed_when_the_drain_takes_all_the_time(broker: Broker, slow_drain: StageLimits) -> None:
    """A provider that hangs must not take the time that the commit of the other results needs."""
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    worker = Slow(results, per_record=True)
    worker.hold = True
    write(broker, events, [b"record-0", b"record-2", b"record-1", b"record-4"], partition=0)
    running = Running(broker, [events], group, worker, transactional(broker, group), limits=slow_drain)
    until(lambda: worker.seen == 4, "all records read")
    running.stop()
    assert read_all(broker, results, 2) == [b"record-0", b"record-2"], "the frontier ends before what is not done"


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_a_rebalance_during_which_nothing_finishes_ends_no_member(broker: Broker, slow_drain: StageLimits) -> None:
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    worker = Slow(results, per_record=True)
    write(broker, events, [b"record-0", b"record-1"], partition=0)
    write(broker, events, [b"record-2", b"record-3"], partition=1)
    write(broker, events, [b"record-4"], partition=2)
    write(broker, events, [b"record-6"], partition=3)
    first = Running(broker, [events], group, worker, transactional(broker), limits=slow_drain)
    until(lambda: worker.seen == 6, "all records read")
    second = Running(broker, [events], group, Echo(results, per_record=True), transactional(broker))
    until(lambda: len(second.stage._ledger.sources) == 2, "the second member has partitions")
    first.stop()
    found = read_all(broker, results, 6, of=second)
    second.stop()
    assert Counter(found) == Counter(f"record-{n}".encode() for n in (0, 1, 2, 3, 4, 6))


@pytest.mark.parametrize("groups", [CLASSIC, {"group.protocol": "consumer"}], ids=["classic", "consumer"])
@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_what_is_done_at_least_once_is_committed_before_its_partition_goes(
    broker: Broker, groups: dict[str, Any]
) -> None:
    """The outcome of the commit is learned by polls within the callback of the rebalance."""
    events, results, group = broker.topic("events"), broker.topic("results"), uuid4().hex
    worker = Echo(results, per_record=True)
    worker.hold = True
    for partition in range(4):
        write(broker, events, numbered(2, start=2 * partition), partition=partition)
    committer = AtLeastOnceCommitter({"bootstrap.servers": broker.bootstrap_servers})
    first = Running(broker, [events], group, worker, committer, groups)
    until(lambda: worker.seen == 8, "all records read")
    second = Running(broker, [events], group, Echo(results, per_record=True), transactional(broker), groups)
    until(lambda: first.error or second.stage.partitions == 2, "the second member has partitions")
    found = read_all(broker, results, 8, of=first)
    first.stop()
    second.stop()
    assert Counter(found) == Counter(numbered(8)), "the second member finds all of it committed"
