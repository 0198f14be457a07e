"""Committer, replay and redrive produce, renew and commit by one module, and each of them gives up at a deadline."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

import processor.dead_letters.redrive
import processor.replay.replay
from processor.dead_letters.redrive import Redriver
from processor.dead_letters.stored import LetterFilter, LetterRef
from processor.dead_letters.topic import OpenLetters, RedriveError
from processor.events.output import Output
from processor.replay.replay import ReplayError, ReplaySender
from processor.stream import transactions
from processor.stream.committer import TransactionalCommitter
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier
from processor.stream.transactions import CommitFailed, Transactions
from tests.unit.test_architecture import CHECKOUT, MAY_IMPORT, modules

USERS = {"processor/stream/committer.py", "processor/replay/replay.py", "processor/dead_letters/redrive.py"}
CALLS_OF_KAFKA = {
    "init_transactions",
    "begin_transaction",
    "send_offsets_to_transaction",
    "commit_transaction",
    "abort_transaction",
}
OUTPUTS = [Output("result", "results", b"k", b"v", [])]
PLACE = [TopicPartition("events", 0, 7)]
TIME_S = 0.05


def callers(*names: str) -> set[str]:
    """Return the modules of the product that call a function or method with one of these names."""
    called = re.compile(rf"\b(?:{'|'.join(names)})")
    files = {str(path.relative_to(CHECKOUT)): path.read_text() for path in modules(*MAY_IMPORT)}
    return {path for path, text in files.items() if called.search(re.sub(r'class \w+|"""(?s:.*?)"""|``?', "", text))}


def test_one_module_makes_transactions_for_three_users() -> None:
    assert callers(*CALLS_OF_KAFKA) == {"processor/stream/transactions.py"}
    assert callers(r"Transactions\(") == USERS


@pytest.mark.parametrize("method", [Transactions.begin, Transactions.produce, Transactions.commit, Transactions.send])
def test_no_step_can_be_called_without_a_deadline(method: Callable[..., Any]) -> None:
    given = inspect.signature(method).parameters["deadline"]
    assert given.default is inspect.Parameter.empty


class Broker:
    """A producer and a consumer of a broker that works, or that does not answer in the step `silent`."""

    def __init__(self, silent: str = "") -> None:
        self.silent = silent
        self.made = 0
        self.logger: Any = None

    def producer(self, configuration: dict[str, Any]) -> Broker:
        self.made += 1
        self.logger = configuration["logger"]
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        def answer(*_: Any, **__: Any) -> None:
            if name == self.silent:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True))

        return answer

    def __len__(self) -> int:
        return 0


class Letter:
    """A dead letter of the size that the redriver looks at."""

    came_by_http, has_topic, attempts, value, sha256, offset, partition = False, True, 0, b"v", None, 3, 0
    redrive_topic, key = "events", b"k"

    def original_headers(self) -> list[Any]:
        return []


class Letters:
    """A topic with one open letter."""

    name = "dead-letters"

    def find(self, selection: LetterFilter, *, settled: bool) -> OpenLetters:
        return OpenLetters([LetterRef(0, 3, 0, 1, "decode")], selection)

    def read(self, refs: list[LetterRef], *, with_values: bool) -> list[Letter]:
        return [Letter() for _ in refs]


def committer(broker: Any) -> Callable[[], None]:
    made = TransactionalCommitter({}, start_timeout_s=TIME_S)
    frontier = Frontier(OUTPUTS, {("events", 0): 7}, 1)
    return lambda: made.begin(broker, frontier, Deadline(TIME_S)).wait(Deadline(TIME_S))


def replay(broker: Any) -> Callable[[], None]:
    made = ReplaySender({}, broker)
    return lambda: made.begin(OUTPUTS, PLACE).wait(Deadline(TIME_S))


def redrive(_broker: Any) -> Callable[[], None]:
    letters: Any = Letters()
    made = Redriver({}, letters, max_attempts=3)

    def send() -> None:
        made.redrive(LetterFilter())

    return send


EACH_USER = pytest.mark.parametrize("user", [committer, replay, redrive])
STOPPED = (CommitFailed, ReplayError, RedriveError)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(transactions, "Producer", made.producer)
    for module in (processor.replay.replay, processor.dead_letters.redrive):
        monkeypatch.setattr(module, "_COMMIT_S", TIME_S)
    return made


@EACH_USER
@pytest.mark.parametrize("step", ["init_transactions", "begin_transaction", "commit_transaction"])
def test_each_user_stops_at_its_deadline_when_the_broker_does_not_answer(
    broker: Broker, user: Callable[[Any], Callable[[], None]], step: str
) -> None:
    if step == "init_transactions":
        broker.silent = step
        with pytest.raises(STOPPED, match="no answer"):
            user(broker)
        return
    send = user(broker)
    broker.silent = step
    with pytest.raises(STOPPED, match="no answer"):
        send()


@EACH_USER
def test_each_user_renews_its_producer_after_a_connection_broke(
    broker: Broker, user: Callable[[Any], Callable[[], None]]
) -> None:
    send = user(broker)
    send()
    assert broker.made == 1
    broker.logger.log(20, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "b:9092/1: Disconnected")
    send()
    assert broker.made == 2
