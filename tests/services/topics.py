"""Topics that tests made on a broker that many tests share."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.waiting import PATIENCE_S

_REMOVE_S = PATIENCE_S / 2


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
