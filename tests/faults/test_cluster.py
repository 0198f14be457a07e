"""Three brokers with replicas, as deployments have them: restarted in good order and killed, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import Pipeline, pipeline
from tests.services.kafka import KafkaServer
from tests.services.kafka_cluster import KafkaCluster


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


@pytest.mark.parametrize("end", [KafkaServer.stop, KafkaServer.kill], ids=["SIGTERM", "kill -9"])
def test_brokers_end_and_come_back_under_load_one_after_the_other(
    gavel: Pipeline, cluster: KafkaCluster, end: Callable[[KafkaServer], None]
) -> None:
    """As an upgrade does it, and as a crash does: leaders, coordinators and open transactions move."""
    for broker in cluster.brokers:
        gavel.send(40, over_s=0.5)
        end(broker)
        gavel.send(40, over_s=0.5)
        broker.start()
        cluster.wait_until_in_sync()
    gavel.check()
