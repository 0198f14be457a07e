"""A message counts as sent once the brokers have confirmed it, and not before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.events.confirmed import Confirmed


class Client:
    """A producer whose messages end as `outcomes` say, in order; those without an outcome stay in its queue."""

    def __init__(self, *outcomes: KafkaError | None, room: int = 1000) -> None:
        self.outcomes = list(outcomes)
        self.room = room
        self.callbacks: list[Callable[..., None]] = []

    def produce(self, _topic: str, *, on_delivery: Callable[..., None], **_message: Any) -> None:
        if len(self.callbacks) == self.room:
            raise BufferError("the queue is full")
        self.callbacks.append(on_delivery)

    def poll(self, _within_s: float) -> int:
        if not self.outcomes:
            return 0
        self.callbacks.pop(0)(self.outcomes.pop(0), None)
        return 1

    def __len__(self) -> int:
        return len(self.callbacks)


def sent(client: Any, messages: int) -> None:
    confirmed = Confirmed(client)
    for _ in range(messages):
        confirmed.produce("topic", value=b"x")
    confirmed.wait(0.05)


def test_messages_that_are_confirmed_are_sent() -> None:
    sent(Client(None, None), 2)


def test_a_message_that_the_client_gave_up_is_not_sent_although_its_queue_is_empty() -> None:
    client = Client(None, KafkaError(KafkaError._MSG_TIMED_OUT))
    with pytest.raises(KafkaException, match="timed out"):
        sent(client, 2)
    assert client.callbacks == []


def test_a_message_that_is_still_in_the_queue_is_not_sent() -> None:
    with pytest.raises(KafkaException, match="did not confirm"):
        sent(Client(None), 2)


def test_messages_wait_for_room_in_the_queue() -> None:
    client = Client(*[None] * 7, room=2)
    sent(client, 7)
    assert client.outcomes == []


def test_a_queue_that_a_broker_does_not_empty_ends_the_wait_for_room() -> None:
    with pytest.raises(KafkaException, match="timed out"):
        sent(Client(KafkaError(KafkaError._MSG_TIMED_OUT), room=1), 3)


@pytest.mark.parametrize("by", ["client", "broker"])
def test_a_message_that_is_refused_by_its_own_fault_fails_no_other(by: str) -> None:
    too_large = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)

    class Refusing(Client):
        def produce(self, topic: str, **message: Any) -> None:
            if message["value"] == b"large" and by == "client":
                raise KafkaException(too_large)
            super().produce(topic, **message)

    for name in ("second", None):
        client: Any = Refusing(None, *([too_large] if by == "broker" else []), None)
        confirmed = Confirmed(client)
        confirmed.produce("topic", name="first", value=b"x")
        with pytest.raises(KafkaException, match="too large") if name is None else nullcontext():
            confirmed.produce("topic", name=name, value=b"large")
            confirmed.produce("topic", name="third", value=b"x")
            confirmed.wait(1.0)
        assert list(confirmed.refused) == ([] if name is None else ["second"])


def test_an_outage_fails_messages_with_a_name_too() -> None:
    client: Any = Client(KafkaError(KafkaError._MSG_TIMED_OUT))
    confirmed = Confirmed(client)
    confirmed.produce("topic", name="first", value=b"x")
    with pytest.raises(KafkaException, match="timed out"):
        confirmed.wait(1.0)
    assert confirmed.refused == {}


def test_a_thread_does_not_wait_for_the_messages_of_others() -> None:
    client: Any = Client(None)
    mine, others = Confirmed(client), Confirmed(client)
    mine.produce("topic", value=b"x")
    others.produce("topic", value=b"x")
    mine.wait(3600.0)
    assert len(client) == 1
