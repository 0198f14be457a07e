"""Topics that tests made on a broker that many tests share."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def remove_topics(bootstrap_servers: str, names: Iterable[str]) -> None:
    """Remove topics that nobody reads any more, whether they exist or not.

    A broker keeps files open and memory for each partition: a run of all tests would leave it thousands.
    A broker that is away keeps them.
    """
    wanted = list(names)
    futures = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).delete_topics(
        wanted, request_timeout=10
    )
    for future in futures.values():
        try:
            future.result()
        except KafkaException:
            continue
