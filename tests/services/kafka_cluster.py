"""Three brokers of real Apache Kafka with every topic on all of them, as deployments have it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.kafka import KafkaServer
from tests.services.ports import free_ports
from tests.services.process import START_S, ServiceError

BROKERS = 3


class KafkaCluster:
    """Brokers 1 to 3, each a controller too; one of them may be away at any time."""

    def __init__(self) -> None:
        controllers = dict(enumerate(free_ports(BROKERS), start=1))
        self.brokers = [KafkaServer(node_id=node, controllers=controllers, killed=True) for node in controllers]

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all brokers."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    def wait_until_in_sync(self) -> None:
        """Block until every partition has all of its replicas in sync; raise ServiceError if that takes too long."""
        deadline = time.monotonic() + START_S
        while not self._in_sync():
            if time.monotonic() > deadline:
                raise ServiceError("The brokers' replicas did not come into sync in time.")
            time.sleep(0.2)

    def _in_sync(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            found = admin.list_topics(timeout=5)
        except KafkaException:
            return False
        partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
        return len(found.brokers) == BROKERS and all(len(each.isrs) == BROKERS for each in partitions)

    def __enter__(self) -> KafkaCluster:
        try:
            with ThreadPoolExecutor() as pool:  # together: a controller alone serves nobody
                list(pool.map(KafkaServer.start, self.brokers))
            self.wait_until_in_sync()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all brokers for good and remove their data."""
        for broker in self.brokers:
            broker.close()

    def __exit__(self, *_: object) -> None:
        self.close()
