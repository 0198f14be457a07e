"""Three brokers with replicas, as deployments have them: restarted in good order and killed, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.pipeline import Pipeline, pipeline
from tests.services.kafka_cluster import KafkaCluster
from tests.stand_in.client import StandInServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as brokers:
        yield brokers


@pytest.fixture(scope="module")
def gavel(cluster: KafkaCluster, stand_in_server: StandInServer) -> Iterator[Pipeline]:
    with pipeline(cluster.bootstrap_servers, stand_in_server.base_url) as made:
        made.start()
        made.send(20)
        made.check()
        yield made


def test_brokers_are_restarted_in_good_order_under_load(gavel: Pipeline, cluster: KafkaCluster) -> None:
    """SIGTERM and a new start, as an upgrade does it: leaders, coordinators and open transactions move."""
    for broker in cluster.brokers:
        gavel.send(40, over_s=0.5)
        broker.stop()
        gavel.send(40, over_s=0.5)
        broker.start()
        cluster.wait_until_in_sync()
    gavel.check()


def test_brokers_are_killed_under_load(gavel: Pipeline, cluster: KafkaCluster) -> None:
    for broker in cluster.brokers:
        gavel.send(40, over_s=0.5)
        broker.kill()
        gavel.send(40, over_s=0.5)
        broker.start()
        cluster.wait_until_in_sync()
    gavel.check()
