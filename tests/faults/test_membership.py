"""Every way in which a group can be joined, on the real broker: members join, leave and die under load."""

from __future__ import annotations

import pytest

from tests.faults.pipeline import pipeline
from tests.stand_in.client import StandInServer


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_kip_848_groups(kafka: str, stand_in_server: StandInServer, static: bool) -> None:
    """`kafka.group_protocol=consumer`: the broker assigns; transactions carry the member's epoch."""
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
    settings = {"KAFKA__STATIC_MEMBERSHIP": "true", "KAFKA__SESSION_TIMEOUT_S": "30"}
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
