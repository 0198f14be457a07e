"""Three brokers with replicas, as deployments have them: restarted in good order and killed, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cli.kafka_view import open_clients, view
from examples.stand_in.client import StandInServer
from processor.kafka import KafkaClients
from processor.topic_settings import unfit_topics
from tests.faults.pipeline import Pipeline, pipeline
from tests.services.kafka import KafkaServer
from tests.services.kafka_cluster import BROKERS, KafkaCluster
from tests.services.topic_settings import set_topic


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


@pytest.mark.parametrize(
    ("end", "which"), [(KafkaServer.stop, (0, 1)), (KafkaServer.kill, (0, 1, 2))], ids=["SIGTERM", "kill -9"]
)
def test_brokers_end_and_come_back_under_load_one_after_the_other(
    gavel: Pipeline, cluster: KafkaCluster, end: Callable[[KafkaServer], None], which: tuple[int, ...]
) -> None:
    """As an upgrade does it, and as a crash does: leaders, coordinators and open transactions move.

    The test below stops the third one in good order.
    """
    for broker in (cluster.brokers[number] for number in which):
        gavel.send(40, over_s=0.5)
        end(broker)
        gavel.send(40, over_s=0.5)
        broker.start()
        cluster.wait_until_in_sync()
    gavel.check()


def test_topics_that_refuse_writes_for_want_of_replicas_are_named_and_lose_nothing(
    gavel: Pipeline, cluster: KafkaCluster
) -> None:
    """One broker of three is away, and the results and the tasks want all of them in sync."""
    refusing = (gavel.topics.results, gavel.topics.tasks)
    for topic in refusing:
        set_topic(gavel.kafka, topic, "min.insync.replicas", BROKERS)
    *_, broker = cluster.brokers
    broker.stop()
    gavel.send(40, over_s=0.5)
    told = unfit_topics(KafkaClients(gavel.settings).admin(), gavel.settings, [name for _, name in gavel.topics])
    seen = view(open_clients(gavel.settings), gavel.settings).refused
    for problems in (told, seen):
        assert {problem.partition(":")[0] for problem in problems} == {f"topic {topic}" for topic in refusing}
        assert all(f"min.insync.replicas={BROKERS}" in problem for problem in problems)
    gavel.results.read()
    assert gavel.expected - gavel.results.ids.keys(), "the topics took results all the same"
    broker.start()
    cluster.wait_until_in_sync()
    gavel.check()
    assert not view(open_clients(gavel.settings), gavel.settings).refused
