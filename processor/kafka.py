"""Kafka clients: how consumers and producers of the roles are configured, and the topics they need."""

from __future__ import annotations

import fcntl
import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from config.settings import Settings
from processor.deadline import Deadline

_T = TypeVar("_T")
_REPEAT_AFTER_S = 30.0
_VARYING = re.compile(r"\d+ms|#\w+-\d+")


class _FirstOfMany(logging.Filter):
    """Lets a message pass once in 30 s: a client that cannot connect says so twenty times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is news."""
        shape = _VARYING.sub("", record.getMessage())
        now = monotonic()
        if now - self._last_s.get(shape, -_REPEAT_AFTER_S) < _REPEAT_AFTER_S:
            return False
        if len(self._last_s) > 1000:
            self._last_s.clear()
        self._last_s[shape] = now
        return True


_log = logging.getLogger("gavel.librdkafka")
_log.setLevel(logging.WARNING)
_log.addFilter(_FirstOfMany())


class EmbeddedBroker:
    """librdkafka's in-process broker: for a first look, lives and dies with the process.

    It keeps 5 MiB per partition, makes topics on first use with four partitions each, forgets the offsets that
    a transaction commits, and knows nothing of replication, access control or aborted transactions.
    """

    def __init__(self) -> None:
        self._owner = Producer({"test.mock.num.brokers": 1, "log_level": 3}, logger=_log)
        brokers = self._owner.list_topics(timeout=10).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topic(self, topic: str) -> None:
        """Make `topic`, with the broker's own number of partitions."""
        self._owner.list_topics(topic, timeout=10)


FETCHING: dict[str, Any] = {
    "queued.max.messages.kbytes": 16 * 1024,
    "fetch.queue.backoff.ms": 20,
    "fetch.wait.max.ms": 100,  # a partition that is resumed waits until the request on its way without it has ended
}
"""How consumers read ahead, unless `kafka.extra` says otherwise."""
PRODUCING: dict[str, Any] = {"linger.ms": 5, "compression.type": "lz4", "queue.buffering.max.kbytes": 256 * 1024}
"""How producers gather messages, unless `kafka.extra` says otherwise."""


class InstanceSlot:
    """A number that one process of a role on this host holds, the smallest that is free.

    It makes `transactional.id` and `group.instance.id` stable across restarts (a restart fences what a killed
    process left open) and different between two processes with the same configuration. The lock file's lock
    is released by the kernel when the process ends, however it ends.

    Args:
        directory: of the lock files; shared by the processes of a host that share a configuration.
        name: of the role and its group.
    """

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            handle = (directory / f"{name}-{number}.lock").open("w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                number += 1
                continue
            self._handle = handle
            break
        self.number = number
        self.identity = f"{name}-{socket.gethostname()}-{number}"

    def release(self) -> None:
        """Let another process have the number."""
        self._handle.close()


class KafkaClients:
    """Makes the clients of one process.

    Args:
        embedded: the in-process broker where the settings ask for one.
    """

    def __init__(self, settings: Settings, embedded: EmbeddedBroker | None = None) -> None:
        self._settings = settings
        self._embedded = embedded
        self._slots: dict[str, InstanceSlot] = {}

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients connect to."""
        return self._embedded.bootstrap_servers if self._embedded else self._settings.kafka.bootstrap_servers

    def base(self, client_id: str) -> dict[str, Any]:
        """Return the options that all clients share."""
        options = self._settings.kafka.client_config(bootstrap_servers=self.bootstrap_servers, client_id=client_id)
        return {**options, "logger": _log}

    def _identity(self, role: str) -> str:
        slot = self._slots.get(role)
        if slot is None:
            directory = Path(self._settings.data_dir) / "instances"
            slot = self._slots[role] = InstanceSlot(directory, self._settings.kafka.group(role))
        return slot.identity

    def consumer(self, role: str) -> Consumer:
        """Return a consumer of the role's group, not yet subscribed."""
        kafka = self._settings.kafka
        options: dict[str, Any] = {
            **FETCHING,
            **self.base(role),
            "group.id": kafka.group(role),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "max.poll.interval.ms": int(kafka.max_poll_interval_s * 1000),
        }
        if kafka.group_protocol == "consumer":
            options["group.protocol"] = "consumer"
        else:
            options["partition.assignment.strategy"] = "cooperative-sticky"
            options["session.timeout.ms"] = int(kafka.session_timeout_s * 1000)
        if kafka.static_membership:
            options["group.instance.id"] = self._identity(role)
        return Consumer(options)

    def producer_config(self) -> dict[str, Any]:
        """Return the options of an idempotent producer."""
        kafka = self._settings.kafka
        return {
            **PRODUCING,
            **self.base("producer"),
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": int(kafka.message_timeout_s * 1000),
        }

    def transactional_config(self, role: str) -> dict[str, Any]:
        """Return the options of the one transactional producer of `role` in this process."""
        return {
            **self.producer_config(),
            "transactional.id": self._identity(role),
            "transaction.timeout.ms": int(self._settings.kafka.transaction_timeout_s * 1000),
        }

    def admin(self) -> AdminClient:
        """Return an admin client."""
        return AdminClient(self.base("admin"))

    def close(self) -> None:
        """Release the numbers that this process holds."""
        for slot in self._slots.values():
            slot.release()
        self._slots.clear()


_LEADER_MOVES = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)


def patiently(call: Callable[[], _T], timeout_s: float) -> _T:
    """Return what `call` returns; ask again while the leader of a partition is new or moves.

    A client that asks for offsets does not do so by itself, and a topic that was just made has leaders that the
    brokers do not agree upon yet.

    Raises:
        KafkaException: any other failure, or that one for longer than `timeout_s`.
    """
    deadline = Deadline(timeout_s)
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in _LEADER_MOVES or deadline.over():
                raise
        sleep(min(0.2, deadline.left_s()))


class TopicError(RuntimeError):
    """A topic that is missing or could not be made."""


def ensure_topics(clients: KafkaClients, settings: Settings, embedded: EmbeddedBroker | None = None) -> list[str]:
    """Make the topics that do not exist yet.

    Returns:
        The names of those that were made.

    Raises:
        TopicError: the broker refused; says why.
    """
    names = [name for _, name in settings.kafka.topics]
    if embedded is not None:
        for name in names:
            embedded.create_topic(name)
        return names
    admin = clients.admin()
    existing = admin.list_topics(timeout=15).topics
    missing = [name for name in names if name not in existing]
    if not missing:
        return []
    kafka = settings.kafka
    wanted = [
        NewTopic(
            name,
            num_partitions=kafka.partitions,
            replication_factor=kafka.replication_factor,
            config={"max.message.bytes": str(kafka.max_message_bytes)},
        )
        for name in missing
    ]
    for name, future in admin.create_topics(wanted, operation_timeout=30).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicError(f"topic {name} could not be made: {error.args[0].str()}") from error
    return missing


def missing_topics(clients: KafkaClients, settings: Settings, *, timeout_s: float = 10.0) -> list[str]:
    """Return the names of the configured topics that the broker does not have.

    Raises:
        KafkaException: the broker cannot be reached or refuses.
    """
    existing = clients.admin().list_topics(timeout=timeout_s).topics
    return [name for _, name in settings.kafka.topics if name not in existing]
