"""Observing a batch at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from processor.metrics import CATALOGUE, Metrics

BOUNDS = CATALOGUE["gavel_hog_seconds"].buckets
SECONDS = st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS))


def exported(registry: CollectorRegistry) -> list[str]:
    """The histogram's lines, without the sum and the times of creation."""
    lines = generate_latest(registry).decode().splitlines()
    return [
        line for line in lines if line.startswith("gavel_hog_seconds") and "_sum" not in line and "_created" not in line
    ]


@given(SECONDS, SECONDS)
def test_observations_of_a_batch_count_as_those_made_one_by_one(first: list[float], second: list[float]) -> None:
    one_by_one, batched = CollectorRegistry(), CollectorRegistry()
    each, all_of = Metrics(one_by_one), Metrics(batched)
    for batch in (first, second):
        for seconds in batch:
            each.observe("gavel_hog_seconds", seconds, role="matcher")
        all_of.observe_all("gavel_hog_seconds", list(batch), role="matcher")
    assert exported(batched) == exported(one_by_one)
    total = batched.get_sample_value("gavel_hog_seconds_sum", {"role": "matcher"}) or 0.0
    assert abs(total - sum(first) - sum(second)) < 1e-6
