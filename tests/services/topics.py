"""Topics that tests made on a broker that many tests share."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic

from tests.services.waiting import PATIENCE_S, until

_REMOVE_S = PATIENCE_S / 2


def make_topics(bootstrap_servers: str, *topics: NewTopic) -> None:
    """Make topics that do not exist yet, and wait until clients may use them.

    A broker answers before its own metadata has them, and a consumer that asks at once is told of an unknown topic.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for future in admin.create_topics(list(topics)).values():
        future.result(PATIENCE_S)

    def served() -> bool:
        found: ClusterMetadata = admin.list_topics(timeout=PATIENCE_S)
        made = [found.topics.get(each.topic) for each in topics]
        return all(each and each.partitions and all(p.leader >= 0 for p in each.partitions.values()) for each in made)

    until(served, lambda: f"{[each.topic for each in topics]} are not served")


def remove_topics(bootstrap_servers: str, names: Iterable[str]) -> None:
    """Remove topics that nobody reads any more, whether they exist or not.

    A broker keeps files open and memory for each partition: a run of all tests would leave it thousands.
    A broker that is away, or does not answer in time, keeps them: no test fails for that.
    """
    wanted = list(names)
    if not wanted:
        return
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})  # its end leaves the futures open
    for future in admin.delete_topics(wanted, request_timeout=_REMOVE_S).values():
        with suppress(KafkaException, TimeoutError):
            future.result(timeout=_REMOVE_S * 2)
