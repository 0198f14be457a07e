"""The cost of metrics: the share of a matcher's CPU time that they take.

    python -m benchmarks.metrics [--events 200000]

The matcher role runs on a real Kafka as in `benchmarks.stream` and all its calls of metrics are recorded. Then the
benchmark repeats these calls alone and times them, and it times a scrape. The target is 1 % of the matcher's CPU time
for both, with a scrape every 15 s.
"""

from __future__ import annotations

import argparse
import time
from typing import Any
from unittest.mock import patch

from prometheus_client import CollectorRegistry, generate_latest

from benchmarks.stream import matcher, produce
from benchmarks.table import markdown
from processor.metrics import Metrics
from tests.services.kafka import KafkaServer

SCRAPE_EVERY_S = 15.0
WANTED_SHARE = 0.01
_RECORDED = ("count", "set", "since", "observe", "observe_all", "count_results", "born", "remove")
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class RecordedMetrics(Metrics):
    """Metrics that keep all calls in `calls`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.calls: list[Call] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in _RECORDED:
            return found
        calls: list[Call] = super().__getattribute__("calls")

        def recorded(*args: Any, **labels: Any) -> Any:
            # The caller empties a list of observations afterwards.
            calls.append((name, tuple(list(each) if isinstance(each, list) else each for each in args), labels))
            return found(*args, **labels)

        return recorded


def again_s(calls: list[Call]) -> float:
    """Return the CPU seconds of all calls, on metrics that have not seen them."""
    metrics = Metrics(CollectorRegistry())
    bound = {name: getattr(metrics, name) for name in _RECORDED}
    started = time.process_time()
    for name, args, labels in calls:
        bound[name](*args, **labels)
    return time.process_time() - started


def scrape_s(metrics: Metrics) -> float:
    """Return the CPU seconds of one scrape."""
    started = time.process_time()
    for _ in range(10):
        generate_latest(metrics.registry)
    return (time.process_time() - started) / 10


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    events: int = parser.parse_args().events
    made: list[RecordedMetrics] = []

    def make(registry: CollectorRegistry) -> RecordedMetrics:
        made.append(RecordedMetrics(registry))
        return made[-1]

    rows = []
    with KafkaServer() as broker:
        produce(broker.bootstrap_servers, "events", events)
        for title, matching in (("2 % of events with a result", 1), ("0.4 results per event", None)):
            with patch("processor.metrics.Metrics", make):
                run = matcher(broker.bootstrap_servers, "events", events, "exactly_once", matching)
            calls = made[-1].calls
            spent_s, scrapes_s = again_s(calls), scrape_s(made[-1]) * run["seconds"] / SCRAPE_EVERY_S
            share = (spent_s + scrapes_s) / run["cpu_seconds"]
            rows.append(
                [title, f"{run['events']:,}", f"{len(calls):,}", f"{run['cpu_seconds']:.2f}", f"{spent_s * 1000:.1f}",
                 f"{scrapes_s * 1000:.1f}", f"{share:.2%}"]
            )  # fmt: skip
    heads = ["matcher", "events", "calls of metrics", "CPU s", "calls, CPU ms", "scrapes, CPU ms", "share"]
    print(markdown(heads, rows))
    print(f"\nThe target is a share of at most {WANTED_SHARE:.0%}.")


if __name__ == "__main__":
    main()
