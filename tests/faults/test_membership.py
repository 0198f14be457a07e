"""Every way in which a group can be joined, on the real broker: members join, leave and die under load."""

from __future__ import annotations

import pytest

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import ROLES, pipeline
from tests.services.kafka import KafkaServer


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_kip_848_groups(kafka: str, stand_in_server: StandInServer, static: bool) -> None:
    """`kafka.group_protocol=consumer`, the default on Kafka 4: the broker assigns; transactions carry the epoch."""
    settings = {"KAFKA__GROUP_PROTOCOL": "consumer", "KAFKA__STATIC_MEMBERSHIP": str(static).lower()}
    with pipeline(kafka, stand_in_server.base_url, settings) as gavel:
        gavel.start()
        gavel.send(60, over_s=1.0)
        gavel.start("matcher-2", "judge-2")
        gavel.wait(lambda: gavel.logged("matcher-2", "partitions_assigned"), "matcher-2 works")
        gavel.wait(lambda: gavel.logged("judge-2", "partitions_assigned"), "judge-2 works")
        gavel.send(60, over_s=1.0)
        gavel.processes["matcher"].kill()
        gavel.remove("judge-2")
        gavel.processes["sink"].kill()
        gavel.send(60, over_s=1.0)
        assert gavel.stop("matcher-2") == {"matcher-2": 0}
        gavel.send(30)
        gavel.check()


def test_static_members_take_their_partitions_up_again_without_a_rebalance(
    kafka: str, stand_in_server: StandInServer
) -> None:
    """Neither SIGTERM nor `kill -9` of one matcher disturbs the other: nothing is assigned to it or revoked."""
    settings = {"GROUP_PROTOCOL": "classic", "STATIC_MEMBERSHIP": "true", "SESSION_TIMEOUT_S": "30"}
    settings = {f"KAFKA__{name}": value for name, value in settings.items()}
    with pipeline(kafka, stand_in_server.base_url, settings) as gavel:
        gavel.start("matcher", "judge", "sink")
        gavel.wait(lambda: gavel.logged("matcher", "partitions_assigned"), "the first matcher works")
        gavel.start("matcher-2")
        gavel.wait(lambda: gavel.logged("matcher-2", "partitions_assigned"), "the second matcher works")
        gavel.send(40, over_s=1.0)
        gavel.check()

        def changes() -> int:
            return sum(len(gavel.logged("matcher", f"partitions_{kind}")) for kind in ("assigned", "revoked", "lost"))

        before = changes()
        assert gavel.processes["matcher-2"].restart() == 0
        gavel.send(40, over_s=1.0)
        gavel.check()
        gavel.processes["matcher-2"].kill()
        gavel.send(40, over_s=1.0)
        gavel.check()
        assert changes() == before


def test_a_broker_without_kip_848_is_joined_the_classic_way(stand_in_server: StandInServer) -> None:
    """The default settings work on brokers before Kafka 4: no process ends, and the log says what happened."""
    with (
        KafkaServer(classic_groups_only=True) as broker,
        pipeline(broker.bootstrap_servers, stand_in_server.base_url) as gavel,
    ):
        gavel.start()
        gavel.send(40, over_s=0.5)
        gavel.check()
        assert not gavel.exits()
        assert all(len(gavel.logged(role, "group_protocol_falls_back")) == 1 for role in ROLES)
        assert set(gavel.stop().values()) == {0}
