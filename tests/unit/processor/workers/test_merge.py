"""The metrics of several workers as those of one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from processor.metric_catalogue import CATALOGUE
from processor.metrics import Metrics
from processor.runtime.samples import decode_samples, encode_samples
from processor.workers.merge import MergedMetrics


class Crew:
    """Workers without processes: a registry each, merged as the supervisor merges them."""

    def __init__(self) -> None:
        self.registries: dict[int, CollectorRegistry] = {}
        self.merged = MergedMetrics(self.refresh, list)
        self.registry = CollectorRegistry()
        self.registry.register(self.merged)

    def start(self, key: int) -> Metrics:
        self.registries[key] = CollectorRegistry()
        self.merged.born(key)
        return Metrics(self.registries[key])

    def refresh(self) -> None:
        for key, registry in self.registries.items():
            self.merged.update(key, decode_samples(encode_samples(registry)))

    def end(self, key: int) -> None:
        self.merged.retire(key)
        del self.registries[key]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_every_gauge_says_how_those_of_several_workers_become_one() -> None:
    gauges = {name for name, each in CATALOGUE.items() if each.kind in {"gauge", "age"}}
    assert gauges == {name for name, each in CATALOGUE.items() if each.merge is not None}
    assert {each.merge for each in CATALOGUE.values()} == {None, "sum", "least", "greatest"}


def test_counters_and_histograms_are_summed() -> None:
    crew = Crew()
    for key, seconds in ((1, 0.02), (2, 3.0)):
        metrics = crew.start(key)
        metrics.count("gavel_commits", key * 10, role="sink")
        metrics.observe("gavel_commit_seconds", seconds, role="sink")
    assert crew.value("gavel_commits_total", role="sink") == 30
    assert crew.value("gavel_commit_seconds_count", role="sink") == 2
    assert crew.value("gavel_commit_seconds_sum", role="sink") == 3.02
    assert crew.value("gavel_commit_seconds_bucket", role="sink", le="1.0") == 1


def test_a_gauge_is_the_sum_the_least_or_the_greatest_as_it_means() -> None:
    crew = Crew()
    for key in (1, 2):
        metrics = crew.start(key)
        metrics.set("gavel_partitions_assigned", key, role="matcher")
        metrics.set("gavel_snapshot_loaded", key - 1)
        metrics.set("gavel_consumer_lag", key * 100, role="matcher", topic="t", partition="0")
    assert crew.value("gavel_partitions_assigned", role="matcher") == 3
    assert crew.value("gavel_snapshot_loaded") == 0, "one worker has no definitions"
    assert crew.value("gavel_consumer_lag", role="matcher", topic="t", partition="0") == 200


def test_a_worker_that_ends_takes_no_counts_with_it() -> None:
    """Prometheus takes a counter that falls for a restart, and counts the whole sum a second time."""
    crew = Crew()
    for key in (1, 2):
        metrics = crew.start(key)
        metrics.count("gavel_commits", 10, role="sink")
        metrics.observe("gavel_commit_seconds", 0.1, role="sink")
        metrics.set("gavel_records_in_flight", 7, role="sink")
    assert crew.value("gavel_commits_total", role="sink") == 20
    crew.end(1)
    assert crew.value("gavel_commits_total", role="sink") == 20
    assert crew.value("gavel_commit_seconds_count", role="sink") == 2
    assert crew.value("gavel_records_in_flight", role="sink") == 7, (
        "the records of the dead one are in flight elsewhere"
    )
    crew.start(3).count("gavel_commits", 5, role="sink")
    assert crew.value("gavel_commits_total", role="sink") == 25
    crew.end(2)
    crew.end(3)
    assert crew.value("gavel_commits_total", role="sink") == 25


def test_a_late_answer_of_a_worker_that_ended_is_not_counted_twice() -> None:
    crew = Crew()
    crew.start(1).count("gavel_commits", 10, role="sink")
    late = decode_samples(encode_samples(crew.registries[1]))
    crew.refresh()
    crew.end(1)
    crew.merged.update(1, late)
    assert crew.value("gavel_commits_total", role="sink") == 10


def test_exemplars_of_workers_are_kept() -> None:
    crew = Crew()
    crew.start(1).observe("gavel_judge_call_seconds", 0.02, provider="openai")
    crew.start(2).observe_traced("gavel_judge_call_seconds", 0.02, "4bf92f35", provider="openai")
    text = openmetrics(crew.registry).decode()
    assert '# {trace_id="4bf92f35"} 0.02' in text
    assert 'gavel_judge_call_seconds_count{provider="openai"} 2.0' in text


def test_the_text_has_each_metric_once_and_prometheus_reads_it() -> None:
    crew = Crew()
    for key in (1, 2):
        crew.start(key).count("gavel_results", key, role="matcher", runtime="hog", outcome="pass")
    text = generate_latest(crew.registry).decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["gavel_results"].type == "counter"
    assert [sample.value for sample in families["gavel_results"].samples] == [3.0]
