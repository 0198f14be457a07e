"""Puts a run onto the task topic and waits until the brokers have it."""

from __future__ import annotations

import threading

from confluent_kafka import KafkaException, Producer

from config.settings import Kafka
from config.settings.kafka import producing
from processor.events.confirmed import Confirmed
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
        self._bootstrap = bootstrap_servers
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def send(self, task: Task, event: bytes) -> None:
        """Send `task`, whose message is `event` byte for byte. Blocks until it is confirmed.

        Raises:
            TaskNotSent: it was not confirmed within seconds.
        """
        sent = Confirmed(self._open())
        try:
            sent.produce(self._kafka.topics.tasks, key=task.key(), value=event, headers=list(task.headers()))
            sent.wait(self._within_s + 1)
        except KafkaException as error:
            raise TaskNotSent(str(error)) from error

    def close(self) -> None:
        """Wait a few seconds at the most for the tasks in flight."""
        if self._producer is not None:
            self._producer.flush(5)

    def _open(self) -> Producer:
        with self._lock:
            if self._producer is None:
                client = self._kafka.client_config(bootstrap_servers=self._bootstrap, client_id="api")
                self._producer = Producer(producing(client, self._within_s))
            return self._producer
