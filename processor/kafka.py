"""Kafka clients: how consumers and producers of the roles are configured."""

from __future__ import annotations

import fcntl
import logging
import socket
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from time import sleep
from typing import Any, Literal, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from config.log_repeats import FirstOfMany
from config.settings import Settings
from config.settings.kafka import producing
from processor.kafka_statistics import EVERY_MS, Client, statistics_to
from processor.metrics import Metrics
from processor.stream.deadline import Deadline
from processor.stream.offsets import OffsetConsumer

_T = TypeVar("_T")


_log = logging.getLogger("gavel.librdkafka")
_log.setLevel(logging.WARNING)
_log.addFilter(FirstOfMany())


EMBEDDED_PARTITIONS = 4
"""Partitions of each topic of the embedded broker; librdkafka decides it."""


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


class InstanceSlot:
    """A number that one process of a role on this host holds, the smallest that is free.

    It makes `transactional.id` and `group.instance.id` stable across restarts (a restart fences what a killed
    process left open) and different between two processes with the same configuration. The lock file's lock
    is released by the kernel when the process ends, however it ends.

    Args:
        directory: of the lock files; shared by the processes of a host that share a configuration.
        name: of the role and its group.
        preferred: a number to take if it is free, so that a worker has the same one after each restart.
    """

    def __init__(self, directory: Path, name: str, preferred: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for number in chain((preferred,), (each for each in count() if each != preferred)):
            handle = (directory / f"{name}-{number}.lock").open("w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
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
        metrics: take librdkafka's own figures of the roles' clients.
        number: of this worker among those of one supervisor; clients with an identity go by it.
    """

    def __init__(
        self,
        settings: Settings,
        embedded: EmbeddedBroker | None = None,
        *,
        metrics: Metrics | None = None,
        number: int = 0,
    ) -> None:
        self._number = number
        self._statistics = None if metrics is None else statistics_to(metrics)
        self._settings = settings
        self._embedded = embedded
        self._slots: dict[str, InstanceSlot] = {}
        self._classic_only = False

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients connect to."""
        return self._embedded.bootstrap_servers if self._embedded else self._settings.kafka.bootstrap_servers

    def base(self, client_id: str) -> dict[str, Any]:
        """Return the options that all clients share."""
        options = self._settings.kafka.client_config(bootstrap_servers=self.bootstrap_servers, client_id=client_id)
        return {**options, "logger": _log}

    @property
    def group_protocol(self) -> Literal["classic", "consumer"]:
        """How consumers join their groups now."""
        wanted = self._settings.kafka.group_protocol
        if wanted == "auto":
            return "classic" if self._classic_only or self._embedded is not None else "consumer"
        return wanted

    def fall_back_to_classic_groups(self) -> bool:
        """Note that the broker has only the classic protocol; return False if the settings insist on the other one."""
        self._classic_only = True
        return self.group_protocol == "classic"

    def _identity(self, role: str) -> str:
        slot = self._slots.get(role)
        if slot is None:
            directory = Path(self._settings.data_dir) / "instances"
            slot = self._slots[role] = InstanceSlot(directory, self._settings.kafka.group(role), self._number)
        return slot.identity

    def _reports(self, role: str, client: Client) -> dict[str, Any]:
        if self._statistics is None:
            return {}
        return {"statistics.interval.ms": EVERY_MS, "stats_cb": self._statistics(role, client)}

    def consumer(self, role: str) -> OffsetConsumer:
        """Return a consumer of the role's group, not yet subscribed."""
        kafka = self._settings.kafka
        options: dict[str, Any] = {
            **FETCHING,
            **self.base(role),
            **self._reports(role, "consumer"),
            "group.id": kafka.group(role),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,  # says that all is read, although markers of transactions follow
            "max.poll.interval.ms": int(kafka.max_poll_interval_s * 1000),
        }
        if self.group_protocol == "consumer":
            options["group.protocol"] = "consumer"
            # Spreads the partitions of each topic over all members. The broker's default, uniform, gives one judge all
            # partitions of tasks and another all of parked runs, so one busy evaluation keeps half of the judges idle.
            options["group.remote.assignor"] = "range"
        else:
            options["partition.assignment.strategy"] = "cooperative-sticky"
            options["session.timeout.ms"] = int(kafka.session_timeout_s * 1000)
        if kafka.static_membership:
            options["group.instance.id"] = self._identity(role)
        return OffsetConsumer(options)

    def producer_config(self) -> dict[str, Any]:
        """Return the options of an idempotent producer."""
        return producing(self.base("producer"), self._settings.kafka.message_timeout_s)

    def transactional_config(self, role: str) -> dict[str, Any]:
        """Return the options of the one transactional producer of `role` in this process."""
        return {
            **self.producer_config(),
            **self._reports(role, "producer"),
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
