"""Transactions of one producer, without a broker: renewed when a connection broke, and committed within a deadline."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.events.output import Output
from processor.stream import transactions
from processor.stream.deadline import Deadline
from processor.stream.transactions import (
    CommitAborted,
    CommitFailed,
    FencingProducer,
    OutputTooLarge,
    PendingCommit,
    Transactions,
    failed,
)


class Talker:
    """A producer that logs a line when it is polled; its number says which it is of those that were made."""

    made = 0
    line: str | None = None

    def __init__(self, configuration: dict[str, Any]) -> None:
        assert (configuration["log_level"], configuration["log.connection.close"]) == (
            6,
            True,
        )  # otherwise none is logged
        self._log = configuration["logger"].log
        Talker.made += 1
        self.number = Talker.made

    def poll(self, _: float) -> None:
        if self.line is not None:
            self._log(20, "%s [%s] %s", "FAIL", "rdkafka#producer-1", self.line)


BROKEN = [
    "[thrd:b:9092/1]: b:9092/1: Disconnected: connection closed by peer (after 98ms in state UP)",
    "[thrd:TxnCoordinator]: TxnCoordinator: b:9092: 1 request(s) timed out: disconnect (after 70001ms in state UP)",
]
VAIN = [
    "[thrd:b:9092/1]: b:9092/1: Connect to ipv4#b:9092 failed: Connection refused (after 0ms in state CONNECT)",
    "[thrd:b:9092/bootstrap]: b:9092/bootstrap: Failed to resolve 'b:9092': Name or service not known",
    None,
]


@pytest.mark.parametrize(("line", "made"), [*((each, 2) for each in BROKEN), *((each, 1) for each in VAIN)])
def test_a_producer_begins_anew_after_a_connection_broke_that_may_have_carried_something(
    monkeypatch: pytest.MonkeyPatch, line: str | None, made: int
) -> None:
    """Not for a broker that cannot be reached: each transaction would wait for a new producer while one is away."""
    monkeypatch.setattr(transactions, "Producer", Talker)
    monkeypatch.setattr(Talker, "made", 0)
    started: list[int] = []
    fencing = FencingProducer(
        {"log_level": 3, "log.connection.close": False}, lambda producer: started.append(producer.number)
    )
    monkeypatch.setattr(Talker, "line", line)
    fencing.renew(lambda producer: started.append(producer.number))
    monkeypatch.setattr(Talker, "line", None)
    fencing.renew(lambda producer: started.append(producer.number))
    assert (fencing.client.number, started) == (made, list(range(1, made + 1)))


def test_a_producer_that_was_fenced_does_not_fence_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although its connection broke too."""

    class Fenced(Talker):
        def poll(self, wait_s: float) -> None:
            super().poll(wait_s)
            raise KafkaException(KafkaError(KafkaError._FENCED, fatal=True))

    monkeypatch.setattr(transactions, "Producer", Fenced)
    monkeypatch.setattr(Talker, "line", BROKEN[0])
    fencing = FencingProducer({}, lambda _producer: None)
    first = fencing.client
    fencing.renew(lambda _producer: None)
    assert fencing.client is first


class Deliveries:
    """A producer with records on their way; each poll delivers one."""

    def __init__(self, count: int) -> None:
        self.left = count

    def poll(self, _: float) -> None:
        self.left = max(0, self.left - 1)

    def __len__(self) -> int:
        return self.left


def ended(pending: PendingCommit) -> bool:
    """Ask until the thread has been given its turn."""
    while not pending.ended():
        if pending._thread is not None:
            pending._thread.join()
    return True


def test_the_rest_of_a_commit_begins_when_its_outputs_are_delivered() -> None:
    deliveries, began = Deliveries(3), threading.Event()
    pending = PendingCommit(deliveries, lambda _: began.set(), Deadline(10.0))
    for _ in range(2):
        assert not pending.ended()
        assert not began.is_set()
    assert ended(pending)
    assert (deliveries.left, began.is_set()) == (0, True)


def test_a_commit_is_not_called_done_while_the_broker_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_ABORT_S", 0.05)
    answer = threading.Event()
    pending = PendingCommit(Deliveries(0), lambda _: answer.wait() and None, Deadline(10.0))
    assert not any(pending.ended() for _ in range(100))
    with pytest.raises(CommitFailed, match="in time"):
        pending.wait(Deadline(0.0))
    answer.set()
    assert pending._thread is not None
    pending._thread.join()
    assert pending.ended()


def test_a_commit_that_hangs_in_the_client_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka waits for ever for a group coordinator that went away, whatever time it was given."""
    monkeypatch.setattr(transactions, "_ABORT_S", 0.05)
    never = threading.Event()
    asked = PendingCommit(Deliveries(0), lambda _: never.wait() and None, Deadline(0.1))
    with pytest.raises(CommitFailed, match="in time"):
        any(asked.ended() for _ in iter(int, 1))
    with pytest.raises(CommitFailed, match="in time"):
        PendingCommit(Deliveries(0), lambda _: never.wait() and None, Deadline(0.1)).wait(Deadline(100.0))
    never.set()


@pytest.mark.parametrize("failure", [CommitAborted("aborted"), CommitFailed("failed")])
@pytest.mark.parametrize("how", [ended, lambda pending: pending.wait(Deadline(10.0))])
def test_how_a_commit_ended_is_raised_in_the_thread_that_polls(how: Any, failure: Exception) -> None:
    def rest(_: Deadline) -> None:
        raise failure

    with pytest.raises(type(failure)):
        how(PendingCommit(Deliveries(0), rest, Deadline(10.0)))


def test_outputs_that_are_never_delivered_end_with_the_deadline() -> None:
    """The rest then finds out what went wrong; waiting for delivery alone would never end."""
    times: list[float] = []
    assert ended(PendingCommit(Deliveries(1_000_000), lambda deadline: times.append(deadline.left_s()), Deadline(0.0)))
    assert times == [0.0]


class Full:
    """A producer whose queue never has room, and that refuses records that are too large."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def produce(self, *_: Any, **__: Any) -> None:
        raise self._error

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


OUTPUT = Output("result", "results", None, b"v", [])


def test_a_queue_that_stays_full_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay and redrive too: a broker that is away must not hold them for ever."""
    monkeypatch.setattr(transactions, "Producer", lambda _: Full(BufferError()))
    with pytest.raises(CommitFailed, match="stayed full"):
        Transactions({}).send([OUTPUT], (), None, Deadline(0.0))


def test_an_output_that_can_never_be_sent_leaves_the_transaction_open(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    monkeypatch.setattr(transactions, "Producer", lambda _: Full(refusal))
    with pytest.raises(OutputTooLarge):
        Transactions({}).produce(OUTPUT, Deadline(1.0))


def test_a_transaction_lasts_no_longer_than_the_broker_allows() -> None:
    class Idle(Transactions):
        def __init__(self) -> None:
            self._limit_s = 5.0

    assert Idle().deadline(Deadline(60.0)).left_s() <= 5.0
    assert Idle().deadline(Deadline(1.0)).left_s() <= 1.0


@pytest.mark.parametrize("code", [KafkaError._WAIT_COORD, KafkaError._TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS])
def test_a_failure_of_the_cluster_says_where_to_look(code: int) -> None:
    assert "gavel check" in failed("commit", KafkaError(code))


def test_a_failure_of_the_producer_alone_does_not_send_anybody_to_the_brokers() -> None:
    assert "gavel check" not in failed("commit", KafkaError(KafkaError.INVALID_TXN_STATE))
