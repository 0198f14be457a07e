"""Commits of offsets alone, without a broker: their meaning, their retries and their deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from processor.stream import offsets
from processor.stream.deadline import Deadline
from processor.stream.offsets import OffsetConsumer, PendingOffsets, close_within
from processor.stream.transactions import CommitAborted, CommitFailed
from tests.services.waiting import PATIENCE_S

OFFSETS = [TopicPartition("events", 0, 5)]


class Consumer:
    """Answers each commit with the next of these errors at once, and then commits. -1 is never answered."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked = 0
        self.answers: list[int | list[TopicPartition]] = []
        self.outcome: tuple[KafkaError | None, list[TopicPartition]] | None = None

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        if self.answers:
            answer = self.answers.pop(0)
            if not isinstance(answer, list):
                raise KafkaException(KafkaError(answer))
            return answer
        return [TopicPartition("events", 0, 4)]

    def begin_commit(self, wanted: list[TopicPartition]) -> None:
        assert wanted == OFFSETS
        self.asked += 1
        code = self.codes.pop(0) if self.codes else None
        if code != -1:
            self.outcome = None if code is None else KafkaError(code), wanted


def pending(
    consumer: Any, budget_s: float = 10.0, delivered: Callable[[Deadline], bool] = lambda _: True
) -> PendingOffsets:
    return PendingOffsets(consumer, OFFSETS, delivered, Deadline(budget_s))


def until_ended(commit: PendingOffsets) -> None:
    while not commit.ended():
        pass


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "_RETRY_S", 0.0)
    monkeypatch.setattr(offsets, "_LOOK_S", 0.0)


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
    until_ended(pending(consumer))
    assert (consumer.codes, consumer.asked) == ([], 3)


def test_an_outage_ends_the_process_when_the_time_is_over() -> None:
    with pytest.raises(CommitFailed, match="gavel check"):
        until_ended(pending(Consumer(KafkaError._WAIT_COORD), 0.0))


def test_a_broker_that_never_answers_ends_the_process_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "_ANSWER_S", 0.0)
    commit = pending(Consumer(-1), 3600.0)
    assert not any(commit.ended() for _ in range(100))
    with pytest.raises(CommitFailed, match="in time"):
        commit.wait(Deadline(0.0))


def test_an_answer_that_comes_when_the_time_is_over_counts() -> None:
    """A revoke may leave no time for its commit, and the broker that works answers all the same."""
    until_ended(pending(Consumer(), 0.0))


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_member_that_the_group_has_left_behind_rewinds(code: int) -> None:
    with pytest.raises(CommitAborted):
        until_ended(pending(Consumer(code)))


def test_a_partition_that_is_refused_rewinds() -> None:
    consumer = Consumer(-1)
    commit = pending(consumer)
    assert not commit.ended()
    error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    consumer.outcome = None, [SimpleNamespace(topic="events", partition=0, error=error)]  # type: ignore[list-item]
    with pytest.raises(CommitAborted, match=r"events\[0\]"):
        commit.ended()


def test_whoever_cannot_poll_learns_from_the_broker_that_the_offsets_are_committed() -> None:
    consumer = Consumer(-1)
    consumer.answers = [KafkaError._TIMED_OUT, [TopicPartition("events", 0, -1001)], OFFSETS]
    commit = pending(consumer)
    commit.wait(Deadline(PATIENCE_S))
    assert (consumer.answers, consumer.asked, commit.ended()) == ([], 1, True)


@pytest.mark.parametrize("answers", [[], [KafkaError.STALE_MEMBER_EPOCH]])
def test_a_broker_that_keeps_other_offsets_rewinds(answers: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets that are higher count as others too: those of a topic that was recreated begin at 0 again."""
    consumer = Consumer(-1)
    consumer.answers = answers
    with pytest.raises(CommitAborted):
        pending(consumer).wait(Deadline(PATIENCE_S))


def test_the_outcome_of_an_earlier_commit_is_not_taken_for_that_of_the_last() -> None:
    class Late(OffsetConsumer):
        def commit(self, **_: object) -> None:
            pass

    consumer = Late({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0})
    with closing(consumer):
        consumer.begin_commit(OFFSETS)
        consumer.begin_commit([TopicPartition("events", 0, 9)])
        consumer._on_commit(None, OFFSETS)
        assert consumer.outcome is None
        consumer._on_commit(None, [TopicPartition("events", 0, 9)])
        assert consumer.outcome is not None


def test_nothing_is_committed_before_all_outputs_are_delivered() -> None:
    left = [False, False, True]
    consumer = Consumer()
    commit = pending(consumer, delivered=lambda _: left.pop(0))
    assert [commit.ended(), commit.ended(), consumer.asked] == [False, False, 0]
    assert [commit.ended(), consumer.asked] == [True, 1]
    assert commit.ended(), "it stays so, and nothing is looked after again"


def test_a_client_that_refuses_to_ask_tells_it_as_the_outcome() -> None:
    class Refusing(OffsetConsumer):
        def commit(self, **_: object) -> None:
            raise KafkaException(KafkaError(KafkaError._STATE))

    consumer = Refusing({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0})
    with closing(consumer), pytest.raises(CommitFailed):
        pending(consumer).ended()


def test_a_consumer_that_does_not_close_is_left_behind() -> None:
    never, closed = threading.Event(), threading.Event()

    class Hanging:
        def close(self) -> None:
            never.wait()
            closed.set()

    assert not close_within(Hanging(), Deadline(0.05))  # type: ignore[arg-type]
    never.set()
    closed.wait()
    assert close_within(Hanging(), Deadline(PATIENCE_S))  # type: ignore[arg-type]
