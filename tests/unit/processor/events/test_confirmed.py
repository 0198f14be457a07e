"""A message counts as sent once the brokers have confirmed it, and not before."""

from __future__ import annotations

from collections.abc import Callable
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
