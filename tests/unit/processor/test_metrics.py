"""The metrics of a process: batches of observations, ages, series that are born at 0, and the bound of their number."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from evaluators.verdict import VERDICT_NAMES
from processor.metric_catalogue import CATALOGUE, MetricName
from processor.metrics import MAX_EVALUATIONS, NEVER, OTHER, AgeGauge, Metrics

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


def test_the_series_of_a_metric_are_summed_by_their_labels() -> None:
    metrics = Metrics(CollectorRegistry())
    for topic, partition, lag in (("tasks", "0", 3), ("tasks", "1", 4), ("parked", "0", 5)):
        metrics.set("gavel_consumer_lag", lag, role="judge", topic=topic, partition=partition)
    metrics.set("gavel_consumer_lag", 100, role="sink", topic="results", partition="0")
    assert metrics.total("gavel_consumer_lag", role="judge") == 12
    assert metrics.read("gavel_consumer_lag", by="topic", role="judge") == {"tasks": 7, "parked": 5}
    assert metrics.total("gavel_sink_rows") == 0


def test_an_age_grows_by_itself_is_zero_at_rest_and_infinite_where_nothing_ever_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    metrics, labels = Metrics(registry), {"role": "sink", "topic": "t", "partition": "0"}
    monkeypatch.setattr(AgeGauge, "clock", lambda: 1_000.0)
    metrics.since("gavel_lag_seconds", 940.0, **labels)
    metrics.since("gavel_snapshot_age_seconds", NEVER)
    assert registry.get_sample_value("gavel_lag_seconds", labels) == 60
    monkeypatch.setattr(AgeGauge, "clock", lambda: 1_100.0)
    assert registry.get_sample_value("gavel_lag_seconds", labels) == 160 == metrics.age_s("gavel_lag_seconds", **labels)
    assert registry.get_sample_value("gavel_snapshot_age_seconds") == math.inf
    metrics.since("gavel_lag_seconds", 0.0, **labels)
    assert registry.get_sample_value("gavel_lag_seconds", labels) == 0
    metrics.since("gavel_lag_seconds", 2_000.0, **labels)  # a clock that was set back
    assert registry.get_sample_value("gavel_lag_seconds", labels) == 0


def test_a_metric_without_labels_is_exported_only_by_processes_that_it_concerns() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    assert registry.get_sample_value("gavel_snapshot_loaded") is None
    metrics.born("gavel_snapshot_loaded")
    assert registry.get_sample_value("gavel_snapshot_loaded") == 0


def test_ten_thousand_evaluations_have_as_many_series_as_the_limit_allows() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(10_000):
        metrics.count_results(1, f"evaluation-{number}", "pass", 2)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert len(lines) == (MAX_EVALUATIONS + 1) * len(VERDICT_NAMES)
    other = {"team": OTHER, "evaluation": OTHER, "outcome": "pass"}
    assert registry.get_sample_value("gavel_evaluation_results_total", other) == 2 * (10_000 - MAX_EVALUATIONS)
    first = {"team": "1", "evaluation": "evaluation-0", "outcome": "fail"}
    assert registry.get_sample_value("gavel_evaluation_results_total", first) == 0


def test_no_series_has_the_time_of_its_creation() -> None:
    registry = CollectorRegistry()
    Metrics(registry).count("gavel_commits", role="sink")
    assert "_created" not in generate_latest(registry).decode()


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_help_says_what_to_do(name: MetricName) -> None:
    assert re.search(r"\. If |; if |: if |Always 1", CATALOGUE[name].help), CATALOGUE[name].help
