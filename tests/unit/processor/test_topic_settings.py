"""Topics that Kafka takes no records for, by the metadata of their partitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from processor.topic_settings import _without_replicas


def topic(*in_sync: int, replicas: int = 3) -> Any:
    partitions = {
        number: SimpleNamespace(isrs=list(range(count)), replicas=list(range(replicas)))
        for number, count in enumerate(in_sync)
    }
    return SimpleNamespace(topic="results", partitions=partitions)


@pytest.mark.parametrize(("in_sync", "replicas", "wanted"), [((3, 3), 3, 2), ((2, 2), 3, 2), ((1,), 1, 2), ((), 3, 2)])
def test_a_topic_with_enough_replicas_in_sync_has_no_problem(
    in_sync: tuple[int, ...], replicas: int, wanted: int
) -> None:
    """Kafka 4 wants no more replicas in sync than a partition has."""
    assert list(_without_replicas(topic(*in_sync, replicas=replicas), wanted)) == []


def test_partitions_that_lack_replicas_in_sync_are_named() -> None:
    (told,) = _without_replicas(topic(1, 2, 0), 2)
    assert told.startswith("topic results: partitions 0, 2 have fewer replicas in sync than min.insync.replicas=2")
