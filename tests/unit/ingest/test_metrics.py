"""The front door exports the counters whose labels are known beforehand as 0 from its start."""

from __future__ import annotations

from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from ingest.metrics import KNOWN_EVENTS, PROTOCOLS, IngestCounter, give_birth
from ingest.otlp.answers import CODES
from processor.metrics import Metrics


@pytest.fixture
def born() -> Metrics:
    metrics = Metrics(CollectorRegistry())
    give_birth(metrics, role="ingest", outcomes=("accepted", "rejected"), letters=("decode", "too_large"))
    return metrics


def test_every_counter_is_there_and_zero(born: Metrics) -> None:
    for name in get_args(IngestCounter):
        assert born.series(name), name
        assert born.total(name) == 0, name


def test_events_that_are_not_forwarded_are_told_apart_before_the_first(born: Metrics) -> None:
    assert set(born.read("gavel_ingest_not_forwarded", by="event")) == {*KNOWN_EVENTS, "other"}


def test_dead_letters_of_the_front_door_are_told_apart_before_the_first(born: Metrics) -> None:
    assert set(born.read("gavel_dead_letters", by="reason", role="ingest")) == {"decode", "too_large"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_requests_have_a_series_of_each_status_that_a_refusal_has(born: Metrics, protocol: str) -> None:
    found = born.read("gavel_ingest_requests", by="status", protocol=protocol)
    assert {"200", "204", *(str(status) for status in CODES)} <= set(found)
