"""The meaning of failed commits, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.stream import transactions
from processor.stream.committer import TransactionalCommitter, commit_offsets
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier
from processor.stream.transactions import CommitAborted, CommitFailed

FRONTIER = Frontier([], {("events", 0): 5}, 5)


class Consumer:
    """Fails with these errors, one a call, then commits."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def commit(self, **_: Any) -> list[Any]:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return []


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    ],
)
def test_offsets_are_committed_when_the_broker_is_back(code: int) -> None:
    """A broker that restarts must not end the sink, because its inserts would be repeated for nothing."""
    consumer = Consumer(code, code)
    commit_offsets(consumer, FRONTIER, Deadline(10.0))
    assert consumer.codes == []


def test_an_outage_ends_the_process_when_the_time_is_over() -> None:
    with pytest.raises(CommitFailed):
        commit_offsets(Consumer(*[KafkaError._WAIT_COORD] * 100), FRONTIER, Deadline(0.3))


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_member_that_the_group_has_left_behind_rewinds(code: int) -> None:
    with pytest.raises(CommitAborted):
        commit_offsets(Consumer(code), FRONTIER, Deadline(10.0))


def test_closing_a_fenced_producer_does_not_hide_why_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fenced:
        def init_transactions(self, _: float) -> None:
            pass

        def flush(self, _: float) -> int:
            raise KafkaException(KafkaError(KafkaError._FENCED))

    monkeypatch.setattr(transactions, "Producer", lambda _: Fenced())
    TransactionalCommitter({"transactional.id": "t"}).close(Deadline(1.0))
