"""Puts a run onto the task topic and waits until the brokers have it."""

from __future__ import annotations

from confluent_kafka import KafkaException

from config.settings import Kafka
from config.settings.kafka import producing
from processor.events.confirmed import ConfirmedProducer
from processor.events.task import Task

_CONFIRMED_WITHIN_S = 5.0
"""A client waits for the answer, and may send the request again: the run has the same id."""


class TaskNotSent(RuntimeError):
    """No broker confirmed the task in time; it may or may not come through."""


class TaskSender:
    """Sends tasks, safe to use from many threads. Connects at the first task.

    Args:
        kafka: the connection's settings.
        bootstrap_servers: the address of the in-process broker, where the settings say `embedded`.
    """

    def __init__(self, kafka: Kafka, *, bootstrap_servers: str | None = None) -> None:
        self._kafka = kafka
        self._within_s = min(_CONFIRMED_WITHIN_S, kafka.message_timeout_s)
        self._producer = ConfirmedProducer(
            lambda: producing(kafka.client_config(bootstrap_servers=bootstrap_servers, client_id="api"), self._within_s)
        )

    def send(self, task: Task, event: bytes) -> None:
        """Send `task`, whose message is `event` byte for byte. Blocks until it is confirmed.

        Raises:
            TaskNotSent: it was not confirmed within seconds.
        """
        try:
            with self._producer.sending(self._within_s + 1) as sent:
                sent.produce(self._kafka.topics.tasks, key=task.key(), value=event, headers=list(task.headers()))
        except KafkaException as error:
            raise TaskNotSent(str(error)) from error

    def close(self) -> None:
        """Wait a few seconds at the most for the tasks in flight."""
        self._producer.close(5)
