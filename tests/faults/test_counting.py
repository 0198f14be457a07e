"""The count itself can fail: it tells a result that is there twice from an event that is."""

from __future__ import annotations

import pytest

from tests.faults.pipeline import Pipeline
from tests.services.waiting import PATIENCE_S


def test_a_result_that_is_there_twice_is_found_unless_its_event_is_too(gavel: Pipeline) -> None:
    event = next(event for _, event in iter(gavel.next_event, None) if gavel.expectation.of(event))
    for _ in range(2):  # as the load's client may do when a broker dies
        gavel.send_event("twice", event)
    gavel.send(20)
    count = gavel.settle()
    gavel.wait(lambda: gavel.count().kafka == len(gavel.expected) + len(gavel.expectation.of(event)), "all results")
    count = gavel.count()
    assert (count.problems, count.events_twice) == ({}, 1)

    result = min(gavel.expected - gavel.expectation.of(event))
    gavel.producer.produce(gavel.topics.results, b"{}", headers=[("result_id", result.encode())])
    gavel.producer.flush(PATIENCE_S)
    gavel.wait(lambda: gavel.count().problems, "what is wrong")
    count = gavel.count()
    assert count.wrong == {"twice_in_kafka": [result]}
    assert result in gavel.tell(count)

    with pytest.raises(AssertionError, match="twice_in_kafka"):
        gavel.check()
    gavel.send(1)
    gavel.check()
