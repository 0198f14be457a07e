"""A producer that fails for good says so once, in whichever call comes first, and nobody is surprised by it."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import sleep
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from ingest import delivery
from ingest.delivery import Delivery
from processor.events.callbacks import flush, is_fatal, reason_of, run_callbacks
from processor.events.confirmed import Confirmed
from processor.events.output import Output
from processor.metrics import Metrics
from processor.stream import committer, transactions
from processor.stream.committer import AtLeastOnceCommitter
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier
from processor.stream.transactions import CommitFailed, PendingCommit, Transactions, produce_output
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S
from tests.unit.test_architecture import MAY_IMPORT, modules

FENCED = KafkaError(KafkaError._FENCED, "fenced by a newer instance", fatal=True)
OUTPUT = Output("result", "results", b"k", b"v", [])


class Failed:
    """A producer as confluent-kafka's after a fatal error: the first poll raises it, each later step fails.

    A commit runs its callbacks while it waits, so it raises as Python does where a callback runs at the wrong time.
    """

    def __init__(self, _options: Any = None, *, full: bool = False) -> None:
        self.told = False
        self.full = full
        self.callbacks: list[Any] = []

    def poll(self, _wait_s: float) -> int:
        if not self.told:
            self.told = True
            raise KafkaException(FENCED)
        while self.callbacks:
            self.callbacks.pop()(KafkaError(KafkaError._PURGE_QUEUE), None)
        return 0

    def __len__(self) -> int:
        return len(self.callbacks)

    def produce(self, *_: Any, on_delivery: Any = None, **__: Any) -> None:
        if self.full:
            raise BufferError("the queue is full")
        self.callbacks.append(on_delivery or (lambda *_: None))

    def init_transactions(self, _timeout_s: float) -> None:
        pass

    def begin_transaction(self) -> None:
        pass

    def commit_transaction(self, _timeout_s: float) -> None:
        if self.told:
            raise KafkaException(FENCED)
        self.told = True
        raise SystemError("a callback returned a result with an exception set") from KafkaException(FENCED)


def client(**options: Any) -> Any:
    return Failed(**options)


def test_an_error_that_is_not_of_kafka_is_not_taken_for_one() -> None:
    with pytest.raises(SystemError, match="of another origin"):
        reason_of(SystemError("of another origin"))


def test_the_error_is_returned_once_and_what_waited_in_the_queue_fails() -> None:
    failed = client()
    assert run_callbacks(failed) is FENCED
    assert run_callbacks(failed) is None
    failed, ends = client(), []
    failed.produce("t", on_delivery=lambda error, _message: ends.append(error.code()))
    assert flush(failed, 1.0) == (0, FENCED)
    assert ends == [KafkaError._PURGE_QUEUE]
    assert flush(failed, 1.0) == (0, None)


def test_no_later_call_succeeds_after_a_fatal_error() -> None:
    assert is_fatal(FENCED)
    assert is_fatal(KafkaError(KafkaError._FATAL))
    assert not is_fatal(KafkaError(KafkaError._TRANSPORT))


def ended(pending: PendingCommit) -> None:
    while not pending.ended():
        sleep(0.001)


@pytest.mark.parametrize("wait", [PendingCommit.wait, lambda pending, _deadline: ended(pending)])
@pytest.mark.parametrize("first", ["begin", "produce", "commit", "reason"])
def test_a_commit_fails_as_a_commit_whichever_call_is_told_first(
    monkeypatch: pytest.MonkeyPatch, first: str, wait: Callable[[PendingCommit, Deadline], None]
) -> None:
    """While the reason of the failure is looked for, too."""
    monkeypatch.setattr(transactions, "Producer", Failed)
    sent, deadline = Transactions({"transactional.id": "t"}), Deadline(PATIENCE_S)
    made: Any = sent.producer
    made.told = first != "begin"
    sent.begin(deadline)
    made.told = first != "produce"
    sent.produce(OUTPUT, deadline)
    made.poll(0) if made.told else None  # messages in the queue fail
    pending = sent.commit((), None, deadline)
    made.told = first == "reason"
    if first == "reason":
        monkeypatch.setattr(made, "commit_transaction", lambda _s: refuse(made))
    with pytest.raises(CommitFailed, match=r"commit_transaction: fenced .*fatal"):
        wait(pending, deadline)


def refuse(client: Failed) -> None:
    client.told = False
    raise KafkaException(FENCED)


def test_a_full_queue_that_never_empties_again_is_left_at_once() -> None:
    with pytest.raises(KafkaException, match="fenced"):
        produce_output(client(full=True), OUTPUT, Deadline(600.0))
    with pytest.raises(KafkaException, match="fenced"):
        Confirmed(client(full=True)).produce("t", value=b"x")


def test_deliveries_that_are_confirmed_before_offsets_fail_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "Producer", Failed)
    sent = AtLeastOnceCommitter({})
    consumer: Any = object()
    with pytest.raises(CommitFailed, match="fenced"):
        sent.begin(consumer, Frontier([OUTPUT], {("events", 0): 1}, 1), Deadline(PATIENCE_S)).ended()
    AtLeastOnceCommitter({}).close(Deadline(1.0))


def test_the_front_door_ends_its_process_and_goes_on_answering_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "Producer", Failed)
    ends: list[str] = []
    door = Delivery({}, probe_topic="t", metrics=Metrics(CollectorRegistry()), on_fatal=ends.append)
    door._run_callbacks()
    door._run_callbacks()
    assert ends == ["fenced by a newer instance"]
    assert door.close(0.1) == 0


def test_one_module_polls_and_flushes_producers() -> None:
    called = re.compile(r"(?:producer|client)\.(?:poll|flush)\(")
    polling = {
        str(path.relative_to(CHECKOUT)) for path in modules(*(MAY_IMPORT.keys() - {"examples"}))
        if called.search(path.read_text())
    }  # fmt: skip
    assert polling == {"processor/events/callbacks.py"}
