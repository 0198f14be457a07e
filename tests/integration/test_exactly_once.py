"""The main job end to end: three roles as processes, real generations in, every expected result once (issue's demo).

Faults are injected in `tests/faults`; this is the plain way through, in both modes of delivery.
"""

from __future__ import annotations

import json

import pytest

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import pipeline


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_every_expected_result_is_in_kafka_and_clickhouse_once(
    kafka: str, stand_in: StandInServer, delivery: str
) -> None:
    """Ids are worked out by the condition interpreter; an event that is sent twice still has one row to readers."""
    with pipeline(kafka, stand_in.base_url, {"DELIVERY": delivery}) as gavel:
        gavel.start()
        gavel.send(150)
        count = gavel.check()
        assert count.expected == count.kafka == count.clickhouse > 1000
        uuid, event = gavel.next_event()
        while json.loads(event)["event"] != "$ai_generation" or json.loads(event)["team_id"] != 1:
            uuid, event = gavel.next_event()
        gavel.send_event(uuid, event)
        gavel.check()
        gavel.send_event(uuid, event)
        again = gavel.settle()
        assert not again.missing_in_kafka
        assert not again.twice_in_clickhouse
        assert not again.unexpected
        assert set(gavel.stop().values()) == {0}
